package proxyauth_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A fragileConn ends as one does whose packets a firewall has begun to drop: it
// shows in the next write only.
type fragileConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c *fragileConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.Conn.Write(p)
}

// fillPool makes n requests at the same time, for as many connections.
func fillPool(t *testing.T, n int, tr http.RoundTripper, o *origin) {
	requireOK(t, tr, o.HTTP.URL) // or they would wait for the first
	var together sync.WaitGroup
	together.Add(n)
	o.mu.Lock()
	o.handler = func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait()
		io.WriteString(w, "origin")
	}
	o.mu.Unlock()
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			_, _, err := fetch(tr, o.HTTP.URL)
			assert.NoError(t, err)
		})
	}
	done.Wait()
	o.mu.Lock()
	o.handler = nil
	o.mu.Unlock()
}

// However many pooled connections have ended, or were forgotten by the proxy, a
// request gets through on a new one.
func TestPoolOfDeadConnections(t *testing.T) {
	const many = 15 // more than the legs that a request may take
	t.Run("ended", func(t *testing.T) {
		o := newOrigin(t)
		p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
		tr := newTransport(t, p, o)
		broken := new(atomic.Bool)
		var mu sync.Mutex
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			mu.Lock()
			defer mu.Unlock()
			return &fragileConn{c, broken}, err
		}
		fillPool(t, many, tr, o)
		broken.Store(true)
		mu.Lock()
		broken = new(atomic.Bool)
		mu.Unlock()
		p.Reset()
		requireOK(t, tr, o.HTTP.URL)
		require.Len(t, messages(p), 1)
	})
	t.Run("forgotten", func(t *testing.T) {
		o := newOrigin(t)
		p := newProxy(t, proxytest.Config{
			Auth: []proxytest.Auth{proxytest.NTLM{RechallengeAfter: 1}}, Users: alice, Behaviour: proxytest.Behaviour{CloseAfter407: true},
		})
		tr := newTransport(t, p, o)
		fillPool(t, many, tr, o)
		fillPool(t, many, tr, o)
		p.Reset()
		requireOK(t, tr, o.HTTP.URL)
		require.LessOrEqual(t, len(messages(p)), 2, "those that are left are not tried one by one")
	})
}
