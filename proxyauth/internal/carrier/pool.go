package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// A pool is the connections that one identity has authenticated to a proxy, for
// requests that the proxy forwards. net/http's own pool would hand the legs of
// one handshake to different connections.
type pool struct {
	config poolConfig
	owner  any

	mu      *sync.Mutex // of all pools of a proxy
	idle    []*pinned   // last used last
	total   int         // idle, in use and being dialed
	waiting []chan *pinned
	retired bool // its credentials are out of use
}

// poolConfig says how a pool reaches the proxy, and how many connections it has.
type poolConfig struct {
	// Transport makes the connections. Its Proxy is set, so that it writes
	// absolute-form requests to whatever address, and its DialContext returns a
	// wire by filled.
	Transport *http.Transport

	URL         *url.URL      // of the proxy
	MaxConns    int           // zero or less: no limit
	MaxIdle     int           // zero: none is kept
	IdleTimeout time.Duration // zero: no limit
}

// errRetired is returned to a request that has waited in a pool which was retired
// meanwhile: there is another one to wait in.
var errRetired = errors.New("the pool is out of use")

// newPool returns a pool without connections, which mu guards.
func newPool(c poolConfig, owner any, mu *sync.Mutex) *pool {
	return &pool{config: c, owner: owner, mu: mu}
}

// Get returns an idle connection, or dials one, or waits for one where
// poolConfig.MaxConns are in use.
func (p *pool) Get(req *http.Request) (*pinned, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	p.wanted(trace)
	c, err := p.take(req, false)
	if err == nil && c == nil {
		c, err = p.dialCounted(req)
	}
	if err != nil {
		return nil, err
	}
	c.got(trace)
	return c, nil
}

// GetNew dials a connection. Where poolConfig.MaxConns are in use, it waits for one
// and closes it first.
func (p *pool) GetNew(req *http.Request) (*pinned, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	p.wanted(trace)
	c, err := p.take(req, true)
	if err != nil {
		return nil, err
	}
	if c != nil {
		p.mu.Lock()
		c.gone() // and yet counted, for the new one
		p.mu.Unlock()
		c.Client.Close()
	}
	if c, err = p.dialCounted(req); err != nil {
		return nil, err
	}
	c.got(trace)
	return c, nil
}

// dialCounted dials a connection that is counted already.
func (p *pool) dialCounted(req *http.Request) (*pinned, error) {
	c, err := p.dial(req)
	if err != nil {
		p.forget()
	}
	return c, err
}

// GetIdle returns an idle connection, or nil where there is none.
func (p *pool) GetIdle(req *http.Request) *pinned {
	p.mu.Lock()
	c := p.takeIdle()
	p.mu.Unlock()
	if c != nil {
		trace := httptrace.ContextClientTrace(req.Context())
		p.wanted(trace)
		c.got(trace)
	}
	return c
}

func (p *pool) wanted(trace *httptrace.ClientTrace) {
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(hostname.OfURL(p.config.URL))
	}
}

// takeIdle returns an idle connection, or nil. p.mu is held.
func (p *pool) takeIdle() *pinned {
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if (c.expire == nil || c.expire.Stop()) && c.Client.Err() == nil {
			c.phase = inLegs
			return c
		}
		c.phase = isGone
		p.total--
	}
	return nil
}

// take returns an idle connection, or nil: the caller is to dial one, which is counted
// already. With preferNew it returns an idle one only where no other may be dialed.
func (p *pool) take(req *http.Request, preferNew bool) (*pinned, error) {
	p.mu.Lock()
	max := p.config.MaxConns
	if !preferNew || max > 0 && p.total >= max {
		if c := p.takeIdle(); c != nil {
			p.mu.Unlock()
			return c, nil
		}
	}
	if max <= 0 || p.total < max {
		p.total++
		p.mu.Unlock()
		return nil, nil
	}
	turn := make(chan *pinned, 1) // gets a connection, or nil: to dial one
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()

	select {
	case c, ok := <-turn:
		if !ok {
			return nil, errRetired
		}
		return c, nil
	case <-req.Context().Done():
		p.giveUp(turn)
		return nil, context.Cause(req.Context())
	case <-req.Cancel: //lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
		p.giveUp(turn)
		return nil, ErrCanceled
	}
}

// giveUp leaves the queue, and passes on what was handed over meanwhile.
func (p *pool) giveUp(turn chan *pinned) {
	p.mu.Lock()
	i := slices.Index(p.waiting, turn)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		return
	}
	switch c, ok := <-turn; {
	case c != nil:
		c.Finish()
	case ok:
		p.forget()
	}
}

// forget uncounts a connection that was never made.
func (p *pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount()
}

// uncount lets the next in the queue dial, in place of a connection that has
// ended. p.mu is held.
func (p *pool) uncount() {
	if len(p.waiting) > 0 {
		p.next() <- nil
		return
	}
	p.total--
}

// next takes the first out of the queue. p.mu is held.
func (p *pool) next() chan *pinned {
	turn := p.waiting[0]
	p.waiting = p.waiting[1:]
	return turn
}

// put keeps a connection for later, or hands it to the next in the queue. It
// returns false if the connection is not wanted. p.mu is held.
func (p *pool) put(c *pinned) bool {
	switch {
	case p.retired || c.Once || !c.Authenticated:
		return false
	case len(p.waiting) > 0:
		c.phase, c.idleSince = inLegs, time.Time{}
		p.next() <- c
		return true
	case len(p.idle) >= p.config.MaxIdle:
		return false
	}
	c.phase, c.idleSince = isIdle, time.Now()
	if d := p.config.IdleTimeout; d > 0 {
		if c.expire == nil {
			c.expire = time.AfterFunc(d, func() { c.Client.Close() })
		} else {
			c.expire.Reset(d)
		}
	}
	p.idle = append(p.idle, c)
	return true
}

// clear takes the idle connections out of the pool, which the caller closes without the
// lock. p.mu is held.
func (p *pool) clear() []*pinned {
	idle := p.idle
	p.idle = nil
	for _, c := range idle {
		c.gone()
		p.uncount()
	}
	return idle
}

// retire ends the pool: it keeps no connections from then on, and those who wait are
// told that there is another pool to wait in. p.mu is held.
func (p *pool) retire() {
	p.retired = true
	for _, turn := range p.waiting {
		close(turn)
	}
	p.waiting = nil
}

// dial opens a connection, on which nothing has been sent.
func (p *pool) dial(req *http.Request) (*pinned, error) {
	ctx, stop := EndWith(req.Context(), req)
	defer stop()
	c := &pinned{pool: p, Wire: &wire{translates: true, owner: p.owner}}
	// net/http writes absolute-form requests to whatever address, since the
	// transport has a proxy.
	cc, err := p.config.Transport.NewClientConn(withWire(ctx, c.Wire), "http", hostname.OfURL(p.config.URL))
	if err != nil {
		if fault := unreachable(err); fault != nil {
			return nil, fault
		}
		return nil, err
	}
	if secure, ok := c.Wire.Conn.(*tls.Conn); ok && p.config.URL.Scheme == "https" {
		state := secure.ConnectionState()
		c.TLS = &state
	}
	c.Client = cc
	cc.SetStateHook(c.changed)
	return c, nil
}
