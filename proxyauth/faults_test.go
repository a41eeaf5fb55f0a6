package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The matrix of faults: what comes over the wire is cut, reset, stalled,
// trickled, corrupted and added to at every byte of every leg of every scheme
// on every way out. `go test` runs a thinned one; all of it runs with
//
//	PROXYAUTH_FAULTS=whole go test -run '^TestFaults$' -v ./proxyauth

// A journey is what a fault can hit: one request by a scheme and a way out.
type journey struct {
	scheme string
	way    string // "GET", "POST" (of a stream), "tunnel", "dial"
	tls    bool   // the proxy is reached by TLS
	warm   bool   // the route is known; on a new connection, except where the proxy forwards
}

func (j journey) String() string {
	s := j.scheme + "/" + j.way
	if j.tls {
		s += "/https proxy"
	}
	if j.warm {
		s += "/warm"
	}
	return s
}

// faultSchemes are what the proxies offer. All that can prove itself does.
var faultSchemes = map[string]proxytest.Auth{
	"Basic":          proxytest.Basic{Realm: "r"},
	"Digest":         proxytest.Digest{Realm: "r", RspAuth: true, StrictNC: true},
	"NTLM":           proxytest.NTLM{},
	"Kerberos":       proxytest.Negotiate{RequireMutual: true, FinalToken: true},
	"Negotiate-NTLM": proxytest.Negotiate{NTLM: &proxytest.NTLM{}, NoKerberos: true, FinalToken: true},
}

func schemeNames() []string { return slices.Sorted(maps.Keys(faultSchemes)) }

func journeys(scheme string) []journey {
	var all []journey
	for _, way := range []string{"GET", "POST", "tunnel", "dial"} {
		for _, secure := range []bool{false, true} {
			for _, warm := range []bool{false, true} {
				all = append(all, journey{scheme, way, secure, warm})
			}
		}
	}
	return all
}

// uploaded is the body of a POST.
const uploaded = "0123456789abcdef0123456789ABCDEF"

// An arena is what the runs of a journey share: the servers beyond the proxy.
type arena struct {
	journey
	t    *testing.T
	o    *origin
	echo net.Listener
	wg   sync.WaitGroup // of echo
	dir  string

	mu     sync.Mutex
	bodies map[string][]string // whole ones of POSTs, by path
}

func newArena(t *testing.T, j journey) *arena {
	a := &arena{journey: j, t: t, dir: t.TempDir(), bodies: make(map[string][]string)}
	a.o = newOrigin(t)
	quiet := log.New(io.Discard, "", 0)
	a.o.HTTP.Config.ErrorLog, a.o.HTTPS.Config.ErrorLog = quiet, quiet
	a.o.drain = func(req *http.Request) {
		body, err := io.ReadAll(req.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		if err == nil && req.Method == "POST" {
			a.bodies[req.URL.Path] = append(a.bodies[req.URL.Path], string(body))
		}
	}
	a.o.handler = func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, answerTo(req.URL.Path)) }
	var err error
	a.echo, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	a.wg.Go(func() {
		accept(a.echo, func(c net.Conn) {
			defer c.Close()
			io.Copy(c, c)
		})
	})
	return a
}

func (a *arena) close() {
	a.echo.Close()
	a.wg.Wait()
	a.o.HTTP.Close()
	a.o.HTTPS.Close()
}

// uploads returns the bodies that came whole, by path. A handler of HTTP/2 may
// still run when its server is closed.
func (a *arena) uploads() map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.bodies)
}

func answerTo(path string) string { return "origin's answer to " + path + "\n" }

// A trip is one run of a journey, through a proxy of its own.
type trip struct {
	a        *arena
	path     string
	proxy    *proxytest.Proxy
	saboteur *saboteur
	tr       *proxyauth.Transport
	ending   func(*http.Request) (http.RoundTripper, *http.Request) // puts in how to end; nil: by the context
}

func (a *arena) newTrip(n int) (*trip, error) {
	config := proxytest.Config{Auth: []proxytest.Auth{faultSchemes[a.scheme]}, Users: alice, Dial: dialBriefly}
	p := &trip{a: a, path: fmt.Sprintf("/%07d", n)}
	scheme := "http"
	if a.tls {
		p.proxy, scheme = proxytest.NewTLS(config), "https"
	} else {
		p.proxy = proxytest.New(config)
	}
	p.saboteur = newSaboteur(a.t, p.proxy.URL.Host)
	p.tr = newTransportOf(p.proxy, a.o)
	p.tr.Base.Proxy = http.ProxyURL(p.saboteur.url(scheme))
	p.tr.Base.ExpectContinueTimeout = time.Minute
	p.tr.Base.TLSHandshakeTimeout = 5 * time.Second // net/http ends a handshake no earlier, though its request has ended
	negotiate := proxyauth.NegotiateOptions{CachePath: "/nonexistent", ConfigPath: "/nonexistent"}
	if a.scheme == "Kerberos" {
		negotiate.CachePath, negotiate.ConfigPath = filepath.Join(a.dir, p.path+".cc"), filepath.Join(a.dir, p.path+".conf")
		if err := errors.Join(p.proxy.WriteTicketCache(negotiate.CachePath, "alice", time.Hour), p.proxy.WriteKerberosConfig(negotiate.ConfigPath)); err != nil {
			return nil, err
		}
		p.tr.Credentials = nil
	}
	p.tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(negotiate), proxyauth.NTLM(), proxyauth.Digest(), proxyauth.Basic()}
	return p, nil
}

// dialBriefly makes connections that end without TIME_WAIT; see link.forget.
func dialBriefly(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err == nil {
		c.(*net.TCPConn).SetLinger(0)
	}
	return c, err
}

func (p *trip) close() {
	p.tr.CloseIdleConnections()
	p.saboteur.close()
	p.proxy.Close()
}

// leave reports whether the client closes all its connections. A dial of
// net/http may outlive its request, and its connection is idle only then.
func (p *trip) leave() bool {
	left, tooLong := p.saboteur.left(), time.After(20*time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		p.tr.CloseIdleConnections()
		select {
		case <-left:
			return true
		case <-tooLong:
			return false
		case <-again.C:
		}
	}
}

// do makes the request of the journey.
func (p *trip) do(ctx context.Context, path string) (out outcome) {
	out.closed = -1
	if p.a.way == "dial" {
		c, err := p.tr.DialContext(ctx, "tcp", p.a.echo.Addr().String())
		if err != nil || c == nil {
			return outcome{err: err, nilNil: err == nil, closed: -1}
		}
		defer c.Close()
		end, _ := ctx.Deadline()
		c.SetDeadline(end)
		io.WriteString(c, answerTo(path))
		got := make([]byte, len(answerTo(path)))
		_, err = io.ReadFull(c, got)
		return outcome{status: 200, body: string(got), err: inAnswer(err), closed: -1}
	}
	method, target, sent := "GET", p.a.o.HTTP.URL, (*countedBody)(nil)
	switch p.a.way {
	case "POST":
		method, sent = "POST", &countedBody{Reader: strings.NewReader(uploaded)}
	case "tunnel":
		target = p.a.o.HTTPS.URL
	}
	req, err := http.NewRequestWithContext(ctx, method, target+path, nil)
	if err != nil {
		return outcome{err: err, closed: -1}
	}
	if sent != nil {
		req.Body = sent
	}
	rt := http.RoundTripper(p.tr)
	if p.ending != nil {
		rt, req = p.ending(req)
	}
	resp, err := rt.RoundTrip(req)
	out.err, out.nilNil = err, resp == nil && err == nil
	if err == nil && resp != nil {
		out.status = resp.StatusCode
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		out.body, out.err = string(body), inAnswer(err)
	}
	if sent != nil {
		out.closed = closings(sent)
	}
	return out
}

// closings waits for the closing of a body, which may come after the answer.
func closings(b *countedBody) int {
	for wait := time.Now().Add(5 * time.Second); b.closed.Load() == 0 && time.Now().Before(wait); {
		time.Sleep(time.Millisecond) // net/http says nothing when it closes a body
	}
	return int(b.closed.Load())
}

// patience is how long a request with the fault may take. What stalls, or may
// seem to after a change of bytes, ends with its deadline; nothing else may.
func (f fault) patience() time.Duration {
	switch f.kind {
	case stalls:
		return 150 * time.Millisecond
	case corrupt, insert:
		return 400 * time.Millisecond
	}
	return 20 * time.Second
}

func TestFaults(t *testing.T) {
	whole := os.Getenv("PROXYAUTH_FAULTS") == "whole"
	y := &faultCounts{outcomes: make(map[string]int)}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // runs leave much behind
	log.SetOutput(io.Discard)                         // net/http's, about garbage on idle connections
	defer log.SetOutput(os.Stderr)
	for _, scheme := range schemeNames() {
		running, descriptors := goleak.IgnoreCurrent(), openFiles()
		t.Run(scheme, func(t *testing.T) { runScheme(t, scheme, whole, y) })
		if err := goleak.Find(running); err != nil {
			y.leaks++
			t.Errorf("%s: %v", scheme, err)
		}
		if !assert.Eventually(t, func() bool { return len(openFiles()) <= len(descriptors) }, 10*time.Second, 5*time.Millisecond, "%s: descriptors are left open", scheme) {
			y.leaks++
			t.Logf("before: %v\nafter: %v", descriptors, openFiles())
		}
	}
	t.Logf("faults: %d positions (%d not reached before the request ended), %d legs in %d journeys of %d schemes by 4 ways out; %d hangs, %d panics, %d leaks, %d other failures",
		y.positions, y.unreached, y.legs, y.journeys, len(faultSchemes), y.hangs, y.panics, y.leaks, y.broken)
	for _, kind := range slices.Sorted(maps.Keys(y.outcomes)) {
		t.Logf("%s: %d", kind, y.outcomes[kind])
	}
}

// openFiles returns what the descriptors of the process are, without those that
// the runtime makes when it first needs them and keeps: pipes for splice, and
// what it waits with. It returns nothing where that is not to be known.
func openFiles() []string {
	if runtime.GOOS != "linux" {
		return nil
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	var files []string
	for _, e := range entries {
		name, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.HasPrefix(name, "pipe:") && !strings.HasPrefix(name, "anon_inode:") {
			files = append(files, e.Name()+" "+name)
		}
	}
	return files
}

// lanes is how many runs are under way at a time: most of them wait. `go test`
// has other packages beside this one, and the race detector makes handshakes
// slow.
func lanes(whole bool) int {
	if whole {
		return 96
	}
	return 24
}

// runScheme hits the journeys of a scheme at their positions.
func runScheme(t *testing.T, scheme string, whole bool, y *faultCounts) {
	type run struct {
		*arena
		n int
		fault
	}
	var arenas []*arena
	var runs []run
	for i, j := range journeys(scheme) {
		a := newArena(t, j)
		_, legs, total, requests := a.measure()
		y.journeys++
		y.legs += requests
		for n, f := range positions(j, legs, total, whole, i) {
			runs = append(runs, run{a, n, f})
		}
		arenas = append(arenas, a)
	}
	work := make(chan run)
	var wg sync.WaitGroup
	for range lanes(whole) {
		wg.Go(func() {
			for r := range work {
				r.arena.run(r.n, r.fault, y)
			}
		})
	}
	for _, r := range runs {
		work <- r
	}
	close(work)
	wg.Wait()
	for _, a := range arenas {
		a.close() // waits for what the proxies had passed on
		for path, bodies := range a.uploads() {
			if len(bodies) != 1 || bodies[0] != uploaded {
				y.count(&y.broken)
				t.Errorf("%s: the origin got the bodies %q", path, bodies)
			}
		}
		require.Empty(t, a.o.proxyFields())
	}
}

// measure makes the journey without a fault. It returns where the client began
// to send, what passed until the last leg was over, and what passed in all.
func (a *arena) measure() (turns []mark, legs, total mark, requests int) {
	p, err := a.newTrip(0)
	require.NoError(a.t, err)
	defer p.close()
	tunneled := a.way == "tunnel" || a.way == "dial"
	if tunneled {
		p.tr.Base.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error {
			_, legs = p.saboteur.measured()
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	p.warmUp(ctx, fault{})
	out := p.do(ctx, p.path)
	require.NoError(a.t, out.err)
	require.Equal(a.t, answerTo(p.path), out.body)
	turns, total = p.saboteur.measured()
	if !tunneled {
		legs = total
	}
	return turns, legs, total, len(p.proxy.Transcript())
}

// warmUp makes the route known, if that is wanted, and arms the saboteur.
func (p *trip) warmUp(ctx context.Context, f fault) {
	if p.a.warm {
		out := p.do(ctx, p.path+"w")
		if out.err != nil || out.body != answerTo(p.path+"w") {
			p.a.t.Errorf("without a fault: %d %q %v", out.status, out.body, out.err)
		}
		if p.a.way == "tunnel" {
			p.leave()
		}
		p.proxy.Reset()
	}
	p.saboteur.arm(f)
}

// positions returns the faults of the matrix for a journey, or some of them. Only
// some in any case: every other byte of what the client sends; every fourth of
// resets and insertions, which go the ways of cuts and corruptions; few of the
// bytes in a tunnel that is open, which are no leg of ours, and of the bytes of
// TLS to https:// proxies, which are all alike.
func positions(j journey, legs, total mark, whole bool, index int) []fault {
	var all []fault
	add := func(kind faultKind, up bool, from, to, step int) {
		for at := from + index%step; at < to; at += step {
			all = append(all, fault{kind, up, at})
		}
	}
	for _, kind := range []faultKind{cut, reset, stalls, trickle, corrupt, insert} {
		step, behind := 1, 128
		if kind == reset || kind == insert {
			step = 4
		}
		if j.tls {
			step = 64
		}
		if kind == stalls {
			behind = 256 // each waits for net/http to give up the TLS handshake
		}
		add(kind, false, 0, legs.down, step)
		add(kind, false, legs.down, total.down, behind)
		if kind == cut || kind == stalls {
			add(kind, true, 0, legs.up, 2*step)
			add(kind, true, legs.up, total.up, behind)
		}
	}
	if whole {
		return all
	}
	const thin = 61
	var some []fault
	for i := index % thin; i < len(all); i += thin {
		some = append(some, all[i])
	}
	return some
}

// run makes the journey with a fault, and judges what became of it.
func (a *arena) run(n int, f fault, y *faultCounts) {
	fail := func(count *int, format string, args ...any) {
		y.count(count)
		a.t.Errorf("%s %s of what is sent %s at byte %d: %s", a, f.kind, map[bool]string{true: "up", false: "down"}[f.up], f.at, fmt.Sprintf(format, args...))
	}
	p, err := a.newTrip(n + 1)
	if err != nil {
		fail(&y.broken, "%v", err)
		return
	}
	before, stop := context.WithTimeout(a.t.Context(), 20*time.Second)
	p.warmUp(before, f)
	stop()

	ctx, cancel := context.WithTimeout(a.t.Context(), f.patience())
	defer cancel()
	ended := make(chan outcome, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				fail(&y.panics, "panic: %v\n%s", v, debug.Stack())
				ended <- outcome{err: errors.New("panic")}
			}
		}()
		ended <- p.do(ctx, p.path)
	}()
	var out outcome
	select {
	case out = <-ended:
	case <-time.After(f.patience() + 10*time.Second):
		fail(&y.hangs, "hangs\n%s", stacks())
		p.close()
		return
	}
	if !p.leave() {
		fail(&y.leaks, "a connection is left open after %q", out.kind(p.path))
	}
	if !p.saboteur.struckYet() {
		y.count(&y.unreached)
	}
	p.close()
	for _, complaint := range p.judge(f, out) {
		fail(&y.broken, "%s", complaint)
	}
	y.note(f.kind.String() + ": " + out.kind(p.path))
}

func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}
