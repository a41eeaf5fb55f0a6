package scheme

import (
	"sync"
	"time"

	"github.com/go-proxyauth/go-proxyauth/digest"
)

// nonces know how a proxy counts the uses of its nonces. Most proxies let all
// connections share one. A strict proxy (squid by default, Apache with NcCheck)
// refuses a count that another one has overtaken, and the nonce with it: there
// each request has a nonce to itself until it is answered.
type nonces struct {
	mu     sync.Mutex
	strict bool
	idle   []*digest.Session // of a strict proxy, last used last
	opaque string            // one that requests with credentials and without have got, so the proxy does not count by it
}

// countsBy reports whether a strict proxy may count the uses of the opaque, and not of
// the nonce: Apache with NcCheck does, and keeps it in a challenge that answers
// credentials. A request without any gets a new one.
func (n *nonces) countsBy(opaque string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return opaque != n.opaque
}

// compare notes the opaque of a challenge to a request without credentials, if it is
// also the one kept, which a request with credentials has got.
func (n *nonces) compare(kept, opaque string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if kept != "" && kept == opaque {
		n.opaque = opaque
	}
}

// young is the age at which the end of a nonce that was used by several
// requests at once says that the proxy is strict, and not that the nonce was
// old.
const young = 10 * time.Second

// take returns a session that nobody else uses, or nil; of a proxy that is not
// strict it returns the shared one.
func (n *nonces) take(shared *digest.Session) *digest.Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.strict {
		return shared
	}
	last := len(n.idle) - 1
	if last < 0 {
		return nil
	}
	s := n.idle[last]
	n.idle = n.idle[:last]
	return s
}

// put gives back a session whose last use was accepted, and reports whether the
// proxy is strict. A session that several requests have used is not kept: the
// proxy may have counted otherwise.
func (n *nonces) put(s *digest.Session, outOfOrder bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.strict && !outOfOrder {
		n.idle = append(n.idle, s)
	}
	return n.strict
}

// ended notes that a nonce came to its end, and reports whether the proxy is
// strict.
func (n *nonces) ended(s *digest.Session, outOfOrder bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strict = n.strict || outOfOrder && s.Age() < young
	return n.strict
}
