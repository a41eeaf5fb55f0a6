package proxyauth

import (
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// What an exchange does after a 407.

// denied takes in the denial of a leg.
func (x *exchange) denied(resp *http.Response, a answer) {
	d := &x.denial
	d.sent.Add(secretsIn(authorizationIn(x.req.Header))...) // the caller's own
	if a.field != nil {
		d.sent.Add(secretsIn(a.field)...)
		d.tried, d.source = append(d.tried, x.p.scheme.Name()), x.p.from
	}
	x.read(resp)
}

// read takes in the header of a denial.
func (x *exchange) read(resp *http.Response) {
	if resp.StatusCode == http.StatusProxyAuthRequired {
		x.r.t.counters.challenges.Add(1)
	}
	x.denial.read(resp, x.m.hangUp)
}

// dismiss ends a denied leg before the next. Its connection can be used again
// if the page is short, except after a request with a body: a proxy may have
// stopped reading that when it said 407, and squid does.
func (x *exchange) dismiss() {
	d := &x.denial
	switch {
	case d.ended:
	case x.req.Method == http.MethodConnect || carrier.HasBody(x.req):
		x.m.hangUp(d.resp)
	default:
		d.drain(x.req.Context())
	}
	x.m.unpin()
}

// letGo ends a denied leg before the exchange waits for another, which may need
// the connection. The page is kept for the error.
func (x *exchange) letGo() {
	if x.denial.resp == nil {
		return
	}
	if x.req.Method == http.MethodConnect || !carrier.HasBody(x.req) {
		x.denial.drain(x.req.Context())
	}
	x.dismiss()
}

// next finds out how to send the next leg after the last one, with the answer
// a, was denied.
func (x *exchange) next(a answer) error {
	asking := x.p.auth != nil && a.field == nil // the leg was to get a challenge
	if asking {
		if fresh, _ := x.p.auth.challenged(a, x.offersOf(x.p.scheme)); fresh != nil {
			x.p, x.private = x.p.with(fresh), true
			return nil
		}
		x.report(lockout.NotSent, nil)
	}
	if x.p.scheme == nil || asking {
		x.learn()
		return x.chooseNow()
	}
	v, fresh, d := x.judge(a)
	switch v {
	case verdict.Renew:
		x.renewed = true
		return x.renew(fresh, d)
	case verdict.Asked:
		return x.otherRealm(fresh)
	case verdict.Refused:
		return x.turnedDown(d)
	}
	e := x.noRefusal()
	x.report(meaning(v, false), e)
	if len(x.denial.challenges) > 0 && (x.p.record.odd.Swap(true) || !x.p.trusted()) {
		// It is not the first time, or nothing has passed: what is known of the proxy
		// may be wrong, so the next request asks without credentials.
		x.r.drop(x.p)
		x.r.learn(func(d demand) demand {
			d.offers = nil
			return d
		})
	}
	return e
}

// learn takes in the challenge of a leg without credentials.
func (x *exchange) learn() {
	offers := x.denial.challenges
	if x.offers == nil {
		x.offers = offers
	}
	x.r.noteOffers(&x.denial)
	x.r.learn(func(d demand) demand { return d.challenged(x.target, offers) })
}

// renew goes on with a fresh nonce that nobody else uses meanwhile. Where one can be
// shared the others get it as soon as it has passed.
func (x *exchange) renew(fresh requestAuth, d difference) error {
	if !d.own && !x.private {
		x.replaces = x.p
	}
	x.p, x.private, x.again = x.p.with(fresh), true, true
	return nil
}

// otherRealm goes on for a realm that is not that of the leg: with other credentials,
// if the source has them, or with the same.
func (x *exchange) otherRealm(fresh requestAuth) error {
	if x.hasOtherPair() {
		x.report(lockout.NotSent, nil)
		return x.chooseNow()
	}
	x.asked, x.again = true, true
	next := x.p.with(fresh)
	next.offers = x.offersOf(x.p.scheme)
	next.realm = realmOf(next.offers)
	next.realmShown = x.denial.sent.StrikeString(next.realm)
	next.record = new(record)
	next.record.passed.Store(x.p.trusted())
	x.p, x.private = next, true
	return nil
}

// turnedDown goes on after the proxy has refused the credentials: with others, or by
// another scheme if they had never passed.
func (x *exchange) turnedDown(d difference) error {
	trusted := x.p.trusted() || x.attempt.Trusted
	x.refused = append(x.refused, refused{x.p.scheme, x.p.cred, trusted})
	x.denial.refused = true
	x.letGo()
	e := x.refusal()
	if x.renewed && d.stale {
		e = x.neverContent()
	}
	x.report(lockout.Refused, e)
	if !trusted && x.p.scheme.traits().needsChallenge {
		x.r.drop(x.p) // the next attempt has a nonce of its own
	}
	x.private = false
	err := x.chooseNow()
	if errors.Is(err, ErrRejected) && e.Err == ErrProxyFault {
		return e
	}
	return err
}
