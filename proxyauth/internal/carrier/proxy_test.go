package carrier

import (
	"context"
	"io"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A proxy that is not reached is dialed again as often as Config.Again says, which is
// asked for each dial anew.
func TestDialAgain(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(*Config)
		want int
	}{
		"never":  {nil, 1},
		"none":   {func(c *Config) { c.Again = func() func(context.Context, error) bool { return nil } }, 1},
		"thrice": {func(c *Config) { c.Again = times(3) }, 4},
	} {
		inBubble(t, nil, test.set, func(t *testing.T, b *bubble) {
			b.fails = func(int) error { return io.EOF }
			for i := range 2 {
				_, err := b.dialAgain(t.Context(), nil)
				require.Equal(t, &Fault{Kind: Unreachable, Proxy: "http://proxy.example:3128", Doing: "connecting", Err: io.EOF}, err)
				require.Equal(t, (i+1)*test.want, b.connections(), name)
			}
		})
	}
	inBubble(t, scripted.Always(scripted.Page(200, "")), func(c *Config) { c.Again = times(1) }, func(t *testing.T, b *bubble) {
		b.fails = func(number int) error {
			if number%2 == 1 {
				return io.EOF
			}
			return nil
		}
		reply := send(t, b.Forward(b.request("GET", "")), Leg{})
		reply.Body.Close()
		b.authenticate(1)
		require.Equal(t, 4, b.connections())
	})
}

// times returns a Config.Again for so many attempts more, one a second.
func times(n int) func() func(context.Context, error) bool {
	return func() func(context.Context, error) bool {
		left := n
		return func(ctx context.Context, err error) bool {
			left--
			time.Sleep(time.Second)
			return left >= 0 && ctx.Err() == nil
		}
	}
}

// A dial by a request that is marked ends with that.
func TestDialAgainEnds(t *testing.T) {
	inBubble(t, nil, func(c *Config) { c.Again = times(100) }, func(t *testing.T, b *bubble) {
		b.fails = func(int) error { return io.EOF }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second-1)
		defer cancel()
		req := Marked(b.request("GET", "").WithContext(ctx))
		begin := time.Now()
		_, err := b.dialAgain(context.WithoutCancel(req.Context()), nil)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 10*time.Second, time.Since(begin))
	})
}

// The handshake with an https:// proxy is told to who asks for a connection of a pool.
func TestPinnedTrace(t *testing.T) {
	server, client := certified(t, nil)
	now := time.Now()
	client.Time = func() time.Time { return now }
	bubbleBy(t, scripted.Config{TLS: server, Script: scripted.Always(scripted.Page(200, ""))}, func(c *Config) {
		c.TLS = TLSConfig(client, nil)
	}, func(t *testing.T, b *bubble) {
		started := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{TLSHandshakeStart: func() { started++ }})
		f := b.Forward(b.request("GET", "").WithContext(ctx))
		took(t, f, 1, AnyConnection)
		require.Equal(t, 1, started)
		reply := send(t, f, Leg{})
		b.finish(f, reply)
		require.NotNil(t, reply.TLS)
	})
}
