package proxyauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// maxLegs bounds one request, for proxies that never stop asking.
const maxLegs = 10

// An exchange is a message and all its legs.
type exchange struct {
	r      *route
	m      message
	req    *http.Request
	target string

	p        *plan     // how the next leg is sent
	private  bool      // p has a nonce that no other exchange uses
	replaces *plan     // in the place of which p comes for all, once it has passed; nil: of none
	learning *learning // this exchange finds out for others what the proxy demands; nil: it does not

	// The place at the guard, while credentials are on their way.
	attempt  lockout.Attempt
	holds    bool          // it has one
	attempts int           // that went out with it
	again    bool          // one of them was answered, and the proxy wants it once more
	waited   time.Duration // for places so far

	shown       bool   // the last leg carried what lets somebody check a password, or a ticket
	probed      bool   // an OPTIONS without credentials has passed
	probeExempt bool   // the proxy lets an OPTIONS pass in a handshake that is not done, but not the message
	lost        uint64 // traffic.lost, when it was looked at last
	legs        int
	renewed     bool // credentials went out once more, for a fresh challenge
	asked       bool // credentials went out once more, for another realm

	offers  []challenge.Challenge // of the first 407 without credentials
	refused []refused
	denial  denial // of the last leg
}

// refused is credentials that the proxy, or a KDC, has refused to the exchange.
type refused struct {
	scheme  Scheme
	cred    Credentials
	trusted bool // they had passed before, so no other scheme is tried with them
}

// run sends m through the proxy with as many legs as that takes, and returns
// the answer, which is never a 407 of the proxy.
//
//	begin ── no plan ──► leg without credentials ──► 407 ──► choose
//	  │                                                        │
//	  └── plan ──► place at the guard ──► leg with credentials ◄┘
//	                                              │
//	                                  verdict: passed, renewed, refused, …
func (r *route) run(m message) (resp *http.Response, err error) {
	req := m.request()
	x := exchange{r: r, m: m, req: req, target: target(req), lost: r.traffic.lost.Load()}
	r.t.counters.exchanges.Add(1)
	defer x.end()
	if err = x.begin(); err != nil {
		return nil, err
	}
	for round := 1; ; round++ {
		var a answer
		begin := time.Now()
		x.shown = false
		switch {
		case x.p.bound != nil:
			resp, err = x.sendBound()
		case x.p.auth != nil:
			if err = x.admit(); err != nil {
				break
			}
			if a, err = x.p.auth.authorize(req, x.private); err != nil {
				return nil, x.unanswerable(err)
			}
			if a.field != nil {
				x.shows(a)
			}
			resp, err = m.send(a.field, x.careful(a))
			err = x.sent(begin, a.field, resp, err)
		case carrier.IsStream(req) && !x.probed && len(authorizationIn(req.Header)) == 0 && !r.demand.Load().isBare(x.target):
			// Expect would do, if all proxies knew it; and a stream that was
			// sent in vain is lost.
			resp, err = m.probe()
			err = x.sent(begin, nil, resp, err)
			if err == nil && resp.StatusCode != http.StatusProxyAuthRequired {
				x.probed = true
				m.hangUp(resp)
				continue
			}
		default:
			resp, err = m.send(nil, x.careful(a))
			err = x.sent(begin, nil, resp, err)
		}
		switch {
		case err != nil:
			if err = x.failed(err); err != nil {
				return nil, err
			}
		case !x.refuses(resp):
			return x.passed(resp, a)
		default:
			x.denied(resp, a)
			err = x.next(a)
			x.dismiss()
			if err != nil {
				return nil, err
			}
		}
		if round >= 2*maxLegs || x.legs >= maxLegs && x.p.bound == nil {
			return nil, x.neverContent()
		}
	}
}

// end gives back what the exchange holds.
func (x *exchange) end() {
	x.report(lockout.NotSent, nil)
	x.tellsOthers()
}

// begin finds out how the first leg is sent.
func (x *exchange) begin() error {
	for late := false; ; {
		d := x.r.demand.Load()
		if d.isBare(x.target) {
			x.p = bare
			return nil
		}
		if p := x.r.identified(x.req.Context(), d.planFor(x.target)); p != nil {
			x.p = p
			return nil
		}
		if d != nil && d.offers != nil || x.r.unasked() {
			ready, err := x.choose()
			if ready || err != nil {
				return err
			}
		}
		// The proxy is asked. As long as nothing is known of it, one request does, and
		// the others wait for what it learns.
		x.p = bare
		if late || d != nil && d.offers == nil { // something is known, but no challenge
			return nil
		}
		var err error
		if x.learning, late, err = x.r.learnFirst(x.req.Context(), x.req); err != nil || x.learning != nil {
			return err
		}
	}
}

// shows notes that a leg is about to carry credentials.
func (x *exchange) shows(a answer) {
	x.shown = true
	if x.p.account == nil {
		return
	}
	x.attempts++
	if !x.attempt.Trusted {
		guard, attempt := x.r.t.guard, x.attempt
		x.m.tries(func() { guard.Free(attempt) }, x.late(a))
	}
}

// failed returns the error that ends the exchange after a leg did not come
// about, or nil to go on otherwise.
func (x *exchange) failed(err error) error {
	var failure *schemeError
	var lost *carrier.LostError
	switch {
	case errors.Is(err, errNoExpect), errors.Is(err, errAgain):
		return nil
	case errors.Is(err, errBodyGone):
		return x.bodyGone()
	case errors.Is(err, carrier.ErrRetired):
		x.report(lockout.NotSent, nil) // the place is for other credentials
		return x.begin()
	case x.req.Context().Err() != nil:
		// Its cause may be what became of another request, and is not this one's then.
		ended := err
		if !gaveUp(err) {
			ended = &carrier.LegError{Proxy: x.r.name, Err: x.req.Context().Err()}
		}
		if x.shown {
			x.report(x.unanswered(err), ended)
		}
		if errors.As(err, &failure) || errors.As(err, new(unproven)) {
			return context.Cause(x.req.Context())
		}
		return err
	case errors.As(err, new(*carrier.DialError)):
		// What is in it may be about the scheme of an earlier hop.
		x.report(lockout.NotSent, nil)
		return err
	case errors.As(err, new(*AuthError)): // from the caller's own functions, about another request
	case errors.As(err, &failure):
		return x.skip(failure)
	case errors.As(err, new(unproven)):
		x.unproven()
		return x.unanswerable(err)
	case x.shown && errors.As(err, &lost): // else it may be another request's
		lost.Trial = !x.p.trusted()
	}
	if x.shown {
		x.report(x.unanswered(err), err)
	}
	return err
}

// careful reports whether a body is better held back: where the proxy may well
// answer 407 to this leg.
func (x *exchange) careful(a answer) bool {
	switch {
	case !carrier.HasBody(x.req):
		return false
	case x.p.scheme == nil:
		return !x.r.demand.Load().isBare(x.target)
	case !x.p.trusted(), x.p.auth != nil && a.field == nil:
		return true
	}
	// The challenge can end at any time. A body that can be replayed is then sent
	// twice, a stream would be lost.
	return x.p.auth != nil && x.p.auth.expires() && x.req.GetBody == nil
}

// refuses reports whether a reply asks for credentials, or for others: a 407 of the
// proxy. A proxy says in it what it demands (RFC 9110 §15.5.8), and takes a challenge
// out of what it forwards (§11.7.1). So a forwarded 407 without a challenge is an
// origin's, or that of a proxy behind this one, if this one has got what it needs.
func (x *exchange) refuses(resp *http.Response) bool {
	return resp.StatusCode == http.StatusProxyAuthRequired &&
		(x.req.Method == http.MethodConnect || len(resp.Header["Proxy-Authenticate"]) > 0 || !x.answers())
}

// answers reports whether the last leg had all that the proxy needs, as far as known:
// it answered a challenge, of this exchange or of another one, its credentials had
// passed before, or its target needs none.
func (x *exchange) answers() bool {
	if x.p.scheme == nil {
		return x.r.demand.Load().isBare(x.target)
	}
	return x.offers != nil || x.p.offers != nil || x.p.trusted()
}

// passed takes in a reply that asks for nothing.
func (x *exchange) passed(resp *http.Response, a answer) (*http.Response, error) {
	p := x.p
	if x.denial.resp == nil {
		x.r.t.counters.reused.Add(1)
	}
	if p.auth != nil {
		auth, err := p.auth.accepted(a, resp)
		if err != nil {
			x.unproven()
			x.denied(resp, a)
			x.m.hangUp(resp)
			return nil, x.unanswerable(err)
		}
		if auth != nil {
			p = p.with(auth)
		}
	}
	v := verdict.Of(x.leg(), verdict.Answer{Status: resp.StatusCode})
	var cause error
	if refusal := x.m.refusal(resp); refusal != nil {
		refusal.trusted = p.trusted()
		cause = refusal
	}
	if cause == nil && v == verdict.Unclear {
		cause = &statusError{x.r.name, resp.StatusCode}
	}
	x.settle(p, v, resp.StatusCode)
	if x.shown {
		x.report(meaning(v, resp.StatusCode == http.StatusForbidden), cause)
	}
	if body, ok := resp.Body.(provesLater); ok {
		r := x.r
		body.whenProved(func(auth requestAuth) { r.replace(p, p.with(auth)) })
	}
	return resp, nil
}

// unproven reports an answer by which the proxy has failed to prove itself.
func (x *exchange) unproven() {
	x.report(meaning(verdict.Of(x.leg(), verdict.Answer{Unproven: true}), false), nil)
}

// settle learns from a reply that asks for nothing, and means v. p is what x.p has
// become by the reply.
func (x *exchange) settle(p *plan, v verdict.Verdict, status int) {
	r := x.r
	switch {
	case p != x.p && !x.private:
		r.replace(x.p, p)
	case x.replaces != nil && v == verdict.Passed:
		r.replace(x.replaces, p)
	}
	switch {
	case p.scheme == nil:
		passes := x.passesBare(status)
		if d := r.demand.Load(); d == nil || passes && !d.isBare(x.target) {
			r.learn(func(d demand) demand {
				if passes {
					return d.passes(x.target)
				}
				return d // and yet there was an answer: nobody waits for another request's
			})
		}
		x.tellsOthers()
	case x.shown && v == verdict.Passed:
		r.works(p, x.target)
	}
}

// passesBare reports whether an answer to a leg without credentials shows that the
// proxy asks for none.
func (x *exchange) passesBare(status int) bool {
	leg := verdict.Leg{Shown: true, Tunnel: x.req.Method == http.MethodConnect}
	return verdict.Of(leg, verdict.Answer{Status: status}) == verdict.Passed
}
