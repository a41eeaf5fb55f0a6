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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

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
	w    *world // nil: on sockets
	o    *origin
	echo net.Listener
	wg   sync.WaitGroup // of echo
	dir  string

	mu     sync.Mutex
	bodies map[string][]string // whole ones of POSTs, by path
}

// newArena starts them in a world, or on sockets where that is nil.
func newArena(t *testing.T, w *world, j journey) *arena {
	a := &arena{journey: j, t: t, w: w, dir: t.TempDir(), bodies: make(map[string][]string)}
	if w != nil {
		a.o = w.origin
	} else {
		a.o = newOrigin(t)
	}
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
	a.echo = a.listen()
	a.wg.Go(func() {
		accept(a.echo, func(c net.Conn) {
			defer c.Close()
			io.Copy(c, c)
		})
	})
	return a
}

func (a *arena) listen() net.Listener {
	if a.w != nil {
		return a.w.listen()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(a.t, err)
	return l
}

func (a *arena) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if a.w != nil {
		return a.w.dial(ctx, network, addr)
	}
	return dialBriefly(ctx, network, addr)
}

func (a *arena) close() {
	a.echo.Close()
	a.wg.Wait()
	a.o.HTTP.Close()
	a.o.HTTPS.Close()
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
	config := proxytest.Config{Auth: []proxytest.Auth{faultSchemes[a.scheme]}, Users: alice, Dial: a.dial, Listener: a.listen()}
	p := &trip{a: a, path: fmt.Sprintf("/%07d", n)}
	scheme := "http"
	if a.tls {
		p.proxy, scheme = proxytest.NewTLS(config), "https"
	} else {
		p.proxy = proxytest.New(config)
	}
	p.saboteur = newSaboteur(a.listen(), a.dial, p.proxy.URL.Host)
	p.tr = newTransportOf(p.proxy, a.o)
	if a.w != nil {
		p.tr.Base.DialContext = a.dial
	}
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
func (p *trip) leave() bool { return p.leaveWithin(20 * time.Second) }

func (p *trip) leaveWithin(d time.Duration) bool {
	left, tooLong := p.saboteur.left(), time.After(d)
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

// An outcome is what became of a request.
type outcome struct {
	status int
	body   string
	err    error
	nilNil bool // neither a response nor an error
	closed int  // how often the request body was closed; -1: there is none
}

// An answerError came after the answer had begun, where this package has no say.
type answerError struct{ error }

func (e answerError) Unwrap() error { return e.error }

func inAnswer(err error) error {
	if err == nil {
		return nil
	}
	return answerError{err}
}
