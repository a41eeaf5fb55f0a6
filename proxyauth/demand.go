package proxyauth

import (
	"maps"
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// A demand is what is known of what a proxy asks for, and how it is answered. It
// does not change: each of its methods returns another one, and the route keeps
// that.
type demand struct {
	// offers are the challenges of the last 407 to a request without credentials;
	// nil: there was none yet.
	offers []challenge.Challenge

	// plans are the ways to answer, the one for most targets first. Others are for
	// other realms, or have a password that passed before.
	plans []*plan

	bare   map[string]bool   // targets that pass without credentials
	realms map[string]string // the realm of targets, where there are several
}

const (
	maxPlans   = 8
	maxTargets = 256
)

// challenged: the proxy demands credentials for the target.
func (d demand) challenged(target string, offers []challenge.Challenge) demand {
	d.offers = offers
	return d.demands(target)
}

// demands: the target does not pass without credentials.
func (d demand) demands(target string) demand {
	if d.bare[target] {
		d.bare = maps.Clone(d.bare)
		delete(d.bare, target)
	}
	return d
}

// passes: the target passes without credentials. That says nothing of others.
func (d demand) passes(target string) demand {
	d.bare = adding(d.bare, target, true)
	return d
}

// adding returns a copy of m with one more target, in place of any other where there are
// too many.
func adding[V any](m map[string]V, target string, v V) map[string]V {
	next := make(map[string]V, len(m)+1)
	for other, v := range m {
		if len(next) < maxTargets-1 {
			next[other] = v
		}
	}
	next[target] = v
	return next
}

// isBare reports whether the target passes without credentials.
func (d *demand) isBare(target string) bool { return d != nil && d.bare[target] }

// planFor returns the plan in force for the target, or nil.
func (d *demand) planFor(target string) *plan {
	if d == nil || len(d.plans) == 0 {
		return nil
	}
	if realm, several := d.realms[target]; several {
		for _, p := range d.plans {
			if p.realm == realm {
				return p
			}
		}
	}
	return d.plans[0]
}

// all returns the plans in force.
func (d *demand) all() []*plan {
	if d == nil {
		return nil
	}
	return d.plans
}

// find returns the plan that answers by the scheme with these credentials, or nil.
// An empty realm is any.
func (d *demand) find(scheme Scheme, realm string, cred Credentials) *plan {
	for _, p := range d.all() {
		if p.scheme == scheme && p.cred == cred && (realm == "" || p.realm == realm || p.offers == nil) {
			return p
		}
	}
	return nil
}

// with puts p before all other plans, or what it has become by another nonce, if that is
// among them. gone are the plans that go: those of another user in the same realm, and
// what is too many.
func (d demand) with(p *plan) (next demand, gone []*plan) {
	plans := []*plan{p}
	for _, old := range d.plans {
		switch {
		case old.same(p):
			plans[0] = old
		case old.cred.Username != p.cred.Username && (old.realm == p.realm || old.realm == "" || p.realm == ""), len(plans) == maxPlans:
			gone = append(gone, old)
		default:
			plans = append(plans, old)
		}
	}
	d.plans = plans
	return d, gone
}

// without removes p, or what p became.
func (d demand) without(p *plan) demand {
	d.plans = slices.DeleteFunc(slices.Clone(d.plans), func(old *plan) bool { return old == p || old.same(p) })
	return d
}

// replaced puts p in the place of old, if that is there still.
func (d demand) replaced(old, p *plan) demand {
	if i := slices.Index(d.plans, old); i >= 0 {
		d.plans = slices.Clone(d.plans)
		d.plans[i] = p
	}
	return d
}

// isOf reports whether it is known that the target is one of the realm of p: all are
// where there is no other.
func (d *demand) isOf(target string, p *plan) bool {
	if realm, known := d.realms[target]; known {
		return realm == p.realm
	}
	return !slices.ContainsFunc(d.plans, func(other *plan) bool {
		return other.realm != p.realm && other.realm != "" && p.realm != ""
	})
}

// inRealm: the target is one of the realm of p.
func (d demand) inRealm(target string, p *plan) demand {
	d.realms = adding(d.realms, target, p.realm)
	return d
}

// learn changes what is known by a pure function, which may be called more than
// once.
func (r *route) learn(change func(demand) demand) {
	for {
		old := r.demand.Load()
		next := demand{}
		if old != nil {
			next = *old
		}
		next = change(next)
		if r.demand.CompareAndSwap(old, &next) {
			return
		}
	}
}
