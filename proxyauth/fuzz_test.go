package proxyauth_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// fuzzSchemes are the schemes that one byte of FuzzTransport chooses from.
var fuzzSchemes = [][]proxyauth.Scheme{
	nil,
	{proxyauth.Basic()},
	{proxyauth.Digest()},
	{proxyauth.Digest(proxyauth.DigestOptions{PreferAuthInt: true, AbsoluteURI: true}), proxyauth.Basic()},
	{proxyauth.NTLM()},
	{proxyauth.Negotiate()},
}

// R29, R34, R35: whatever a proxy answers, to whatever leg, a request ends, in a
// response or in an error and never in the proxy's 407; its body is closed once; no
// connection and no goroutine is left; and no credentials go anywhere but to the
// proxy, nor into an error.
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
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nno" + forged + "\x00" +
			"HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + stubType2 + "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n" + forged + "\x00HTTP/1.1 000 No\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno\n",
	} {
		for way := range 3 {
			f.Add(answers, uint8(way+18*(i%3)))
		}
	}
	f.Fuzz(func(t *testing.T, answers string, shape uint8) {
		synctest.Test(t, func(t *testing.T) { fuzzTransport(t, strings.Split(answers, "\x00"), shape) })
	})
}

func fuzzTransport(t *testing.T, answers []string, shape uint8) {
	way, schemes, kind := shape%3, fuzzSchemes[shape/3%6], shape/18%3
	var network memconn.Network
	var tunnelled strings.Builder
	p := scripted.New(scripted.Config{
		Listener: network.Listen("proxy.test:3128"), Script: byteScript(answers, &tunnelled),
		IdleTimeout: 3 * time.Second, // longer than a client waits for 100, and shorter than for all else
	})
	defer p.Close()
	var open atomic.Int32
	tr := &proxyauth.Transport{
		Base: &http.Transport{
			DialContext: func(ctx context.Context, transport, addr string) (net.Conn, error) {
				c, err := network.DialContext(ctx, transport, addr)
				if err != nil {
					return nil, err
				}
				open.Add(1)
				return &closeCounted{Conn: c, open: &open}, nil
			},
			Proxy: http.ProxyURL(p.URL()), ExpectContinueTimeout: time.Second, TLSHandshakeTimeout: 5 * time.Second,
		},
		Credentials: proxyauth.UserPassword("alice", "open sesame"),
		Schemes:     schemes,
	}
	defer tr.CloseIdleConnections()
	// The proxy always hangs up: who is still waiting then, waits for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
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
			requireNoSecret(t, err.Error(), p.Authorizations())
		}
	}
	tr.CloseIdleConnections()
	synctest.Wait()
	if n := open.Load(); n != 0 {
		t.Fatalf("%d connections are open", n)
	}
	p.Close()
	if strings.Contains(tunnelled.String(), "roxy-") || strings.Contains(tunnelled.String(), "open sesame") {
		t.Fatalf("through the tunnel: %q", tunnelled.String())
	}
}

// byteScript answers with given bytes, whatever is asked: the first request with
// the first answer, and so on over all connections. It hangs up when it has no
// more, and notes what comes through a tunnel.
func byteScript(answers []string, tunnelled io.Writer) scripted.Script {
	var mu sync.Mutex
	return func(req *http.Request) scripted.Answer {
		mu.Lock()
		defer mu.Unlock()
		if len(answers) == 0 {
			return scripted.HangUp()
		}
		text := answers[0]
		answers = answers[1:]
		answer := scripted.Raw(text)
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), req)
		switch {
		case err == nil && resp.StatusCode/100 == 2 && req.Method == http.MethodConnect:
			return answer.Then(scripted.Receive(tunnelled))
		case len(answers) == 0:
			return answer.Then(scripted.HangUp())
		}
		return answer
	}
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
		synctest.Wait()
		if n := body.closed.Load(); n != 1 {
			t.Fatalf("the body was closed %d times", n)
		}
	}
	return err
}
