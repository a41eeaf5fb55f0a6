package proxyauth

import (
	"context"
	"errors"
)

// identified returns the plan for the credentials that the source gives now: p, if they
// are the same, and nil if they have no plan yet or p is nil. Connections and tunnels of
// another user end.
func (r *route) identified(ctx context.Context, p *plan) *plan {
	if p == nil {
		return nil
	}
	cred, from, err := r.credentials(ctx, p.scheme, p.realm)
	none := errors.Is(err, ErrNoCredentials)
	same := !none && cred.Username == p.cred.Username
	switch {
	case err != nil && !none:
		return p // the source may be well again in a moment
	case cred == p.cred && !none && (p.bound == nil || !p.bound.other(ctx)):
		return p
	case (!same || cred == p.cred) && r.drop(p):
		r.renewTunnel()
	}
	if none {
		return nil
	}
	if next := r.demand.Load().find(p.scheme, p.realm, cred); next != nil {
		return next
	}
	if p.scheme.traits().needsChallenge {
		return nil
	}
	next, err := r.newPlan(ctx, p.scheme, p.offers, cred, from)
	if err != nil {
		return nil
	}
	next.realmShown = p.realmShown
	next, isNew := r.adopt(next)
	if isNew && same && next.bound != nil {
		r.renewTunnel() // those that there are belong to the former password
	}
	return next
}

// checkIdentity ends the tunnels of the route if the credential source gives another user
// than the one for whom they were opened, so that they carry no further request.
func (r *route) checkIdentity(ctx context.Context) {
	for _, p := range r.demand.Load().all() {
		r.identified(ctx, p)
	}
}
