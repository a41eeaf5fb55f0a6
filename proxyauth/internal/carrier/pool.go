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

// A Pool is the connections that one identity has authenticated to a proxy, for
// requests that the proxy forwards. net/http's own pool would hand the legs of
// one handshake to different connections.
type Pool struct {
	config PoolConfig

	mu      sync.Mutex
	idle    []*Pinned // last used last
	total   int       // idle, in use and being dialed
	waiting []chan *Pinned
	retired bool // its credentials are out of use
}

// PoolConfig says how a Pool reaches the proxy, and how many connections it has.
type PoolConfig struct {
	// Transport makes the connections. Its Proxy is set, so that it writes
	// absolute-form requests to whatever address, and its DialContext returns a
	// wire by Filled.
	Transport *http.Transport

	URL         *url.URL      // of the proxy
	MaxConns    int           // zero or less: no limit
	MaxIdle     int           // zero: none is kept
	IdleTimeout time.Duration // zero: no limit
}

// ErrRetired is returned to a request that has waited in a pool which was retired
// meanwhile: there is another one to wait in.
var ErrRetired = errors.New("the pool is out of use")

// NewPool returns a pool without connections.
func NewPool(c PoolConfig) *Pool { return &Pool{config: c} }

// A Pinned connection belongs to one request while that is on it. The pool's lock
// guards its phase and times.
type Pinned struct {
	Client *http.ClientConn
	Wire   *Wire
	TLS    *tls.ConnectionState // nil: not an https:// proxy

	// What the request notes.
	Authenticated bool
	HTTP10        bool // the proxy answers HTTP/1.0
	Once          bool // the caller wants it closed after the response

	pool      *Pool
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

// Get returns an idle connection, or dials one, or waits for one where
// PoolConfig.MaxConns are in use.
func (p *Pool) Get(req *http.Request) (*Pinned, error) {
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

// GetNew dials a connection. Where PoolConfig.MaxConns are in use, it waits for one
// and closes it first.
func (p *Pool) GetNew(req *http.Request) (*Pinned, error) {
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
func (p *Pool) dialCounted(req *http.Request) (*Pinned, error) {
	c, err := p.dial(req)
	if err != nil {
		p.forget()
	}
	return c, err
}

// GetIdle returns an idle connection, or nil where there is none. The error is nil: it is
// there so that GetIdle can stand in the place of Get.
func (p *Pool) GetIdle(req *http.Request) (*Pinned, error) {
	p.mu.Lock()
	c := p.takeIdle()
	p.mu.Unlock()
	if c != nil {
		trace := httptrace.ContextClientTrace(req.Context())
		p.wanted(trace)
		c.got(trace)
	}
	return c, nil
}

func (p *Pool) wanted(trace *httptrace.ClientTrace) {
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(hostname.OfURL(p.config.URL))
	}
}

func (c *Pinned) got(trace *httptrace.ClientTrace) {
	if trace == nil || trace.GotConn == nil {
		return
	}
	info := httptrace.GotConnInfo{Conn: c.Wire.Conn, Reused: c.Authenticated, WasIdle: !c.idleSince.IsZero()}
	if info.WasIdle {
		info.IdleTime = time.Since(c.idleSince)
	}
	trace.GotConn(info)
}

// takeIdle returns an idle connection, or nil. p.mu is held.
func (p *Pool) takeIdle() *Pinned {
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
// already. With new it returns an idle one only where no other may be dialed.
func (p *Pool) take(req *http.Request, new bool) (*Pinned, error) {
	p.mu.Lock()
	max := p.config.MaxConns
	if !new || max > 0 && p.total >= max {
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
	turn := make(chan *Pinned, 1) // gets a connection, or nil: to dial one
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()

	select {
	case c, ok := <-turn:
		if !ok {
			return nil, ErrRetired
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
func (p *Pool) giveUp(turn chan *Pinned) {
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
func (p *Pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount()
}

// uncount lets the next in the queue dial, in place of a connection that has
// ended. p.mu is held.
func (p *Pool) uncount() {
	if len(p.waiting) > 0 {
		p.next() <- nil
		return
	}
	p.total--
}

// next takes the first out of the queue. p.mu is held.
func (p *Pool) next() chan *Pinned {
	turn := p.waiting[0]
	p.waiting = p.waiting[1:]
	return turn
}

// put keeps a connection for later, or hands it to the next in the queue. It
// returns false if the connection is not wanted. p.mu is held.
func (p *Pool) put(c *Pinned) bool {
	switch {
	case p.retired || c.Once || !c.Authenticated:
		return false
	case len(p.waiting) > 0:
		c.phase = inLegs
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

// CloseIdle closes the idle connections.
func (p *Pool) CloseIdle() { p.closeIdle(false) }

// Retire closes the idle connections, and keeps no others from then on.
func (p *Pool) Retire() { p.closeIdle(true) }

func (p *Pool) closeIdle(retire bool) {
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
		c.Client.Close()
	}
}

// dial opens a connection, on which nothing has been sent.
func (p *Pool) dial(req *http.Request) (*Pinned, error) {
	ctx, stop := EndWith(req.Context(), req)
	defer stop()
	c := &Pinned{pool: p, Wire: &Wire{}}
	// net/http writes absolute-form requests to whatever address, since the
	// transport has a proxy.
	cc, err := p.config.Transport.NewClientConn(withWire(ctx, c.Wire), "http", hostname.OfURL(p.config.URL))
	if err != nil {
		return nil, UnwrapDial(err)
	}
	if secure, ok := c.Wire.Conn.(*tls.Conn); ok && p.config.URL.Scheme == "https" {
		state := secure.ConnectionState()
		c.TLS = &state
	}
	c.Client = cc
	cc.SetStateHook(c.changed)
	return c, nil
}

// gone marks an idle connection that has left the pool. Its timer would keep it
// in memory until it fires. The pool's lock is held.
func (c *Pinned) gone() {
	c.phase = isGone
	if c.expire != nil {
		c.expire.Stop()
	}
}

// Finish says that no more will be sent for this request: the connection goes
// back when the response has been read.
func (c *Pinned) Finish() {
	c.pool.mu.Lock()
	if c.phase == inLegs {
		c.phase = inAnswer
	}
	c.pool.mu.Unlock()
	c.changed(c.Client)
}

// Close ends the connection.
func (c *Pinned) Close() {
	c.Client.Close()
	c.Finish()
}

// changed is called by net/http when a response has been read or the connection
// has ended.
func (c *Pinned) changed(cc *http.ClientConn) {
	p := c.pool
	p.mu.Lock()
	unwanted := false
	switch ended := cc.Err() != nil; {
	case ended && c.phase == isIdle:
		p.idle = slices.DeleteFunc(p.idle, func(other *Pinned) bool { return other == c })
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
