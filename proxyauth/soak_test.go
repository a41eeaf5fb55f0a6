//go:build gate

package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R34: TestSoak sends many requests by all schemes and ways through proxies that
// are restarted, forget their nonces, drop their connections and change passwords.
// Each ends in its own answer, or in an error that is right at that time; after
// each disturbance requests succeed again; and nothing piles up.
//
//	go test -tags gate -run '^TestSoak$' -v ./proxyauth
//
// PROXYAUTH_SOAK is the number of requests; the usual 200000 take a few minutes.
func TestSoak(t *testing.T) {
	total := 200_000
	if n := os.Getenv("PROXYAUTH_SOAK"); n != "" {
		var err error
		total, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	o := newSoakOrigin(t)
	lanes := make(map[string]*lane)
	for name, in := range map[string]wayIn{
		"Basic":                 waysIn["Basic"],
		"Digest":                {auth: []proxytest.Auth{proxytest.Digest{Realm: "r", NonceUses: 50}}},
		"Digest, nextnonce":     {auth: []proxytest.Auth{proxytest.Digest{Realm: "r", Algorithms: []string{"SHA-256"}, NonceUses: 20, NextNonce: true, RspAuth: true}}},
		"Digest, strict":        {auth: []proxytest.Auth{proxytest.Digest{Realm: "r", ExactNC: true}}},
		"NTLM":                  waysIn["NTLM"],
		"Kerberos":              waysIn["Kerberos"],
		"Kerberos each time":    waysIn["Kerberos each time"],
		"NTLM inside Negotiate": waysIn["NTLM inside Negotiate"],
		"all four":              {auth: []proxytest.Auth{proxytest.Negotiate{}, proxytest.NTLM{}, proxytest.Digest{Realm: "r"}, proxytest.Basic{Realm: "r"}}},
	} {
		lanes[name] = newLane(t, name, in, o)
	}

	// Between the phases everything is at rest, and is measured.
	const phases, workers = 10, 4
	each := max(1, total/phases/len(lanes)/workers)
	every := min(each*workers, 300)
	rest(t, lanes, o)
	idle := takeCensus()
	var first, last census
	start := time.Now()
	for phase := range phases {
		var all sync.WaitGroup
		for _, l := range lanes {
			all.Go(func() { l.phase(t, workers, each, every) })
		}
		all.Wait()
		if t.Failed() {
			return
		}
		rest(t, lanes, o)
		await(t, "goroutines", runtime.NumGoroutine, idle.goroutines)
		await(t, "descriptors", func() int {
			runtime.GC() // closes the pipes that splice has kept
			return descriptors()
		}, idle.descriptors)
		if last = takeCensus(); phase == 1 {
			first = last
		}
	}
	took := time.Since(start)

	var sum outcomes
	for name, l := range lanes {
		t.Logf("%-22s %v", name, &l.outcomes)
		sum.add(&l.outcomes)
	}
	t.Logf("%d requests in %v: %v; heap %d to %d KiB, goroutines %d to %d, descriptors %d to %d",
		sum.requests.Load(), took.Round(time.Millisecond), &sum,
		first.heap>>10, last.heap>>10, idle.goroutines, last.goroutines, idle.descriptors, last.descriptors)
	require.EqualValues(t, phases*workers*each*len(lanes), sum.requests.Load())
	require.Greater(t, sum.good.Load(), sum.requests.Load()/2)
	require.LessOrEqual(t, int64(last.heap)-int64(first.heap), int64(4<<20))
}

// A census is what there is of what must not grow.
type census struct {
	heap                    uint64
	goroutines, descriptors int
}

// rest closes all connections, and forgets what the tests keep.
func rest(t testing.TB, lanes map[string]*lane, o *origin) {
	t.Helper()
	for _, l := range lanes {
		l.tr.CloseIdleConnections()
		l.tr.watch.search()
		l.proxy.Load().Reset() // the transcript
		await(t, "connections of "+l.name, func() int { return int(l.relayed.Load()) }, 0)
	}
	o.HTTP.CloseClientConnections() // those of the proxies
	o.HTTPS.CloseClientConnections()
}

func takeCensus() census {
	return census{liveHeap(), runtime.NumGoroutine(), descriptors()}
}

// descriptors returns how many there are open, or 0 where that cannot be told.
func descriptors() int {
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

// outcomes count requests by how they ended.
type outcomes struct {
	requests, good, rejected, broken, other atomic.Int64
	disturbances                            atomic.Int64
}

func (a *outcomes) add(b *outcomes) {
	a.requests.Add(b.requests.Load())
	a.good.Add(b.good.Load())
	a.rejected.Add(b.rejected.Load())
	a.broken.Add(b.broken.Load())
	a.other.Add(b.other.Load())
	a.disturbances.Add(b.disturbances.Load())
}

func (a *outcomes) String() string {
	return fmt.Sprintf("%d answered, %d rejected, %d connections broken, %d otherwise, %d disturbances",
		a.good.Load(), a.rejected.Load(), a.broken.Load(), a.other.Load(), a.disturbances.Load())
}

// newSoakOrigin starts an origin that says which request it got, and keeps
// nothing.
func newSoakOrigin(t testing.TB) *origin {
	answer := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		for name := range req.Header {
			if strings.HasPrefix(name, "Proxy-") {
				t.Errorf("%s at the origin", name)
			}
		}
		if err == nil {
			fmt.Fprintf(w, "%s %s %d", req.Method, req.URL.Path, len(body))
		}
	})
	o := &origin{HTTP: httptest.NewServer(answer), HTTPS: httptest.NewUnstartedServer(answer)}
	o.HTTPS.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that a disturbance ends
	o.HTTPS.EnableHTTP2 = true
	o.HTTPS.StartTLS()
	t.Cleanup(o.HTTP.Close)
	t.Cleanup(o.HTTPS.Close)
	return o
}

// A disturbance is what is done to a lane, and decides which errors are right.
type disturbance int

const (
	restart     disturbance = iota // the proxy goes away, and another one comes
	drop                           // the proxy closes all connections
	proxyFirst                     // the password changes at the proxy, then in the source
	sourceFirst                    // the other way round
	wrongSource                    // the source gives a wrong password for a while
	disturbances
)

// A lane is a proxy at a fixed address, a Transport and requests through them.
type lane struct {
	name     string
	in       wayIn
	o        *origin
	tr       *watchedTransport
	source   *rotating
	listener net.Listener
	proxy    atomic.Pointer[proxytest.Proxy] // behind the listener; nil while there is none
	relayed  atomic.Int32                    // connections
	cache    string                          // the ticket cache
	password string
	outcomes outcomes

	mu      sync.Mutex
	history []disturbance
	active  bool // the last one still is
}

func newLane(t testing.TB, name string, in wayIn, o *origin) *lane {
	l := &lane{name: name, in: in, o: o, source: &rotating{}, password: "open sesame"}
	l.source.password.Store(l.password)
	var err error
	l.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var relaying sync.WaitGroup
	relaying.Go(func() { accept(l.listener, func(c net.Conn) { relaying.Go(func() { l.relay(c) }) }) })
	p := l.start()
	l.tr = in.transport(t, p, o)
	l.tr.watch.sent = func() []string { return authorizations(l.proxy.Load()) }
	l.tr.Base.DialContext = l.dial
	// As long as this net/http keeps some of the HTTP/2 connections that have
	// ended in memory.
	l.tr.Base.IdleConnTimeout = time.Second
	l.tr.Base.ExpectContinueTimeout = time.Minute
	l.tr.RejectedFor = 20 * time.Millisecond // the password may become right at the proxy
	u := *p.URL
	u.Host = l.listener.Addr().String()
	l.tr.Base.Proxy = http.ProxyURL(&u)
	if in.kerberos {
		options := withTicket(t, p)
		l.cache = options.CachePath
		l.tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(options)}
	} else {
		l.tr.Credentials = l.source
	}
	l.proxy.Store(p)
	t.Cleanup(func() {
		l.tr.CloseIdleConnections()
		l.proxy.Load().Close()
		l.listener.Close()
		relaying.Wait()
	})
	return l
}

func (l *lane) start() *proxytest.Proxy {
	return proxytest.New(proxytest.Config{Auth: l.in.auth, Users: map[string]string{"alice": l.password}})
}

// relay passes a connection on to the proxy that there is.
func (l *lane) relay(c net.Conn) {
	defer c.Close()
	l.relayed.Add(1)
	defer l.relayed.Add(-1)
	p := l.proxy.Load()
	if p == nil {
		return
	}
	target, err := net.Dial("tcp", p.URL.Host)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(c, target)
		c.Close()
	})
	io.Copy(target, c)
	target.Close()
	back.Wait()
}

// A laneConn knows which disturbances it may have met.
type laneConn struct {
	net.Conn
	since int
}

func (l *lane) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	since := l.now()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &laneConn{c, since}, nil
}

// now returns the place in the history from which on disturbances can concern
// what begins now.
func (l *lane) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active {
		return len(l.history) - 1
	}
	return len(l.history)
}

// met reports whether there was one of these since then.
func (l *lane) met(since int, kinds ...disturbance) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.history[since:], func(d disturbance) bool { return slices.Contains(kinds, d) })
}

// phase makes n requests by each of some workers, and a disturbance every few
// requests.
func (l *lane) phase(t testing.TB, workers, n, every int) {
	turn := make(chan struct{}, 1)
	var working, disturbing sync.WaitGroup
	disturbing.Go(func() {
		for range turn {
			l.disturb(t)
		}
	})
	for w := range workers {
		working.Go(func() {
			for i := range n {
				l.request(t, w, i)
				if l.outcomes.requests.Add(1)%int64(every) == 0 {
					select {
					case turn <- struct{}{}:
					default: // the last one is still under way
					}
				}
			}
		})
	}
	working.Wait()
	close(turn)
	disturbing.Wait()
}

// request makes the ith request of worker w, of all the kinds in turn.
func (l *lane) request(t testing.TB, w, i int) {
	ways := []string{l.o.HTTP.URL, l.o.HTTPS.URL}
	path, size := fmt.Sprintf("/%d/%d", w, i), 0
	req, err := http.NewRequest("GET", ways[i%2]+path, nil)
	if err != nil {
		t.Error(err)
		return
	}
	stream := i%8 >= 6
	if i%8 >= 4 {
		size = 1 + i*37%20_000
		req.Method, req.ContentLength = "POST", int64(size)
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, int64(size))), nil
		}
		req.Body, _ = req.GetBody()
		if stream {
			req.GetBody, req.ContentLength = nil, -1
		}
	}
	req.Close = i%50 == 48 // by the proxy: net/http loses streams if one ends an HTTP/2 connection

	since := l.now()
	connSince := since
	// A new password may show only when connections that the former one has
	// authenticated end.
	rotated := max(since-1, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c := info.Conn
		for below, ok := c.(interface{ NetConn() net.Conn }); ok; below, ok = c.(interface{ NetConn() net.Conn }) {
			c = below.NetConn()
		}
		connSince = min(connSince, c.(*laneConn).since)
	}}))
	resp, err := l.tr.RoundTrip(req)
	text := ""
	if err == nil {
		var body []byte
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		text = string(body)
		if err == nil && resp.StatusCode == http.StatusBadGateway {
			err = fmt.Errorf("%s: %s", resp.Status, text) // as the proxy goes down
		}
	}
	var auth *proxyauth.AuthError
	switch isAuth := errors.As(err, &auth); {
	case err == nil:
		if want := fmt.Sprintf("%s %s %d", req.Method, path, size); text != want {
			t.Errorf("%s: %q for %q", l.name, text, want)
		}
		l.outcomes.good.Add(1)
	case errors.Is(err, context.DeadlineExceeded):
		t.Errorf("%s: %s %s: no end: %v", l.name, req.Method, req.URL, err)
	case errors.Is(err, proxyauth.ErrRejected) && l.met(rotated, proxyFirst, sourceFirst, wrongSource):
		l.outcomes.rejected.Add(1)
	case !isAuth && l.met(connSince, restart, drop):
		l.outcomes.broken.Add(1)
	case errors.Is(err, proxyauth.ErrBodyConsumed) && stream && l.met(rotated, proxyFirst, sourceFirst, wrongSource),
		isAuth && l.in.kerberos && l.met(since, restart): // the ticket is for the other one
		l.outcomes.other.Add(1)
	default:
		t.Errorf("%s: %s %s: wrong error %T %v (history %v from %d)", l.name, req.Method, req.URL, err, err, l.history, since)
	}
}

// disturb makes the next disturbance, and waits until requests succeed again.
func (l *lane) disturb(t testing.TB) {
	l.mu.Lock()
	what := disturbance(len(l.history)) % disturbances
	if l.in.kerberos {
		what %= 2 // a ticket is no password
	}
	l.history, l.active = append(l.history, what), true
	l.mu.Unlock()
	l.outcomes.disturbances.Add(1)

	p := l.proxy.Load()
	next := fmt.Sprintf("open wheat %d", l.outcomes.disturbances.Load()) // one that never passed is not held for long
	switch what {
	case restart:
		fresh := l.start()
		if l.in.kerberos {
			file := filepath.Join(filepath.Dir(l.cache), "next")
			if err := errors.Join(fresh.WriteTicketCache(file, "alice", time.Hour), os.Rename(file, l.cache)); err != nil {
				t.Error(err)
			}
		}
		l.proxy.Store(nil)
		p.Close()
		l.proxy.Store(fresh)
	case drop:
		p.CloseClientConnections()
	case proxyFirst:
		p.SetUser("alice", next)
		l.some(t)
		l.source.password.Store(next)
		l.password = next
	case sourceFirst:
		l.source.password.Store(next)
		l.some(t)
		p.SetUser("alice", next)
		l.password = next
	case wrongSource:
		l.source.password.Store("open barley")
		l.some(t)
		l.source.password.Store(l.password)
	}
	l.recovered(t)
	l.mu.Lock()
	l.active = false
	l.mu.Unlock()
}

// some lets a disturbance last for a few requests.
func (l *lane) some(t testing.TB) {
	for range 3 {
		fetch(l.tr, l.o.HTTP.URL+"/some")
		fetch(l.tr, l.o.HTTPS.URL+"/some")
	}
}

// recovered waits until requests succeed by both ways.
func (l *lane) recovered(t testing.TB) {
	for _, url := range []string{l.o.HTTP.URL, l.o.HTTPS.URL} {
		deadline := time.Now().Add(30 * time.Second)
		for {
			status, _, err := fetch(l.tr, url+"/recovered")
			if err == nil && status == 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s: no recovery: %d %v", l.name, status, err)
				return
			}
			time.Sleep(time.Millisecond) // RejectedFor is to end
		}
	}
}

// await waits for a count to come down to want.
func await(t testing.TB, what string, count func() int, want int) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for wait := 10 * time.Microsecond; count() > want; wait = min(2*wait, 10*time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d %s, and not %d:\n%s", count(), what, want, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(wait) // there is nothing to be told by
	}
}
