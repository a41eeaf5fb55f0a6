package proxyauth

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// A plan is how requests are sent to a proxy: by a scheme with credentials. It does
// not change; where there is another nonce, another plan takes its place.
type plan struct {
	// Without an answerer requests go without credentials.
	answerer
	scheme Scheme
	names  []string // of the scheme alone, as the guard is asked: made once, since that is often
	realm  string   // as received
	cred   Credentials
	from   string                // where cred came from, for errors
	offers []challenge.Challenge // that it answers; nil: no challenge was waited for
	pool   *carrier.Pool         // of connections that cred have authenticated, if bound

	realmShown string // for logs

	// account is what may be locked by attempts; nil: nothing, as with a ticket.
	account *lockout.Account

	// record is shared by all that a plan becomes by another nonce.
	record *record
}

// A record is what has become of a plan's requests.
type record struct {
	passed atomic.Bool // the proxy has taken the credentials
	odd    atomic.Bool // since the last pass the proxy answered by a 407 that was no refusal
}

// bare is the plan to send no credentials.
var bare = &plan{record: new(record)}

// with returns p with another nonce or the like.
func (p *plan) with(auth requestAuth) *plan {
	next := *p
	next.auth = auth
	return &next
}

// same reports whether other became of p, or p of it, by another nonce.
func (p *plan) same(other *plan) bool { return p.record == other.record }

// trusted reports whether the proxy has taken the credentials before.
func (p *plan) trusted() bool { return p.record.passed.Load() }

// retire lets go of the connections that belong to p.
func (p *plan) retire() {
	if p.pool != nil {
		p.pool.Retire()
	}
}

// newPlan returns how to send requests by a scheme with credentials.
func (r *route) newPlan(ctx context.Context, scheme Scheme, offers []challenge.Challenge, cred Credentials, from string) (*plan, error) {
	a, err := scheme.accept(ctx, r.facts(), offers, cred)
	if err != nil {
		return nil, err
	}
	p := &plan{answerer: a, scheme: scheme, names: []string{scheme.Name()}, cred: cred, from: from, offers: offers, record: new(record)}
	if len(offers) > 0 {
		p.realm = offers[0].Params.Get("realm")
	}
	if !a.ticket {
		p.account = r.account(cred)
	}
	if a.bound != nil {
		p.pool = carrier.NewPool(carrier.PoolConfig{
			Transport: r.pinned, URL: r.url,
			MaxConns: r.t.base.MaxConnsPerHost, MaxIdle: r.t.maxIdle(), IdleTimeout: r.t.base.IdleConnTimeout,
		})
	}
	return p, nil
}

// account returns the account of credentials at the proxy. Directories do not tell
// capitals from small letters in the name of a user.
func (r *route) account(c Credentials) *lockout.Account {
	return r.t.guard.Account(lockout.Key{Proxy: r.name, User: strings.ToLower(c.Username), Pair: lockout.NewPair(c.Username, c.Password)})
}

// adopt makes p the first plan, and returns it, or the one that another request has
// made of the same meanwhile. Plans of another user in its realm end, with their
// connections and tunnels.
func (r *route) adopt(p *plan) (_ *plan, isNew bool) {
	var gone []*plan
	for {
		old := r.demand.Load()
		if other := old.find(p.scheme, p.realm, p.cred); other != nil {
			return other, false
		}
		var next demand
		if old != nil {
			next = *old
		}
		next, gone = next.with(p)
		if r.demand.CompareAndSwap(old, &next) {
			break
		}
	}
	r.end(gone)
	return p, true
}

// end lets go of the connections and tunnels of plans which are no longer in force.
func (r *route) end(plans []*plan) {
	opened := false
	for _, p := range plans {
		p.retire()
		opened = opened || p.trusted()
	}
	if opened {
		r.renewTunnel()
	}
}

// works notes that the proxy has taken the credentials of p, for the target.
func (r *route) works(p *plan, target string) {
	if p.record.odd.Load() {
		p.record.odd.Store(false)
	}
	if d := r.demand.Load(); p.trusted() && d.isOf(target, p) {
		return
	}
	if p.record.passed.CompareAndSwap(false, true) {
		r.mu.Lock()
		r.strength = max(r.strength, p.scheme.traits().strength)
		r.mu.Unlock()
		r.logAuthenticated(p)
	}
	var gone []*plan
	r.learn(func(d demand) (next demand) {
		next = d
		if !d.isOf(target, p) {
			next = d.inRealm(target, p)
		}
		next, gone = next.with(p)
		return next
	})
	r.end(gone)
}

// drop ends a plan, and reports whether it was in force.
func (r *route) drop(p *plan) (ok bool) {
	r.learn(func(d demand) demand {
		next := d.without(p)
		ok = len(next.plans) < len(d.plans)
		return next
	})
	p.retire()
	return ok
}

// replace puts next in the place of p for all, if p is still in force.
func (r *route) replace(p, next *plan) {
	r.learn(func(d demand) demand { return d.replaced(p, next) })
}
