package proxyauth

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// What an answer means is decided by package verdict. Here are the facts on which it
// decides.

// leg returns the facts about the last leg.
func (x *exchange) leg() verdict.Leg {
	return verdict.Leg{
		Shown:        x.shown,
		Tunnel:       x.req.Method == http.MethodConnect,
		Answered:     x.answers(),
		ProofByRealm: x.p.scheme != nil && x.p.scheme.traits().byRealm,
		Settled:      x.p.trusted(),
		Renewed:      x.renewed,
		Asked:        x.asked,
	}
}

// judge says what the denial of the last leg means, which carried a. Where the scheme
// is bound to the request, fresh is what answers the denial's challenge, and d says how
// that differs from the challenge before.
func (x *exchange) judge(a answer) (v verdict.Verdict, fresh requestAuth, d difference) {
	if x.p.auth != nil {
		fresh, d = x.p.auth.challenged(a, x.offersOf(x.p.scheme))
	}
	if lost := x.r.traffic.lost.Load(); lost != x.lost {
		// A connection to the proxy has ended meanwhile. It may have been that of this
		// leg, which net/http has sent again then: with a nonce count that is good for
		// one request, and was refused the second time.
		x.lost = lost
		d.overtaken = d.overtaken || fresh != nil && x.p.auth.expires()
	}
	leg, demand := x.leg(), x.demanded(d)
	leg.Settled = leg.Settled || d.overtaken
	if x.holds && !x.r.t.guard.Repeat(x.attempt, x.attempts) { // as if it had been repeated
		leg.Renewed, leg.Asked = true, leg.Asked || !demand.OtherPair
	}
	return verdict.Of(leg, verdict.Answer{Status: x.denial.resp.StatusCode, Demand: demand}), fresh, d
}

// demanded compares the last denial with what the leg answered.
func (x *exchange) demanded(d difference) verdict.Demand {
	demand := verdict.Demand{
		Challenged: len(x.denial.challenges) > 0,
		Familiar:   familiar(x.known(), x.denial.challenges),
		Stale:      d.stale,
		Fresh:      d.fresh || d.overtaken,
	}
	if offers := x.offersOf(x.p.scheme); len(offers) > 0 && offers[0].Has("realm") {
		demand.OtherRealm = realmOf(offers) != x.p.realm
		demand.OtherPair = demand.OtherRealm && x.hasOtherPair()
	}
	return demand
}

// hasOtherPair reports whether the source has other credentials for the realm of the
// last denial.
func (x *exchange) hasOtherPair() bool {
	cred, _, err := x.r.credentials(x.req.Context(), x.p.scheme, realmOf(x.offersOf(x.p.scheme)))
	return err == nil && cred != x.p.cred
}

// known returns what the proxy offered at first: to this exchange, or else to another
// one; where it never offered anything, what it offers now.
func (x *exchange) known() []challenge.Challenge {
	if x.offers != nil {
		return x.offers
	}
	if d := x.r.demand.Load(); d != nil && d.offers != nil {
		return d.offers
	}
	return x.denial.challenges
}

// familiar reports whether any scheme of offers is among those that were known
// before.
func familiar(known, offers []challenge.Challenge) bool {
	return slices.ContainsFunc(offers, func(c challenge.Challenge) bool {
		return slices.ContainsFunc(known, func(k challenge.Challenge) bool { return k.Is(c.Scheme) })
	})
}

// unanswered says what the end of a leg without an answer means.
func (x *exchange) unanswered(err error) lockout.Verdict {
	left, pending := x.m.left()
	if pending { // the answer is reported when it comes
		x.holds = false
	}
	if !left || errors.As(err, new(*carrier.DialError)) {
		return lockout.NotSent
	}
	return meaning(verdict.Of(x.leg(), verdict.Answer{Ended: true}), gaveUp(err) || x.req.Context().Err() != nil)
}

// gaveUp reports whether nobody waited for an answer any longer.
func gaveUp(err error) bool {
	return carrier.TimedOut(err) || errors.Is(err, context.Canceled) || errors.Is(err, carrier.ErrCanceled)
}

// meaning is what a verdict says about the password. aboutTarget: where that is
// unclear, the answer is mostly about the target.
func meaning(v verdict.Verdict, aboutTarget bool) lockout.Verdict {
	switch v {
	case verdict.Passed:
		return lockout.Passed
	case verdict.Nothing:
		return lockout.Nothing
	case verdict.Refused:
		return lockout.Refused
	case verdict.Unclear:
		if aboutTarget {
			return lockout.UnclearTarget
		}
		return lockout.Unclear
	}
	return lockout.NotSent
}
