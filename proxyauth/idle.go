package proxyauth

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// connections counts the open connections to all proxies of a Transport, so that no more
// than Base.MaxIdleConns of them are idle. Each route has pools of its own, which keep to
// that number by themselves; where the routes together exceed it, the idle connections of
// those used least recently are closed.
//
// A route does not know which of its connections are idle: net/http does. It knows how
// many requests of it have no answer yet, and where all idle ones were closed, the others
// are in use.
type connections struct {
	max   int           // zero or less: no limit
	clock atomic.Uint64 // counts new routes, and times of closing; see route.used

	mu      sync.Mutex
	of      map[*route]*tally // of the routes that have connections
	total   int
	closing bool // somebody closes idle ones
	later   bool // a check is to come
}

// A tally is the connections of one route.
type tally struct {
	open  int
	inUse int // without a request that waits for its answer, as of since: answers that are read, WebSockets
	since time.Time
}

const (
	checkAfter = time.Second // while there are more connections than may be idle, since those in use become idle
	inUseFor   = time.Minute // is how long tally.inUse counts
)

// idle returns how many connections of r may be idle.
func (t *tally) idle(r *route) int {
	n := t.open - int(r.waiting.Load())
	if time.Since(t.since) < inUseFor {
		n -= t.inUse
	}
	return max(n, 0)
}

// opened counts a new connection of r.
func (c *connections) opened(r *route) {
	c.mu.Lock()
	t := c.of[r]
	if t == nil {
		t = &tally{}
		if c.of == nil {
			c.of = make(map[*route]*tally)
		}
		c.of[r] = t
	}
	t.open++
	c.total++
	exceeded := c.exceeded()
	c.mu.Unlock()
	if exceeded {
		c.closeIdle(r)
	}
}

// closed counts a connection of r that has been closed.
func (c *connections) closed(r *route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	t := c.of[r]
	t.open--
	t.inUse = min(t.inUse, t.open)
	if t.open == 0 {
		delete(c.of, r)
	}
}

// exceeded reports whether more connections are open than may be idle. One route alone
// keeps to the limit by itself. c.mu is held.
func (c *connections) exceeded() bool { return c.max > 0 && c.total > c.max && len(c.of) > 1 }

// closeIdle closes idle connections until no more are left than may be, or only those of
// the route that was used last. That is dialing if it is not nil; its new connection is
// counted as idle, since it will be.
func (c *connections) closeIdle(dialing *route) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	c.clock.Add(1)
	idle := 0
	var routes []*route
	for r, t := range c.of {
		n := t.idle(r)
		idle += n
		if n > 0 && r != dialing {
			routes = append(routes, r)
		}
	}
	c.mu.Unlock()
	if dialing != nil {
		idle++
	}
	slices.SortFunc(routes, func(a, b *route) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	if dialing == nil && len(routes) > 0 {
		routes = routes[:len(routes)-1]
	}
	for _, r := range routes {
		if idle <= c.max {
			break
		}
		idle -= c.closeIdleOf(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = false
	if c.exceeded() && !c.later {
		c.later = true
		time.AfterFunc(checkAfter, c.check)
	}
}

// closeIdleOf closes the idle connections of r, and returns how many fewer are counted as
// idle now.
func (c *connections) closeIdleOf(r *route) int {
	c.mu.Lock()
	before := 0
	if t := c.of[r]; t != nil {
		before = t.idle(r)
	}
	c.mu.Unlock()
	r.closeIdle()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of[r]
	if t == nil {
		return before
	}
	t.inUse, t.since = max(t.open-int(r.waiting.Load()), 0), time.Now()
	return before - t.idle(r)
}

// check closes what has become idle meanwhile.
func (c *connections) check() {
	c.mu.Lock()
	c.later = false
	exceeded := c.exceeded()
	c.mu.Unlock()
	if exceeded {
		c.closeIdle(nil)
	}
}
