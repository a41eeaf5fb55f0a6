package proxyauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// maxLegs bounds one request, for proxies that never stop asking, and maxSpoiled its
// handshakes once one has ended as exchange.spoiled says.
const maxLegs, maxSpoiled = 10, 3

// An exchange is a request to a proxy, or a CONNECT, and all its legs.
type exchange struct {
	trail // with the route, the request and its target
	m     carrier.Carrier

	p        *demand.Plan // how the next leg is sent
	replaces *demand.Plan // the plan in force that p replaces once p has passed; nil: none
	learning *learning    // the turn to find out what the proxy demands; nil: another exchange has it, or none
	place    place        // at the guard

	talk       scheme.Talk // the conversation under way; nil: none
	leg        leg         // the one that is prepared, or was sent last
	rounds     int         // bounded by 2*maxLegs: legs and attempts at one, without those inside a handshake
	handshakes int         // begun; bounded by maxLegs
	messages   int         // of the proxy in this handshake; bounded by maxLegs

	probed  bool // an OPTIONS without credentials has passed
	ready   bool // an OPTIONS has passed in a handshake: the next leg is the request itself, on the same connection
	exempt  bool // the proxy let an OPTIONS pass in a handshake that was not done, and not the request after it
	renewed bool // credentials went out once more, for a fresh challenge
	asked   bool // credentials went out once more, for another realm

	// forgotten is of the plan on whose authenticated connection the proxy has asked for
	// credentials; nil: it has not.
	forgotten *demand.Record

	spoiled bool // a handshake has ended, since an answer was longer than it says

	offers  []challenge.Challenge // of the first 407 without credentials
	refused []refused
}

// A leg is one message to the proxy.
type leg struct {
	carrier.Leg
	begins        bool // it is the first of a handshake
	last          bool // the proxy can let the request pass with it
	authenticated bool // it is on a connection that was authenticated before
}

// shown reports whether the leg carries what lets somebody check a password, or a ticket.
func (l *leg) shown() bool { return l.last && l.Authorization != nil }

// run sends m through the proxy with as many legs as that takes, and returns the answer,
// which is never a 407 of the proxy.
//
//	begin ── no plan ──► leg without credentials ──► 407 ──► choose
//	  │                                                        │
//	  └── plan ──► place at the guard ──► leg with credentials ◄┘
//	                                              │
//	                                  verdict: passed, more, renew, refused, …
func run(r *route, m carrier.Carrier) (*http.Response, error) {
	req := m.Request()
	x := exchange{m: m, trail: trail{r: r, req: req, target: target(req)}}
	r.counters.exchanges.Add(1)
	defer x.end()
	err := x.begin()
	for err == nil && x.rounds < 2*maxLegs && (x.trail.legs < maxLegs || x.p.Nature.Connection) {
		var reply carrier.Reply
		if err = x.prepare(); err == nil {
			reply, err = x.send()
		}
		switch {
		case err != nil:
			err = x.failed(err)
		case x.refuses(reply.Response):
			err = x.challenged(reply)
		default:
			var resp *http.Response
			if resp, err = x.passes(reply.Response); resp != nil {
				return resp, nil
			}
		}
	}
	if err == nil {
		err = x.trail.neverContent()
	}
	return nil, err
}

// end gives back the place at the guard and the turn to learn, if x has them, and ends the
// conversation.
func (x *exchange) end() {
	x.report(verdict.NotSent, nil)
	x.learning.end()
	x.hush()
}

// begin finds out how the first leg is sent.
func (x *exchange) begin() error {
	for late := false; ; {
		d := x.r.demand.Load()
		if d.IsBare(x.target) {
			x.p = x.r.bare
			return nil
		}
		if p := x.r.identified(x.req.Context(), d.PlanFor(x.target)); p != nil {
			x.p = p
			return nil
		}
		d = x.r.demand.Load() // the plan may have been dropped
		unplanned := d.Unplanned(x.target)
		if !unplanned && (d.Offers != nil || x.r.unasked()) {
			ready, err := x.choose()
			if ready || err != nil {
				return err
			}
		}
		// The proxy is asked. As long as nothing is known of it, one request does, and
		// the others wait for what it learns.
		x.p = x.r.bare
		if late || unplanned || d.Asked && d.Offers == nil { // something is known, but no challenge
			return nil
		}
		var err error
		if x.learning, late, err = x.r.turn.take(x.req); err != nil || x.learning != nil {
			return err
		}
	}
}

// hush ends the conversation under way.
func (x *exchange) hush() {
	if x.talk != nil {
		x.talk.Close()
		x.talk = nil
	}
	x.ready = false
}

// prepare finds out what the next leg is: it takes a place at the guard, a connection
// and the conversation's next token, as far as they are needed. errAgain means that
// another plan is to be followed.
func (x *exchange) prepare() (err error) {
	x.leg = leg{}
	switch ctx := x.req.Context(); {
	case x.p.Scheme == nil:
		x.hush()
	case !x.p.Nature.Connection:
		if err = x.admit(); err != nil {
			return err
		}
		x.talk = x.p.Session.Talk(ctx, scheme.Peer{}, x.req, x.p.Own)
	case x.talk == nil:
		if err = x.open(); err != nil {
			return err
		}
	case x.ready:
		x.leg.last = true
	}
	if x.talk != nil && !x.ready {
		if x.leg.Authorization, x.leg.last, err = x.talk.Next(); err != nil {
			return err
		}
		if x.leg.begins {
			x.r.counters.handshakes.Add(1)
			x.trail.tries(x.p)
		}
		if x.leg.last {
			x.shows()
		}
	}
	if carrier.HasBody(x.req) {
		x.leg.Body = verdict.When(x.sending())
	}
	return nil
}

// errAgain says that no leg is sent now, since the exchange goes on by another plan.
var errAgain = errors.New("once more, by another plan")

// open takes a connection for a scheme of connections, and begins the conversation
// where it is not authenticated already. The place at the guard comes first, so that no
// connection is kept from others while it is waited for.
//
// If there is a 407 on an authenticated connection, the proxy has forgotten it, or
// denies the target to this user. The handshake that follows tells, and it runs on a new
// connection: squid passes over all credentials on one that it knows.
func (x *exchange) open() error {
	want := carrier.AnyConnection
	switch {
	case x.spoiled && x.handshakes >= maxSpoiled:
		return longer
	case x.forgotten == x.p.Record:
		if err := x.admit(); err != nil {
			return err
		}
		want = carrier.NewConnection
	case !x.place.held && x.p.Account != nil:
		want = carrier.Authenticated
	}
	c, err := x.m.Open(x.p.Record, want)
	switch {
	case err != nil:
		return err
	case c == nil:
		return x.admitAgain()
	case c.Authenticated && !x.p.NeedsToken(carrier.IsStream(x.req)):
		x.report(verdict.NotSent, nil) // others may have the place
		x.leg.authenticated, x.leg.last = true, true
		return nil
	case !x.admitAtOnce():
		x.m.Drop()
		return x.admitAgain()
	}
	if x.handshakes++; x.handshakes > maxLegs {
		return &scheme.Failure{Err: errors.New("the proxy does not keep its connections authenticated")}
	}
	x.talk = x.p.Session.Talk(x.req.Context(), scheme.Peer{Host: x.r.url.Hostname(), TLS: c.TLS}, x.req, false)
	x.leg.begins, x.messages = true, 0
	return nil
}

// admitAgain is admit, after which the connection is to be taken once more.
func (x *exchange) admitAgain() error {
	if err := x.admit(); err != nil {
		return err
	}
	return errAgain
}

// shows is called for a leg that carries credentials, before it is sent. It counts the
// leg at its place, and makes it a trial unless the credentials have passed before.
func (x *exchange) shows() {
	if d := x.r.demand.Load(); x.p.Weaker(d) {
		x.r.logWeaker(x.p, d.ProtectedBy)
	}
	if x.p.Account == nil {
		return
	}
	x.place.legs++
	if !x.place.attempt.Trusted {
		guard, attempt := x.r.guard, x.place.attempt
		x.leg.Trial, x.leg.Continued, x.leg.Late = true, func() { guard.Free(attempt) }, newLate(x)
	}
}

// sending returns the facts by which verdict.When decides about the body of the leg.
func (x *exchange) sending() verdict.Sending {
	d := x.r.demand.Load()
	return verdict.Sending{
		Stream: carrier.IsStream(x.req),
		Bare:   x.p.Scheme == nil, Free: d.IsBare(x.target), Own: len(carrier.Authorization(x.req.Header)) > 0, Probed: x.probed,
		Trusted: x.p.Trusted() && d.IsOf(x.target, x.p), Expires: x.p.Nature.Expires, Connection: x.p.Nature.Connection, Last: x.leg.last,
		Ready: x.ready, ProbesTell: d.ProbesTell, Exempt: x.exempt,
	}
}

// send sends the leg.
func (x *exchange) send() (carrier.Reply, error) {
	begin := time.Now()
	if x.leg.Authorization != nil {
		x.leg.Owner = x.p.Record
	}
	reply, err := x.m.Send(x.leg.Leg)
	if x.p.Nature.Connection { // the next leg's error may repeat it
		x.trail.secrets(x.leg.Authorization)
	}
	return reply, x.trail.answered(x.p, begin, x.leg.Authorization, reply.Response, err)
}

// failed returns the error that ends the exchange after a leg did not come about, or nil
// to go on otherwise.
func (x *exchange) failed(err error) error {
	switch e := err.(type) {
	case *scheme.Failure:
		x.rounds++
		return x.skip(e)
	case *carrier.Fault:
		return x.lost(e)
	}
	if err == errAgain {
		x.rounds++
		return nil
	}
	return err
}

// lost deals with a leg that has no answer.
func (x *exchange) lost(f *carrier.Fault) error {
	x.rounds++
	switch {
	case f.Kind == carrier.NoExpect:
		return nil
	case f.Kind == carrier.Died:
		x.spoiled = x.spoiled || f.Err == carrier.ErrSurplus
		x.rounds-- // of idle connections any number may have ended
		x.hush()
		return nil
	case f.Kind == carrier.BodyGone:
		return x.trail.bodyGone()
	case f.Kind == carrier.Moved:
		x.rounds = min(x.rounds, x.trail.legs) // users may take turns any number of times meanwhile
		x.report(verdict.NotSent, nil)         // the place is for other credentials
		return x.begin()
	}
	f = x.trail.withCure(f, x.leg.Authorization)
	var told error = f
	if f.Kind == carrier.Own {
		told = f.Err
	}
	if f.Pending { // the answer is reported when it comes
		x.place.held = false
	}
	if ctx := x.req.Context(); ctx.Err() != nil && !gaveUp(f) {
		// The cause of ctx may be an error of another request, so it is not told to others.
		x.report(x.unanswered(f), &carrier.Fault{Kind: carrier.Broken, Proxy: x.r.name, Err: ctx.Err()})
	} else {
		x.report(x.unanswered(f), told)
	}
	if f.Kind == carrier.Lost && x.leg.shown() && !x.p.Trusted() {
		// The proxy may count it as an attempt, so Transport.Retry does not repeat it.
		final := *f
		final.Kind, told = carrier.Broken, &final
	}
	return told
}

// unanswered says what the end of a leg without an answer means.
func (x *exchange) unanswered(f *carrier.Fault) verdict.Verdict {
	if !x.leg.shown() || !f.Left || f.Kind == carrier.Unreachable {
		return verdict.NotSent
	}
	return verdict.Of(x.facts(), verdict.Answer{Ended: true, GaveUp: gaveUp(f) || x.req.Context().Err() != nil})
}

// skip goes on by another scheme after one has failed. A scheme that has passed before is
// not given up for a failure that says nothing about other requests, such as a ticket that
// is refused: then only this request fails.
func (x *exchange) skip(failure *scheme.Failure) error {
	d, p, name := &x.trail.last, x.p, x.p.Scheme.Name()
	x.m.Drop()
	x.hush()
	x.report(verdict.NotSent, nil)
	if ctx := x.req.Context(); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !p.Nature.Connection {
		return x.trail.unanswerable(name, failure)
	}
	switch {
	case failure.Early && p.Trusted():
		failure = endedEarly
	case failure == scheme.RefusedTicket && p.Trusted():
		failure = scheme.DeniedTicket
	}
	if failure.Once && p.Trusted() {
		return x.trail.unanswerable(name, failure)
	}
	x.trail.fails(name, failure)
	x.r.log.Debug("proxy authentication scheme failed", "proxy", x.r.name, "scheme", name, "error", x.trail.told(failure.Err))
	x.r.learn(demand.Fact{What: demand.Dropped, Plan: p})
	x.p = x.r.bare
	if d.resp == nil || len(d.challenges) == 0 {
		return nil // the proxy is asked what else it offers
	}
	if x.offers == nil && !familiar(x.known(), d.challenges) {
		// The proxy offers other schemes than it did. Which ones may be used is found out
		// by a leg without credentials.
		x.r.learn(demand.Fact{What: demand.Changed})
		return nil
	}
	x.letGo()
	return x.chooseNow()
}

// report ends x's place at the guard, if it has one: see place.report.
func (x *exchange) report(v verdict.Verdict, cause error) { x.place.report(x.r, x.p, v, cause) }
