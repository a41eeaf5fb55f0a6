package proxyauth

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// A pool is the connections that one identity has authenticated on a route, for
// requests that the proxy forwards. net/http's own pool would hand the legs of
// one handshake to different connections.
type pool struct {
	r *route

	mu      sync.Mutex
	idle    []*pinned // last used last
	total   int       // idle, in use and being dialed
	waiting []chan *pinned
	retired bool // its credentials are out of use
}

// A pinned connection is ours alone while a request is on it. Its phase and
// times belong to the pool's lock.
type pinned struct {
	pool *pool
	cc   *http.ClientConn
	wire *carrier.Wire
	tls  *tls.ConnectionState // nil: not an https:// proxy

	authenticated bool
	http10        bool // the proxy answers HTTP/1.0
	once          bool // the caller wants it closed after the response

	phase     phase
	idleSince time.Time
	expire    *time.Timer // closes it while it is idle; nil: no limit
}

type phase int

const (
	inLegs   phase = iota // a request is on it, and more may follow
	inAnswer              // the last response is being read
	isIdle
	isGone // no longer counted
)

// defaultIdle is how many idle connections are kept where Base sets no limit.
// net/http's default of two for a host would throw handshakes away.
const defaultIdle = 100

// maxIdle returns how many authenticated connections may be idle on a route.
func (c *core) maxIdle() int {
	switch b := c.base; {
	case b.DisableKeepAlives || b.MaxIdleConnsPerHost < 0:
		return 0
	case b.MaxIdleConnsPerHost > 0:
		return b.MaxIdleConnsPerHost
	case b.MaxIdleConns > 0:
		return b.MaxIdleConns
	}
	return defaultIdle
}

// get returns an idle connection, or dials one, or waits for one where
// MaxConnsPerHost are in use.
func (p *pool) get(req *http.Request) (*pinned, error) {
	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(hostname.OfURL(p.r.url))
	}
	c, err := p.take(req)
	if err == nil && c == nil {
		if c, err = p.dial(req); err != nil {
			p.forget()
		}
	}
	if err != nil {
		return nil, err
	}
	if trace != nil && trace.GotConn != nil {
		info := httptrace.GotConnInfo{Conn: c.wire.Conn, Reused: c.authenticated, WasIdle: !c.idleSince.IsZero()}
		if info.WasIdle {
			info.IdleTime = time.Since(c.idleSince)
		}
		trace.GotConn(info)
	}
	return c, nil
}

// take returns an idle connection, or nil with the leave to dial one.
func (p *pool) take(req *http.Request) (*pinned, error) {
	p.mu.Lock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if (c.expire == nil || c.expire.Stop()) && c.cc.Err() == nil {
			c.phase = inLegs
			p.mu.Unlock()
			return c, nil
		}
		c.phase = isGone
		p.total--
	}
	max := p.r.t.base.MaxConnsPerHost
	if max <= 0 || p.total < max {
		p.total++
		p.mu.Unlock()
		return nil, nil
	}
	turn := make(chan *pinned, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()

	select {
	case c, ok := <-turn:
		if !ok {
			return nil, errMoved
		}
		return c, nil
	case <-req.Context().Done():
		p.giveUp(turn)
		return nil, context.Cause(req.Context())
	case <-req.Cancel: //lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
		p.giveUp(turn)
		return nil, carrier.ErrCanceled
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
		c.finish()
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
	case p.retired || c.once || !c.authenticated:
		return false
	case len(p.waiting) > 0:
		c.phase = inLegs
		p.next() <- c
		return true
	case len(p.idle) >= p.r.t.maxIdle():
		return false
	}
	c.phase, c.idleSince = isIdle, time.Now()
	if d := p.r.t.base.IdleConnTimeout; d > 0 {
		if c.expire == nil {
			c.expire = time.AfterFunc(d, func() { c.cc.Close() })
		} else {
			c.expire.Reset(d)
		}
	}
	p.idle = append(p.idle, c)
	return true
}

// closeIdle closes the idle connections; retire keeps no others from then on.
func (p *pool) closeIdle(retire bool) {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	for _, c := range idle {
		c.gone()
		p.uncount()
	}
	if retire {
		p.retired = true
		for _, turn := range p.waiting { // there is another pool to wait in
			close(turn)
		}
		p.waiting = nil
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.cc.Close()
	}
}

// dial opens a connection, on which nothing has been sent.
func (p *pool) dial(req *http.Request) (*pinned, error) {
	ctx, stop := carrier.EndWith(req.Context(), req)
	defer stop()
	c := &pinned{pool: p, wire: &carrier.Wire{}}
	// net/http writes absolute-form requests to whatever address, since the
	// transport has a proxy.
	cc, err := p.r.pinned.NewClientConn(carrier.WithWire(ctx, c.wire), "http", hostname.OfURL(p.r.url))
	if err != nil {
		return nil, unwrapDial(err)
	}
	if secure, ok := c.wire.Conn.(*tls.Conn); ok && p.r.url.Scheme == "https" {
		state := secure.ConnectionState()
		c.tls = &state
	}
	c.cc = cc
	cc.SetStateHook(c.changed)
	return c, nil
}

// gone marks an idle connection that has left the pool. Its timer would keep it
// in memory until it fires. The pool's lock is held.
func (c *pinned) gone() {
	c.phase = isGone
	if c.expire != nil {
		c.expire.Stop()
	}
}

// finish says that no more will be sent for this request: the connection goes
// back when the response has been read.
func (c *pinned) finish() {
	c.pool.mu.Lock()
	if c.phase == inLegs {
		c.phase = inAnswer
	}
	c.pool.mu.Unlock()
	c.changed(c.cc)
}

// close ends the connection.
func (c *pinned) close() {
	c.cc.Close()
	c.finish()
}

// changed is called by net/http when a response has been read or the connection
// has ended.
func (c *pinned) changed(cc *http.ClientConn) {
	p := c.pool
	p.mu.Lock()
	unwanted := false
	switch ended := cc.Err() != nil; {
	case ended && c.phase == isIdle:
		p.idle = slices.DeleteFunc(p.idle, func(other *pinned) bool { return other == c })
		c.gone()
		p.uncount()
	case ended && c.phase == inAnswer:
		c.phase = isGone
		p.uncount()
	case c.phase == inAnswer && cc.Available() > 0 && !p.put(c):
		c.phase = isGone
		p.uncount()
		unwanted = true
	}
	p.mu.Unlock()
	if unwanted {
		cc.Close()
	}
}
