package proxyauth

import (
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// What an exchange does after the answer to a leg.

// refuses reports whether an answer is a 407 of the proxy. A proxy says in it what it
// demands (RFC 9110 §15.5.8), and takes a challenge out of what it forwards (§11.7.1). So
// a forwarded 407 without a challenge is that of an origin, or of a proxy behind this one,
// if the leg had all that this proxy needs. Before the last leg of a handshake nothing
// reaches an origin.
func (x *exchange) refuses(resp *http.Response) bool {
	return resp.StatusCode == http.StatusProxyAuthRequired &&
		(x.req.Method == http.MethodConnect || len(resp.Header["Proxy-Authenticate"]) > 0 || !x.answers() ||
			x.p.Nature.Connection && !x.leg.last)
}

// answers reports whether the last leg had all that the proxy needs, as far as known:
// it answered a challenge, of this exchange or of another one, its credentials had
// passed before, or its target needs none.
func (x *exchange) answers() bool {
	if x.p.Scheme == nil {
		return x.r.demand.Load().IsBare(x.target)
	}
	return x.offers != nil || x.p.Offers != nil || x.p.Trusted()
}

// facts returns the facts about the last leg on which verdict.Of decides.
func (x *exchange) facts() verdict.Leg {
	return verdict.Leg{
		Shown:        x.leg.shown(),
		Tunnel:       x.req.Method == http.MethodConnect,
		Answered:     x.answers(),
		ProofByRealm: x.p.Scheme != nil && x.p.Scheme.Traits().ByRealm,
		Settled:      x.p.Trusted(),
		Renewed:      x.renewed,
		Asked:        x.asked,
	}
}

// passes takes in an answer that asks for nothing, and returns the response; nil and no
// error mean that the answer was to a probe, after which the request follows.
func (x *exchange) passes(resp *http.Response) (*http.Response, error) {
	p := x.p
	if p.Scheme == nil && x.leg.Body == verdict.Probe {
		x.probed = true
		x.m.HangUp(resp)
		return nil, nil
	}
	if x.talk != nil && !x.ready {
		next, err := x.talk.Passed(resp, p.Renew)
		if err != nil {
			return nil, x.unproven(resp, err)
		}
		if next != nil {
			p = p.With(next)
		}
	}
	if x.p.Nature.Connection {
		switch goesOn, err := x.probePassed(resp); {
		case err != nil:
			return nil, x.failed(err)
		case goesOn:
			return nil, nil
		case x.leg.authenticated:
			p.Remembered(true)
		case x.forgotten == x.p.Record:
			p.Remembered(false)
			x.r.ways.CloseIdleOf(p.Record) // the proxy has forgotten the others, too
		}
	}
	if x.trail.last.resp == nil {
		x.r.counters.reused.Add(1)
	}
	var refusal *ConnectError
	if x.req.Method == http.MethodConnect && resp.StatusCode/100 != 2 { // RFC 9110 §9.3.6: any 2xx
		refusal = x.trail.connectError(resp, x.m.HangUp, x.leg.Authorization, p.Trusted())
	}
	x.settle(p, resp.StatusCode, refusal)
	if refusal != nil {
		return nil, refusal
	}
	return resp, nil
}

// probePassed deals with the answer to an OPTIONS in a handshake, after which the
// request follows on the connection, and with the answer to that. goesOn: another leg
// follows.
func (x *exchange) probePassed(resp *http.Response) (goesOn bool, err error) {
	switch {
	case x.ready:
		x.r.learn(demand.Fact{What: demand.Probed, Tell: true})
		inVain := x.leg.Body == verdict.Held && resp.StatusCode == http.StatusExpectationFailed && len(x.req.Header["Expect"]) == 0
		if inVain { // once more, without Expect
			x.m.Drop()
			x.hush()
		}
		return inVain, nil
	case x.leg.Body != verdict.Probe && x.leg.Body != verdict.Withheld:
		return false, nil
	case x.m.Keep(resp) != nil:
		x.m.Drop()
		return false, &scheme.Failure{Err: errors.New("the proxy closes the connection before the handshake is done")}
	}
	x.ready = true
	return true, nil
}

// settle learns from an answer that asks for nothing, and reports to the guard. p is x.p,
// with the next session if the answer has named one; refusal is the error if the answer
// opens no tunnel.
func (x *exchange) settle(p *demand.Plan, status int, refusal *ConnectError) {
	v := verdict.Of(x.facts(), verdict.Answer{Status: status})
	passed := v == verdict.Passed && !(p.Own && blamesRequest(status))
	switch {
	case p != x.p && !x.p.Own:
		x.r.learn(demand.Fact{What: demand.Replaced, Plan: x.p, By: p})
	case x.replaces != nil && passed:
		x.r.learn(demand.Fact{What: demand.Replaced, Plan: x.replaces, By: p})
	}
	switch d := x.r.demand.Load(); {
	case p.Scheme == nil:
		switch bare := x.passesBare(status); {
		case bare && !d.IsBare(x.target):
			x.r.learn(demand.Fact{What: demand.PassedBare, Target: x.target})
		case !d.Asked: // so that others ask, too, in place of waiting for this one
			x.r.learn(demand.Fact{What: demand.Answered})
		}
		x.learning.end()
	case x.leg.shown() && passed:
		x.accepted(p)
	}
	if !x.leg.shown() {
		return
	}
	var cause error // for those who are held back by it
	switch {
	case refusal != nil:
		cause = refusal
	case v == verdict.Unclear, v == verdict.UnclearTarget:
		cause = &statusError{x.r.name, status}
	}
	x.report(v, cause)
}

// blamesRequest reports whether a status may be about the Proxy-Authorization itself, such as
// its length. What was sent for one request alone is not sent with others then: the 407 that
// demanded it may have been an origin's.
func blamesRequest(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// accepted notes that the proxy has taken the credentials of p.
func (x *exchange) accepted(p *demand.Plan) {
	first := p.Passed()
	if first {
		x.r.logAuthenticated(p)
	}
	if d := x.r.demand.Load(); first || !d.IsOf(x.target, p) {
		x.r.learn(demand.Fact{What: demand.Passed, Plan: p, Target: x.target})
	}
}

// passesBare reports whether an answer to a leg without credentials shows that the proxy
// asks for none.
func (x *exchange) passesBare(status int) bool {
	leg := verdict.Leg{Shown: true, Tunnel: x.req.Method == http.MethodConnect}
	return verdict.Of(leg, verdict.Answer{Status: status}) == verdict.Passed
}

// unproven ends the exchange after an answer by which the proxy has failed to prove
// itself.
func (x *exchange) unproven(resp *http.Response, err error) error {
	x.report(verdict.Of(x.facts(), verdict.Answer{Unproven: true}), nil)
	if !x.p.Nature.Connection {
		x.trail.tries(x.p)
	}
	x.trail.denies(resp, x.m.HangUp, x.leg.Authorization)
	x.m.HangUp(resp)
	x.m.Drop()
	return x.trail.unanswerable(x.p.Scheme.Name(), err)
}

// challenged goes on after a 407 of the proxy.
func (x *exchange) challenged(reply carrier.Reply) error {
	resp := reply.Response
	switch {
	case x.leg.authenticated:
		x.r.counters.challenges.Add(1)
		x.m.HangUp(resp)
		x.m.Drop()
		x.forgotten = x.p.Record
		return nil
	case x.ready:
		// Not every proxy that lets an OPTIONS pass does so with the request.
		x.r.learn(demand.Fact{What: demand.Probed, Tell: false})
		x.m.Drop()
		x.hush()
		if x.exempt {
			return x.failed(&scheme.Failure{Err: errors.New("the proxy lets the handshake pass before it is done, and then refuses the request")})
		}
		x.exempt = true // once more, on another connection
		return nil
	}
	x.trail.denies(resp, x.m.HangUp, x.leg.Authorization)
	var reading scheme.Reading
	var ends error // why the handshake cannot go on, on this connection
	if x.talk != nil {
		offers := x.offersOf(x.p.Scheme)
		if x.p.Nature.Connection && len(offers) > 0 && offers[0].Token68 != "" {
			ends = x.m.Keep(resp)
		}
		reading = x.talk.Challenged(offers, len(x.trail.last.challenges) > len(offers))
	}
	switch {
	case ends != nil && x.leg.last && x.p.Account != nil:
		reading = scheme.Reading{} // what it would go on with does not matter
	case ends != nil:
		x.m.Drop()
		x.hush()
		if ends == carrier.ErrSurplus {
			x.spoiled = true
			return nil
		}
		if x.p.Trusted() {
			// One connection's end says nothing about the scheme, nor about the other
			// connections; net/http ends one itself when the machine is so busy that it
			// has not noticed its own write.
			return nil
		}
		return x.failed(&scheme.Failure{Err: errors.New("the proxy closes the connection between the legs of the handshake")})
	case reading.Err != nil:
		return x.failed(reading.Err)
	case reading.More:
		if x.messages++; x.messages == maxLegs {
			return x.failed(&scheme.Failure{Err: errors.New("the proxy does not end the handshake")})
		}
		return nil
	}
	if x.leg.Authorization != nil && !x.p.Nature.Connection {
		x.trail.tries(x.p)
	}
	x.rounds++
	err := x.next(reading, reply.Twice)
	x.dismiss()
	return err
}

// next finds out how to send the next leg after the proxy has denied the last one. twice
// says that net/http may have sent that twice.
func (x *exchange) next(reading scheme.Reading, twice bool) error {
	asking := x.talk != nil && x.leg.Authorization == nil // the leg was to get a challenge
	if asking {
		if reading.Next != nil {
			x.p = x.p.WithOwn(reading.Next)
			return nil
		}
		x.report(verdict.NotSent, nil)
	}
	if x.p.Scheme == nil || asking {
		if x.offers == nil {
			x.offers = x.trail.last.challenges
		}
		x.r.learn(demand.Fact{What: demand.Challenged, Target: x.target, Offers: x.trail.last.challenges})
		return x.chooseNow()
	}
	v, otherPair := x.judge(reading, twice)
	switch v {
	case verdict.Renew:
		// A fresh nonce that nobody else uses meanwhile. Where one can be shared the
		// others get it as soon as it has passed.
		x.renewed = true
		if !reading.Own && !x.p.Own {
			x.replaces = x.p
		}
		x.p, x.place.again = x.p.WithOwn(reading.Next), true
		return nil
	case verdict.Asked:
		return x.otherRealm(otherPair, reading.Next)
	case verdict.Refused:
		return x.turnedDown(reading.Stale)
	}
	e := x.trail.noRefusal(x.known())
	x.report(v, e)
	if len(x.trail.last.challenges) > 0 && x.p.Odd() {
		// This is the second such answer since the credentials passed, or they never have:
		// what is known of the proxy may be wrong, so the next request asks without
		// credentials.
		x.r.learn(demand.Fact{What: demand.Dropped, Plan: x.p})
		x.r.learn(demand.Fact{What: demand.Changed})
	}
	return e
}

// judge says what the 407 to the last leg means. otherPair says that the source has other
// credentials for its realm.
func (x *exchange) judge(reading scheme.Reading, twice bool) (v verdict.Verdict, otherPair bool) {
	leg, d := x.facts(), &x.trail.last
	overtaken := reading.Overtaken || twice && reading.Next != nil && x.p.Nature.Expires
	leg.Settled = leg.Settled || overtaken
	leg.ProofByRealm = leg.ProofByRealm && reading.Next != nil // else the challenge cannot be answered
	demand := verdict.Demand{
		Challenged: len(d.challenges) > 0,
		Familiar:   familiar(x.known(), d.challenges) || familiar(x.p.Offers, d.challenges),
		Stale:      reading.Stale,
		Fresh:      reading.Fresh || overtaken,
	}
	if offers := x.offersOf(x.p.Scheme); len(offers) > 0 && offers[0].Has("realm") {
		demand.OtherRealm = realmOf(offers) != x.p.Realm
		if demand.OtherRealm {
			cred, _, err := x.r.credentials(x.req.Context(), x.p.Scheme, realmOf(offers))
			demand.OtherPair = err == nil && cred != x.p.Credentials
		}
	}
	if x.place.held && !x.r.guard.Repeat(x.place.attempt, x.place.legs) {
		// The guard allows no further leg, as if this one had been sent again already.
		leg.Renewed, leg.Asked = true, leg.Asked || !demand.OtherPair
	}
	return verdict.Of(leg, verdict.Answer{Status: d.resp.StatusCode, Demand: demand}), demand.OtherPair
}

// turnedDown goes on after the proxy has refused the credentials: with others, or by
// another scheme if they had never passed.
func (x *exchange) turnedDown(stale bool) error {
	trusted := x.p.Trusted() || x.place.attempt.Trusted
	x.refused = append(x.refused, refused{scheme: x.p.Scheme, cred: x.p.Credentials, trusted: trusted})
	x.letGo()
	e := x.trail.refusal(x.p.From)
	if x.renewed && stale {
		e = x.trail.neverContent()
	}
	x.report(verdict.Refused, e)
	if !trusted && x.p.Scheme.Traits().NeedsChallenge {
		x.r.learn(demand.Fact{What: demand.Dropped, Plan: x.p}) // the next attempt has a nonce of its own
	}
	err := x.chooseNow()
	if errors.Is(err, ErrRejected) && e.Err == ErrProxyFault {
		return e
	}
	return err
}

// dismiss ends a denied leg before the next. Its connection can be used again if the
// page is short, except after a request with a body: a proxy may have stopped reading
// that when it said 407, and squid does.
func (x *exchange) dismiss() {
	x.hush()
	d := &x.trail.last
	switch {
	case d.ended:
	case x.req.Method == http.MethodConnect || carrier.HasBody(x.req):
		x.m.HangUp(d.resp)
	default:
		d.drain(x.req.Context())
	}
	x.m.Drop()
}

// letGo is dismiss for an exchange that is about to wait, perhaps for another one that
// needs the connection. It reads the page of a denied CONNECT first, for the error.
func (x *exchange) letGo() {
	if x.trail.last.resp == nil {
		return
	}
	if x.req.Method == http.MethodConnect {
		x.trail.last.drain(x.req.Context())
	}
	x.dismiss()
}
