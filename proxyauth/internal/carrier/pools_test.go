package carrier

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// idle reports whether an owner has an idle connection, and uses it.
func (b *bubble) idle(owner any) bool {
	b.t.Helper()
	f := b.Forward(b.request("GET", ""))
	if took(b.t, f, owner, Authenticated) == nil {
		return false
	}
	b.finish(f, send(b.t, f, Leg{}))
	return true
}

// Idle connections are closed for one owner or for all.
func TestCloseIdle(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		b.authenticate("alice")
		b.authenticate("bob")
		b.CloseIdleOf("alice")
		b.CloseIdleOf("nobody")
		require.False(t, b.idle("alice"))
		require.True(t, b.idle("bob"))
		_, err := b.conns[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		b.authenticate("alice")
		require.True(t, b.idle("alice"))
		b.CloseIdleConnections()
		require.False(t, b.idle("alice") || b.idle("bob"))
	})
}

// The connections of an owner that is out of use are closed, and none is kept from then
// on, whenever it was taken.
func TestRetire(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		b.authenticate("alice")
		b.authenticate("bob")
		used := b.Forward(b.request("GET", ""))
		took(t, used, "alice", NewConnection)
		for range 2 {
			b.Retire("alice")
		}
		b.Retire("carol") // who has none yet
		require.False(t, b.idle("alice"))
		_, err := b.conns[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		b.finish(used, send(t, used, Leg{}))
		require.False(t, b.idle("alice"))
		b.authenticate("alice")
		b.authenticate("carol")
		require.False(t, b.idle("alice") || b.idle("carol"))
		require.True(t, b.idle("bob"))
	})
}

// Who waits for a connection of an owner that goes out of use is told so.
func TestRetireWaiting(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), func(c *Config) { c.Base.MaxConnsPerHost = 1 }, func(t *testing.T, b *bubble) {
		used := b.Forward(b.request("GET", ""))
		took(t, used, "alice", AnyConnection)
		ended := make(chan error)
		go func() {
			_, err := b.Forward(b.request("GET", "")).Open("alice", AnyConnection)
			ended <- err
		}()
		synctest.Wait()
		b.Retire("alice")
		require.Equal(t, &Fault{Kind: Moved, Err: errRetired}, <-ended)
		used.Drop()

		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		took(t, used, "bob", AnyConnection)
		time.AfterFunc(time.Second, func() { cancel(why) })
		_, err := b.Forward(b.request("GET", "").WithContext(ctx)).Open("bob", AnyConnection)
		require.Equal(t, &Fault{Kind: Own, Err: why}, err)
		used.Drop()
	})
}

// Idle connections end as Base says, and are as many as Config says.
func TestPoolsAsConfigured(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), func(c *Config) { c.Base.IdleConnTimeout, c.MaxIdle = time.Minute, 1 }, func(t *testing.T, b *bubble) {
		b.authenticate(1)
		b.authenticate(1)
		time.Sleep(59 * time.Second)
		b.CloseIdleOf(2)
		require.True(t, b.idle(1))
		_, err := b.conns[1].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		time.Sleep(61 * time.Second)
		require.False(t, b.idle(1))
	})
}

// However many owners come and go, the memory of those without connections is bounded.
func TestPoolsForget(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		b.authenticate("alice")
		for owner := range 10 * maxRetired {
			took(t, b.Forward(b.request("GET", "")), owner, Authenticated)
		}
		require.Len(t, b.pools.byOwner, 2, "alice and the last one")
		require.True(t, b.idle("alice"))
		for owner := range 10 * maxRetired {
			b.Retire(owner)
		}
		b.authenticate(10*maxRetired - 1)
		b.authenticate(9 * maxRetired)
		b.authenticate(9*maxRetired - 1) // forgotten
		require.False(t, b.idle(10*maxRetired-1) || b.idle(9*maxRetired))
		require.True(t, b.idle(9*maxRetired-1))
		require.True(t, b.idle("alice"))
		require.Len(t, b.pools.retired, maxRetired)
		require.Len(t, b.pools.byOwner, maxRetired+2)
	})
}

// A pool that goes while somebody is about to use it keeps nothing.
func TestPoolsForgetInUse(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		p := b.pools.of("alice")
		b.pools.of("bob")
		f := b.Forward(b.request("GET", ""))
		conn, err := p.Get(f.req)
		require.NoError(t, err)
		f.conn = conn
		b.finish(f, send(t, f, Leg{}))
		require.Error(t, conn.Client.Err())
	})
}
