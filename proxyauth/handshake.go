package proxyauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

var (
	errDied  = errors.New("the connection had ended")
	errMoved = errors.New("the route's standing has changed")
)

// sendBound sends the message by a connection-bound scheme: on a connection
// that is authenticated already, or with a handshake on a new one. A 407 as
// reply is a refusal.
func (x *exchange) sendBound() (*http.Response, error) {
	bound := x.st.bound
	for handshakes := 0; handshakes < maxLegs; {
		p, authenticated, err := x.m.pin(x.st)
		if err != nil {
			return nil, err
		}
		if authenticated && !bound.again(x.req) {
			begin := time.Now()
			resp, err := x.m.sendPinned(nil, whole)
			err = x.sent(begin, nil, resp, err)
			if errors.Is(err, errDied) {
				continue // of those in the pool any number may have ended
			}
			if err != nil {
				return nil, err
			}
			passed := !x.refuses(resp)
			bound.learned(passed)
			if passed {
				return resp, nil
			}
			x.r.t.counters.challenges.Add(1)
			// The proxy has forgotten the connection: once more from the start.
			if !x.m.keep(resp) {
				x.m.unpin()
				x.st.pool.CloseIdle() // and the others, too
				continue
			}
		}
		handshakes++
		h, err := bound.handshake(x.req.Context(), p)
		if err != nil {
			x.m.unpin()
			if ctx := x.req.Context(); ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, &schemeError{err: err}
		}
		resp, err := x.handshake(h)
		h.close()
		if !errors.Is(err, errDied) {
			return resp, err
		}
	}
	return nil, &schemeError{err: errors.New("the proxy does not keep its connections authenticated")}
}

// handshake runs the legs on the pinned connection. A body goes with the last
// one.
func (x *exchange) handshake(h handshake) (*http.Response, error) {
	x.r.t.counters.handshakes.Add(1)
	d := &x.denial
	name := x.st.scheme.Name()
	d.tried, d.source = append(d.tried, name), x.st.from
	token := ""
	var denied *http.Response // the reply to the last leg
	answered := false         // that leg had all that the proxy needs
	for {
		reply, last, err := h.next(token)
		if err != nil && answered && !x.st.cred.empty() {
			return denied, nil // a refusal, in whatever words
		}
		if err != nil {
			x.m.unpin()
			return nil, &schemeError{err: err}
		}
		if last && x.lead == nil {
			var settled *standing
			if settled, x.lead, err = x.r.enter(x.req, toShow); err != nil {
				x.m.unpin()
				return nil, err
			}
			if settled != x.st {
				// The credentials were refused meanwhile, or others took their place.
				x.m.unpin()
				return nil, errMoved
			}
			x.r.shows(x.lead)
		}
		x.shown = x.shown || last
		authorization := []string{name + " " + reply}
		d.sent.Add(secretsIn(authorization)...)
		what := whole
		switch {
		case last || !carrier.HasBody(x.req):
		case x.exempt:
			what = bodyless
		default:
			what = probing
		}
		begin := time.Now()
		resp, err := x.m.sendPinned(authorization, what)
		if err = x.sent(begin, authorization, resp, err); err != nil {
			return nil, err
		}
		if !x.refuses(resp) {
			return x.consented(h, resp, what)
		}
		x.read(resp)
		offers := x.offers()
		if len(offers) == 0 && last && !x.st.cred.empty() {
			return resp, nil // a refusal, though it offers the scheme no more
		}
		if len(offers) == 0 {
			x.m.unpin()
			return nil, &schemeError{err: errors.New("the proxy answers the handshake with something else")}
		}
		if token = offers[0].Token68; token == "" {
			if failure := h.bare(last); failure != nil {
				x.m.unpin()
				return nil, failure
			}
			return resp, nil
		}
		denied, answered = resp, last
		if !x.m.keep(resp) {
			if last && !x.st.cred.empty() {
				return resp, nil
			}
			x.m.unpin()
			if x.st.proven {
				// One connection's end says nothing about the scheme, nor about
				// the other connections; net/http ends one itself when the
				// machine is so busy that it has not noticed its own write.
				return nil, errDied
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
		if offers := last.of(x.st.scheme.Name()); len(offers) > 0 {
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
		return nil, errDied // once more, without Expect
	}
	if x.exempt {
		return nil, &schemeError{err: errors.New("the proxy lets the handshake pass before it is done, and then refuses the request")}
	}
	x.exempt = true
	return nil, errDied // once more, on another connection
}

// skip goes on after a scheme has failed, if only for this request: the proxy is
// asked anew what else it offers.
func (x *exchange) skip(failure *schemeError) {
	d, name := &x.denial, x.st.scheme.Name()
	if d.failures == nil {
		d.failures = make(map[string]*schemeError)
	}
	d.failures[name] = failure
	x.r.t.log.Debug("proxy authentication scheme failed", "proxy", x.r.name, "scheme", name, "error", failure.err)
	x.r.leave(x.st)
	x.st = &standing{}
}

// reenter goes on by what others have found out.
func (x *exchange) reenter() error {
	settled := x.r.standing.Load()
	if x.lead == nil {
		var err error
		if settled, x.lead, err = x.r.enter(x.req, toBegin); err != nil {
			return err
		}
	}
	switch {
	case settled == nil:
		x.st = x.begin()
	case settled.refusal != nil:
		return settled.refusal.again(x.req)
	default:
		x.follow(settled)
	}
	return nil
}

// checkIdentity notices that the credential source gives others than those by
// which connections of the route are authenticated: these must not carry
// another request.
func (r *route) checkIdentity(ctx context.Context) {
	st := r.standing.Load()
	if st == nil || st.bound == nil {
		return
	}
	cred, from, err := r.credentials(ctx, st.scheme, st.realm)
	if err != nil || cred == st.cred && !st.bound.other(ctx) {
		return
	}
	if !r.leave(st) {
		return
	}
	r.identified(nil)
	r.renewTunnel()
	if next, err := r.standFor(ctx, st.scheme, nil, cred, from); err == nil {
		r.prepare(next)
	}
}
