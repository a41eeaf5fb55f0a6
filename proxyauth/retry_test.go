package proxyauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The pauses of the default: 1, 2 and 4 seconds, each a quarter more or less.
func TestRetryPauses(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, target := range []string{"http://origin.example/", "https://origin.example/"} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			var dials []time.Duration
			tr := &proxyauth.Transport{
				Base: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					dials = append(dials, time.Since(begin))
					return nil, refused
				}},
				Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"}),
				Retry: &proxyauth.RetryPolicy{},
			}
			_, _, err := fetch(tr, target)
			require.ErrorIs(t, err, refused)
			require.ErrorContains(t, err, "proxyauth: proxy http://proxy.example:3128: connecting")
			require.Len(t, dials, 4)
			for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
				require.InDelta(t, want, dials[i+1]-dials[i], float64(want)/4)
			}
			require.EqualValues(t, 3, tr.Stats().Retries)

			// Where the deadline comes first, the error of the attempt says
			// more than a timeout; and who cancels waits no longer.
			dials = nil
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			begin = time.Now()
			_, err = tr.DialContext(ctx, "tcp", "origin.example:22")
			require.ErrorIs(t, err, refused)
			require.Len(t, dials, 2)

			dials = nil
			begin = time.Now()
			ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			for _, body := range []io.Reader{nil, io.MultiReader(strings.NewReader("stream"))} {
				req, err := http.NewRequestWithContext(ctx, "PUT", target, body)
				require.NoError(t, err)
				_, err = tr.RoundTrip(req)
				require.ErrorIs(t, err, refused)
			}
			require.LessOrEqual(t, time.Since(begin), 2*time.Second)

			dials = nil
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			begin = time.Now()
			req, err := http.NewRequestWithContext(ctx, "PUT", target, io.MultiReader(strings.NewReader("stream")))
			require.NoError(t, err)
			_, err = tr.RoundTrip(req)
			require.ErrorIs(t, err, context.Canceled)
			synctest.Wait() // and net/http's dial has ended with it
			require.Equal(t, 100*time.Millisecond, time.Since(begin))
			require.Len(t, dials, 1)
		})
	}
}

// flaky dials, but fails the first n times.
func flaky(n int32, dial dialFunc) dialFunc {
	var left atomic.Int32
	left.Store(n)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if left.Add(-1) >= 0 {
			return nil, errors.New("network is unreachable")
		}
		return dial(ctx, network, addr)
	}
}

// Dialing the proxy, on all ways out; bodies and streams are not touched by it.
func TestRetryDial(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{"Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					target := w.ways()[way]
					p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
					tr := w.newTransport(p)
					tr.Base.DialContext = flaky(2, w.dial)
					_, _, err := fetch(tr, target)
					require.ErrorContains(t, err, "unreachable", "off by default")

					tr = w.newTransport(p)
					tr.Base.DialContext = flaky(2, w.dial)
					tr.Retry = &proxyauth.RetryPolicy{}
					var logged bytes.Buffer
					tr.Logger = slog.New(slog.NewTextHandler(&logged, nil))
					_, err = post(t, tr, target, &countedBody{Reader: strings.NewReader("stream")})
					require.NoError(t, err)
					require.Equal(t, "stream", w.bodies[len(w.bodies)-1])
					require.EqualValues(t, 2, tr.Stats().Retries)
					require.Equal(t, 2, strings.Count(logged.String(), "trying again"))
				})
			})
		}
	}
}

// A name that does not exist and a certificate that is wrong stay so.
func TestRetryNotInVain(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{})
	t.Cleanup(p.Close)
	tr := newTransport(t, p, o)
	tr.Base.TLSClientConfig.RootCAs = o.rootCAs() // not the proxy's
	tr.Retry = &proxyauth.RetryPolicy{Delay: time.Hour}
	for _, target := range o.ways() {
		_, _, err := fetch(tr, target)
		require.ErrorContains(t, err, "certificate")
	}
	tr = newTransport(t, p, o)
	tr.Base.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "proxy.example", IsNotFound: true}}
	}
	tr.Retry = &proxyauth.RetryPolicy{Delay: time.Hour}
	for _, target := range o.ways() {
		_, _, err := fetch(tr, target)
		require.ErrorContains(t, err, "no such host")
	}
}

// 502, 503 and 504 to CONNECT, and a CONNECT that is not answered at all.
func TestRetryConnect(t *testing.T) {
	status := func(code int, reason string) scripted.Answer {
		return scripted.Raw(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", code, reason))
	}
	for name, test := range map[string]struct {
		answers []scripted.Answer // before the right one
		retries int64
		err     string
	}{
		"502":       {[]scripted.Answer{status(502, "Bad"), status(502, "Bad")}, 2, ""},
		"503":       {[]scripted.Answer{status(503, "Busy")}, 1, ""},
		"504":       {[]scripted.Answer{status(504, "Late"), status(504, "Late"), status(504, "Late")}, 3, ""},
		"too often": {[]scripted.Answer{status(502, "1"), status(502, "2"), status(502, "3"), status(502, "Last")}, 3, "502 Last"},
		"lost":      {[]scripted.Answer{scripted.HangUp(), scripted.HangUp()}, 2, ""},
		"reset":     {[]scripted.Answer{scripted.Reset(), scripted.Reset()}, 2, ""},
		"403":       {[]scripted.Answer{status(403, "No")}, 0, "403 No"},
		"500":       {[]scripted.Answer{status(500, "Oops")}, 0, "500 Oops"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(after(test.answers, scripted.PassWith("")))
				tr := w.through(s)
				tr.Retry = &proxyauth.RetryPolicy{}
				begin := time.Now()
				conn, err := tr.DialContext(t.Context(), "tcp", "origin.example:443")
				if test.err != "" {
					require.ErrorContains(t, err, test.err)
				} else {
					require.NoError(t, err)
					conn.Close()
				}
				require.Equal(t, test.retries, tr.Stats().Retries)
				pauses := time.Duration(1<<test.retries-1) * time.Second
				require.InDelta(t, pauses, time.Since(begin), float64(pauses)/4)
			})
		})
	}
}

// R8: rejected credentials are never repeated, nor are credentials that may have
// been: some proxies hang up on them.
func TestRetryNeverCredentials(t *testing.T) {
	challenge := scripted.Challenge("Basic", "realm", "r")
	for name, answer := range map[string]scripted.Answer{"407": challenge, "hang up": scripted.HangUp()} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(scripted.Demand(challenge, answer))
					tr := w.through(s)
					tr.Retry = &proxyauth.RetryPolicy{}
					// A GET net/http repeats itself when a connection ends that was used before.
					_, err := post(t, tr, w.ways()[way], nil)
					require.Error(t, err)
					require.Len(t, s.Authorizations(), 1)
					require.Zero(t, tr.Stats().Retries)
				})
			})
		}
	}
}

// A connection that is lost before anything of the request left is no reason to
// fail; one that is lost later may have brought the request to its origin.
func TestRetryLostConnection(t *testing.T) {
	for name, auth := range map[string][]proxytest.Auth{"open": nil, "NTLM": ntlmOnly()} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: auth, Users: alice})
				tr := w.newTransport(p)
				tr.Retry = &proxyauth.RetryPolicy{}
				requireOK(t, tr, w.HTTP.URL)
				tr.CloseIdleConnections()

				var dials atomic.Int32
				tr = w.newTransport(p)
				tr.Retry = &proxyauth.RetryPolicy{}
				tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := w.dial(ctx, network, addr)
					if dials.Add(1) == 1 && err == nil {
						c = &deaf{c}
					}
					return c, err
				}
				before := len(w.bodies)
				resp, err := (&http.Client{Transport: tr}).Post(w.HTTP.URL, "text/plain", strings.NewReader("body"))
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, []string{"body"}, w.bodies[before:])
				require.EqualValues(t, 1, tr.Stats().Retries)
			})
		})
	}
	for name, answer := range map[string]scripted.Answer{"closed": scripted.HangUp(), "reset": scripted.Reset()} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(scripted.Always(answer))
				tr := w.through(s)
				tr.Retry = &proxyauth.RetryPolicy{}
				_, _, err := fetch(tr, w.HTTP.URL)
				require.Error(t, err)
				require.Len(t, s.Requests(), 1)
			})
		})
	}
}

// deaf is a connection that the other end has reset.
type deaf struct{ net.Conn }

func (*deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
