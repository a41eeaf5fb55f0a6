package carrier

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A connection that ends with a leg was dead before, if it had been used before and the
// request may be sent again.
func TestPinnedDied(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		change func(*http.Request)
		trial  bool
		fresh  bool
		says   string
		want   Kind
	}{
		"GET":               {"GET", nil, false, false, "", Died},
		"no method":         {"", nil, false, false, "", Died},
		"HEAD":              {"HEAD", nil, false, false, "", Died},
		"OPTIONS":           {"OPTIONS", nil, false, false, "", Died},
		"TRACE":             {"TRACE", nil, false, false, "", Died},
		"POST":              {"POST", nil, false, false, "", Lost},
		"Idempotency-Key":   {"POST", func(req *http.Request) { req.Header["Idempotency-Key"] = nil }, false, false, "", Died},
		"X-Idempotency-Key": {"POST", func(req *http.Request) { req.Header["X-Idempotency-Key"] = nil }, false, false, "", Died},
		"again": {"PUT", func(req *http.Request) {
			req.ContentLength = 5
			req.Body = io.NopCloser(strings.NewReader("hello"))
			again(req, "hello")
		}, false, false, "", Lost},
		"stream": {"OPTIONS", func(req *http.Request) { req.ContentLength = 5; req.Body = io.NopCloser(strings.NewReader("hello")) },
			false, false, "", Lost},
		"trial":          {"GET", nil, true, false, "", Lost},
		"new":            {"GET", nil, false, true, "", Lost},
		"half an answer": {"GET", nil, false, false, "HTTP/1.1 200 OK\r\nA: b\r\n", Lost},
	} {
		script := scripted.InTurn(scripted.Page(200, ""), scripted.Raw(test.says).Then(scripted.HangUp()))
		inBubble(t, script, nil, func(t *testing.T, b *bubble) {
			b.authenticate(1)
			req := b.request(test.method, "")
			if test.change != nil {
				test.change(req)
			}
			f := b.Forward(req)
			want := Authenticated
			if test.fresh {
				want = NewConnection
			}
			took(t, f, 1, want)
			err := fault(t, f, Leg{Trial: test.trial})
			require.Equal(t, test.want, err.Kind, "%s: %v", name, err)
			require.True(t, err.Left)
			if test.want == Died {
				require.EqualError(t, err, "the connection had ended before")
			} else {
				require.Contains(t, err.Error(), "proxyauth: proxy http://proxy.example:3128: ")
			}
			require.Nil(t, f.conn)
			f.Abort()
		})
	}
}

// What failed before anything left died as well, on whatever connection, if Config.Again
// says so.
func TestPinnedAgain(t *testing.T) {
	broken := &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	for name, test := range map[string]struct {
		method, body string
		again        bool
		begun        bool // the body
		want         Kind
	}{
		"again":     {"POST", "", true, false, Died},
		"not again": {"POST", "", false, false, Lost},
		"with body": {"POST", "hello", true, false, Died},
		"begun":     {"DELETE", "hello", true, true, Lost}, // net/http looks first whether there is any
	} {
		asked := 0
		inBubble(t, scripted.Always(scripted.Page(200, "")), func(c *Config) {
			c.Again = func() func(context.Context, error) bool {
				return func(_ context.Context, err error) bool {
					asked++
					require.Equal(t, &Fault{Kind: Lost, Err: err.(*Fault).Err}, err)
					require.ErrorIs(t, err, syscall.EPIPE)
					return test.again
				}
			}
		}, func(t *testing.T, b *bubble) {
			req := b.request(test.method, test.body)
			if test.body != "" {
				again(req, test.body)
				req.ContentLength = -1
			}
			f := b.Forward(req)
			took(t, f, 1, AnyConnection)
			b.conns[0].refuses = broken
			err := fault(t, f, Leg{})
			require.Equal(t, test.want, err.Kind, name)
			require.Equal(t, !test.begun, asked == 1, name)
			require.False(t, err.Left)
			f.Abort()
		})
	}
}

// The proxy's end of a connection is told as such even in the middle of a body, unless
// that has failed itself.
func TestPinnedStreamFails(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for name, test := range map[string]struct {
		body io.Reader
		leg  Leg
		want Kind
	}{
		"the connection": {strings.NewReader("hello"), Leg{}, Lost},
		"on a probe":     {strings.NewReader("hello"), Leg{Body: verdict.Probe}, Lost},
		"its own":        {failing{reset}, Leg{}, Own},
	} {
		inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
			req := b.request("POST", "hello")
			body := &closing{Reader: test.body}
			req.Body, req.ContentLength = body, -1
			f := b.Forward(req)
			took(t, f, 1, AnyConnection)
			if test.want == Lost {
				b.conns[0].refuses = &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
			}
			err := fault(t, f, test.leg)
			require.Equal(t, test.want, err.Kind, name)
			if test.want == Lost {
				require.EqualError(t, err, "proxyauth: proxy http://proxy.example:3128: write tcp: broken pipe", name)
			} else {
				require.Equal(t, reset, err.Err)
			}
			f.Abort()
			synctest.Wait()
			require.Equal(t, 1, body.closed, name)
		})
	}
}

type failing struct{ err error }

// A leg ends with the request, and its connection with it.
func TestPinnedEnds(t *testing.T) {
	inBubble(t, scripted.InTurn(scripted.Page(200, ""), scripted.Stall()), nil, func(t *testing.T, b *bubble) {
		b.authenticate(1)
		ctx, cancel := context.WithCancel(t.Context())
		f := b.Forward(b.request("GET", "").WithContext(ctx))
		took(t, f, 1, Authenticated)
		time.AfterFunc(time.Second, cancel)
		require.Equal(t, &Fault{Kind: Own, Err: context.Canceled, Left: true}, fault(t, f, Leg{}))
		_, err := b.conns[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Nil(t, took(t, f, 1, Authenticated))
	})
	// A request that cannot be sent says nothing about the connection.
	inBubble(t, scripted.Always(scripted.Page(200, "")), func(c *Config) {
		c.Again = func() func(context.Context, error) bool {
			return func(_ context.Context, err error) bool { return errors.Is(err, io.EOF) }
		}
	}, func(t *testing.T, b *bubble) {
		b.authenticate(1)
		f := b.Forward(b.request("GET", ""))
		took(t, f, 1, Authenticated)
		err := fault(t, f, Leg{Authorization: []string{"Basic \n"}})
		require.Equal(t, Own, err.Kind)
		require.ErrorContains(t, err, "invalid header")
		require.False(t, err.Left)
	})
}

// A dial by a pool is told as by net/http, and ends with its request.
func TestPinnedDial(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		b.config.Base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := b.Forward(b.request("GET", "").WithContext(ctx)).Open(1, AnyConnection)
		require.Equal(t, time.Second, time.Since(begin))
		require.EqualError(t, err, "proxyauth: proxy http://proxy.example:3128: connecting: context deadline exceeded")
	})
}
