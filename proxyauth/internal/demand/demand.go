// Package demand keeps what is known about a proxy: the challenges that it sends, and how
// they are answered. One pure function, [Demand.Next], makes new knowledge of old
// knowledge and a fact.
package demand

import (
	"maps"
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A Demand is what is known about the demands of a proxy. It is never changed: Next
// returns another Demand. The zero Demand knows nothing.
type Demand struct {
	// Asked: the proxy has answered a request without credentials, in whatever way.
	Asked bool

	// Offers are the challenges of the last 407 to a request without credentials. Nil
	// means that there was none yet, or that they may be out of date.
	Offers []challenge.Challenge

	// Plans are the ways to answer. The first is for all targets but those of another
	// realm; the others are for other realms, or have a former password.
	Plans []*Plan

	// Strength is the greatest strength of the schemes that have passed. Protection is
	// the greatest protection of the sessions that have passed, and ProtectedBy the name
	// of what gave it.
	Strength, Protection int
	ProtectedBy          string

	// ProbesTell: when an OPTIONS passed in a handshake, the request after it passed, too.
	ProbesTell bool

	bare   map[string]bool   // targets that pass without credentials
	realms map[string]string // the realm of targets, where there are several
}

const (
	maxPlans   = 8
	maxTargets = 256
	maxRealm   = 1 << 10 // bytes of a realm that is noted for a target: an origin may have written it
)

// A Fact is one thing that a request has found out about a proxy.
type Fact struct {
	What   What
	Target string                // host:port, of Challenged, PassedBare and Passed
	Offers []challenge.Challenge // of Challenged
	Plan   *Plan                 // of Adopted, Passed, Replaced and Dropped
	By     *Plan                 // of Replaced: the new plan
	Tell   bool                  // of Probed
}

// A What says of which kind a Fact is.
type What int

const (
	Answered   What = iota + 1 // a request without credentials was answered in a way that does not tell what the proxy demands
	Challenged                 // the proxy demands credentials for the target, with these challenges
	PassedBare                 // the target passes without credentials; others may not
	Adopted                    // Plan is a new way to answer
	Passed                     // Plan has passed for the target
	Replaced                   // By takes the place of Plan, if Plan is still in force
	Dropped                    // Plan is of no use any more
	Changed                    // the known challenges may be out of date
	Probed                     // whether a request passed after its OPTIONS had passed in a handshake
)

// Next returns what is known after a fact. gone are the plans that are no longer in
// force.
func (d Demand) Next(f Fact) (next Demand, gone []*Plan) {
	switch f.What {
	case Answered:
		d.Asked = true
	case Challenged:
		d.Asked, d.Offers, d.bare = true, f.Offers, without(d.bare, f.Target)
	case PassedBare:
		d.Asked, d.bare = true, with(d.bare, f.Target, true)
	case Adopted:
		if d.Find(f.Plan.Scheme, f.Plan.Realm, f.Plan.Credentials) == nil {
			return d.first(f.Plan)
		}
	case Passed:
		d.Strength = max(d.Strength, f.Plan.Scheme.Traits().Strength)
		d = d.protectedBy(f.Plan)
		if !d.IsOf(f.Target, f.Plan) && len(f.Plan.Realm) <= maxRealm {
			d.realms = with(d.realms, f.Target, f.Plan.Realm)
		}
		return d.first(f.Plan)
	case Replaced:
		replaced := func(p *Plan) bool { return p.Session == f.Plan.Session && p.Same(f.Plan) }
		if i := slices.IndexFunc(d.Plans, replaced); i >= 0 {
			d.Plans = slices.Clone(d.Plans)
			d.Plans[i] = f.By.shared()
			if f.By.Trusted() {
				d = d.protectedBy(f.By)
			}
		}
	case Dropped:
		i := slices.IndexFunc(d.Plans, f.Plan.Same)
		if i >= 0 {
			gone = []*Plan{d.Plans[i]}
			d.Plans = slices.Delete(slices.Clone(d.Plans), i, i+1)
		}
	case Changed:
		d.Asked, d.Offers = true, nil
	case Probed:
		d.ProbesTell = f.Tell
	}
	return d, gone
}

// protectedBy returns d after p has passed: with the protection of p, if that is the
// greatest so far.
func (d Demand) protectedBy(p *Plan) Demand {
	if p.Nature.Protection > d.Protection {
		d.Protection, d.ProtectedBy = p.Nature.Protection, p.Nature.ProtectedBy
	}
	return d
}

// first puts p before all other plans. If the plans have p with a newer session, that is
// put there instead. Plans of another user in the same realm are removed, and plans
// beyond maxPlans.
func (d Demand) first(p *Plan) (next Demand, gone []*Plan) {
	plans := []*Plan{p.shared()}
	for _, old := range d.Plans {
		otherUser := old.Credentials.Username != p.Credentials.Username
		switch {
		case old.Same(p):
			plans[0] = old
		case otherUser && sameRealm(old, p), len(plans) == maxPlans:
			gone = append(gone, old)
		default:
			plans = append(plans, old)
		}
	}
	d.Plans = plans
	return d, gone
}

// sameRealm reports whether two plans may be for one realm; "" stands for any realm.
func sameRealm(a, b *Plan) bool { return a.Realm == b.Realm || a.Realm == "" || b.Realm == "" }

// with returns a copy of m with one more target, which takes the place of another one if
// there would be more than maxTargets.
func with[V any](m map[string]V, target string, v V) map[string]V {
	next := make(map[string]V, len(m))
	next[target] = v
	for other, v := range m {
		if other != target && len(next) < maxTargets {
			next[other] = v
		}
	}
	return next
}

// without returns m, or a copy of it that does not have the target.
func without(m map[string]bool, target string) map[string]bool {
	if !m[target] {
		return m
	}
	m = maps.Clone(m)
	delete(m, target)
	return m
}

// IsBare reports whether the target passes without credentials.
func (d *Demand) IsBare(target string) bool { return d.bare[target] }

// PlanFor returns the plan in force for the target, or nil.
func (d *Demand) PlanFor(target string) *Plan {
	realm, several := d.realms[target]
	for _, p := range d.Plans {
		if !several || p.Realm == realm {
			return p
		}
	}
	return nil
}

// Unplanned reports whether the target is of another realm than all plans in force. They
// would be refused for it, so the proxy is to be asked.
func (d *Demand) Unplanned(target string) bool {
	return len(d.Plans) > 0 && d.PlanFor(target) == nil
}

// Find returns the plan that answers by the scheme with these credentials, or nil. The
// empty realm stands for any realm.
func (d *Demand) Find(s scheme.Scheme, realm string, c scheme.Credentials) *Plan {
	for _, p := range d.Plans {
		if p.Scheme == s && p.Credentials == c && (realm == "" || p.Realm == realm || p.Offers == nil) {
			return p
		}
	}
	return nil
}

// IsOf reports whether the target is known to belong to the realm of p. If there is no
// other realm, all targets do.
func (d *Demand) IsOf(target string, p *Plan) bool {
	if realm, known := d.realms[target]; known {
		return realm == p.Realm
	}
	return !slices.ContainsFunc(d.Plans, func(other *Plan) bool { return !sameRealm(other, p) })
}
