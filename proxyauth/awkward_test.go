package proxyauth_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func TestAwkwardProxies(t *testing.T) {
	for name, b := range map[string]proxytest.Behaviour{
		"closes":            {CloseAfter407: true},
		"closes silently":   {CloseSilently407: true},
		"HTTP/1.0":          {HTTP10: true},
		"chunked 407":       {Chunked407: true},
		"long 407":          {Body407: 1 << 20},
		"second CONNECT":    {Second400: true},
		"201":               {ConnectStatus: 201},
		"Content-Length":    {ConnectBody: "Content-Length: 100"},
		"two lengths":       {ConnectBody: "Content-Length: 5\r\nContent-Length: 6"},
		"no number":         {ConnectBody: "Content-Length: x"},
		"unknown coding":    {ConnectBody: "Transfer-Encoding: gzip, chunked"},
		"Transfer-Encoding": {ConnectBody: "Transfer-Encoding: chunked"},
		"slow":              {Delay: 20 * time.Second},
	} {
		for _, auth := range []proxytest.Auth{proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}} {
			for _, way := range ways {
				t.Run(fmt.Sprintf("%s/%T/%s", name, auth, way), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						url := w.ways()[way]
						p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice, Behaviour: b})
						tr := w.newTransport(p)
						requireOK(t, tr, url)
						requireOK(t, tr, url)
						require.Equal(t, 1, p.Counts().Challenges)
					})
				})
			}
		}
	}
}

// A 407 of an origin is a response like any other, and nothing is sent for it
// (cpp-httplib #2457).
func TestOrigin407(t *testing.T) {
	o := newOrigin(t)
	o.handler = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="give me"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		io.WriteString(w, "origin's page")
	}
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	for name, test := range map[string]struct {
		url     string
		proxied bool
	}{"direct http": {o.HTTP.URL, false}, "direct https": {o.HTTPS.URL, false}, "tunnel": {o.HTTPS.URL, true}} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, p, o)
			if !test.proxied {
				tr.Base.Proxy = nil
			}
			before := len(o.requests)
			req, err := http.NewRequest("GET", test.url, nil)
			require.NoError(t, err)
			req.Header.Set("Proxy-Authorization", "Basic bXk6b3du") // must not get there either
			req.Header["proxy-authorization"] = []string{"Basic bXk6b3du"}
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			require.Equal(t, 407, resp.StatusCode)
			require.Equal(t, "origin's page", string(body))
			require.Same(t, req, resp.Request)
			require.Len(t, o.requests, before+1)
			require.Empty(t, o.proxyFields())
			require.Len(t, req.Header, 2, "the caller's request is not changed")
		})
	}
}

func TestConnectError(t *testing.T) {
	o := newOrigin(t)
	for status, text := range map[int]string{403: "policy", 502: "cannot reach the target", 500: "500"} {
		p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{ConnectStatus: status}})
		_, _, err := fetch(newTransport(t, p, o), o.HTTPS.URL)
		var refused *proxyauth.ConnectError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, status, refused.StatusCode)
		require.Equal(t, "Digest", refused.Tried)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, err, p.URL.String())
	}
}

// Some proxies refuse wrong credentials with 401 or 403.
func TestRefusedOtherwise(t *testing.T) {
	o := newOrigin(t)
	for status, url := range map[int]string{401: o.HTTPS.URL, 403: o.HTTPS.URL} {
		p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{RefuseWith: status}})
		tr := newTransport(t, p, o)
		tr.Credentials = proxyauth.UserPassword("alice", "open barley")
		_, _, err := fetch(tr, url)
		require.ErrorContains(t, err, fmt.Sprint(status))
		if status == 401 {
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			_, _, err = fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		require.Equal(t, 1, p.Refused("alice"))
	}
}

// The 407 of an origin behind a forwarding proxy, which takes the challenge out of
// it (RFC 9110 §11.7.1), says nothing about the credentials that have just passed.
func TestForwarded407OfOrigin(t *testing.T) {
	o := newOrigin(t)
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/407" {
			w.Header().Set("Proxy-Authenticate", `Basic realm="give me"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
		}
		io.WriteString(w, "origin")
	}
	for name, auth := range map[string][]proxytest.Auth{
		"open": nil, "Basic": {proxytest.Basic{Realm: "r"}}, "Digest": {proxytest.Digest{Realm: "r"}},
		"NTLM": {proxytest.NTLM{}}, "Negotiate": {proxytest.Negotiate{NTLM: &proxytest.NTLM{}, NoKerberos: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: auth, Users: alice})
			tr := newTransport(t, p, o)
			requireOK(t, tr, o.HTTP.URL)
			challenges := p.Counts().Challenges
			for _, method := range []string{"GET", "POST"} {
				req, err := http.NewRequest(method, o.HTTP.URL+"/407", strings.NewReader("body"))
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, 407, resp.StatusCode)
				require.Equal(t, "origin", string(body))
			}
			requireOK(t, tr, o.HTTP.URL)
			require.Equal(t, challenges, p.Counts().Challenges, "nothing is sent for it")
			require.Zero(t, tr.Stats().Rejections)
		})
	}
}

// A site may send on to a part of it behind another proxy: the caller's own
// Proxy-Authorization is for the first.
func TestRedirectToOtherProxy(t *testing.T) {
	w := newWorld(t)
	second := w.newProxy(proxytest.Config{Dial: w.HTTP.Listener.(*memconn.Listener).DialContext})
	first := w.scripted(func(req *http.Request) scripted.Answer {
		if req.URL.Path == "/same" {
			return scripted.Status(200)
		}
		return scripted.Status(302, "Location: "+req.URL.Query().Get("to"))
	})
	tr := w.through(first)
	tr.Proxy = func(req *http.Request) (*url.URL, error) {
		if req.URL.Host == "part.site.example" {
			return second.URL, nil
		}
		return first.URL(), nil
	}
	for _, to := range []string{"http://part.site.example/", "http://site.example/same"} {
		req, err := http.NewRequest("GET", "http://site.example/?to="+url.QueryEscape(to), nil)
		require.NoError(t, err)
		req.Header.Set("Proxy-Authorization", "Basic bXk6b3du")
		resp, err := (&http.Client{Transport: tr}).Do(req)
		require.NoError(t, err)
		resp.Body.Close()
	}
	require.Len(t, second.Transcript(), 1)
	require.Empty(t, second.Transcript()[0].Header["Proxy-Authorization"])
	for _, req := range first.Requests() {
		require.Equal(t, []string{"Basic bXk6b3du"}, req.Header["Proxy-Authorization"])
	}
}

// What breaks on the way to be forwarded is told with the name of the proxy, as on
// the other ways; what is the request's own fault is not.
func TestForwardedErrorsNameTheProxy(t *testing.T) {
	for name, text := range map[string]string{"closes": "", "garbage": "\x01\r\n\r\n", "half a header": "HTTP/1.1 200 OK\r\nX:"} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				w := newWorld(t)
				s := w.scripted(scripted.Always(scripted.Raw(text).Then(scripted.HangUp())))
				tr := w.through(s)
				req, err := http.NewRequest(method, "http://origin.example/", nil)
				require.NoError(t, err)
				_, err = tr.RoundTrip(req)
				require.ErrorContains(t, err, "proxyauth: proxy "+s.URL().String()+": ")
			})
		}
	}
	inBubble(t, func(t *testing.T, w *world) {
		s := w.scripted(scripted.Always(scripted.Stall()))
		tr := w.through(s)
		tr.Base.ResponseHeaderTimeout = 20 * time.Second
		_, err := (&http.Client{Transport: tr}).Get("http://origin.example/")
		require.ErrorContains(t, err, "proxyauth: proxy "+s.URL().String()+": net/http: timeout awaiting response headers")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())

		req, err := http.NewRequest("GET", "http://origin.example/", nil)
		require.NoError(t, err)
		req.Header["X"] = []string{"a\nb"}
		_, err = tr.RoundTrip(req)
		require.ErrorContains(t, err, "net/http: invalid header field")
		require.NotContains(t, err.Error(), "proxyauth")
	})
}

func TestDialContextErrors(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	ctx := context.Background()
	for _, addr := range []string{"", "nohost", ":80", "host:", "a b:80", "evil\r\nX: y:80", "user@host:1", "ho/st:1", "ho?st:1", "host#:1", `ho\st:1`, "host:0", "host:99999", "host:no-such-service"} {
		_, err := tr.DialContext(ctx, "tcp", addr)
		require.ErrorContains(t, err, "proxyauth: ", addr)
	}
	_, err := tr.DialContext(ctx, "udp", "x:1")
	require.ErrorContains(t, err, "udp")
	require.Zero(t, p.Counts().Requests)

	tr = newTransport(t, p, o)
	tr.Credentials = nil
	_, err = tr.DialContext(ctx, "tcp", "x:1")
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)

	tr = newTransport(t, p, o) // directly, where there is no proxy
	tr.Base.Proxy = nil
	c, err := tr.DialContext(ctx, "tcp", o.HTTP.Listener.Addr().String())
	require.NoError(t, err)
	c.Close()
}

// What a user sets for CONNECT goes there, and nothing of the request does.
func TestConnectRequest(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Base.ProxyConnectHeader = http.Header{"User-Agent": {"mine/1"}, "X-Token": {"for the proxy"}}
	var hooked []int
	tr.Base.OnProxyConnectResponse = func(_ context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
		hooked = append(hooked, resp.StatusCode)
		require.Equal(t, p.URL.Host, u.Host)
		return nil
	}
	req, err := http.NewRequest("GET", o.HTTPS.URL, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer for the origin")
	req.Header.Set("Cookie", "a=b")
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, []int{200}, hooked)
	for _, leg := range p.Transcript() {
		require.Equal(t, "CONNECT", leg.Method)
		require.Equal(t, o.HTTPS.Listener.Addr().String(), leg.Host)
		require.Equal(t, "mine/1", leg.Header.Get("User-Agent"))
		require.Equal(t, "for the proxy", leg.Header.Get("X-Token"))
		require.Equal(t, "keep-alive", leg.Header.Get("Proxy-Connection"))
		require.Empty(t, leg.Header.Get("Authorization"))
		require.Empty(t, leg.Header.Get("Cookie"))
	}

	tr = newTransport(t, p, o)
	tr.Base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, errVault }
	_, _, err = fetch(tr, o.HTTPS.URL)
	require.ErrorIs(t, err, errVault)

	tr = newTransport(t, p, o)
	tr.Base.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { return errVault }
	_, _, err = fetch(tr, o.HTTPS.URL)
	require.ErrorIs(t, err, errVault)
}

// Base is cloned, never changed, and HTTP/2 stays where Base would have it.
func TestBase(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	roots := o.rootCAs()
	for name, test := range map[string]struct {
		base *http.Transport
		want string
	}{
		"plain":          {&http.Transport{}, "HTTP/2.0"},
		"own TLS":        {&http.Transport{TLSClientConfig: &tls.Config{}}, "HTTP/1.1"},
		"forced":         {&http.Transport{TLSClientConfig: &tls.Config{}, ForceAttemptHTTP2: true}, "HTTP/2.0"},
		"switched off":   {&http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}, "HTTP/1.1"},
		"HTTP/1 only":    {&http.Transport{ForceAttemptHTTP2: true, Protocols: protocols(true, false)}, "HTTP/1.1"},
		"HTTP/2 only":    {&http.Transport{Protocols: protocols(false, true)}, "HTTP/2.0"},
		"DialTLSContext": {&http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return nil, errVault }}, "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			test.base.Proxy = http.ProxyURL(p.URL)
			// Through the request's certificate check and not TLSClientConfig,
			// which would switch HTTP/2 off.
			tr := watched(t, &proxyauth.Transport{Base: test.base, Credentials: proxyauth.UserPassword("alice", "open sesame")},
				func() []string { return authorizations(p) })
			if test.base.TLSClientConfig == nil {
				test.base.CloseIdleConnections() // makes Base decide about HTTP/2, as its first request would
				if test.base.TLSClientConfig == nil {
					test.base.TLSClientConfig = &tls.Config{}
				}
			}
			test.base.TLSClientConfig.RootCAs = roots
			_, body, err := fetch(tr, o.HTTPS.URL)
			require.NoError(t, err)
			require.Contains(t, body, test.want)
			requireOK(t, tr, o.HTTP.URL)
			require.Nil(t, test.base.DialContext)
		})
	}
}

func protocols(http1, http2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(http1)
	p.SetHTTP2(http2)
	return p
}

// The proxy's TLS has settings of its own.
func TestProxyTLS(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{Auth: digestAndBasic(), Users: alice})
	t.Cleanup(p.Close)

	tr := newTransport(t, p, o)
	tr.Base.TLSClientConfig.RootCAs = o.rootCAs() // not the proxy's
	_, _, err := fetch(tr, o.HTTP.URL)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	require.True(t, strings.HasPrefix(err.Error(), "proxyauth: proxy https://"), err.Error())
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "proxyconnect", op.Op)

	tr = newTransport(t, p, o)
	tr.Base.TLSClientConfig.RootCAs = o.rootCAs()
	tr.Base.TLSClientConfig.ServerName = "example.com" // httptest's name: the origin's alone
	tr.ProxyTLSClientConfig = p.ClientTLSConfig()
	for _, url := range o.ways() {
		requireOK(t, tr, url)
	}
}

// httptrace, http.Client.Timeout, Request.Cancel and a dead pooled connection
// behave as with net/http.
func TestNetHTTPBehaviour(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
				tr := w.newTransport(p)
				tr.Base.ForceAttemptHTTP2 = false // HTTP/2 does not repeat a request on a connection that just died
				url := w.ways()[way]
				var got, reused atomic.Int32
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
					got.Add(1)
					if info.Reused {
						reused.Add(1)
					}
				}})
				for range 2 {
					req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
					require.NoError(t, err)
					resp, err := tr.RoundTrip(req)
					require.NoError(t, err)
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				require.NotZero(t, reused.Load())

				p.CloseClientConnections() // while the connection is idle
				requireOK(t, tr, url)

				slow := make(chan struct{})
				w.mu.Lock()
				w.handler = func(http.ResponseWriter, *http.Request) { <-slow }
				w.mu.Unlock()
				client := &http.Client{Transport: tr, Timeout: time.Minute}
				begin := time.Now()
				_, err := client.Get(url)
				require.Equal(t, time.Minute, time.Since(begin))
				var timeout net.Error
				require.ErrorAs(t, err, &timeout)
				require.True(t, timeout.Timeout())
				close(slow)
				w.mu.Lock()
				w.handler = nil
				w.mu.Unlock()
			})
		})
	}
}

// WebSocket and the like: 101 through a proxy that forwards.
func TestUpgrade(t *testing.T) {
	o := newOrigin(t)
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(c, line)
	}
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	req, err := http.NewRequest("GET", o.HTTP.URL, nil)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 101, resp.StatusCode)
	rw := resp.Body.(io.ReadWriter)
	_, err = io.WriteString(rw, "hello\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(rw).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
}

func TestDirectAndUnsupported(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Proxy = func(req *http.Request) (*url.URL, error) {
		switch req.URL.Path {
		case "/direct":
			return nil, nil
		case "/ftp":
			return url.Parse("ftp://user:hush@proxy")
		case "/nohost":
			return url.Parse("http://user:hush@")
		case "/cut":
			return url.Parse("http://alice:1234#hush@proxy")
		case "/error":
			return nil, errVault
		case "/malformed":
			return url.Parse("http://user:hush@proxy:" + req.URL.Path[1:])
		}
		return p.URL, nil
	}
	requireOK(t, tr, o.HTTP.URL+"/direct")
	requireOK(t, tr, o.HTTPS.URL+"/direct")
	require.Zero(t, p.Counts().Requests)
	for path, text := range map[string]string{"/ftp": "ftp", "/nohost": "no host", "/malformed": "percent-encoded", "/cut": "percent-encoded"} {
		_, _, err := fetch(tr, o.HTTP.URL+path)
		require.ErrorContains(t, err, "proxyauth: ")
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "hush")
		require.NotContains(t, err.Error(), "1234")
	}
	_, _, err := fetch(tr, o.HTTP.URL+"/error")
	require.ErrorIs(t, err, errVault)

	_, err = tr.RoundTrip(&http.Request{})
	require.Error(t, err)
	_, _, err = fetch(tr, "gopher://x")
	require.ErrorContains(t, err, "unsupported protocol scheme")
	_, _, err = fetch(tr, "http://")
	require.Error(t, err)
}

// A program may use more identities than a Transport keeps routes.
func TestManyRoutes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{})
		tr := w.newTransport(p)
		n := 0
		tr.Proxy = func(*http.Request) (*url.URL, error) {
			n++
			return p.URLFor(fmt.Sprint("session-", n), "x"), nil
		}
		for range 1100 {
			requireOK(t, tr, w.HTTP.URL)
		}
	})
}
