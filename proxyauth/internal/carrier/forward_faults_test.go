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

// The dial that a probe begins ends with it. net/http goes on with others.
func TestForwardDialEnds(t *testing.T) {
	for _, test := range []struct {
		body  verdict.Body
		again bool
		want  time.Duration
	}{{verdict.Probe, false, time.Second}, {verdict.Whole, false, time.Hour}, {verdict.Whole, true, time.Second}} {
		inBubble(t, nil, func(c *Config) {
			if test.again {
				c.Again = func() func(context.Context, error) bool { return nil }
			}
		}, func(t *testing.T, b *bubble) {
			ended := make(chan time.Duration, 1)
			begin := time.Now()
			b.config.Base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				limit, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				<-limit.Done()
				ended <- time.Since(begin)
				return nil, limit.Err()
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			f := b.Forward(b.request("GET", "").WithContext(ctx))
			_, err := f.Send(Leg{Body: test.body})
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, time.Second, time.Since(begin))
			require.Equal(t, test.want, <-ended)
		})
	}
}

// Credentials of which nothing is known are written once at most. By itself net/http
// writes a request again whose connection was idle.
func TestForwardTrial(t *testing.T) {
	for _, trial := range []bool{false, true} {
		ok, lost := scripted.Page(200, ""), scripted.HangUp()
		inBubble(t, scripted.InTurn(ok, lost, ok), nil, func(t *testing.T, b *bubble) {
			send(t, b.Forward(b.request("GET", "")), Leg{}).Body.Close()
			synctest.Wait()
			f := b.Forward(b.request("GET", ""))
			reply, err := f.Send(Leg{Authorization: basic, Trial: trial})
			if !trial {
				require.NoError(t, err)
				reply.Body.Close()
				require.Len(t, b.server.Requests(), 3)
				return
			}
			require.Equal(t, &Fault{Kind: Lost, Proxy: "http://proxy.example:3128", Err: errNoAnswer, Left: true}, err)
			require.EqualError(t, err, "proxyauth: proxy http://proxy.example:3128: the proxy closed the connection without an answer")
			require.Len(t, b.server.Requests(), 2)
			f.Abort()
		})
	}
}

// Whether the header of a leg with credentials on trial has left.
func TestForwardLeft(t *testing.T) {
	for _, test := range []struct {
		trial, writes, want bool
	}{{false, false, true}, {true, false, false}, {false, true, true}, {true, true, true}} {
		inBubble(t, scripted.Always(scripted.Stall()), nil, func(t *testing.T, b *bubble) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if !test.writes {
				b.fails = func(int) error { time.Sleep(time.Minute); return io.EOF }
			}
			err := fault(t, b.Forward(b.request("GET", "").WithContext(ctx)), Leg{Authorization: basic, Trial: test.trial})
			require.Equal(t, Own, err.Kind)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.True(t, err.Timeout())
			require.Equal(t, test.want, err.Left, "%+v", test)
			time.Sleep(time.Minute)
		})
	}
}

// What failed before anything left is repeated, if Config.Again says so.
func TestForwardAgain(t *testing.T) {
	broken := &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	for name, test := range map[string]struct {
		change func(*http.Request)
		trial  bool
		times  int // that writing fails
		want   int // attempts
	}{
		"once":    {nil, false, 1, 2},
		"twice":   {nil, false, 2, 3},
		"three":   {nil, false, 3, 3},
		"trial":   {nil, true, 1, 2},
		"body":    {func(req *http.Request) { again(req, "hello") }, false, 1, 2},
		"stream":  {func(req *http.Request) {}, false, 1, 1},
		"no body": {func(req *http.Request) { req.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe } }, false, 1, 1},
	} {
		var told []string
		inBubble(t, scripted.Always(scripted.Page(200, "")), func(c *Config) {
			c.Again = func() func(context.Context, error) bool {
				left := 2
				return func(ctx context.Context, err error) bool {
					require.Equal(t, Lost, err.(*Fault).Kind)
					told = append(told, err.Error())
					left--
					return left >= 0
				}
			}
		}, func(t *testing.T, b *bubble) {
			dial := b.config.Base.DialContext
			times := 0
			b.forward.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, "proxy.example:3128")
				if times++; times <= test.times {
					conn.(*tapped).refuses = broken
				}
				return &meter{Conn: conn, traffic: b.traffic}, err
			}
			req := b.request("GET", "")
			if test.change != nil {
				req = b.request("POST", "hello")
				test.change(req)
			}
			f := b.Forward(req)
			reply, err := f.Send(Leg{Authorization: basic, Trial: test.trial})
			require.Equal(t, test.want, times, name)
			switch {
			case times > test.times:
				require.NoError(t, err, name)
				reply.Body.Close()
				if test.change != nil {
					require.True(t, strings.HasSuffix(b.wire(times), "\n\nhello"))
				}
			case name == "no body":
				require.Equal(t, &Fault{Kind: Own, Err: io.ErrClosedPipe, Left: true}, err)
			case name == "stream":
				require.Equal(t, Own, err.(*Fault).Kind, "it may be the body's")
				require.Empty(t, told)
			default:
				require.Equal(t, Lost, err.(*Fault).Kind)
				require.EqualError(t, err, "proxyauth: proxy http://proxy.example:3128: write tcp: broken pipe")
				require.Equal(t, []string{"write tcp: broken pipe", "write tcp: broken pipe", "write tcp: broken pipe"}, told)
			}
			synctest.Wait()
		})
	}
}

// What may have reached the proxy is not repeated.
func TestForwardNotAgain(t *testing.T) {
	inBubble(t, scripted.Always(scripted.HangUp()), func(c *Config) {
		c.Again = func() func(context.Context, error) bool {
			return func(context.Context, error) bool { t.Error("again"); return false }
		}
	}, func(t *testing.T, b *bubble) {
		err := fault(t, b.Forward(b.request("GET", "")), Leg{})
		require.Equal(t, Lost, err.Kind)
		require.Len(t, b.server.Requests(), 1)
	})
}

// Why there is no answer: about the proxy or about the request.
func TestForwardFaults(t *testing.T) {
	const proxy = "proxyauth: proxy http://proxy.example:3128: "
	for name, test := range map[string]struct {
		answer scripted.Answer
		kind   Kind
		text   string
	}{
		"hangs up":  {scripted.HangUp(), Lost, proxy + "EOF"},
		"malformed": {scripted.Raw("220 smtp.example\r\n\r\n"), Broken, proxy + `net/http: HTTP/1.x transport connection broken: malformed HTTP status code "smtp.example"`},
		"half":      {scripted.Raw("HTTP/1.1 200 OK\r\nA: b\r\n").Then(scripted.HangUp()), Lost, proxy + "net/http: HTTP/1.x transport connection broken: unexpected EOF"},
		"silent":    {scripted.Stall(), Broken, proxy + "net/http: timeout awaiting response headers"},
		"too long":  {scripted.Endless("HTTP/1.1 200 OK\r\nA: b\r\n"), Broken, proxy + "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 1000 bytes; aborted"},
	} {
		inBubble(t, scripted.Always(test.answer), func(c *Config) {
			c.Base.ResponseHeaderTimeout = time.Minute
			c.Base.MaxResponseHeaderBytes = 1000
		}, func(t *testing.T, b *bubble) {
			err := fault(t, b.Forward(b.request("GET", "")), Leg{})
			require.EqualError(t, err, test.text, name)
			require.Equal(t, test.kind, err.Kind, name)
			require.True(t, err.Left && !err.Pending)
		})
	}
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		b.fails = func(int) error { return io.EOF }
		for _, f := range []*Forward{b.Forward(b.request("GET", "")), b.Forward(b.request("POST", "hello"))} {
			require.Equal(t, &Fault{Kind: Unreachable, Proxy: "http://proxy.example:3128", Doing: "connecting", Err: io.EOF}, fault(t, f, Leg{}))
		}
		_, err := b.Forward(b.request("GET", "")).Open(1, AnyConnection)
		require.Equal(t, &Fault{Kind: Unreachable, Proxy: "http://proxy.example:3128", Doing: "connecting", Err: io.EOF}, err)
	})
}

// An error of net/http is about the proxy, or about the request where its body may have
// failed.
func TestKindOf(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	timeout := &net.OpError{Op: "read", Net: "tcp", Err: context.DeadlineExceeded}
	for _, test := range []struct {
		err           error
		without, with Kind // a body of its own
	}{
		{io.EOF, Lost, Lost}, // which ends a body as it should
		{io.ErrUnexpectedEOF, Lost, Own},
		{reset, Lost, Own},
		{timeout, Own, Own},
		{errors.New("no"), Own, Own},
		{&net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}, Lost, Own},
		{wrapped{"net/http: Transport failed to read from server: ", &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}}, Lost, Own},
		{errors.New("http: server closed idle connection"), Lost, Lost},
		{errors.New("net/http: timeout awaiting response headers"), Broken, Broken},
		{errors.New("net/http: server response headers exceeded 10 bytes; aborted"), Broken, Broken},
		{wrapped{"net/http: Transport failed to read from server: ", io.EOF}, Lost, Lost},
		{wrapped{"net/http: HTTP/1.x transport connection broken: ", reset}, Lost, Lost},
		{wrapped{"net/http: HTTP/1.x transport connection broken: ", errors.New("malformed")}, Broken, Broken},
		{wrapped{"net/http: HTTP/1.x transport connection broken: ", timeout}, Broken, Broken},
	} {
		require.Equal(t, test.without, kindOf(test.err, false), test.err)
		require.Equal(t, test.with, kindOf(test.err, true), test.err)
	}
}

// What net/http says of a request that cannot be written is told as it is, and whether
// something has left by then.
func TestMistake(t *testing.T) {
	const broken = "net/http: HTTP/1.x transport connection broken: "
	for _, test := range []struct {
		err             error
		mistaken, wrote bool
	}{
		{errors.New("http: ContentLength=9 with Body length 4"), true, false},
		{wrapped{broken, errors.New("http: ContentLength=9 with Body length 4")}, true, true},
		{wrapped{broken, wrapped{"write error: ", errors.New("invalid Trailer key \"Trailer\"")}}, true, true},
		{wrapped{broken, errors.New("malformed HTTP response")}, false, true},
		{io.EOF, false, false},
	} {
		mistaken, wrote := mistake(test.err)
		require.Equal(t, test.mistaken, mistaken, test.err)
		require.Equal(t, test.wrote, wrote, test.err)
	}
}

type wrapped struct {
	text string
	err  error
}

func (w wrapped) Error() string { return w.text + w.err.Error() }
func (w wrapped) Unwrap() error { return w.err }
