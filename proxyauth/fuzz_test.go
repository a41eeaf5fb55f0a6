package proxyauth_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A byteProxy is a proxy in memory that answers with given bytes, whatever it is
// asked: the first request with the first answer, and so on over all
// connections. It hangs up when it has no more, and when its answer leaves the
// client waiting.
type byteProxy struct {
	mu         sync.Mutex
	answers    []string
	open       int      // connections that the client has not closed
	authorized []string // the values of Proxy-Authorization that it got
	tunnelled  string   // what came through a tunnel
	serving    sync.WaitGroup
}

// patience is how long a byteProxy waits for the next request on a connection.
// Too short a one is a proxy that hangs up, too.
const patience = 2 * time.Millisecond

func (p *byteProxy) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.mu.Lock()
	p.open++
	p.mu.Unlock()
	p.serving.Go(func() { p.serve(server) })
	return &byteConn{Conn: client, p: p}, nil
}

func (p *byteProxy) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		c.SetReadDeadline(time.Now().Add(patience))
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.authorized = append(p.authorized, req.Header["Proxy-Authorization"]...)
		if len(p.answers) == 0 {
			p.mu.Unlock()
			return
		}
		answer := p.answers[0]
		p.answers = p.answers[1:]
		last := len(p.answers) == 0
		p.mu.Unlock()
		if req.Header.Get("Expect") == "" {
			io.Copy(io.Discard, req.Body)
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
		if resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), req); err == nil && resp.StatusCode/100 == 2 && req.Method == http.MethodConnect {
			c.SetReadDeadline(time.Now().Add(patience))
			through, _ := io.ReadAll(in)
			p.mu.Lock()
			p.tunnelled += string(through)
			p.mu.Unlock()
			return
		}
		if last {
			return
		}
	}
}

type byteConn struct {
	net.Conn
	p    *byteProxy
	once sync.Once
}

func (c *byteConn) Close() error {
	c.once.Do(func() {
		c.p.mu.Lock()
		c.p.open--
		c.p.mu.Unlock()
	})
	return c.Conn.Close()
}

// fuzzSchemes are the schemes that one byte of FuzzTransport chooses from.
var fuzzSchemes = [][]proxyauth.Scheme{
	nil,
	{proxyauth.Basic()},
	{proxyauth.Digest()},
	{proxyauth.DigestWith(proxyauth.DigestOptions{PreferAuthInt: true, AbsoluteURI: true}), proxyauth.Basic()},
	{proxyauth.NTLM()},
	{proxyauth.Negotiate()},
}

// FuzzTransport: whatever a proxy answers, to whatever leg, a request ends, in a
// response or in an error and never in the proxy's 407; its body is closed once;
// no connection and no goroutine is left; and no credentials go anywhere but to
// the proxy, nor into an error.
//
// A NUL ends an answer. Of shape, the way out (forward, tunnel, DialContext),
// the schemes and the kind of body are taken.
func FuzzTransport(f *testing.F) {
	for i, answers := range []string{
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=r\r\nContent-Length: 0\r\n\r\n\x00HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\", algorithm=SHA-256\r\nConnection: close\r\n\r\nno\x00" +
			"HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"m\", stale=true\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n\x00" +
			"HTTP/1.1 200 OK\r\nProxy-Authentication-Info: nextnonce=\"o\", rspauth=\"x\"\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n\x00" +
			"HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + stubType2 + "\r\nContent-Length: 0\r\n\r\n\x00HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.0 407 Who\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Negotiate, NTLM\r\nContent-Length: 0\r\n\r\n\x00" +
			"HTTP/1.1 407 Go on\r\nProxy-Authenticate: Negotiate oQcwBaADCgEC\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno\n",
	} {
		for way := range 3 {
			f.Add(answers, uint8(way+18*(i%3)))
		}
	}
	f.Fuzz(func(t *testing.T, answers string, shape uint8) {
		way, schemes, kind := shape%3, fuzzSchemes[shape/3%6], shape/18%3
		before := runtime.NumGoroutine()
		p := &byteProxy{answers: strings.Split(answers, "\x00")}
		tr := &proxyauth.Transport{
			Base: &http.Transport{
				DialContext: p.dial, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"}),
				ExpectContinueTimeout: time.Millisecond, TLSHandshakeTimeout: 5 * time.Second,
			},
			Credentials: proxyauth.UserPassword("alice", "open sesame"),
			Schemes:     schemes,
		}
		// The proxy always hangs up: who is still waiting then, waits for ever.
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		for range 2 {
			var err error
			if way == 2 {
				var c net.Conn
				if c, err = tr.DialContext(ctx, "tcp", "origin.test:25"); err == nil {
					io.WriteString(c, "hello\r\n")
					c.Close()
				}
			} else {
				err = fuzzRoundTrip(t, ctx, tr, way, kind)
			}
			if err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("still waiting: %v", err)
				}
				requireNoSecret(t, err.Error(), p.authorized)
			}
		}
		tr.CloseIdleConnections()
		p.serving.Wait()
		if strings.Contains(p.tunnelled, "roxy-") || strings.Contains(p.tunnelled, "open sesame") {
			t.Fatalf("through the tunnel: %q", p.tunnelled)
		}
		await(t, "connections", func() int { p.mu.Lock(); defer p.mu.Unlock(); return p.open }, 0)
		await(t, "goroutines", runtime.NumGoroutine, before)
	})
}

func fuzzRoundTrip(t *testing.T, ctx context.Context, tr *proxyauth.Transport, way, kind uint8) error {
	req, err := http.NewRequestWithContext(ctx, "GET", []string{"http", "https"}[way]+"://origin.test/path?q=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	body := &countedBody{Reader: strings.NewReader("body")}
	if kind > 0 {
		req.Method, req.Body, req.ContentLength = "POST", body, 4
	}
	if kind == 2 {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
	}
	resp, err := tr.RoundTrip(req)
	if (resp == nil) == (err == nil) {
		t.Fatalf("%v, %v", resp, err)
	}
	if err == nil {
		if resp.StatusCode == 407 && len(resp.Header["Proxy-Authenticate"]) > 0 { // else an origin's, perhaps
			t.Fatal("the proxy's 407 got to the caller")
		}
		io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
	}
	if kind > 0 {
		await(t, "bodies that were not closed", func() int { return 1 - int(body.closed.Load()) }, 0)
		if n := body.closed.Load(); n != 1 {
			t.Fatalf("the body was closed %d times", n)
		}
	}
	return err
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
