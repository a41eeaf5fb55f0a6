//go:build realproxy

package proxyauth_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A squidWay is one of the four ways through a squid: to its port with or
// without TLS, forward (GET) or by a tunnel (CONNECT).
type squidWay struct {
	s      *squid
	proxy  *url.URL
	method string
}

func (s *squid) ways() []squidWay {
	return []squidWay{
		{s, s.URL(), "GET"}, {s, s.URL(), "CONNECT"},
		{s, s.TLSURL(), "GET"}, {s, s.TLSURL(), "CONNECT"},
	}
}

func (w squidWay) String() string { return w.proxy.Scheme + " " + w.method }

// transport returns a Transport that goes this way and trusts o. It speaks
// HTTP/1.1 to origins, so that it is known when a connection is idle and
// CloseIdleConnections ends it.
func (w squidWay) transport(t testing.TB, o *origin, source proxyauth.CredentialSource) *proxyauth.Transport {
	tr := &proxyauth.Transport{
		Base: &http.Transport{
			Proxy:           http.ProxyURL(w.proxy),
			TLSClientConfig: &tls.Config{RootCAs: o.rootCAs()},
		},
		Credentials:          source,
		ProxyTLSClientConfig: &tls.Config{RootCAs: w.s.RootCAs()},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (w squidWay) target(o *origin) string {
	if w.method == "CONNECT" {
		return o.HTTPS.URL + "/"
	}
	return o.HTTP.URL + "/"
}

// entry is how squid logs a request for target.
func (w squidWay) entry(o *origin, status int, user, scheme string) squidEntry {
	e := squidEntry{Method: w.method, URL: w.target(o), Status: status, User: user, AuthScheme: scheme}
	if w.method == "CONNECT" {
		e.URL = o.HTTPS.Listener.Addr().String()
	}
	return e
}

// log returns all that squid has logged about o, which must be at least n
// lines. An origin of its own for each test makes the lines attributable, those
// without a user too. Tunnels must have ended.
func (w squidWay) log(t *testing.T, o *origin, n int) []squidEntry {
	t.Helper()
	fence := o.HTTP.URL + "/fence"
	fenced := false
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var about []squidEntry
		passed := false
		for _, e := range w.s.Log(t) {
			passed = passed || e.URL == fence
			if e.URL == o.HTTP.URL+"/" || e.URL == o.HTTPS.Listener.Addr().String() {
				about = append(about, e)
			}
		}
		switch {
		case passed && len(about) >= n:
			return about
		case time.Now().After(deadline):
			require.FailNow(t, "squid's log is incomplete", "want at least %d lines about the origin, got %v", n, tally(about))
		case len(about) >= n && !fenced:
			// Lines come in order. When this one is there, one too many would be.
			status, _ := get(t, w.s.URL(), nil, fence)
			require.Equal(t, 407, status)
			fenced = true
		}
	}
}

// tally counts entries by status and scheme.
func tally(entries []squidEntry) map[string]int {
	counts := make(map[string]int)
	for _, e := range entries {
		counts[strings.TrimSpace(fmt.Sprint(e.Status, " ", e.AuthScheme))]++
	}
	return counts
}

// together runs f in n goroutines. Of many errors it reports only the first.
func together(t testing.TB, n int, f func() error) {
	t.Helper()
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := f(); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	if failed := len(errs); failed > 0 {
		require.NoError(t, <-errs, "%d of %d goroutines failed", failed, n)
	}
}

// fetchOK is requireOK for other goroutines than the test's.
func fetchOK(rt http.RoundTripper, url string) error {
	status, body, err := fetch(rt, url)
	if err == nil && (status != 200 || !strings.HasPrefix(body, "origin ")) {
		err = fmt.Errorf("status %d: %.200s", status, body)
	}
	return err
}

// Not parallel, and wrong credentials of users of their own: squid may let a
// wrong Digest password pass while a right one of the same user is under way.
func TestSquid(t *testing.T) {
	const password = "open sesame"
	for _, scheme := range []string{"Basic", "Digest"} {
		t.Run(scheme, func(t *testing.T) {
			users := make(map[string]string)
			for i := range 12 {
				users[fmt.Sprint("user", i)] = password
			}
			s := startSquid(t, strings.ToLower(scheme), users)
			next := 0
			newUser := func() string {
				next++
				return fmt.Sprint("user", next-1)
			}

			for _, w := range s.ways() {
				t.Run(w.String()+" right", func(t *testing.T) {
					o, user := newOrigin(t), newUser()
					tr := w.transport(t, o, proxyauth.UserPassword(user, password))
					requireOK(t, tr, w.target(o))
					requireOK(t, tr, w.target(o)) // by the same connection
					tr.CloseIdleConnections()
					requireOK(t, tr, w.target(o))
					tr.CloseIdleConnections()

					ok := w.entry(o, 200, user, scheme)
					want := []squidEntry{w.entry(o, 407, "", ""), ok, ok}
					if w.method == "GET" { // the others are two for the first tunnel
						want = append(want, ok)
					}
					require.Equal(t, want, w.log(t, o, len(want)))
					require.Len(t, o.bodies, 3)
					require.Empty(t, o.proxyFields())
				})

				for _, n := range []int{1, 50} {
					t.Run(fmt.Sprint(w, " wrong at once ", n), func(t *testing.T) {
						o, user := newOrigin(t), newUser()
						tr := w.transport(t, o, proxyauth.UserPassword(user, "wrong"))
						rejected := func() error {
							status, _, err := fetch(tr, w.target(o))
							if !errors.Is(err, proxyauth.ErrRejected) {
								return fmt.Errorf("status %d, error %w; want ErrRejected", status, err)
							}
							return nil
						}
						together(t, n, rejected)
						require.NoError(t, rejected()) // later, without traffic

						want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 407, user, scheme)}
						require.Equal(t, want, w.log(t, o, len(want)))
						require.Empty(t, o.bodies)
					})
				}

				t.Run(w.String()+" none", func(t *testing.T) {
					t.Setenv("PROXY_USER", "")
					t.Setenv("PROXY_PASS", "")
					o := newOrigin(t)
					_, _, err := fetch(w.transport(t, o, nil), w.target(o))
					require.ErrorIs(t, err, proxyauth.ErrNoCredentials)

					want := []squidEntry{w.entry(o, 407, "", "")}
					require.Equal(t, want, w.log(t, o, len(want)))
					require.Empty(t, o.bodies)
				})
			}
		})
	}
}

// Names and passwords reach squid byte by byte: UTF-8, colons, blanks also at
// the end. In a proxy URL they are percent-encoded.
func TestSquidNames(t *testing.T) {
	t.Parallel()
	users := map[string]string{
		"jäsøn":        "pa ss:wo:rd ",
		"пользователь": " па:роль: ",
	}
	for _, scheme := range []string{"Basic", "Digest"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := startSquid(t, strings.ToLower(scheme), users)
			for user, password := range users {
				for _, w := range s.ways() {
					inURL := w
					u, err := url.Parse(fmt.Sprintf("%s://%s@%s", w.proxy.Scheme, url.UserPassword(user, password), w.proxy.Host))
					require.NoError(t, err)
					inURL.proxy = u

					check := func(name string, w squidWay, source proxyauth.CredentialSource) {
						t.Run(strings.Join([]string{user, w.String(), name}, " "), func(t *testing.T) {
							o := newOrigin(t)
							tr := w.transport(t, o, source)
							requireOK(t, tr, w.target(o))
							tr.CloseIdleConnections()
							want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 200, user, scheme)}
							require.Equal(t, want, w.log(t, o, len(want)))
							require.Empty(t, o.proxyFields())
						})
					}
					check("source", w, proxyauth.UserPassword(user, password))
					check("URL", inURL, nil)
				}
			}
		})
	}
}

// squid refuses a nonce after a few uses, and one whose counts come out of
// order, both while many requests use it.
func TestSquidNonceMaxCount(t *testing.T) {
	t.Parallel()
	const goroutines, requests = 20, 500
	s := startSquid(t, "digest", alice, "NONCE_MAX_COUNT=5")
	for _, w := range s.ways() {
		t.Run(w.String(), func(t *testing.T) {
			o := newOrigin(t)
			tr := w.transport(t, o, proxyauth.UserPassword("alice", alice["alice"]))
			tr.Base.MaxIdleConnsPerHost = goroutines
			tr.Base.DisableKeepAlives = w.method == "CONNECT" // a CONNECT for each
			together(t, goroutines, func() error {
				for range requests / goroutines {
					if err := fetchOK(tr, w.target(o)); err != nil {
						return err
					}
				}
				return nil
			})
			tr.CloseIdleConnections()

			counts := tally(w.log(t, o, requests))
			require.Equal(t, requests, counts["200 Digest"])
			require.Len(t, o.bodies, requests)
			// Or the limit was none.
			require.GreaterOrEqual(t, counts["407 Digest"], requests/10)
			t.Logf("%d requests: %d without credentials and %d with got 407", requests, counts["407"], counts["407 Digest"])
		})
	}
}

// The stronger scheme is taken, wherever it stands. For wrong credentials the
// other one is tried too, as they may be good for that alone, and no more.
func TestSquidBothSchemes(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"digest basic", "basic digest"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			// Wrong passwords need users of their own; see TestSquid.
			users := map[string]string{"alice": "open sesame", "http GET": "x", "http CONNECT": "x", "https GET": "x", "https CONNECT": "x"}
			s := startSquid(t, order, users)
			for _, w := range s.ways() {
				t.Run(w.String()+" right", func(t *testing.T) {
					o := newOrigin(t)
					tr := w.transport(t, o, proxyauth.UserPassword("alice", "open sesame"))
					requireOK(t, tr, w.target(o))
					tr.CloseIdleConnections()
					want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 200, "alice", "Digest")}
					require.Equal(t, want, w.log(t, o, len(want)))
				})
				t.Run(w.String()+" wrong", func(t *testing.T) {
					o, user := newOrigin(t), w.String()
					tr := w.transport(t, o, proxyauth.UserPassword(user, "wrong"))
					together(t, 50, func() error {
						if _, _, err := fetch(tr, w.target(o)); !errors.Is(err, proxyauth.ErrRejected) {
							return fmt.Errorf("error %w; want ErrRejected", err)
						}
						return nil
					})
					want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 407, user, "Digest"), w.entry(o, 407, user, "Basic")}
					require.Equal(t, want, w.log(t, o, len(want)))
				})
			}
		})
	}
}

// big is a body that fits into no buffer on the way.
var big = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

// post sends big to o by way of rt, as a body that can be sent again or as a
// stream, and requires that the origin got it once.
func post(t *testing.T, rt http.RoundTripper, o *origin, stream bool) {
	t.Helper()
	var body io.Reader = bytes.NewReader(big)
	if stream {
		body = struct{ io.Reader }{body} // a type that http.NewRequest does not know
	}
	req, err := http.NewRequest("POST", o.HTTP.URL+"/", body)
	require.NoError(t, err)
	require.Equal(t, stream, req.GetBody == nil)

	before := len(o.bodies)
	resp, err := rt.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	echo, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	// Not Equal, which would print them.
	require.True(t, bytes.HasSuffix(echo, big), "the echo of the body is not whole")
	require.Equal(t, before+1, len(o.bodies))
	require.True(t, o.bodies[before] == string(big), "got %d of %d bytes, or others", len(o.bodies[before]), len(big))
}

func TestSquidPOST(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"Basic", "Digest"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := startSquid(t, strings.ToLower(scheme), alice, "NONCE_MAX_COUNT=5")
			for _, w := range s.ways() {
				if w.method == "CONNECT" {
					continue // the body goes to the origin alone
				}
				w.method = "POST"
				source := proxyauth.UserPassword("alice", alice["alice"])
				for name, stream := range map[string]bool{"GetBody": false, "stream": true} {
					t.Run(w.String()+" cold "+name, func(t *testing.T) {
						o := newOrigin(t)
						post(t, w.transport(t, o, source), o, stream)
						want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 200, "alice", scheme)}
						require.Equal(t, want, w.log(t, o, len(want)))
						require.Empty(t, o.proxyFields())
					})
				}
				// Every few of them the nonce has ended, and the stream must not
				// have been touched when the proxy says so.
				t.Run(w.String()+" warm stream", func(t *testing.T) {
					const posts = 20
					o := newOrigin(t)
					tr := w.transport(t, o, source)
					for range posts {
						post(t, tr, o, true)
					}
					counts := tally(w.log(t, o, posts+1))
					require.Equal(t, posts, counts["200 "+scheme])
					require.Equal(t, 1, counts["407"])
					if scheme == "Digest" {
						require.GreaterOrEqual(t, counts["407 Digest"], 2, "or the limit was none")
					} else {
						require.Zero(t, counts["407 Basic"])
					}
					t.Logf("%d streams: %v", posts, counts)
				})
			}
		})
	}
}

// 1,000 goroutines on a cold route learn the challenge once.
func TestSquidBurst(t *testing.T) {
	t.Parallel()
	const burst, conns = 1000, 64
	s := startSquid(t, "digest", alice, "NONCE_MAX_COUNT=100000")
	for _, w := range s.ways() {
		t.Run(w.String(), func(t *testing.T) {
			o := newOrigin(t)
			tr := w.transport(t, o, proxyauth.UserPassword("alice", alice["alice"]))
			tr.Base.MaxConnsPerHost = conns
			tr.Base.MaxIdleConnsPerHost = conns
			together(t, burst, func() error { return fetchOK(tr, w.target(o)) })
			tr.CloseIdleConnections()

			counts := tally(w.log(t, o, 2))
			t.Logf("%v", counts)
			assert.Equal(t, 1, counts["407"])
			assert.Zero(t, counts["407 Digest"])
			if w.method == "GET" {
				require.Equal(t, burst, counts["200 Digest"])
			} else {
				require.LessOrEqual(t, counts["200 Digest"], conns)
			}
			require.Len(t, o.bodies, burst)
			require.Empty(t, o.proxyFields())
		})
	}
}

func TestSquidTunnel(t *testing.T) {
	t.Parallel()
	s := startSquid(t, "digest basic", alice)
	source := proxyauth.UserPassword("alice", alice["alice"])
	for _, w := range s.ways() {
		if w.method == "GET" {
			continue
		}
		t.Run(w.proxy.Scheme+" HTTP2", func(t *testing.T) {
			o := newOrigin(t)
			tr := w.transport(t, o, source)
			tr.Base.ForceAttemptHTTP2 = true
			// For the proxy too: its certificate in Base's pool, and never HTTP/2.
			tr.ProxyTLSClientConfig = nil
			tr.Base.TLSClientConfig.RootCAs = w.s.RootCAs()
			tr.Base.TLSClientConfig.RootCAs.AddCert(o.HTTPS.Certificate())
			for range 2 {
				req, err := http.NewRequest("GET", w.target(o), nil)
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, 200, resp.StatusCode)
				require.Equal(t, "HTTP/2.0", resp.Proto)
			}
			// An HTTP/2 connection is idle only some time after the response.
			o.HTTPS.CloseClientConnections()
			want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 200, "alice", "Digest")}
			require.Equal(t, want, w.log(t, o, len(want)))
			require.Empty(t, o.proxyFields())
		})

		t.Run(w.proxy.Scheme+" DialContext", func(t *testing.T) {
			o := newOrigin(t)
			addr := startEcho(t)
			tr := w.transport(t, o, source)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			conn, err := tr.DialContext(ctx, "tcp", addr)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))

			in := bufio.NewReader(conn)
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "hello\n", line)
			// In another goroutine, since the echo comes before all is written.
			go func() {
				_, err := conn.Write(big)
				assert.NoError(t, err)
			}()
			echo := make([]byte, len(big))
			_, err = io.ReadFull(in, echo)
			require.NoError(t, err)
			require.True(t, bytes.Equal(big, echo), "the echo is not whole")

			half, ok := conn.(interface{ CloseWrite() error })
			require.True(t, ok, "%T", conn)
			require.NoError(t, half.CloseWrite())
			rest, err := io.ReadAll(in)
			require.NoError(t, err)
			require.Equal(t, "bye\n", string(rest))
		})
	}
}

// startEcho starts a server that speaks first, sends all back, and says bye
// when it has all.
func startEcho(t testing.TB) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, "hello\n")
				_, _ = io.Copy(conn, conn)
				_, _ = io.WriteString(conn, "bye\n")
			})
		}
	})
	return l.Addr().String()
}
