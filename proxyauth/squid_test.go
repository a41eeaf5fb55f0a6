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
	"slices"
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
func (w squidWay) transport(t testing.TB, o *origin, source proxyauth.CredentialSource) *watchedTransport {
	tr := &proxyauth.Transport{
		Base: &http.Transport{
			Proxy:           http.ProxyURL(w.proxy),
			TLSClientConfig: &tls.Config{RootCAs: o.rootCAs()},
		},
		Credentials:          source,
		ProxyTLSClientConfig: &tls.Config{RootCAs: w.s.RootCAs()},
	}
	return watched(t, tr, func() []string { return nil })
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
	fence := fmt.Sprint(o.HTTP.URL, "/fence", time.Now().UnixNano())
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
			require.FailNow(t, "squid's log is incomplete", "want at least %d lines about the origin, got %v", n, statuses(about))
		case len(about) >= n && !fenced:
			// Lines come in order: with this one in the log, a line too many
			// would be there too.
			status, _ := get(t, w.s.URL(), nil, fence)
			require.Equal(t, 407, status)
			fenced = true
		}
	}
}

// statuses counts entries by status and scheme.
func statuses(entries []squidEntry) map[string]int {
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

// fetchRejected fails unless the credentials are rejected.
func fetchRejected(rt http.RoundTripper, url string) error {
	status, _, err := fetch(rt, url)
	if errors.Is(err, proxyauth.ErrRejected) {
		return nil
	}
	return fmt.Errorf("status %d, error %v; want ErrRejected", status, err)
}

// received returns the bodies that have reached o.
func (o *origin) received() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.bodies)
}

// R8, R10, R16: not parallel, and wrong credentials of users of their own: squid
// may let a wrong Digest password pass while a right one of the same user is under
// way.
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
					o, user := s.newOrigin(t), newUser()
					tr := w.transport(t, o, proxyauth.UserPassword(user, password))
					requireOK(t, tr, w.target(o))
					requireOK(t, tr, w.target(o)) // by the same connection
					tr.CloseIdleConnections()
					requireOK(t, tr, w.target(o))
					tr.CloseIdleConnections()

					ok := w.entry(o, 200, user, scheme)
					want := []squidEntry{w.entry(o, 407, "", ""), ok, ok}
					if w.method == "GET" { // a tunnel is one line for two requests
						want = append(want, ok)
					}
					require.Equal(t, want, w.log(t, o, len(want)))
					require.Len(t, o.received(), 3)
					require.Empty(t, o.proxyFields())
				})

				for _, n := range []int{1, 50} {
					t.Run(fmt.Sprint(w, " wrong at once ", n), func(t *testing.T) {
						o, user := s.newOrigin(t), newUser()
						tr := w.transport(t, o, proxyauth.UserPassword(user, "wrong"))
						rejected := func() error { return fetchRejected(tr, w.target(o)) }
						together(t, n, rejected)
						require.NoError(t, rejected()) // the second attempt, if it is one
						require.NoError(t, rejected()) // without traffic

						counts := statuses(w.log(t, o, 3))
						require.Equal(t, 2, counts["407 "+scheme])
						require.LessOrEqual(t, counts["407"], 2) // a nonce for each
						require.Len(t, counts, 2)
						require.Empty(t, o.received())
					})
				}

				t.Run(w.String()+" none", func(t *testing.T) {
					t.Setenv("PROXY_USER", "")
					t.Setenv("PROXY_PASS", "")
					o := s.newOrigin(t)
					_, _, err := fetch(w.transport(t, o, nil), w.target(o))
					require.ErrorIs(t, err, proxyauth.ErrNoCredentials)

					want := []squidEntry{w.entry(o, 407, "", "")}
					require.Equal(t, want, w.log(t, o, len(want)))
					require.Empty(t, o.received())
				})
			}
		})
	}
}

// R9: names and passwords reach squid byte by byte: UTF-8, colons, blanks also at
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
							o := s.newOrigin(t)
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

// R29: squid passes an origin's 407 on without its challenge; the caller gets it,
// and nothing is sent for it.
func TestSquidOrigin407(t *testing.T) {
	users := map[string]string{"alice": "open sesame"}
	for _, scheme := range []string{"basic", "digest", "ntlm"} {
		s := startSquid(t, scheme, users)
		for _, w := range s.ways() {
			t.Run(scheme+" "+w.String(), func(t *testing.T) {
				o := s.newOrigin(t)
				o.handler = func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/407" {
						w.Header().Set("Proxy-Authenticate", `Basic realm="give me"`)
						w.WriteHeader(http.StatusProxyAuthRequired)
					}
					io.WriteString(w, "origin")
				}
				tr := w.transport(t, o, proxyauth.UserPassword("alice", "open sesame"))
				requireOK(t, tr, w.target(o))
				before := tr.Stats()
				status, _, err := fetch(tr, w.target(o)+"407")
				require.NoError(t, err)
				require.Equal(t, 407, status)
				requireOK(t, tr, w.target(o))
				after := tr.Stats()
				require.Zero(t, after.Rejections)
				require.Equal(t, before.Challenges, after.Challenges)
				require.Empty(t, o.proxyFields())
			})
		}
	}
}

// R13, R14: squid refuses a nonce after so many uses, and after its counts came
// out of order, both while many requests use it.
func TestSquidNonceMaxCount(t *testing.T) {
	t.Parallel()
	const goroutines, requests = 20, 500
	s := startSquid(t, "digest", alice, "NONCE_MAX_COUNT=5")
	for _, w := range s.ways() {
		t.Run(w.String(), func(t *testing.T) {
			o := s.newOrigin(t)
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

			counts := statuses(w.log(t, o, requests))
			require.Equal(t, requests, counts["200 Digest"])
			require.Len(t, o.received(), requests)
			require.Positive(t, counts["407 Digest"], "no nonce was refused")
			t.Logf("%d requests: %d without credentials and %d with got 407", requests, counts["407"], counts["407 Digest"])
		})
	}
}

// R6, R8: the stronger scheme is taken, wherever it stands. Wrong credentials are
// tried with the other one too, and that is all.
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
					o := s.newOrigin(t)
					tr := w.transport(t, o, proxyauth.UserPassword("alice", "open sesame"))
					requireOK(t, tr, w.target(o))
					tr.CloseIdleConnections()
					want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 200, "alice", "Digest")}
					require.Equal(t, want, w.log(t, o, len(want)))
				})
				t.Run(w.String()+" wrong", func(t *testing.T) {
					o, user := s.newOrigin(t), w.String()
					tr := w.transport(t, o, proxyauth.UserPassword(user, "wrong"))
					together(t, 50, func() error {
						return fetchRejected(tr, w.target(o))
					})
					require.NoError(t, fetchRejected(tr, w.target(o)))
					counts := statuses(w.log(t, o, 3))
					require.Equal(t, 1, counts["407 Digest"])
					require.Equal(t, 1, counts["407 Basic"])
					require.LessOrEqual(t, counts["407"], 2)
					require.Len(t, counts, 3)
					require.Empty(t, o.received())
				})
			}
		})
	}
}

// R13, R33: 1,000 goroutines on a cold route learn the challenge once. Counts come
// out of order by any number of connections, and squid refuses a nonce after that
// unless told not to: then the first burst finds that out, and from the second one
// on each request has a nonce to itself and none is refused.
func TestSquidBurst(t *testing.T) {
	t.Parallel()
	const burst, conns = 1000, 64
	for check, extra := range map[string]string{
		"counts unchecked": "auth_param digest check_nonce_count off",
		"counts checked":   "",
	} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			s := startSquid(t, "digest", alice, "NONCE_MAX_COUNT=100000", "SQUID_EXTRA="+extra)
			for _, w := range s.ways() {
				t.Run(w.String(), func(t *testing.T) {
					o := s.newOrigin(t)
					tr := w.transport(t, o, proxyauth.UserPassword("alice", alice["alice"]))
					tr.Base.MaxConnsPerHost = conns
					tr.Base.MaxIdleConnsPerHost = conns
					together(t, burst, func() error { return fetchOK(tr, w.target(o)) })
					tr.CloseIdleConnections()
					require.Equal(t, burst, len(o.received()))
					require.Empty(t, o.proxyFields())

					passed := burst
					if w.method == "CONNECT" {
						passed = conns // tunnels, for all of them
					}
					counts := statuses(w.log(t, o, 1+passed))
					t.Logf("%v", counts)
					require.Equal(t, passed, counts["200 Digest"])
					if extra != "" {
						require.Equal(t, map[string]int{"407": 1, "200 Digest": passed}, counts)
						return
					}
					all := counts["407"] + counts["407 Digest"]
					together(t, burst, func() error { return fetchOK(tr, w.target(o)) })
					tr.CloseIdleConnections()
					counts = statuses(w.log(t, o, 2*passed+all))
					t.Logf("second burst, both together: %v", counts)
					require.Equal(t, 2*passed, counts["200 Digest"])
					require.LessOrEqual(t, counts["407"]+counts["407 Digest"], all+conns)
				})
			}
		})
	}
}

// R27: HTTP/2 and any bytes go through a tunnel of squid, whose direction of the
// client ends by itself.
func TestSquidTunnel(t *testing.T) {
	t.Parallel()
	s := startSquid(t, "digest basic", alice)
	source := proxyauth.UserPassword("alice", alice["alice"])
	for _, w := range s.ways() {
		if w.method == "GET" {
			continue
		}
		t.Run(w.proxy.Scheme+" HTTP2", func(t *testing.T) {
			o := s.newOrigin(t)
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
			o := s.newOrigin(t)
			addr, ended := startEcho(t)
			logged := len(s.Log(t))
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
				_, err := conn.Write(large)
				assert.NoError(t, err)
			}()
			echo := make([]byte, len(large))
			_, err = io.ReadFull(in, echo)
			require.NoError(t, err)
			require.True(t, bytes.Equal(large, echo), "the echo is not whole")

			// squid passes on the end of one direction, and then ends the other.
			half, ok := conn.(interface{ CloseWrite() error })
			require.True(t, ok, "%T", conn)
			require.NoError(t, half.CloseWrite())
			require.Equal(t, int64(len(large)), <-ended)
			rest, err := io.ReadAll(in)
			require.NoError(t, err)
			require.Empty(t, rest)
			require.NoError(t, conn.Close())

			want := []squidEntry{
				{Method: "CONNECT", URL: addr, Status: 407},
				{Method: "CONNECT", URL: addr, Status: 200, User: "alice", AuthScheme: "Digest"},
			}
			var got []squidEntry
			for _, e := range s.WaitLog(t, logged+len(want)) {
				if e.URL == addr {
					got = append(got, e)
				}
			}
			require.Equal(t, want, got)
		})
	}
}

// startEcho starts a server that speaks first and sends all back. Of each
// connection that the client has ended, ended tells how much that was.
func startEcho(t testing.TB) (addr string, ended <-chan int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ends := make(chan int64, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(ends)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello\n")
			n, err := io.Copy(conn, conn)
			assert.NoError(t, err)
			ends <- n
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), ends
}
