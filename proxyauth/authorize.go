package proxyauth

import (
	"context"
	"errors"
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// How an exchange comes to the credentials that it sends: by a scheme that can be used,
// and with a place at the guard.

// chooser returns a chooser for what x knows now.
func (x *exchange) chooser() chooser {
	known := x.known()
	return chooser{
		r: x.r, req: x.req, known: known, latest: [2][]challenge.Challenge{x.trail.last.challenges, x.offers},
		own:      len(known) == 0 || x.offers != nil || x.trail.last.resp != nil,
		failures: x.trail.failures, refused: x.refused, sent: x.trail.sent, learning: x.learning,
	}
}

// chooseNow is choose for an exchange that has had a 407 and sends the next leg in any
// case: whoever waits for what it finds out need not wait for that leg.
func (x *exchange) chooseNow() error {
	_, err := x.choose()
	x.learning.end()
	return err
}

// choose finds out how to answer the proxy: by the first of the Transport's schemes
// that is offered, allowed, has credentials which may be sent now, and can answer. It
// sets x.p. ready is false where the proxy has to be asked for a challenge first. The
// error is the *AuthError that ends the request.
func (x *exchange) choose() (ready bool, err error) {
	c := choice{why: ErrNoUsableScheme, from: x.trail.from}
	refusedByProxy := slices.ContainsFunc(x.refused, func(r refused) bool { return !r.byKDC })
	if refusedByProxy {
		c.why = ErrRejected
	}
	for _, s := range x.r.schemes {
		chooser := x.chooser()
		k, offered := chooser.consider(s)
		switch {
		case !offered:
			continue
		case k.why != nil:
			x.passOver(&c, k)
			continue
		}
		c.from = k.from
		if p := k.plan; p.Account == nil || x.hasPlaceFor(p) {
			x.p = p
			return true, nil
		}
		x.report(verdict.NotSent, nil)
		waited := x.place.waited
		d, err := x.ask(k.plan)
		if err != nil {
			return false, err
		}
		if x.place.waited != waited && s.Traits().NeedsChallenge { // others may have got a newer nonce
			if p, err := chooser.planBy(s, k.cred, k.from); err == nil {
				k.plan = p
			}
		}
		if x.follow(d, k.plan) {
			return d.Answer != lockout.Go || x.p.Scheme != nil, nil
		}
		if c.held == nil {
			c.held = &d
		}
	}
	if ctx := x.req.Context(); ctx.Err() != nil { // perhaps no scheme could be used for this alone
		return false, context.Cause(ctx)
	}
	if c.held != nil && !refusedByProxy {
		return false, x.trail.heldBack(*c.held, c.from, x.known())
	}
	if x.trail.last.resp == nil && len(x.refused) == 0 { // it has not been asked yet
		x.p, x.trail.found = x.r.bare, nil
		return false, nil
	}
	for _, refused := range x.refused {
		d := x.r.account(refused.cred).Ask(x.question(nil))
		if d.Answer == lockout.Former && x.turnToFormer(d.Former, c.from) {
			return true, nil
		}
	}
	return false, x.nothingToUse(&c)
}

// A choice is what choose has found out so far, for the error if no scheme can be used.
type choice struct {
	why    error             // AuthError.Err
	cause  error             // may be nil
	remedy string            // in place of the general one for why; may be ""
	from   string            // where the credentials came from
	held   *lockout.Decision // the first by which credentials are held back; nil: none are
}

// passOver notes that a scheme cannot be used. In the error rejected credentials count
// before missing ones, and those before a scheme that cannot be used.
func (x *exchange) passOver(c *choice, k candidate) {
	var barred *notAdmitted
	if errors.As(k.detail, &barred) {
		if c.held == nil {
			c.held = &barred.decision
		}
		return
	}
	if k.why == ErrRejected || c.why == ErrNoUsableScheme {
		c.why = k.why
	}
	if k.why == ErrRejected && k.detail != nil { // by a KDC
		x.refused = append(x.refused, refused{scheme: k.scheme, cred: k.cred, byKDC: true})
	}
	if k.cause != nil {
		c.cause = k.cause
	}
	if k.remedy != "" && (c.remedy == "" || k.sourceFailed) {
		c.remedy = k.remedy
	}
	if !k.sourceFailed && k.from != "" {
		c.from = k.from
	}
	if k.detail != nil {
		name := k.scheme.Name()
		if k.sourceFailed {
			name = ""
		}
		x.trail.finds(name, x.trail.told(k.detail))
	}
}

// nothingToUse is why no scheme can be used.
func (x *exchange) nothingToUse(c *choice) *AuthError {
	t := &x.trail
	for _, name := range names(t.last.challenges, &t.sent) {
		if scheme.Named(x.r.schemes, name) == nil {
			t.finds(name, errors.New("not among Transport.Schemes"))
		}
	}
	e := t.error(c.why, "")
	e.cause = t.told(c.cause)
	switch c.why {
	case ErrNoCredentials:
		e.remedy = "set Transport.Credentials, write user name and password into the proxy URL, or set PROXY_USER and PROXY_PASS"
		if x.r.source != nil {
			e.remedy = "Transport.Credentials has none for it, and the proxy URL has no user name"
		}
	case ErrNoUsableScheme:
		e.remedy = "ask the proxy's administrators for another scheme, or allow one that it offers"
		if len(t.last.challenges) == 0 && t.failures == nil {
			e.Err, e.remedy = ErrProxyFault, faultRemedy
		}
	case ErrRejected:
		e.remedy = checkPassword + c.from
		if n := len(x.refused); n > 0 {
			e.afterRefusal(x.r.account(x.refused[n-1].cred).Status())
		}
		return e
	}
	if c.remedy != "" {
		e.remedy = c.remedy
	}
	return e
}

// admit takes a place at the guard for the credentials of x.p, unless x has one or
// needs none, and waits for it where the guard says so. errAgain means that x.p has
// changed.
func (x *exchange) admit() error {
	p := x.p
	if x.place.held || p.Account == nil {
		return nil
	}
	d, err := x.ask(p)
	switch {
	case err != nil:
		return err
	case !x.follow(d, p):
		return x.trail.heldBack(d, p.From, x.known())
	case x.p != p, !x.place.held: // it may have been for a scheme that cannot be used
		return errAgain
	}
	return nil
}

// follow does what the guard has decided about the credentials of p: x.p is p from then
// on, or the plan that the guard wants in its place. It returns false where the
// credentials are held back.
func (x *exchange) follow(d lockout.Decision, p *demand.Plan) bool {
	switch d.Answer {
	case lockout.Go:
		x.takes(d.Attempt)
		x.p = p
		switch usedUp := !d.Attempt.Trusted && !p.Own && p.Session != nil && p.Session.Used(); {
		case d.Attempt.Scheme != p.Names[0]:
			x.turnTo(d.Attempt.Scheme)
		case p.Session == nil, usedUp: // another request has answered its challenge
			x.asksFirst()
		}
		return true
	case lockout.Bare:
		x.asksFirst()
		return true
	case lockout.Former:
		return x.turnToFormer(d.Former, p.From)
	}
	return false
}

// asksFirst goes on without credentials, for a challenge. The place is kept, if there
// is one: all who wait for it would ask, too.
func (x *exchange) asksFirst() { x.p = x.r.bare }

// hasPlaceFor reports whether x has a place for p, which it kept while it asked for a
// challenge.
func (x *exchange) hasPlaceFor(p *demand.Plan) bool {
	l := &x.place
	return p.Session != nil && l.held && l.attempt.Scheme == p.Names[0] && l.attempt.Key == p.Account.Key()
}

// takes takes over a place at the guard, after giving back the one that x has.
func (x *exchange) takes(a lockout.Attempt) {
	x.report(verdict.NotSent, nil)
	x.place.take(a)
}

// admitAtOnce is admit without waiting. It reports whether x has a place, or needs none.
func (x *exchange) admitAtOnce() bool {
	if x.place.held || x.p.Account == nil {
		return true
	}
	d := x.p.Account.Ask(x.question(x.p.Names))
	if d.Answer == lockout.Go {
		x.takes(d.Attempt)
	}
	return x.place.held
}

// ask asks the guard for a place for the credentials of p, and waits where it is to
// wait. The place may be for another scheme, if they have never passed: each is tried
// once before one is tried again.
func (x *exchange) ask(p *demand.Plan) (lockout.Decision, error) {
	q := x.question(p.Names)
	d := p.Account.Ask(q)
	x.learning.end()
	if !p.Trusted() && (d.Answer == lockout.Wait || d.Answer == lockout.Go && p.Account.Status().Refused > 0) {
		chooser := x.chooser()
		q.Schemes = chooser.namesFor(p)
		if d.Answer == lockout.Go {
			x.r.guard.Report(d.Attempt, lockout.Evidence{Verdict: verdict.NotSent})
		}
		d = p.Account.Ask(q)
	}
	if d.Answer != lockout.Wait {
		return d, nil
	}
	x.letGo()
	ctx, stop := carrier.EndWith(x.req.Context(), x.req)
	defer stop()
	d, waited, err := p.Account.Wait(ctx, q)
	x.place.waited = waited
	return d, err
}

// question returns the question to the guard for a place by one of the schemes.
func (x *exchange) question(schemes []string) lockout.Request {
	return lockout.Request{
		Schemes: schemes, Target: x.target, Challenged: x.offers != nil, Unasked: x.r.unasked(), Waited: x.place.waited,
		NoFormer: slices.ContainsFunc(x.refused, func(r refused) bool { return r.trusted }),
	}
}

// turnTo goes on by another scheme with the same credentials, for which x has a place.
func (x *exchange) turnTo(name string) {
	chooser := x.chooser()
	p, err := chooser.planBy(scheme.Named(x.r.schemes, name), x.p.Credentials, x.p.From)
	var failure *scheme.Failure
	switch {
	case err == nil:
		x.p = p
	case errors.Is(err, errNoChallenge):
		x.asksFirst()
	default:
		x.report(verdict.NotSent, nil)
		if !errors.As(err, &failure) {
			failure = &scheme.Failure{Err: err}
		}
		x.trail.fails(name, failure)
	}
}

// turnToFormer goes on with the former password of the user, and reports whether that
// is possible.
func (x *exchange) turnToFormer(k lockout.Key, from string) bool {
	var cred scheme.Credentials
	cred.Username, cred.Password = k.Pair.Reveal()
	if slices.ContainsFunc(x.refused, func(r refused) bool { return r.cred == cred }) {
		return false
	}
	d := x.r.demand.Load()
	for _, p := range d.Plans {
		if p.Credentials == cred {
			x.p = p
			return true
		}
	}
	chooser := x.chooser()
	for _, s := range x.r.schemes {
		if chooser.forbids(s) != nil {
			continue
		}
		p, err := chooser.planBy(s, cred, "a former password of "+from)
		if errors.Is(err, errNoChallenge) && x.offers == nil {
			x.asksFirst()
			return true
		}
		if err == nil {
			x.p = p
			return true
		}
	}
	return false
}

// otherRealm goes on for a realm that is not that of the leg: with other credentials, if
// the source has them, or with the same.
func (x *exchange) otherRealm(otherPair bool, fresh scheme.Session) error {
	if otherPair {
		x.report(verdict.NotSent, nil)
		return x.chooseNow()
	}
	x.asked, x.place.again = true, true
	next := x.p.WithOwn(fresh)
	next.Offers = x.offersOf(x.p.Scheme)
	next.Realm = realmOf(next.Offers)
	next.RealmShown = shown(next.Realm, &x.trail.sent)
	next.Record = demand.NewRecord(x.p.Trusted())
	x.p = next
	return nil
}

// offersOf returns the proxy's last challenges for the scheme.
func (x *exchange) offersOf(s scheme.Scheme) []challenge.Challenge {
	return s.Best(challengesOf(x.trail.last.challenges, s.Name()))
}

// known returns what the proxy offered at first: to this exchange, or else to another
// one; where it never offered anything, what it offers now.
func (x *exchange) known() []challenge.Challenge {
	if x.offers != nil {
		return x.offers
	}
	if d := x.r.demand.Load(); d.Offers != nil {
		return d.Offers
	}
	return x.trail.last.challenges
}
