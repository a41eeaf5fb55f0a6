package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A pooled is a pool with a proxy that answers each request with "hello".
type pooled struct {
	*pool
	t     *testing.T
	proxy *scripted.Proxy
	fails error // of a dial; nil: it does not
}

// withPool runs f in a bubble with a pool.
func withPool(t *testing.T, config poolConfig, f func(t *testing.T, p *pooled)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		p := &pooled{t: t}
		p.proxy = scripted.New(scripted.Config{Listener: n.Listen("proxy.example:3128"), Script: scripted.Always(scripted.Page(200, "hello"))})
		defer p.proxy.Close()
		config.URL = p.proxy.URL()
		config.Transport = &http.Transport{Proxy: http.ProxyURL(config.URL), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if p.fails != nil {
				return nil, p.fails
			}
			conn, err := n.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return filled(ctx, conn), nil
		}}
		p.pool = newPool(config, nil, new(sync.Mutex))
		f(t, p)
		p.closeIdle()
		synctest.Wait()
	})
}

func (p *pooled) closeIdle() {
	p.mu.Lock()
	idle := p.clear()
	p.mu.Unlock()
	closeAll(idle)
}

func (p *pooled) end() {
	p.mu.Lock()
	idle := p.clear()
	p.retire()
	p.mu.Unlock()
	closeAll(idle)
}

func (p *pooled) request(ctx context.Context) *http.Request {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://origin.example/", nil)
	require.NoError(p.t, err)
	return req
}

// get takes a connection when all is at rest, and fails the test if it has to wait.
func (p *pooled) get(get func(*http.Request) (*pinned, error)) *pinned {
	p.t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Millisecond)
	defer cancel()
	c, err := get(p.request(ctx))
	require.NoError(p.t, err)
	return c
}

// getIdle is GetIdle as get calls it.
func (p *pooled) getIdle(req *http.Request) (*pinned, error) { return p.GetIdle(req), nil }

// send makes a request on a connection, which that authenticates.
func (p *pooled) send(c *pinned) (*http.Response, error) {
	resp, err := c.Client.RoundTrip(p.request(p.t.Context()))
	c.Authenticated = err == nil
	return resp, err
}

// use makes a request on a connection and gives it back.
func (p *pooled) use(c *pinned) {
	p.t.Helper()
	p.begin(c)
	synctest.Wait() // for net/http
}

// begin does the same, and may come back before net/http has seen the end of the answer.
func (p *pooled) begin(c *pinned) {
	p.t.Helper()
	p.leg(c)
	c.Finish()
}

// leg makes a request on a connection, to which another one may follow.
func (p *pooled) leg(c *pinned) {
	p.t.Helper()
	resp, err := p.send(c)
	require.NoError(p.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	require.Equal(p.t, "hello", string(body))
	resp.Body.Close()
}

// requireConnections requires that so many connections have been made so far.
func (p *pooled) requireConnections(ever int) {
	p.t.Helper()
	synctest.Wait()
	require.Equal(p.t, ever, p.proxy.Connections())
}

// open reports whether a connection is not closed.
func open(c *pinned) bool { return c.Client.Err() == nil }

// The connection that was used last is used again.
func TestPoolKeeps(t *testing.T) {
	withPool(t, poolConfig{MaxIdle: 2}, func(t *testing.T, p *pooled) {
		a, b, c := p.get(p.Get), p.get(p.Get), p.get(p.GetNew)
		require.Nil(t, p.get(p.getIdle))
		p.requireConnections(3)
		for _, c := range []*pinned{a, b, c} {
			require.Nil(t, c.TLS)
			p.use(c)
		}
		require.True(t, open(a) && open(b))
		require.False(t, open(c), "one too many")
		require.Same(t, b, p.get(p.Get))
		d := p.get(p.GetNew)
		require.NotSame(t, a, d)
		require.Same(t, a, p.get(p.getIdle))
		require.Nil(t, p.get(p.getIdle))
		p.requireConnections(4)
		for _, c := range []*pinned{a, b, d} {
			c.Close()
		}
	})
}

// A connection goes back when its response has been read and no leg follows, in
// either order, if the proxy has authenticated it and the caller does not want it
// closed.
func TestPoolTakesBack(t *testing.T) {
	withPool(t, poolConfig{MaxIdle: 5}, func(t *testing.T, p *pooled) {
		c := p.get(p.Get)
		resp, err := p.send(c)
		require.NoError(t, err)
		c.Finish()
		require.Nil(t, p.get(p.getIdle), "its response is being read")
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Same(t, c, p.get(p.getIdle))
		p.leg(c)
		require.Nil(t, p.get(p.getIdle), "another leg may follow")
		c.Finish()
		require.Same(t, c, p.get(p.getIdle))
		p.use(c)

		for name, change := range map[string]func(*pinned){
			"not authenticated": func(c *pinned) { c.Authenticated = false },
			"only once":         func(c *pinned) { c.Once = true },
			"closed":            func(c *pinned) { c.Client.Close() },
		} {
			c := p.get(p.Get)
			p.leg(c)
			change(c)
			c.Finish()
			synctest.Wait()
			require.False(t, open(c), name)
			require.Nil(t, p.get(p.getIdle), name)
		}
		p.requireConnections(3)
	})
}

// An idle connection ends by IdleTimeout, which begins anew with each use.
func TestPoolIdleTimeout(t *testing.T) {
	withPool(t, poolConfig{MaxConns: 1, MaxIdle: 1, IdleTimeout: time.Minute}, func(t *testing.T, p *pooled) {
		c := p.get(p.Get)
		for range 5 {
			p.use(c)
			time.Sleep(50 * time.Second)
			require.Same(t, c, p.get(p.getIdle))
			time.Sleep(2 * time.Minute) // in use
		}
		p.use(c)
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		require.True(t, open(c))
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.False(t, open(c))
		require.Nil(t, p.get(p.getIdle))

		// It is not used again while it ends, and its place is free.
		for range 20 {
			p.use(p.get(p.Get))
			time.Sleep(time.Minute)
			require.Nil(t, p.GetIdle(p.request(t.Context())))
		}
		p.get(p.Get).Close()
		p.requireConnections(22)
	})
	withPool(t, poolConfig{MaxIdle: 1}, func(t *testing.T, p *pooled) {
		c := p.get(p.Get)
		p.use(c)
		time.Sleep(1000 * time.Hour)
		require.Same(t, c, p.get(p.getIdle))
		c.Close()
	})
}

// An idle connection that ends makes place, also for one that waits.
func TestPoolIdleEnds(t *testing.T) {
	withPool(t, poolConfig{MaxConns: 2, MaxIdle: 2, IdleTimeout: time.Hour}, func(t *testing.T, p *pooled) {
		a, b := p.get(p.Get), p.get(p.Get)
		p.use(a)
		p.use(b)
		a.Client.Close()
		synctest.Wait()
		require.Same(t, b, p.get(p.getIdle))
		require.Nil(t, p.get(p.getIdle))
		c := p.get(p.Get)
		p.use(b)
		p.use(c)
		p.closeIdle()
		require.False(t, open(b) || open(c))
		require.Nil(t, p.get(p.getIdle))
		d, e := p.get(p.Get), p.get(p.Get)
		d.Close()
		e.Close()
		p.requireConnections(5)
	})
}

// A pool that is out of use keeps nothing, and nobody waits in it.
func TestPoolRetired(t *testing.T) {
	withPool(t, poolConfig{MaxConns: 2, MaxIdle: 2}, func(t *testing.T, p *pooled) {
		a, b := p.get(p.Get), p.get(p.Get)
		p.use(a)
		require.Same(t, a, p.get(p.Get))
		ended := make(chan error)
		for range 2 {
			go func() {
				_, err := p.Get(p.request(t.Context()))
				ended <- err
			}()
		}
		synctest.Wait()
		p.end()
		require.Equal(t, errRetired, <-ended)
		require.Equal(t, errRetired, <-ended)
		p.use(a)
		require.False(t, open(a))
		c := p.get(p.Get) // by a request that has the pool from before
		p.use(c)
		b.Close()
		require.False(t, open(c))
	})
	withPool(t, poolConfig{MaxIdle: 2}, func(t *testing.T, p *pooled) {
		c := p.get(p.Get)
		p.use(c)
		p.end()
		require.False(t, open(c))
	})
}

// httptrace is told as by net/http.
func TestPoolTrace(t *testing.T) {
	withPool(t, poolConfig{MaxIdle: 1}, func(t *testing.T, p *pooled) {
		var said string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GetConn: func(addr string) { said += "for " + addr },
			GotConn: func(i httptrace.GotConnInfo) {
				_, is := i.Conn.(*memconn.Conn)
				said += fmt.Sprintf(", got one: %v, reused: %v, idle: %v %s", is, i.Reused, i.WasIdle, i.IdleTime)
			},
		})
		for i, want := range []string{
			"for proxy.example:3128, got one: true, reused: false, idle: false 0s",
			"for proxy.example:3128, got one: true, reused: true, idle: true 1m0s",
			"for proxy.example:3128, got one: true, reused: true, idle: true 1m0s",
			"for proxy.example:3128, got one: true, reused: false, idle: false 0s",
		} {
			said = ""
			get := []func(*http.Request) (*pinned, error){p.Get, p.Get, p.getIdle, p.GetNew}[i]
			c, err := get(p.request(ctx))
			require.NoError(t, err)
			require.Equal(t, want, said)
			p.use(c)
			time.Sleep(time.Minute)
		}
		said = ""
		p.closeIdle()
		require.Nil(t, p.get(p.getIdle))
		c, err := p.Get(p.request(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})))
		require.NoError(t, err)
		c.Close()
		require.Empty(t, said)
	})
}

// The state of TLS is that of the connection to an https:// proxy.
func TestPoolTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := certified(t, nil)
		d := dialer(t, "https://proxy.example:3128", overTLS(server, echo))
		d.config.TLS = TLSConfig(client, nil)
		p := d.pools.of("owner")
		req, err := http.NewRequest("GET", "http://origin.example", nil)
		require.NoError(t, err)
		c, err := p.Get(req)
		require.NoError(t, err)
		require.Equal(t, "proxy.example", c.TLS.ServerName)
		require.NotNil(t, meterOf(c.Wire))
		c.Close()

		d.config.TLS = &tls.Config{}
		d.sessions.forget("owner")
		_, err = p.Get(req)
		var dial *Fault
		require.True(t, errors.As(err, &dial) && dial == err, "as on the other ways")
	})
}
