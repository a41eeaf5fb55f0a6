package carrier

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"testing"

	"github.com/stretchr/testify/require"
)

// R44: a context without its trace is as before otherwise, and a dial with it calls no
// hook.
func TestUntraced(t *testing.T) {
	type key struct{}
	bare := context.WithValue(t.Context(), key{}, "value")
	require.Equal(t, bare, Untraced(bare))

	hooks := 0
	trace := &httptrace.ClientTrace{
		GetConn:      func(string) { hooks++ },
		ConnectStart: func(string, string) { hooks++ },
		ConnectDone:  func(string, string, error) { hooks++ },
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(bare)
	ctx = Untraced(httptrace.WithClientTrace(ctx, trace))
	require.Nil(t, httptrace.ContextClientTrace(ctx))
	require.Equal(t, "value", ctx.Value(key{}))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var d net.Dialer
	dial := func(ctx context.Context) {
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		require.NoError(t, err)
		c.Close()
	}
	dial(ctx)
	require.Zero(t, hooks)
	dial(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectStart: func(string, string) { hooks++ }}))
	require.Equal(t, 1, hooks, "another trace on top")

	below, stop := context.WithCancel(ctx)
	defer stop()
	cancel(cause)
	<-below.Done()
	require.Equal(t, cause, context.Cause(below))
}
