package proxyauth_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

var _ http.RoundTripper = (*proxyauth.Transport)(nil)

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

// R30: httptrace, http.Client.Timeout and a dead pooled connection behave as with
// net/http.
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

// R30: WebSocket and the like: 101 through a proxy that forwards.
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

// R30: after 101 the connection is the caller's, byte by byte, also where they
// look like the beginning of a response.
func TestNTLMUpgrade(t *testing.T) {
	for _, typed := range []string{"G", "H", "HTTP/1.0 x\nproxy-connection: y\n\n"} {
		inBubble(t, func(t *testing.T, w *world) { // who waits here, waits for ever
			s := w.scripted(byNTLM(scripted.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").Then(scripted.Echo())))
			req, err := http.NewRequest("POST", w.HTTP.URL, nil)
			require.NoError(t, err)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "tcp")
			resp, err := w.through(s).RoundTrip(req)
			require.NoError(t, err)
			stream := resp.Body.(io.ReadWriteCloser)
			defer stream.Close()
			io.WriteString(stream, typed)
			got := make([]byte, len(typed))
			_, err = io.ReadFull(stream, got)
			require.NoError(t, err, "no echo of %q", typed)
			require.Equal(t, typed, string(got))
		})
	}
}

// R17, R30: 101 through a pinned connection, HEAD, 204, and gzip.
func TestNTLMResponses(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Header.Get("Upgrade") != "":
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, rw)
		case req.URL.Path == "/204":
			w.WriteHeader(204)
		default:
			fmt.Fprint(w, "origin")
		}
	}
	for range 3 {
		for _, path := range []string{"/204", "/"} {
			req, _ := http.NewRequest(map[string]string{"/204": "GET", "/": "HEAD"}[path], o.HTTP.URL+path, nil)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Same(t, req, resp.Request)
		}
	}
	require.Equal(t, 2, p.Counts().Connections)

	for range 2 {
		req, _ := http.NewRequest("GET", o.HTTP.URL, nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		rw := resp.Body.(io.ReadWriteCloser)
		io.WriteString(rw, "hello\n")
		// The client may end before the origin does, as through net/http.
		require.NoError(t, rw.(interface{ CloseWrite() error }).CloseWrite())
		got, err := io.ReadAll(rw)
		require.NoError(t, err)
		require.Equal(t, "hello\n", string(got))
		rw.Close()
	}
	requireOK(t, tr, o.HTTP.URL)
}

// R17, R30: a wish to close the connection is for the last leg, in whatever case
// the field is in the map.
func TestNTLMConnectionClose(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Connection", "connection"} {
		s := w.scripted(byNTLM(scripted.PassWith("origin")))
		req, err := http.NewRequest("GET", w.HTTP.URL, nil)
		require.NoError(t, err)
		req.Header[name] = []string{"close"}
		resp, err := w.through(s).RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
}

// R30: trailers of requests and responses, the length that HEAD tells, redirects and
// cookies get through a proxy that has just been learned, and one that is known.
func TestResponsesAreTheOrigins(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{"Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				w := newWorld(t)
				w.handler = func(rw http.ResponseWriter, req *http.Request) {
					switch req.URL.Path {
					case "/login":
						http.SetCookie(rw, &http.Cookie{Name: "session", Value: "1", Path: "/"})
						http.Redirect(rw, req, "/home", http.StatusSeeOther)
					case "/home":
						io.WriteString(rw, req.Method+" "+req.Header.Get("Cookie"))
					case "/head":
						rw.Header().Set("Content-Length", "1234")
					case "/trailers":
						rw.Header().Set("Trailer", "X-Back")
						io.WriteString(rw, "page")
						rw.Header().Set("X-Back", req.Trailer.Get("X-Forth"))
					}
				}
				p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				url := map[string]string{"forward": w.HTTP.URL, "tunnel": w.HTTPS.URL}[way]
				do := func(rt http.RoundTripper, method, path string, body io.Reader) (*http.Response, string) {
					req, err := http.NewRequest(method, url+path, body)
					require.NoError(t, err)
					if body != nil {
						req.Trailer = http.Header{"X-Forth": {"at the end"}}
					}
					jar, err := cookiejar.New(nil)
					require.NoError(t, err)
					resp, err := (&http.Client{Transport: rt, Jar: jar}).Do(req)
					require.NoError(t, err)
					defer resp.Body.Close()
					page, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					return resp, string(page)
				}
				for _, exchange := range []func(http.RoundTripper){
					func(rt http.RoundTripper) {
						resp, page := do(rt, "POST", "/login", nil)
						require.Equal(t, "GET session=1", page)
						require.Equal(t, url+"/home", resp.Request.URL.String())
					},
					func(rt http.RoundTripper) {
						resp, page := do(rt, "HEAD", "/head", nil)
						require.EqualValues(t, 1234, resp.ContentLength)
						require.Empty(t, page)
					},
					func(rt http.RoundTripper) {
						resp, page := do(rt, "POST", "/trailers", io.MultiReader(strings.NewReader("a stream")))
						require.Equal(t, "page", page)
						require.Equal(t, "at the end", resp.Trailer.Get("X-Back"))
					},
				} {
					tr := w.newTransport(p)
					exchange(tr) // cold
					exchange(tr) // warm
				}
			})
		}
	}
}
