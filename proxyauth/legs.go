package proxyauth

import (
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/digest"
)

// A message is a request on its way to the proxy, which may take several legs.
type message interface {
	// request is what is authorized: the forwarded request, or the CONNECT.
	request() *http.Request

	// send runs one leg with these values of Proxy-Authorization; nil means
	// none. A careful leg holds the body back until the proxy asks for it.
	// errBodyGone means that the body cannot be sent once more.
	send(authorization []string, careful bool) (*http.Response, error)
}

var errBodyGone = errors.New("body gone")

// Bounds on one request, for proxies that never stop asking.
const (
	maxLegs  = 10
	maxStale = 3 // stale=true in a row, each with a fresh nonce
)

// run sends m through the proxy with as many legs as that takes, and returns
// the answer, which is never a 407.
//
//	     enter ── no credentials known ──► leg without ──┐
//	       │                                             ▼
//	how the route stands ──► leg with credentials ◄── choose
//	                               │      ▲              ▲
//	                               ▼      │ stale        │ rejected
//	                           not 407   407 ────────────┘
func (r *route) run(m message) (*http.Response, error) {
	req := m.request()
	st, l, err := r.enter(req)
	if err != nil {
		return nil, err
	}
	var d denial
	private := false // the nonce is this request's own
	stales := 0
	if st == nil {
		st = r.unknown(req)
	}
	for legs := 1; ; legs++ {
		var a answer
		if st.auth != nil {
			if a, err = st.auth.authorize(req); err != nil {
				return nil, r.giveUp(l, d.unanswerable(r, req, st, err))
			}
		}
		resp, err := m.send(a.field, r.careful(req, st))
		if err != nil {
			if errors.Is(err, errBodyGone) {
				r.prepare(st)
				return nil, r.giveUp(l, d.bodyGone(r, req))
			}
			r.release(l, nil) // it did not find out; the next one may
			return nil, err
		}
		if resp.StatusCode != http.StatusProxyAuthRequired && !refusedOtherwise(req, st, resp) {
			return r.passed(resp, st, l, a, private)
		}

		if st.auth != nil {
			d.sent = append(d.sent, secrets(a.field)...)
			d.tried, d.source = append(d.tried, st.scheme.Name()), st.from
		}
		d.read(resp)
		r.t.log.Debug("proxy challenge", "proxy", r.name, "target", target(req), "status", d.code, "offered", d.names(), "leg", legs)
		if legs == maxLegs {
			return nil, r.giveUp(l, d.neverContent(r, req))
		}

		outcome := rejected
		var next requestAuth
		if st.auth != nil {
			next, outcome = st.auth.refused(a, d.of(st.scheme.Name()))
		}
		if outcome == stale {
			if stales++; stales > maxStale {
				return nil, r.giveUp(l, d.neverContent(r, req))
			}
			renewed := st.with(next, st.proven)
			// The others get the fresh nonce too, but for a second time it is
			// kept private: they may have used it up.
			private = !st.proven || stales > 1 || !r.standing.CompareAndSwap(st, renewed)
			st = renewed
			continue
		}
		if st.auth != nil && (outcome == rejected || !st.proven || private) {
			r.reject(st, d.realm(st))
			outcome = rejected
		} else {
			r.standing.CompareAndSwap(st, nil)
		}

		// From here on only one request at a time sends credentials.
		if l == nil {
			var settled *standing
			if settled, l, err = r.enter(req); err != nil {
				return nil, err
			}
			if settled != nil {
				// Another request found out meanwhile. With a nonce of its own
				// this one cannot be overtaken by others again.
				st, private = settled, false
				if st.auth != nil {
					if own, ok := st.auth.renew(d.of(st.scheme.Name())); ok {
						st, private = st.with(own, true), true
					}
				}
				continue
			}
		}
		if outcome == overtaken {
			if this, _ := r.rejected(st.scheme.Name(), st.cred); !this {
				st, private = st.with(next, false), true
				continue
			}
		}
		if st, err = r.choose(req, &d); err != nil {
			return nil, r.giveUp(l, err.(*AuthError))
		}
		private = false
	}
}

// prepare keeps how the proxy is to be answered for the next request, where
// this one cannot be sent again.
func (r *route) prepare(st *standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prepared = st
}

// unknown returns how to begin with a proxy of which nothing is known: without
// credentials, unless a challenge of it was prepared for, or the only scheme
// allowed can do without one.
func (r *route) unknown(req *http.Request) *standing {
	r.mu.Lock()
	prepared := r.prepared
	r.prepared = nil
	r.mu.Unlock()
	if prepared != nil {
		return prepared
	}
	if len(r.t.schemes) == 1 {
		scheme := r.t.schemes[0]
		cred, from, err := r.credentials(req.Context(), scheme.Name(), "")
		if err == nil && r.forbidden(scheme.Name()) == "" {
			if this, _ := r.rejected(scheme.Name(), cred); !this {
				if auth, err := scheme.accept(nil, cred); err == nil {
					return &standing{auth: auth, scheme: scheme, cred: cred, from: from}
				}
			}
		}
	}
	return &standing{}
}

// careful reports whether a body is better held back: where the proxy may well
// answer 407 to this leg.
func (r *route) careful(req *http.Request, st *standing) bool {
	if !hasBody(req) {
		return false
	}
	if !st.proven {
		return true
	}
	// A nonce can end at any time. A body that can be replayed is then sent
	// twice, a stream would be lost.
	_, isDigest := st.auth.(*digestAuth)
	return isDigest && req.GetBody == nil
}

// passed takes in an answer that is not 407: what was sent is right.
func (r *route) passed(resp *http.Response, st *standing, l *lead, a answer, private bool) (*http.Response, error) {
	next := st
	if st.auth != nil {
		auth, err := st.auth.accepted(a, resp)
		if err != nil {
			resp.Body.Close()
			d := denial{code: resp.StatusCode, status: resp.Status, header: resp.Header,
				sent: secrets(a.field), tried: []string{st.scheme.Name()}}
			return nil, r.giveUp(l, d.unanswerable(r, resp.Request, st, err))
		}
		if auth != nil {
			next = st.with(auth, true)
		}
	}
	switch {
	case l != nil || !st.proven:
		// A forbidden tunnel may be a refusal in other words: nothing is
		// learned from it.
		if resp.Request.Method != http.MethodConnect || resp.StatusCode != http.StatusForbidden || st.auth == nil {
			next = r.settle(next)
		}
		r.release(l, nil)
	case next != st && !private:
		r.standing.CompareAndSwap(st, next)
	}
	if body, ok := resp.Body.(*verifiedBody); ok {
		body.adopt = func(auth requestAuth) { r.standing.CompareAndSwap(next, next.with(auth, true)) }
	}
	return resp, nil
}

// refusedOtherwise reports whether a proxy answers wrong credentials with 401,
// which no origin can have sent for a CONNECT.
func refusedOtherwise(req *http.Request, st *standing, resp *http.Response) bool {
	return req.Method == http.MethodConnect && resp.StatusCode == http.StatusUnauthorized && st.auth != nil && !st.proven
}

// giveUp ends a request, and those that wait for what it learns, with e.
func (r *route) giveUp(l *lead, e *AuthError) *AuthError {
	r.t.log.Debug("proxy authentication failed", "proxy", r.name, "target", e.Target, "offered", e.Offered, "tried", e.Tried, "error", e.Err)
	if e.Err == ErrBodyConsumed {
		r.release(l, nil) // it is about this one request
	} else {
		r.release(l, e)
	}
	return e
}

func (d *denial) realm(st *standing) string {
	if offers := d.of(st.scheme.Name()); len(offers) > 0 {
		return offers[0].Param("realm")
	}
	return ""
}

// neverContent is the error about a proxy that goes on asking.
func (d *denial) neverContent(r *route, req *http.Request) *AuthError {
	d.reasons = append(d.reasons, "the proxy asks again and again, as for a nonce that is always too old")
	e := d.end(r, req, ErrRejected)
	e.remedy = "this is a fault of the proxy: tell its administrators, or allow another scheme in Transport.Schemes"
	return e
}

// bodyGone is the error about a request that would have to be sent once more.
func (d *denial) bodyGone(r *route, req *http.Request) *AuthError {
	e := d.end(r, req, ErrBodyConsumed)
	e.remedy = "repeat the request, since the proxy is known now, or set Request.GetBody"
	return e
}

// unanswerable is the error about a scheme that fails for this request.
func (d *denial) unanswerable(r *route, req *http.Request, st *standing, err error) *AuthError {
	d.reasons = append(d.reasons, st.scheme.Name()+": "+err.Error())
	e := d.end(r, req, ErrNoUsableScheme)
	e.cause = err
	switch {
	case errors.Is(err, digest.ErrBodyNeeded):
		e.remedy = "set Request.GetBody"
	case errors.Is(err, digest.ErrServer):
		e.remedy = "something else than the proxy may be answering: check its address, and who is on the way to it"
	}
	return e
}
