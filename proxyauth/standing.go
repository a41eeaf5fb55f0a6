package proxyauth

import (
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// A standing is how a route's requests are sent at a time. It does not change;
// a route gets another one.
type standing struct {
	// Without an answerer requests go without credentials.
	answerer
	scheme Scheme
	realm  string // as received
	cred   Credentials
	from   string        // where cred came from, for errors
	pool   *carrier.Pool // of connections that cred have authenticated, if bound

	realmShown string // for logs

	// proven: the proxy has let a request pass this way; proof says when.
	proven bool
	proof  *proof

	// refusal, if set, is why no request is sent at all.
	refusal *AuthError
	until   time.Time // when to try again all the same
}

// with returns st with another nonce or the like.
func (st *standing) with(auth requestAuth, proven bool) *standing {
	next := *st
	next.auth, next.proven = auth, proven
	return &next
}

// settle makes st the route's standing, after it let a request pass.
func (r *route) settle(st *standing) *standing {
	if !st.proven {
		st = st.with(st.auth, true)
	}
	if st.scheme != nil {
		if late, _ := r.rejected(st.scheme.Name(), st.cred); late {
			return st // meanwhile the proxy has refused the same to others
		}
		r.mu.Lock()
		r.proved = r.proved || !st.scheme.traits().clearText
		r.doubts = nil
		r.mu.Unlock()
	}
	old := r.standing.Swap(st)
	if old != nil && old.pool != st.pool {
		old.retire()
	}
	if st.scheme != nil {
		// The same account with another password is nobody else.
		if before := r.identified(&st.cred); before != nil && before.Username != st.cred.Username {
			r.renewTunnel()
		}
	}
	if st.scheme != nil && (old == nil || old.proof != st.proof) {
		r.logAuthenticated(st)
	}
	// Whoever has found out, nobody has to wait any longer: the lead may have
	// been taken over from this request.
	r.mu.Lock()
	if r.learner != nil {
		r.endLead(r.learner, nil)
	}
	r.mu.Unlock()
	return st
}

// retire lets go of the connections that belong to st.
func (st *standing) retire() {
	if st.pool != nil {
		st.pool.Retire()
	}
}

// leave makes st the route's standing no longer, and reports whether it was.
func (r *route) leave(st *standing) bool {
	left := r.standing.CompareAndSwap(st, nil)
	if left {
		st.retire()
	}
	return left
}
