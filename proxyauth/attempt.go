package proxyauth

import (
	"errors"
	"net/http"
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// admit takes a place at the guard for the credentials of x.p, unless x has one or
// needs none, and waits for it where the guard says so. errAgain means that x.p has
// changed.
func (x *exchange) admit() error {
	p := x.p
	if x.holds || p.account == nil {
		return nil
	}
	x.shown = false
	d, err := x.ask(p)
	if err != nil {
		return err
	}
	switch d.Answer {
	case lockout.Go:
		x.takes(d.Attempt)
		switch {
		case d.Attempt.Scheme != p.names[0]:
			return x.turnTo(d.Attempt.Scheme)
		case x.usedUp(p):
			return x.asksFirst()
		}
		return nil
	case lockout.Bare:
		return x.asksFirst()
	case lockout.Former:
		if x.turnToFormer(d.Former, p.from) {
			return errAgain
		}
	}
	return x.heldBack(d, p.from)
}

// usedUp reports whether the challenge that p answers may be no good: the credentials
// have never passed, and another request has answered it.
func (x *exchange) usedUp(p *plan) bool {
	return !x.attempt.Trusted && !x.private && p.auth != nil && p.auth.used()
}

// asksFirst goes on without credentials, for a challenge. The place is kept, if there
// is one: all who wait for it would ask, too.
func (x *exchange) asksFirst() error {
	x.p, x.private = bare, false
	return errAgain
}

// takes takes over a place at the guard, and gives back the one that x has.
func (x *exchange) takes(a lockout.Attempt) {
	x.report(lockout.NotSent, nil)
	x.attempt, x.holds, x.attempts, x.again = a, true, 0, false
}

// ask asks the guard for a place for the credentials of p, and waits where it is to
// wait. The place may be for another scheme, if they have never passed: each is tried
// once before one is tried again.
func (x *exchange) ask(p *plan) (lockout.Decision, error) {
	q := x.question(p.names)
	d := p.account.Ask(q)
	x.tellsOthers()
	if !p.trusted() && (d.Answer == lockout.Wait || d.Answer == lockout.Go && p.account.Status().Refused > 0) {
		q.Schemes = x.schemesFor(p)
		if d.Answer == lockout.Go {
			x.r.t.guard.Report(d.Attempt, lockout.Evidence{Verdict: lockout.NotSent})
		}
		d = p.account.Ask(q)
	}
	if d.Answer != lockout.Wait {
		return d, nil
	}
	x.letGo()
	ctx, stop := carrier.EndWith(x.req.Context(), x.req)
	defer stop()
	d, waited, err := p.account.Wait(ctx, q)
	x.waited = waited
	return d, err
}

// question is what the guard is asked.
func (x *exchange) question(schemes []string) lockout.Request {
	return lockout.Request{
		Schemes: schemes, Target: x.target, Challenged: x.offers != nil, Unasked: x.r.unasked(), Waited: x.waited,
		NoFormer: slices.ContainsFunc(x.refused, func(r refused) bool { return r.trusted }),
	}
}

// mayGoOn takes a place for x.p without waiting, and reports whether there is one.
func (x *exchange) mayGoOn() bool {
	if x.holds || x.p.account == nil {
		return true
	}
	d := x.p.account.Ask(x.question(x.p.names))
	if d.Answer == lockout.Go {
		x.takes(d.Attempt)
	}
	return x.holds
}

// turnTo goes on by another scheme with the same credentials, for which x has a
// place.
func (x *exchange) turnTo(scheme string) error {
	p, err := x.planBy(schemeNamed(x.r.t.schemes, scheme), x.p.cred, x.p.from)
	if err == nil {
		x.p = p
		return errAgain
	}
	if errors.Is(err, errNoChallenge) {
		return x.asksFirst()
	}
	x.report(lockout.NotSent, nil)
	x.fails(scheme, err)
	return errAgain
}

// turnToFormer goes on with the former password of the user, and reports whether that
// is possible.
func (x *exchange) turnToFormer(k lockout.Key, from string) bool {
	var cred Credentials
	cred.Username, cred.Password = k.Pair.Reveal()
	if slices.ContainsFunc(x.refused, func(r refused) bool { return r.cred == cred }) {
		return false
	}
	for _, p := range x.r.demand.Load().all() {
		if p.cred == cred {
			x.p, x.private = p, false
			return true
		}
	}
	for _, scheme := range x.r.t.schemes {
		if x.r.forbidden(scheme) != "" {
			continue
		}
		p, err := x.planBy(scheme, cred, "a former password of "+from)
		if errors.Is(err, errNoChallenge) && x.offers == nil {
			x.p, x.private = bare, false
			return true
		}
		if err == nil {
			x.p = p
			return true
		}
	}
	return false
}

// report tells the guard what the answer to the attempt means, if there is one; cause
// is the answer.
func (x *exchange) report(v lockout.Verdict, cause error) {
	if !x.holds {
		return
	}
	x.holds = false
	if v == lockout.NotSent && x.again && !x.attempt.Trusted {
		// What went out before may have been refused by this.
		v, cause = lockout.Unclear, &statusError{x.r.name, http.StatusProxyAuthRequired}
	}
	was, is := x.r.t.guard.Report(x.attempt, lockout.Evidence{Verdict: v, Legs: x.attempts, Cause: cause})
	switch {
	case was != is:
		x.r.logAccount(x.attempt.Scheme, x.p, was, is, cause)
	case v == lockout.Refused && !x.attempt.Trusted:
		x.r.logRejected(x.attempt.Scheme, x.p, cause)
	}
}
