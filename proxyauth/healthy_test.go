package proxyauth_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// What one odd answer costs a healthy client: see odd_answers_test.go.

// quickCurve makes TLS with the origin, which takes most of the time, a cheap one.
var quickCurve = []tls.CurveID{tls.CurveP256}

// oddSchemes are the columns of the table. A proxy of Digest never says stale: one
// that does says itself that the password was right.
var oddSchemes = []struct {
	name string
	in   wayIn
}{
	{"Basic", waysIn["Basic"]},
	{"Digest", wayIn{auth: []proxytest.Auth{proxytest.Digest{Realm: "r", NeverStale: true}}}},
	{"NTLM", waysIn["NTLM"]},
	{"NTLM inside Negotiate", waysIn["NTLM inside Negotiate"]},
	{"Kerberos", waysIn["Kerberos"]},
	{"Kerberos each time", waysIn["Kerberos each time"]},
}

// An oddity is what a healthy client meets once: an answer that says nothing about
// its password, or a change of the proxy that brings one.
type oddity struct {
	name    string
	schemes []string // that can meet it; nil: all
	way     string   // the only one on which it can be met; "": both
	anew    bool     // each request has a connection of its own
	cold    bool     // it meets the first request of all

	config     func(*proxytest.Config) // what the proxy is from the start
	another    func(*proxytest.Config) // makes the proxy one of a pair, and says how the other one differs
	begin, end func(*healthy)          // around the request that meets it

	failed int                               // requests that it may cost
	extra  [3]int                            // legs that it may cost, by Basic, by Digest, and by the others
	ends   func(*testing.T, *healthy, error) // how the request that meets it fails
}

// A healthy client has credentials that have passed a moment ago.
type healthy struct {
	*world
	oddity
	way        string
	scheme     string
	handshakes bool // two legs for a new connection
	odd, good  string
	pair       pair // of which there may be one only
	tr         *watchedTransport
	answer     atomic.Pointer[proxytest.Answer] // of the proxy's rules to requests for odd; nil: they let them pass
}

// newHealthy starts the proxy of an oddity and a client of it.
func newHealthy(w *world, o oddity, scheme string, in wayIn, way string) *healthy {
	h := &healthy{world: w, oddity: o, way: way, scheme: scheme, handshakes: strings.HasPrefix(scheme, "NTLM")}
	h.odd, h.good = w.ways()[way], w.newOrigin().ways()[way]
	odd := []string{w.HTTP.Listener.Addr().String(), w.HTTPS.Listener.Addr().String()}
	config := proxytest.Config{Auth: slices.Clone(in.auth), Users: alice}
	config.Behaviour.Access = func(leg proxytest.Leg) (a proxytest.Answer) {
		if rule := h.answer.Load(); rule != nil && slices.Contains(odd, leg.HostPort()) {
			a = *rule
		}
		return a
	}
	if o.config != nil {
		o.config(&config)
	}
	h.pair.proxies = append(h.pair.proxies, w.newProxy(config))
	if o.another != nil {
		config.Auth = slices.Clone(config.Auth)
		o.another(&config)
		h.pair.proxies = append(h.pair.proxies, w.newProxy(config))
	}
	h.tr = in.transportIn(w, h.pair.proxies[0])
	h.tr.Base.DialContext = h.pair.dial(w)
	h.tr.Base.TLSClientConfig.CurvePreferences = quickCurve
	return h
}

// A pair is proxies behind one name. Which of them answers changes between requests,
// not within one, or nobody could use Digest there.
type pair struct {
	proxies []*proxytest.Proxy
	turn    atomic.Int64
}

// dial dials the proxy whose turn it is, and all else as it is.
func (p *pair) dial(w *world) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == p.proxies[0].URL.Host {
			addr = p.proxies[int(p.turn.Load())%len(p.proxies)].URL.Host
		}
		return w.dial(ctx, network, addr)
	}
}

// rule lets the proxy answer requests for the odd target in this way from now on.
func (h *healthy) rule(a proxytest.Answer) { h.answer.Store(&a) }

// lift ends that.
func (h *healthy) lift() { h.answer.Store(nil) }

// ask makes a request, which has failed unless it gets what the origin has to say.
func (h *healthy) ask(url string) error {
	if h.anew || h.way == "tunnel" {
		h.tr.CloseIdleConnections()
	}
	status, body, err := fetch(h.tr, url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, body)
	}
	return err
}

// legs returns how many the proxies have answered.
func (h *healthy) legs() (n int) {
	synctest.Wait()
	for _, p := range h.pair.proxies {
		n += p.Counts().Requests
	}
	return n
}

// usual returns how many legs a request takes that meets nothing odd.
func (h *healthy) usual() int {
	if h.handshakes && (h.anew || h.way == "tunnel") {
		return 2
	}
	return 1
}

// A cost is what became of a healthy client.
type cost struct {
	oddity, scheme, way string
	failed              int           // requests
	extra               int           // legs of the one that met it, and of the next that passed
	next                time.Duration // until a request for a good target passed
}

// meets tells the story: the credentials pass, the odd answer is met by a request,
// and the next ones are for a good target and for the same again, where all is well
// now.
func (h *healthy) meets(t *testing.T) cost {
	if !h.cold {
		for range 3 { // of which the second shows what a proxy remembers
			require.NoError(t, h.ask(h.good))
		}
	}
	c := cost{oddity: h.name, scheme: h.scheme, way: h.way}

	if h.begin != nil {
		h.begin(h)
	}
	before := h.legs()
	err := h.ask(h.odd)
	if h.end != nil {
		h.end(h)
	}
	c.extra = h.legs() - before - h.usual()
	if err != nil {
		c.failed++
		t.Log(err)
		if h.ends != nil {
			h.ends(t, h, err)
		}
	}

	begin := time.Now()
	for before = h.legs(); ; before = h.legs() {
		if err = h.ask(h.good); err == nil || time.Since(begin) > 12*time.Hour {
			break
		}
		c.failed++
		time.Sleep(max(time.Second, time.Since(begin)/8))
	}
	require.NoError(t, err)
	c.next = time.Since(begin)
	c.extra += h.legs() - before - h.usual()

	begin = time.Now()
	assert.NoError(t, h.ask(h.odd))
	assert.Zero(t, time.Since(begin))
	return c
}

// judge compares a cost with what it may be.
func (h *healthy) judge(t *testing.T, c cost) {
	most := h.extra[2]
	switch h.scheme {
	case "Basic", "Digest":
		most = h.extra[slices.Index([]string{"Basic", "Digest"}, h.scheme)]
	}
	assert.LessOrEqual(t, c.failed, h.failed, "requests failed")
	assert.Zero(t, c.next, "until a request for a good target passed")
	assert.LessOrEqual(t, c.extra, most, "legs more than without")
	assert.Zero(t, h.tr.Stats().NotSent)
	var own []string
	for _, p := range h.pair.proxies {
		own = append(own, sent(p)...)
		assert.Zero(t, p.Refused("alice"))
	}
	slices.Sort(own)
	assert.Len(t, slices.Compact(own), 1, "no other scheme is tried")
	assert.Empty(t, h.proxyFields())
}

// table writes costs down in Markdown: a row for each oddity and way, a column for
// each scheme; in each cell the requests that failed, the legs more than without,
// and when the next request for a good target passed.
func table(costs []*cost) string {
	type row struct{ oddity, way string }
	var rows []row
	cells := make(map[row]map[string]string)
	for _, c := range costs {
		if c.oddity == "" {
			continue // it has failed before
		}
		r := row{c.oddity, c.way}
		if cells[r] == nil {
			rows, cells[r] = append(rows, r), make(map[string]string)
		}
		cells[r][c.scheme] = fmt.Sprintf("%d, %d, %s", c.failed, c.extra, c.next.Round(time.Second))
	}
	var b strings.Builder
	b.WriteString("| requests failed, extra legs, next passed after | way |")
	for _, s := range oddSchemes {
		b.WriteString(" " + s.name + " |")
	}
	b.WriteString("\n|" + strings.Repeat("---|", 2+len(oddSchemes)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |", r.oddity, r.way)
		for _, s := range oddSchemes {
			b.WriteString(" " + cells[r][s.name] + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}
