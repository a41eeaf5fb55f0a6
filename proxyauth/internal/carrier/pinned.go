package carrier

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"
)

// A pinned connection belongs to one request while that is on it. The pool's lock
// guards its phase and times.
type pinned struct {
	Client *http.ClientConn
	Wire   *wire
	TLS    *tls.ConnectionState // nil: not an https:// proxy

	// What the request notes.
	Authenticated bool
	HTTP10        bool // the proxy answers HTTP/1.0
	Once          bool // the caller wants it closed after the response
	denied        bool // the last answer was a 407

	pool      *pool
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

func (c *pinned) got(trace *httptrace.ClientTrace) {
	if trace == nil || trace.GotConn == nil {
		return
	}
	info := httptrace.GotConnInfo{Conn: c.Wire.Conn, Reused: c.Authenticated, WasIdle: !c.idleSince.IsZero()}
	if info.WasIdle {
		info.IdleTime = time.Since(c.idleSince)
	}
	trace.GotConn(info)
}

// gone marks an idle connection that has left the pool. Its timer would keep it
// in memory until it fires. The pool's lock is held.
func (c *pinned) gone() {
	c.phase = isGone
	if c.expire != nil {
		c.expire.Stop()
	}
}

// Finish says that no more will be sent for this request: the connection goes
// back when the response has been read.
func (c *pinned) Finish() {
	c.pool.mu.Lock()
	if c.phase == inLegs {
		c.phase = inAnswer
	}
	c.pool.mu.Unlock()
	c.changed(c.Client)
}

// Close ends the connection.
func (c *pinned) Close() {
	c.Client.Close()
	c.Finish()
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

// answered notes what an answer says about the connection.
func (c *pinned) answered(resp *http.Response) {
	c.HTTP10 = !resp.ProtoAtLeast(1, 1)
	c.denied = resp.StatusCode == http.StatusProxyAuthRequired
	// A 407 without a challenge on an authenticated connection is an origin's.
	c.Authenticated = !c.denied || c.Authenticated && len(resp.Header["Proxy-Authenticate"]) == 0
}
