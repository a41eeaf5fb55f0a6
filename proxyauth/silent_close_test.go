package proxyauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A mortal connection can be gone when the next request is written to it, as one that the
// proxy has closed while it was idle, and of whose end nobody has heard yet.
type mortal struct {
	net.Conn
	refuses error // what a write to it says; nil: it takes the bytes, and io.EOF is read
	gone    atomic.Bool
	once    sync.Once
	end     chan struct{}
}

func (c *mortal) Write(p []byte) (int, error) {
	if !c.gone.Load() {
		return c.Conn.Write(p)
	}
	if c.refuses != nil {
		return 0, c.refuses
	}
	c.once.Do(func() { close(c.end); c.Conn.SetReadDeadline(time.Unix(1, 0)) })
	return len(p), nil
}

func (c *mortal) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.end:
		return 0, io.EOF
	default:
		return n, err
	}
}

func (c *mortal) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// R30: on a kept connection that ends without an answer net/http repeats a request only if
// nothing was written and the body can be had again, or if the request is idempotent, by its
// method or the header Idempotency-Key (Transport's documentation). The same holds for
// authenticated connections, with and without Transport.Retry; a POST that may have reached
// its origin is never repeated. The error names the proxy, and what helps.
func TestSilentClose(t *testing.T) {
	stream := func(req *http.Request) { req.GetBody = nil }
	key := func(req *http.Request) { req.Header["Idempotency-Key"] = nil } // which net/http does not send
	broken := &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	for _, test := range []struct {
		name           string
		method         string
		change         func(*http.Request)
		lost, refusing bool // passes where bytes were written, and where none were
	}{
		{"GET", "GET", nil, true, true},
		{"POST", "POST", nil, false, true},
		{"POST of a stream", "POST", stream, false, false},
		{"POST with a key", "POST", key, true, true},
		{"POST of a stream with a key", "POST", func(req *http.Request) { stream(req); key(req) }, false, false},
	} {
		for scheme, auth := range map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
			for _, way := range ways {
				for _, retry := range []*proxyauth.RetryPolicy{nil, {}} {
					for _, refuses := range []error{nil, broken} {
						inBubble(t, func(t *testing.T, w *world) {
							what := []any{"%s, %s, %s, retry %v, %v", test.name, scheme, way, retry != nil, refuses}
							p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
							tr := w.newTransport(p)
							tr.Retry = retry
							var mu sync.Mutex
							var conns []*mortal
							tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
								conn, err := w.dial(ctx, network, addr)
								if err != nil {
									return nil, err
								}
								mu.Lock()
								defer mu.Unlock()
								conns = append(conns, &mortal{Conn: conn, refuses: refuses, end: make(chan struct{})})
								return conns[len(conns)-1], nil
							}
							tr.Base.ForceAttemptHTTP2 = false
							tr.Base.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
							target := w.ways()[way]
							requireOK(t, tr, target)
							requireOK(t, tr, target)
							before := len(w.bodies)
							mu.Lock()
							for _, c := range conns {
								c.gone.Store(true)
							}
							mu.Unlock()

							req, err := http.NewRequest(test.method, target, strings.NewReader("body"))
							require.NoError(t, err)
							if test.method == "GET" {
								req, err = http.NewRequest(test.method, target, nil)
								require.NoError(t, err)
							}
							if test.change != nil {
								test.change(req)
							}
							resp, err := tr.RoundTrip(req)
							passes := test.lost
							if refuses != nil {
								passes = test.refusing
							}
							if passes {
								require.NoError(t, err, what...)
								resp.Body.Close()
								require.Len(t, w.bodies, before+1, what...)
							} else {
								require.Error(t, err, what...)
								require.Len(t, w.bodies, before, what...)
								if way == "forward" && refuses == nil {
									require.ErrorIs(t, err, io.EOF, what...)
									require.ErrorContains(t, err, "proxyauth: proxy "+p.URL.String()+": ", what...)
									require.ErrorContains(t, err, "Base.IdleConnTimeout", what...)
									require.ErrorContains(t, err, "Idempotency-Key", what...)
								}
							}
							require.Zero(t, tr.Stats().Rejections, what...)
							require.False(t, errors.Is(err, proxyauth.ErrHeld), what...)
							requireOK(t, tr, target)
						})
					}
				}
			}
		}
	}
}
