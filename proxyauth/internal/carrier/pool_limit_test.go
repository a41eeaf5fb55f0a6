package carrier

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// At the limit requests wait, and the first of them gets what comes free: a
// connection, or the place of one that has ended, or that could not be dialed.
func TestPoolLimit(t *testing.T) {
	withPool(t, poolConfig{MaxConns: 2, MaxIdle: 2}, func(t *testing.T, p *pooled) {
		a, b := p.get(p.Get), p.get(p.Get)
		var names []string
		var got []*pinned
		wait := func(name string) {
			go func() {
				c, err := p.Get(p.request(t.Context()))
				require.NoError(t, err)
				names, got = append(names, name), append(got, c)
				p.begin(c)
			}()
			synctest.Wait()
		}
		wait("first")
		wait("second")
		wait("third")
		require.Empty(t, got)
		p.use(a)
		require.Equal(t, []string{"first", "second", "third"}, names)
		require.Equal(t, []*pinned{a, a, a}, got)
		p.requireConnections(2)

		require.Same(t, a, p.get(p.Get))
		wait("fourth")
		wait("fifth")
		b.Close()
		p.requireConnections(3)
		require.Equal(t, []string{"fourth", "fifth"}, names[3:])
		require.NotSame(t, a, got[3])
		require.Same(t, got[3], got[4])
		require.Same(t, got[3], p.get(p.Get))
		_, err := p.Get(p.request(expired(t)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		a.Close()
		got[3].Close()

		p.fails = errors.New("no way")
		for range 5 {
			_, err := p.Get(p.request(t.Context()))
			require.ErrorIs(t, err, p.fails)
			_, err = p.GetNew(p.request(t.Context()))
			require.ErrorIs(t, err, p.fails)
		}
	})
}

// expired returns a context that ends soon.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Where all places are taken, a new connection takes that of an idle one.
func TestPoolGetNewAtLimit(t *testing.T) {
	withPool(t, poolConfig{MaxConns: 2, MaxIdle: 2}, func(t *testing.T, p *pooled) {
		a := p.get(p.Get)
		p.use(a)
		b := p.get(p.GetNew)
		require.NotSame(t, a, b)
		require.True(t, open(a), "there was a place")
		c := p.get(p.GetNew)
		require.False(t, open(a))
		p.requireConnections(3)
		_, err := p.GetNew(p.request(expired(t)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.use(b)
		c.Close()
		p.fails = errors.New("no way")
		require.Same(t, b, p.get(p.Get))
		_, err = p.GetNew(p.request(t.Context()))
		require.ErrorIs(t, err, p.fails)
		b.Close()
	})
}

// Who gives up waiting leaves the queue.
func TestPoolGivesUp(t *testing.T) {
	why := errors.New("why")
	withPool(t, poolConfig{MaxConns: 1, MaxIdle: 1}, func(t *testing.T, p *pooled) {
		c := p.get(p.Get)
		ctx, cancel := context.WithCancelCause(t.Context())
		canceled := make(chan struct{})
		byContext, byCancel := p.request(ctx), p.request(t.Context())
		byCancel.Cancel = canceled //lint:ignore SA1019 that is tested
		ended := make(chan error)
		for _, req := range []*http.Request{byContext, byCancel} {
			go func() {
				_, err := p.Get(req)
				ended <- err
			}()
			synctest.Wait()
		}
		cancel(why)
		require.Equal(t, why, <-ended)
		close(canceled)
		require.Equal(t, ErrCanceled, <-ended)
		c.Close()
		p.get(p.Get).Close()
	})
}

// R44: a connection that is handed to who waits for it was not idle, as with net/http.
func TestPoolHandsOver(t *testing.T) {
	withPool(t, poolConfig{MaxConns: 1, MaxIdle: 1}, func(t *testing.T, p *pooled) {
		p.use(p.get(p.Get)) // which makes it idle for once
		c := p.get(p.Get)
		var got httptrace.GotConnInfo
		waiting := p.request(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { got = info }}))
		done := make(chan *pinned)
		go func() {
			c, err := p.Get(waiting)
			require.NoError(t, err)
			done <- c
		}()
		synctest.Wait()
		p.use(c)
		(<-done).Close()
		require.True(t, got.Reused)
		require.False(t, got.WasIdle)
	})
}

// A meanwhile is a context that ends when it is asked for its end, and at the same
// time something happens.
type meanwhile struct {
	context.Context
	happens func()
}

func (m meanwhile) Done() <-chan struct{} {
	m.happens()
	ended := make(chan struct{})
	close(ended)
	return ended
}

func (meanwhile) Err() error { return context.Canceled }

// What is handed to who gives up at the same time, a connection or a place, is not
// lost.
func TestPoolGivesUpTooLate(t *testing.T) {
	for range 20 { // chance decides what is noticed first
		withPool(t, poolConfig{MaxConns: 1, MaxIdle: 1}, func(t *testing.T, p *pooled) {
			end := func(happens func(*pinned)) {
				c := p.get(p.Get)
				p.leg(c)
				synctest.Wait()
				ctx := meanwhile{context.Background(), sync.OnceFunc(func() { happens(c) })}
				if got, err := p.Get(p.request(ctx)); err == nil {
					got.Finish()
				} else {
					require.ErrorIs(t, err, context.Canceled)
				}
			}
			end((*pinned).Finish)
			c := p.get(p.Get)
			p.requireConnections(1)
			p.use(c)
			end((*pinned).Close)
			p.get(p.Get).Close()
		})
	}
}
