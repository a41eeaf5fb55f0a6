package proxyauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// traceAuths are what proxies of these tests demand.
var traceAuths = map[string]proxytest.Auth{
	"Basic":  proxytest.Basic{Realm: "r"},
	"Digest": proxytest.Digest{Realm: "r"},
	"NTLM":   proxytest.NTLM{},
}

// R44, R30: the hooks of httptrace are those of net/http for the same request through a
// proxy that demands nothing, in the same order, however many legs a request takes. A
// proxy's password is in none.
func TestTraceOrder(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
		open := start(proxytest.Config{})
		t.Cleanup(open.Close)
		for name, auth := range traceAuths {
			for way, target := range o.ways() {
				for _, http2 := range []bool{true, false} {
					if http2 && way == "forward" {
						continue
					}
					for _, q := range []tracedRequest{
						{method: "GET", url: target}, {method: "HEAD", url: target},
						{method: "POST", url: target, body: "body"}, {method: "POST", url: target, body: "body", stream: true},
						{method: "POST", url: target, body: "body", expect: true},
					} {
						p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
						t.Cleanup(p.Close)
						t.Run(fmt.Sprintf("%s/%s/%s/http2=%t/%s/expect=%t/stream=%t", name, p.URL.Scheme, way, http2, q.method, q.expect, q.stream), func(t *testing.T) {
							q.http2 = http2
							bare, ours := newTransport(t, open, o).Base, newTransport(t, p, o)
							t.Cleanup(bare.CloseIdleConnections)
							bare.ForceAttemptHTTP2, ours.Base.ForceAttemptHTTP2 = http2, http2
							clean := func(value string) { requireNoSecret(t, value, authorizations(p)) }
							both := func(what string) {
								t.Helper()
								want := q.by(t, bare, nil, open.URL.Host, "PROXY")
								got := q.by(t, ours, clean, p.URL.Host, "PROXY")
								if http2 && what == "reused" { // net/http names the origin for HTTP/2 alone
									want[0], got[0] = "", ""
								}
								if q.body != "" && way == "forward" && name != "NTLM" && (what == "cold" || q.stream && name == "Digest") {
									// The body is held back, for which the connection is closed.
									want = without(want, "PutIdleConn")
								}
								require.Equal(t, want, without(got, authorizationWritten), what)
							}
							both("cold")
							for range 2 {
								requireOK(t, bare, target)
								requireOK(t, ours, target)
								both("reused")
								bare.CloseIdleConnections()
								ours.CloseIdleConnections()
								both("new")
							}
						})
					}
				}
			}
		}
	}
}

// R44, R35: of the credentials of a forwarded request, which net/http shows with the
// password, the scheme is shown; those of a CONNECT are not shown, as with net/http.
func TestTraceShowsNoCredentials(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for name, auth := range traceAuths {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
		ours := newTransport(t, p, o)
		for way, target := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				q := tracedRequest{method: "GET", url: target}
				var shown []string
				show := func(value string) { shown = append(shown, value) }
				requireOK(t, ours, target)
				ours.CloseIdleConnections()
				got := q.by(t, ours, show, p.URL.Host, "PROXY")
				requireNoSecret(t, strings.Join(shown, "\n"), authorizations(p))
				line := authorizationWritten + " [" + name + "]"
				if way == "tunnel" {
					require.Empty(t, linesOf(got, authorizationWritten))
					return
				}
				require.Equal(t, []string{line}, linesOf(got, authorizationWritten))
				require.Contains(t, shown, name+" REDACTED")
				if name == "Basic" {
					bare := newTransportOf(p, o).Base
					t.Cleanup(bare.CloseIdleConnections)
					bare.Proxy = http.ProxyURL(p.URLFor("alice", "open sesame"))
					require.Equal(t, q.by(t, bare, nil, p.URL.Host, "PROXY"), got)
				}
			})
		}
	}
}

// R44: a request that fails shows the hooks that net/http shows, as far as it comes.
func TestTraceOfFailure(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone.Close()
	nowhere := gone.Addr().String()
	for way, target := range o.ways() {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			p := start(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
			t.Cleanup(p.Close)
			q := tracedRequest{method: "GET", url: target, fails: true}
			both := func(t *testing.T, change func(*proxyauth.Transport)) {
				t.Helper()
				hooks := func(rt http.RoundTripper) []string {
					return q.by(t, rt, nil, p.URL.Host, "PROXY", nowhere, "NOWHERE")
				}
				bare, ours := newTransportOf(p, o), newTransportOf(p, o)
				change(bare)
				change(ours)
				t.Cleanup(bare.Base.CloseIdleConnections)
				t.Cleanup(ours.CloseIdleConnections)
				want := hooks(bare.Base)
				require.NotEmpty(t, want)
				require.Equal(t, want, hooks(ours))
			}
			t.Run(p.URL.Scheme+"/"+way+"/407 without credentials", func(t *testing.T) {
				both(t, func(tr *proxyauth.Transport) {
					tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
						return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
					})
				})
			})
			t.Run(p.URL.Scheme+"/"+way+"/dial", func(t *testing.T) {
				both(t, func(tr *proxyauth.Transport) {
					tr.Base.Proxy = http.ProxyURL(&url.URL{Scheme: p.URL.Scheme, Host: nowhere})
				})
			})
			if p.URL.Scheme == "https" {
				t.Run(way+"/TLS to the proxy", func(t *testing.T) {
					both(t, func(tr *proxyauth.Transport) { tr.Base.TLSClientConfig.RootCAs = o.rootCAs() })
				})
			}
		}
	}
	t.Run("TLS in the tunnel", func(t *testing.T) {
		open := newProxy(t, proxytest.Config{})
		p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
		bare, ours := newTransportOf(open, o), newTransport(t, p, o)
		bare.Base.TLSClientConfig.RootCAs, ours.Base.TLSClientConfig.RootCAs = x509.NewCertPool(), x509.NewCertPool()
		q := tracedRequest{method: "GET", url: o.HTTPS.URL, fails: true}
		require.Equal(t, q.by(t, bare.Base, nil, open.URL.Host, "PROXY"), q.by(t, ours, nil, p.URL.Host, "PROXY"))
	})
}

// R44: a dial shows what a net.Dialer shows, once, whatever the handshake takes.
func TestTraceOfDial(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for name, auth := range traceAuths {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
			t.Cleanup(p.Close)
			t.Run(name+"/"+p.URL.Scheme, func(t *testing.T) {
				tr := newTransport(t, p, o)
				for range 2 {
					r := newRecorder(p.URL.Host, "PROXY")
					c, err := tr.DialContext(httptrace.WithClientTrace(t.Context(), r.trace()), "tcp", o.HTTP.Listener.Addr().String())
					require.NoError(t, err)
					c.Close()
					require.Equal(t, []string{"ConnectStart tcp PROXY", "ConnectDone tcp PROXY done"}, r.hooks())
				}
			})
		}
	}
}

// R44: what is dialed and looked up beside the request, such as a vault for the
// credentials or the target's name for Transport.Resolver, shows no hooks.
func TestTraceOfOthers(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	open := newProxy(t, proxytest.Config{})
	for way, target := range o.ways() {
		t.Run(way, func(t *testing.T) {
			vault := newTransport(t, p, o) // by this package, too
			var asked int
			tr := newTransport(t, p, o)
			tr.Resolver = net.DefaultResolver
			tr.Base.TLSClientConfig.InsecureSkipVerify = true // localhost is not in the certificate
			tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, _ proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
				asked++
				for _, client := range []http.RoundTripper{vault, o.HTTP.Client().Transport} {
					for _, url := range o.ways() {
						if client != http.RoundTripper(vault) && strings.HasPrefix(url, "https") {
							continue
						}
						req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
						require.NoError(t, err)
						req.Close = true
						resp, err := client.RoundTrip(req)
						require.NoError(t, err)
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
				return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
			})
			bare := newTransportOf(open, o).Base
			bare.TLSClientConfig.InsecureSkipVerify = true
			t.Cleanup(bare.CloseIdleConnections)
			q := tracedRequest{method: "GET", url: strings.Replace(target, "127.0.0.1", "localhost", 1)}
			require.Equal(t, q.by(t, bare, nil, open.URL.Host, "PROXY"), without(q.by(t, tr, nil, p.URL.Host, "PROXY"), authorizationWritten))
			require.NotZero(t, asked)
		})
	}
}

// R44: a direct request is net/http's own.
func TestTraceDirect(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.rootCAs()}}
	t.Cleanup(base.CloseIdleConnections)
	ours := &proxyauth.Transport{Base: base.Clone()}
	t.Cleanup(ours.CloseIdleConnections)
	for _, target := range o.ways() {
		for range 2 {
			q := tracedRequest{method: "GET", url: target}
			require.Equal(t, q.by(t, base, nil), q.by(t, ours, nil))
		}
	}
}

// R44: so it is by a scheme that is added, of requests and of connections.
func TestTraceOfAddedScheme(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, _ toyCase, p *toyProxy, tr *watchedTransport, way string) {
		open := w.newProxy(proxytest.Config{})
		bare := w.newTransportOf(open).Base
		defer bare.CloseIdleConnections()
		bare.ForceAttemptHTTP2, tr.Base.ForceAttemptHTTP2 = false, false
		q := tracedRequest{method: "GET", url: w.ways()[way]}
		both := func(what string) {
			t.Helper()
			want := q.by(t, bare, nil, open.URL.Host, "PROXY")
			require.Equal(t, want, without(q.by(t, tr, nil, p.URL().Host, "PROXY"), authorizationWritten), what)
		}
		both("cold")
		time.Sleep(time.Second) // for GotConnInfo.IdleTime
		both("reused")
		synctest.Wait()
		bare.CloseIdleConnections()
		tr.CloseIdleConnections()
		both("new")
	})
}

// R44, R30: an answer of class 1xx is told of once, when it comes.
func TestTraceOfEarlyHints(t *testing.T) {
	for _, way := range ways {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
			tr := w.newTransport(p)
			w.handler = func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(http.StatusEarlyHints)
				time.Sleep(time.Minute)
			}
			begin := time.Now()
			var calls []string
			call := func(name string) { calls = append(calls, fmt.Sprint(name, " ", time.Since(begin))) }
			req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotFirstResponseByte: func() { call("GotFirstResponseByte") },
				Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
					call(fmt.Sprint(code))
					return nil
				},
			}), "GET", w.ways()[way], nil)
			require.NoError(t, err)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, []string{"GotFirstResponseByte 0s", "103 0s"}, calls, way)
		})
	}
}
