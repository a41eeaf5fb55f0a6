package proxyauth_test

import (
	"bytes"
	"context"
	"errors"
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
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

var soon = &proxyauth.RetryPolicy{Delay: time.Millisecond}

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
func flaky(n int32) func(context.Context, string, string) (net.Conn, error) {
	var left atomic.Int32
	left.Store(n)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if left.Add(-1) >= 0 {
			return nil, errors.New("network is unreachable")
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}

// Dialing the proxy, on all ways out; bodies and streams are not touched by it.
func TestRetryDial(t *testing.T) {
	o := newOrigin(t)
	for name, auth := range map[string]proxytest.Auth{"Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
		for way, target := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				tr := newTransport(t, p, o)
				tr.Base.DialContext = flaky(2)
				_, _, err := fetch(tr, target)
				require.ErrorContains(t, err, "unreachable", "off by default")

				tr = newTransport(t, p, o)
				tr.Base.DialContext = flaky(2)
				tr.Retry = soon
				var logged bytes.Buffer
				tr.Logger = slog.New(slog.NewTextHandler(&logged, nil))
				_, err = post(t, tr, target, &countedBody{Reader: strings.NewReader("stream")})
				require.NoError(t, err)
				require.Equal(t, "stream", o.bodies[len(o.bodies)-1])
				require.EqualValues(t, 2, tr.Stats().Retries)
				require.Equal(t, 2, strings.Count(logged.String(), "trying again"))
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
	o := newOrigin(t)
	for name, test := range map[string]struct {
		answers []string // before the right one
		retries int64
		err     string
	}{
		"502":       {[]string{"502 Bad", "502 Bad"}, 2, ""},
		"503":       {[]string{"503 Busy"}, 1, ""},
		"504":       {[]string{"504 Late", "504 Late", "504 Late"}, 3, ""},
		"too often": {[]string{"502 1", "502 2", "502 3", "502 Last"}, 3, "502 Last"},
		"lost":      {[]string{hangUp, hangUp}, 2, ""},
		"403":       {[]string{"403 No"}, 0, "403 No"},
		"500":       {[]string{"500 Oops"}, 0, "500 Oops"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			s := scriptedProxy(t, func(*http.Request) string {
				i := int(n.Add(1)) - 1
				switch {
				case i >= len(test.answers):
					return "HTTP/1.1 200 OK\r\n\r\n"
				case test.answers[i] == hangUp:
					return hangUp
				}
				return "HTTP/1.1 " + test.answers[i] + "\r\nContent-Length: 0\r\n\r\n"
			})
			tr := s.transport(t, o)
			tr.Retry = soon
			conn, err := tr.DialContext(t.Context(), "tcp", "origin.example:443")
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
			} else {
				require.NoError(t, err)
				conn.Close()
			}
			require.Equal(t, test.retries, tr.Stats().Retries)
		})
	}
}

// Rejected credentials are never repeated, nor are credentials that may have
// been: some proxies hang up on them.
func TestRetryNeverCredentials(t *testing.T) {
	o := newOrigin(t)
	for name, answer := range map[string]string{"407": "", "hang up": hangUp} {
		for way, target := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				var shown atomic.Int32
				s := scriptedProxy(t, func(req *http.Request) string {
					if req.Header.Get("Proxy-Authorization") != "" {
						shown.Add(1)
						if answer != "" {
							return answer
						}
					}
					return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n"
				})
				tr := s.transport(t, o)
				tr.Retry = soon
				// A GET net/http repeats itself when a connection ends that was used before.
				_, err := post(t, tr, target, nil)
				require.Error(t, err)
				require.EqualValues(t, 1, shown.Load())
				require.Zero(t, tr.Stats().Retries)
			})
		}
	}
}

// A connection that is lost before anything of the request left is no reason to
// fail; one that is lost later may have brought the request to its origin.
func TestRetryLostConnection(t *testing.T) {
	o := newOrigin(t)
	for name, auth := range map[string]proxytest.Auth{"open": nil, "NTLM": proxytest.NTLM{}} {
		t.Run(name, func(t *testing.T) {
			config := proxytest.Config{Users: alice}
			if auth != nil {
				config.Auth = []proxytest.Auth{auth}
			}
			p := newProxy(t, config)
			tr := newTransport(t, p, o)
			tr.Retry = soon
			requireOK(t, tr, o.HTTP.URL)
			tr.CloseIdleConnections()

			var dials atomic.Int32
			tr = newTransport(t, p, o)
			tr.Retry = soon
			tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				var d net.Dialer
				c, err := d.DialContext(ctx, network, addr)
				if dials.Add(1) == 1 && err == nil {
					c = &deaf{c}
				}
				return c, err
			}
			before := len(o.bodies)
			resp, err := (&http.Client{Transport: tr}).Post(o.HTTP.URL, "text/plain", strings.NewReader("body"))
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, []string{"body"}, o.bodies[before:])
			require.EqualValues(t, 1, tr.Stats().Retries)
		})
	}
	var requests atomic.Int32
	s := scriptedProxy(t, func(*http.Request) string { requests.Add(1); return hangUp })
	tr := s.transport(t, o)
	tr.Retry = soon
	_, _, err := fetch(tr, o.HTTP.URL)
	require.Error(t, err)
	require.EqualValues(t, 1, requests.Load())
}

// deaf is a connection that the other end has reset.
type deaf struct{ net.Conn }

func (*deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
