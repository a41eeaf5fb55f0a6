package carrier

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// Why there is no answer.
func TestTunnelFaults(t *testing.T) {
	const about = "proxyauth: proxy http://proxy.example:3128: CONNECT origin.example:443: "
	long := "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 1000)
	for name, test := range map[string]struct {
		answer scripted.Answer
		kind   Kind
		text   string
	}{
		"hangs up":       {scripted.HangUp(), Lost, "the proxy closed the connection without an answer: unexpected EOF"},
		"half an answer": {scripted.Raw("HTTP/1.1 200 OK\r\n").Then(scripted.HangUp()), Lost, "the proxy closed the connection without an answer: EOF"},
		"reset":          {scripted.Reset(), Lost, "read tcp 127.0.0.1:9999->proxy.example:3128: read: connection reset by peer"},
		"malformed":      {scripted.Raw("220 smtp.example\r\n"), Broken, `malformed HTTP status code "smtp.example"`},
		"switches":       {scripted.Raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Broken, "the proxy answered 101 Switching Protocols"},
		"too long":       {scripted.Raw(long), Broken, "the answer's header is longer than 1000 bytes"},
		"hints too long": {scripted.Endless("HTTP/1.1 103 Early Hints\r\n\r\n"), Broken, "the answer's header is longer than 1000 bytes"},
		"silent":         {scripted.Stall(), Broken, "context deadline exceeded"},
	} {
		inBubble(t, scripted.Always(test.answer), func(c *Config) { c.Base.MaxResponseHeaderBytes = 1000 }, func(t *testing.T, b *bubble) {
			tunnel := b.Tunnel(t.Context(), "origin.example:443", true, nil)
			took(t, tunnel, nil, AnyConnection)
			begin := time.Now()
			err := fault(t, tunnel, Leg{})
			require.Equal(t, test.kind, err.Kind, name)
			require.EqualError(t, err, about+strings.Replace(test.text, "127.0.0.1:9999", b.conns[0].LocalAddr().String(), 1))
			require.True(t, err.Left && !err.Pending)
			require.Equal(t, name == "silent", err.Timeout())
			if name == "silent" {
				require.Equal(t, connectTimeout, time.Since(begin))
			}
			_, closed := b.conns[0].Read(make([]byte, 1))
			require.ErrorIs(t, closed, net.ErrClosed)
			fault(t, tunnel, Leg{})
			require.Equal(t, 2, b.connections(), "the connection that was opened is gone")
		})
	}
	// The proxy is not reached.
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		b.fails = func(int) error { return io.EOF }
		tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
		require.Equal(t, &Fault{Kind: Unreachable, Proxy: "http://proxy.example:3128", Doing: "connecting", Err: io.EOF}, fault(t, tunnel, Leg{}))
		_, err := tunnel.Open(nil, AnyConnection)
		require.Equal(t, Unreachable, err.(*Fault).Kind)
	})
}

// An answer's header may have any length up to the limit, which counts 1xx as well, and
// does not count what follows.
func TestTunnelHeaderLimit(t *testing.T) {
	head := "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 407 No\r\nContent-Length: 300000\r\nA: "
	for limit, longest := range map[int]int{0: maxConnectHeader, 1000: 1000} {
		for _, more := range []int{0, 1} {
			text := head + strings.Repeat("x", longest+more-len(head)-4) + "\r\n\r\n" + strings.Repeat("y", 300_000)
			inBubble(t, scripted.Always(scripted.Raw(text)), func(c *Config) { c.Base.MaxResponseHeaderBytes = int64(limit) }, func(t *testing.T, b *bubble) {
				tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
				defer tunnel.Close()
				reply, err := tunnel.Send(Leg{})
				if more == 1 {
					require.ErrorContains(t, err, "the answer's header is longer than ")
					return
				}
				require.NoError(t, err)
				require.Len(t, page(t, reply.Response), 300_000)
			})
		}
	}
}

// A CONNECT ends with its context, and the error is why.
func TestTunnelEnds(t *testing.T) {
	why := errors.New("why")
	for _, late := range []func(Reply, error){nil, func(Reply, error) {}} {
		inBubble(t, scripted.Always(scripted.Stall()), nil, func(t *testing.T, b *bubble) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(why) })
			begin := time.Now()
			tunnel := b.Tunnel(ctx, "origin.example:443", false, nil)
			err := fault(t, tunnel, Leg{Late: late})
			require.Equal(t, time.Second, time.Since(begin))
			require.Equal(t, &Fault{
				Kind: Broken, Proxy: "http://proxy.example:3128", Doing: "CONNECT origin.example:443", Err: why, Left: true, Pending: late != nil,
			}, err)
			tunnel.Close()
		})
	}
	// It may be about another proxy, which was not reached.
	inBubble(t, scripted.Always(scripted.Stall()), nil, func(t *testing.T, b *bubble) {
		ctx, cancel := context.WithCancelCause(t.Context())
		far := &Fault{Kind: Unreachable, Err: io.EOF}
		time.AfterFunc(time.Second, func() { cancel(far) })
		require.False(t, fault(t, b.Tunnel(ctx, "origin.example:443", false, nil), Leg{}).Left)
	})
	// An answer that comes together with the end is none.
	inBubble(t, scripted.Always(scripted.Page(407, "")), nil, func(t *testing.T, b *bubble) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		tunnel := b.Tunnel(ctx, "origin.example:443", false, nil)
		tunnel.line, tunnel.opened = &line{conn: answered{}}, true
		require.Equal(t, why, fault(t, tunnel, Leg{}).Err)
	})
}

// An answered connection has the answer already, and no deadline.
type answered struct{ net.Conn }

// The answer to a leg whose caller has given up goes to Late, if it comes within a
// minute.
func TestTunnelLate(t *testing.T) {
	for name, test := range map[string]struct {
		answer scripted.Answer
		took   time.Duration
		text   string // of the error; "": there is an answer
		kind   Kind
	}{
		"denial":   {scripted.After(30*time.Second, scripted.Page(407, "")), 30 * time.Second, "", 0},
		"hangs up": {scripted.After(59*time.Second, scripted.HangUp()), 59 * time.Second, "the proxy closed the connection without an answer: unexpected EOF", Lost},
		"silent":   {scripted.Stall(), time.Minute, "i/o timeout", Broken},
	} {
		inBubble(t, scripted.Always(test.answer), nil, func(t *testing.T, b *bubble) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			type late struct {
				Reply
				err error
			}
			came := make(chan late, 1)
			tunnel := b.Tunnel(ctx, "origin.example:443", false, nil)
			begin := time.Now()
			b.traffic.lost.Add(1) // meanwhile
			require.True(t, fault(t, tunnel, Leg{Authorization: basic, Trial: true, Late: func(r Reply, err error) { came <- late{r, err} }}).Pending)
			require.Equal(t, time.Second, time.Since(begin))
			tunnel.Close()
			got := <-came
			require.Equal(t, test.took, time.Since(begin), name)
			if test.text == "" {
				require.NoError(t, got.err)
				require.Equal(t, 407, got.StatusCode)
				require.True(t, got.Twice)
			} else {
				err := got.err.(*Fault)
				require.Contains(t, err.Error(), test.text)
				require.NotContains(t, err.Error(), "proxyauth: ")
				require.Equal(t, test.kind, err.Kind)
				require.True(t, err.Left)
			}
			synctest.Wait()
			_, closed := b.conns[0].Read(make([]byte, 1))
			require.ErrorIs(t, closed, net.ErrClosed)
		})
	}
}

// An answer in time does not go to Late, and the connection has no deadline left.
func TestTunnelNotLate(t *testing.T) {
	script := scripted.InTurn(scripted.Page(407, "no"), scripted.HangUp(), scripted.PassWith(""))
	inBubble(t, script, nil, func(t *testing.T, b *bubble) {
		leg := Leg{Authorization: basic, Late: func(Reply, error) { t.Error("late") }}
		tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
		took(t, tunnel, nil, AnyConnection)
		reply := send(t, tunnel, leg)
		require.NoError(t, tunnel.Keep(reply.Response))
		err := fault(t, tunnel, leg)
		require.True(t, err.Kind == Lost && err.Left && !err.Pending)
		send(t, tunnel, leg)
		time.AfterFunc(time.Hour, func() { io.WriteString(tunnel.Conn(), "x"); b.conns[1].CloseWrite() })
		n, readErr := tunnel.Conn().Read(make([]byte, 1))
		require.Zero(t, n)
		require.Equal(t, io.EOF, readErr)
		tunnel.Close()
	})
}
