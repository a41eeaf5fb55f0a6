package proxyauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// sendBound sends the message by a connection-bound scheme: on a connection that is
// authenticated already, which needs no place at the guard, or with a handshake on
// another. A 407 as reply is a refusal.
//
// If there is a 407 on an authenticated connection, the proxy has forgotten it, or
// denies the target to this user. The handshake that follows tells, and it runs on a
// new connection: squid passes over all credentials on one that it knows.
func (x *exchange) sendBound() (*http.Response, error) {
	bound := x.p.bound
	forgotten := false
	for handshakes := 0; handshakes < maxLegs; {
		want := anyConnection
		switch {
		case forgotten:
			if err := x.admit(); err != nil {
				return nil, err
			}
			want = newOnly
		case !x.holds && x.p.account != nil:
			want = authenticatedOnly
		}
		to, authenticated, ok, err := x.m.pin(x.p, want)
		if err != nil {
			return nil, err
		}
		if !ok { // the place comes first: no connection is kept from others while it is waited for
			if err := x.admit(); err != nil {
				return nil, err
			}
			continue
		}
		if authenticated && !bound.again(x.req) {
			x.report(lockout.NotSent, nil) // others may have the place
			resp, err := x.sendAuthenticated()
			if errors.Is(err, errReconnect) {
				continue // of those in the pool any number may have ended
			}
			if err != nil || resp != nil {
				return resp, err
			}
			forgotten = true
			continue
		}
		if !x.mayGoOn() {
			x.m.unpin()
			if err := x.admit(); err != nil {
				return nil, err
			}
			continue
		}
		handshakes++
		h, err := bound.handshake(x.req.Context(), to)
		if err != nil {
			x.m.unpin()
			if ctx := x.req.Context(); ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, &schemeError{err: err}
		}
		resp, err := x.handshake(h)
		h.close()
		if forgotten && err == nil && !x.refuses(resp) {
			bound.learned(false)
			x.p.pool.CloseIdle() // the proxy has forgotten the others, too
		}
		if !errors.Is(err, errReconnect) {
			return resp, err
		}
	}
	return nil, &schemeError{err: errors.New("the proxy does not keep its connections authenticated")}
}

// sendAuthenticated sends the message on the pinned connection, which is
// authenticated. That is no attempt. No response means a 407; the connection has
// ended then.
func (x *exchange) sendAuthenticated() (*http.Response, error) {
	x.shown = false
	begin := time.Now()
	resp, err := x.m.sendPinned(nil, whole)
	if err = x.sent(begin, nil, resp, err); err != nil {
		return nil, err
	}
	if !x.refuses(resp) {
		x.p.bound.learned(true)
		return resp, nil
	}
	x.r.t.counters.challenges.Add(1)
	x.m.hangUp(resp)
	x.m.unpin()
	return nil, nil
}

// handshake runs the legs on the pinned connection, and returns the answer to the last
// one. A body goes with that, or after a probe that passes. errReconnect means that another
// connection may do.
func (x *exchange) handshake(h handshake) (*http.Response, error) {
	x.r.t.counters.handshakes.Add(1)
	d := &x.denial
	name := x.p.scheme.Name()
	d.tried, d.source = append(d.tried, name), x.p.from
	token := ""
	var denied *http.Response // the reply to the last leg
	answered := false         // with that leg the proxy had all that it needs
	for {
		reply, last, err := h.next(token)
		switch {
		case err != nil && answered && x.p.account != nil:
			return denied, nil // a refusal, in whatever words
		case err != nil && answered:
			x.m.unpin()
			return nil, refusedTicket
		case err != nil:
			x.m.unpin()
			return nil, &schemeError{err: err}
		}
		authorization := []string{name + " " + reply}
		d.sent.Add(secretsIn(authorization)...)
		x.shown = false
		if last {
			x.shows(answer{})
		}
		what := whole
		switch {
		case last || !carrier.HasBody(x.req):
		case x.probeExempt:
			what = bodyless
		default:
			what = probing
		}
		begin := time.Now()
		resp, err := x.m.sendPinned(authorization, what)
		if err = x.sent(begin, authorization, resp, err); err != nil {
			return nil, err
		}
		// Before the last leg nothing reaches an origin, whose 407 it might be.
		if !x.refuses(resp) && (last || resp.StatusCode != http.StatusProxyAuthRequired) {
			return x.consented(h, resp, what)
		}
		x.read(resp)
		offers := x.offersOf(x.p.scheme)
		if len(offers) == 0 && last && (x.p.account != nil || len(d.challenges) == 0) {
			return resp, nil // it offers the scheme no more
		}
		if len(offers) == 0 {
			x.m.unpin()
			return nil, &schemeError{err: errors.New("the proxy answers the handshake with something else")}
		}
		if token = offers[0].Token68; token == "" {
			failure := h.bare(last)
			if !last && x.p.trusted() {
				failure = endedEarly
			}
			if failure != nil {
				x.m.unpin()
				return nil, failure
			}
			return resp, nil
		}
		denied, answered = resp, last
		if !x.m.keep(resp) {
			if last && x.p.account != nil {
				return resp, nil
			}
			x.m.unpin()
			if x.p.trusted() {
				// One connection's end says nothing about the scheme, nor about
				// the other connections; net/http ends one itself when the
				// machine is so busy that it has not noticed its own write.
				return nil, errReconnect
			}
			return nil, &schemeError{err: errors.New("the proxy closes the connection between the legs of the handshake")}
		}
	}
}

// consented takes in the reply that ends a handshake: the proxy is content, or
// does not ask for anything.
func (x *exchange) consented(h handshake, resp *http.Response, what part) (*http.Response, error) {
	if fields := resp.Header["Proxy-Authenticate"]; len(fields) > 0 {
		var last denial
		last.challenges, _ = parseChallenges(fields)
		if offers := last.of(x.p.scheme.Name()); len(offers) > 0 {
			if err := h.done(offers[0].Token68); err != nil {
				x.m.unpin()
				return nil, err
			}
		}
	}
	if what == whole {
		return resp, nil
	}
	if !x.m.keep(resp) {
		x.m.unpin()
		return nil, &schemeError{err: errors.New("the proxy closes the connection before the handshake is done")}
	}
	// Not every proxy that lets an OPTIONS pass does so with the request.
	x.shown = false
	begin, next := time.Now(), held
	if x.r.probesTell.Load() {
		next = whole
	}
	resp, err := x.m.sendPinned(nil, next)
	if err = x.sent(begin, nil, resp, err); err != nil {
		return nil, err
	}
	refused := x.refuses(resp)
	inVain := next == held && resp.StatusCode == http.StatusExpectationFailed && len(x.req.Header["Expect"]) == 0
	x.r.probesTell.Store(!refused)
	if !refused && !inVain {
		return resp, nil
	}
	x.m.unpin()
	if inVain {
		return nil, errReconnect // once more, without Expect
	}
	if x.probeExempt {
		return nil, &schemeError{err: errors.New("the proxy lets the handshake pass before it is done, and then refuses the request")}
	}
	x.probeExempt = true
	return nil, errReconnect // once more, on another connection
}

// endedEarly: the handshake ended before its last message, by a scheme that has passed
// before. Nobody could check a password, so it fails its request alone.
var endedEarly = &schemeError{
	err:    errors.New("the proxy does not answer the first message of the handshake, as it did before"),
	once:   true,
	remedy: "try again; if that does not help, ask the proxy's administrators whether it reaches its directory",
}

// skip goes on by another scheme after one has failed. Where that one passed before,
// and has failed once, as a ticket that is refused, it fails this request alone.
func (x *exchange) skip(failure *schemeError) error {
	d, p, name := &x.denial, x.p, x.p.scheme.Name()
	x.report(lockout.NotSent, nil)
	if failure.once && p.trusted() {
		if failure == refusedTicket {
			failure = deniedTicket
		}
		return x.unanswerable(failure)
	}
	x.fails(name, failure)
	x.r.t.log.Debug("proxy authentication scheme failed", "proxy", x.r.name, "scheme", name, "error", failure.err)
	x.r.drop(p)
	x.p, x.private = bare, false
	if d.resp == nil || len(d.challenges) == 0 {
		return nil // the proxy is asked what else it offers
	}
	if x.offers == nil && !familiar(x.known(), d.challenges) {
		// The proxy has changed its mind, and says to a leg without credentials to what.
		x.r.learn(func(d demand) demand {
			d.offers = nil
			return d
		})
		return nil
	}
	x.letGo()
	return x.chooseNow()
}

// fails notes that a scheme cannot be used by this exchange.
func (x *exchange) fails(scheme string, err error) {
	d := &x.denial
	if d.failures == nil {
		d.failures = make(map[string]*schemeError)
	}
	var failure *schemeError
	if !errors.As(err, &failure) {
		failure = &schemeError{err: err}
	}
	d.failures[scheme] = failure
}
