package proxyauth

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// A message is a request on its way to the proxy, which may take several legs.
type message interface {
	// request is what is authorized: the forwarded request, or the CONNECT.
	request() *http.Request

	// send runs one leg with these values of Proxy-Authorization; nil means
	// none. A careful leg holds the body back until the proxy asks for it.
	// errBodyGone means that the body cannot be sent once more.
	send(authorization []string, careful bool) (*http.Response, error)

	// probe asks for the same without the body, and without doing harm if the
	// proxy lets it pass.
	probe() (*http.Response, error)

	// hangUp ends reading of a reply's body, at any time.
	hangUp(resp *http.Response)

	// pin takes the connection on which all legs of a handshake run, and
	// tells whether it is authenticated already.
	pin(st *standing) (p peer, authenticated bool, err error)

	// sendPinned runs a leg on it. errDied means that the connection had ended
	// before, and that nothing is lost.
	sendPinned(authorization []string, what part) (*http.Response, error)

	// keep finishes a reply after which another leg is to follow on the
	// connection, and reports whether it can.
	keep(resp *http.Response) bool

	// unpin closes the connection.
	unpin()
}

// A part is what of a message goes on a pinned connection.
type part int

const (
	whole    part = iota
	held          // the body is held back until the proxy asks for it; the connection ends then
	bodyless      // all but the body, after the proxy has refused it
	probing       // the same, without doing harm if the proxy lets it pass
)

var (
	errBodyGone = errors.New("body gone")
	errHurry    = errors.New("once more, without Expect")
)

// Bounds on one request, for proxies that never stop asking.
const (
	maxLegs  = 10
	maxStale = 3 // stale=true in a row, each with a fresh nonce
)

// An exchange is a message and all its legs.
type exchange struct {
	r   *route
	m   message
	req *http.Request

	st      *standing // how the next leg is sent
	private bool      // st has a nonce that is used by this exchange alone
	shown   bool      // credentials went out in a handshake
	probed  bool
	exempt  bool   // the proxy lets a probe pass, but not the message
	lost    uint64 // traffic.lost at the beginning
	excused bool   // a refusal was excused, since a connection was lost meanwhile
	legs    int
	lead    *lead  // nil: others may send credentials at the same time
	denial  denial // of the last leg
	stales  int
}

// run sends m through the proxy with as many legs as that takes, and returns
// the answer, which is never a 407.
//
//	     enter ── no credentials known ──► leg without ──┐
//	       │                                             ▼
//	how the route stands ──► leg with credentials ◄── choose
//	                               │      ▲              ▲
//	                               ▼      │ stale        │ rejected
//	                           not 407   407 ────────────┘
func (r *route) run(m message) (resp *http.Response, err error) {
	x := exchange{r: r, m: m, req: m.request(), lost: r.traffic.lost.Load()}
	r.t.counters.exchanges.Add(1)
	if x.st, x.lead, err = r.enter(x.req, toBegin); err != nil {
		return nil, err
	}
	defer func() { r.release(x.lead, err) }()
	if x.st == nil {
		if err = r.doubted(x.req); err != nil {
			return nil, err
		}
		x.st = x.begin()
	}
	for round := 1; ; round++ {
		var a answer
		begin := time.Now()
		if x.st.scheme != nil {
			r.shows(x.lead)
		}
		switch {
		case x.st.bound != nil:
			resp, err = x.sendBound()
		case x.st.auth != nil:
			if a, err = x.st.auth.authorize(x.req, x.private); err != nil {
				return nil, x.unanswerable(err)
			}
			resp, err = m.send(a.field, x.careful(a))
			err = x.sent(begin, a.field, resp, err)
		case !x.st.proven && !x.probed && carrier.IsStream(x.req) && len(authorizationIn(x.req.Header)) == 0:
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
		if err != nil {
			if err = x.failed(err); err != nil {
				return nil, err
			}
			continue
		}
		if !x.refuses(resp) {
			return x.passed(resp, a)
		}
		x.denied(resp, a)
		if round >= maxLegs { // some rounds end without a refusal
			return nil, x.neverContent()
		}
		if err = x.next(a); err != nil {
			return nil, err
		}
		x.dismiss()
	}
}

// failed returns the error that ends the exchange after a leg did not come
// about, or nil to go on otherwise.
func (x *exchange) failed(err error) error {
	var failure *schemeError
	var lost *carrier.LostError
	switch {
	case errors.As(err, &lost):
		lost.Trial = x.st.scheme != nil && !x.st.proven
	case errors.Is(err, errHurry):
		return nil
	case errors.Is(err, errBodyGone):
		return x.bodyGone()
	case errors.Is(err, errMoved), errors.Is(err, carrier.ErrRetired):
		return x.reenter()
	case errors.As(err, &failure):
		x.skip(failure)
		return nil
	case errors.As(err, new(unproven)):
		return x.unanswerable(err)
	}
	return err
}

// denied takes in the denial of a leg.
func (x *exchange) denied(resp *http.Response, a answer) {
	d := &x.denial
	d.sent.Add(secretsIn(authorizationIn(x.req.Header))...) // the caller's own
	if a.field != nil {
		d.sent.Add(secretsIn(a.field)...)
		d.tried, d.source = append(d.tried, x.st.scheme.Name()), x.st.from
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
	if x.req.Method == http.MethodConnect || !carrier.HasBody(x.req) {
		x.denial.drain(x.req.Context())
	}
	x.dismiss()
}

// next finds out how to send the next leg after the last one, with the answer
// a, was denied.
func (x *exchange) next(a answer) error {
	outcome, fresh := rejected, requestAuth(nil)
	if x.st.auth != nil {
		fresh, outcome = x.st.auth.refused(a, x.offers())
	}
	if lost := x.r.traffic.lost.Load(); outcome == rejected && a.field != nil && x.st.auth.expires() && !x.excused && lost != x.lost {
		x.excused = true
		// net/http may have sent this leg twice, since the first time its
		// connection ended: a nonce count that counts once is refused then.
		if own, ok := x.st.auth.renew(x.offers()); ok {
			fresh, outcome = own, staleOwn
		}
	}
	if outcome == stale || outcome == staleOwn {
		return x.renew(fresh, outcome == stale)
	}
	if a.field == nil && x.st.bound == nil || outcome == overtaken && x.st.proven && !x.private {
		x.r.leave(x.st)
	} else {
		x.r.reject(x.st, x.realm())
		x.denial.refused = true
		outcome = rejected
	}

	// From here on only one request at a time sends credentials.
	if x.lead == nil {
		x.letGo()
		settled, lead, err := x.r.enter(x.req, toAnswer)
		if err != nil {
			return err
		}
		x.lead = lead
		if settled != nil {
			x.follow(settled)
			return nil
		}
		if err := x.r.doubted(x.req); err != nil {
			return err
		}
	}
	x.private = false
	if outcome == overtaken {
		if again, _ := x.r.rejected(x.st.scheme.Name(), x.st.cred); !again {
			x.st, x.private = x.st.with(fresh, false), true
			return nil
		}
	}
	st, err := x.r.choose(x.req, &x.denial)
	if err != nil {
		return err
	}
	x.st = st
	return nil
}

// renew goes on with a fresh nonce. Where it is to be shared the others get it
// too; but from the second time on it is kept private, since they may have used
// it up.
func (x *exchange) renew(fresh requestAuth, share bool) error {
	if x.stales++; x.stales > maxStale {
		return x.neverContent()
	}
	st := x.st.with(fresh, x.st.proven)
	x.private = !share || !st.proven || x.stales > 1 || !x.r.standing.CompareAndSwap(x.st, st)
	x.st = st
	return nil
}

// follow goes on by what another request has found out meanwhile; with a nonce
// of its own where there is one at hand, which nobody can overtake again.
func (x *exchange) follow(settled *standing) {
	x.st, x.private = settled, false
	if settled.auth == nil {
		return
	}
	if own, ok := settled.auth.renew(x.offers()); ok {
		x.st, x.private = settled.with(own, true), true
	}
}

// offers returns the proxy's last challenges for the scheme in use.
func (x *exchange) offers() []challenge.Challenge {
	return x.st.scheme.best(x.denial.of(x.st.scheme.Name()))
}

func (x *exchange) realm() string {
	if offers := x.offers(); len(offers) > 0 {
		return offers[0].Params.Get("realm")
	}
	return ""
}

// begin returns how to begin with a proxy of which nothing is known; without a
// lead no credentials are sent.
func (x *exchange) begin() *standing {
	if x.lead == nil {
		return &standing{}
	}
	return x.r.unknown(x.req)
}

// prepare keeps how the proxy is to be answered for the next request, where
// this one cannot be sent again.
func (r *route) prepare(st *standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if st.scheme != nil && r.standing.Load() == nil {
		r.prepared = st
	}
}

// unknown returns how to begin with a proxy of which nothing is known: without
// credentials, unless a challenge of it was prepared for, or the only scheme
// allowed can do without one.
func (r *route) unknown(req *http.Request) *standing {
	r.mu.Lock()
	st := r.prepared
	r.prepared = nil
	r.mu.Unlock()
	if st != nil {
		cred, _, err := r.credentials(req.Context(), st.scheme, st.realm)
		if this, _ := r.rejected(st.scheme.Name(), st.cred); err == nil && cred == st.cred && !this {
			return st
		}
	}
	if len(r.t.schemes) == 1 {
		scheme := r.t.schemes[0]
		cred, from, err := r.credentials(req.Context(), scheme, "")
		if err == nil && r.forbidden(scheme) == "" {
			if this, _ := r.rejected(scheme.Name(), cred); !this {
				if st, err := r.standFor(req.Context(), scheme, nil, cred, from); err == nil {
					return st
				}
			}
		}
	}
	return &standing{}
}

// careful reports whether a body is better held back: where the proxy may well
// answer 407 to this leg.
func (x *exchange) careful(a answer) bool {
	if !carrier.HasBody(x.req) {
		return false
	}
	if !x.st.proven || x.st.auth != nil && a.field == nil {
		return true
	}
	// The challenge can end at any time. A body that can be replayed is then sent
	// twice, a stream would be lost.
	return x.st.auth != nil && x.st.auth.expires() && x.req.GetBody == nil
}

// passed takes in a reply that is not 407: what was sent is right.
func (x *exchange) passed(resp *http.Response, a answer) (*http.Response, error) {
	st := x.st
	if x.denial.resp == nil {
		x.r.t.counters.reused.Add(1)
	}
	if st.auth != nil {
		auth, err := st.auth.accepted(a, resp)
		if err != nil {
			x.denied(resp, a)
			x.m.hangUp(resp)
			return nil, x.unanswerable(err)
		}
		if auth != nil {
			st = st.with(auth, st.proven)
		}
	}
	c, tunnel := x.m.(*connecting)
	forbidden := tunnel && resp.StatusCode == http.StatusForbidden && st.scheme != nil
	origins := resp.StatusCode == http.StatusProxyAuthRequired // as it seems, so it proves nothing
	if st.scheme != nil && !forbidden && !origins && (a.field != nil || x.shown) {
		st.proof.renew()
	}
	if forbidden {
		c.refusal(resp).proven = st.proven
	}
	switch {
	case origins:
	case forbidden && st.proven:
		if cred, _, err := x.r.credentials(x.req.Context(), st.scheme, st.realm); err == nil && cred != st.cred {
			x.r.leave(x.st) // the next request takes those that there are now
		}
	case forbidden && !st.proven: // this may be a refusal in other words
		x.r.doubtful(st, c.refusal(resp))
	case !st.proven || x.lead != nil:
		st = x.r.settle(st)
	case st != x.st && !x.private:
		x.r.standing.CompareAndSwap(x.st, st)
	}
	if body, ok := resp.Body.(provesLater); ok {
		r, settled := x.r, st
		body.whenProved(func(auth requestAuth) { r.standing.CompareAndSwap(settled, settled.with(auth, true)) })
	}
	return resp, nil
}

// refuses reports whether a reply asks for credentials, or for others.
func (x *exchange) refuses(resp *http.Response) bool {
	tunnel := x.req.Method == http.MethodConnect
	switch resp.StatusCode {
	case http.StatusProxyAuthRequired:
		// A proxy says what it demands (RFC 9110 §15.5.8), and takes that out of
		// what it forwards (§11.7.1). Without it this is the answer of an origin,
		// or of a proxy behind this one, if this one has let the same pass before.
		return tunnel || !x.st.proven || len(resp.Header["Proxy-Authenticate"]) > 0
	case http.StatusUnauthorized: // which no origin can have sent for a CONNECT
		return tunnel && x.st.scheme != nil
	}
	return false
}

// neverContent is the error about a proxy that goes on asking.
func (x *exchange) neverContent() *AuthError {
	e := x.denial.end(x.r, x.req, ErrRejected)
	e.Reasons = append(e.Reasons, "the proxy asks again and again, as for a nonce that is always too old")
	e.remedy = "this is a fault of the proxy: tell its administrators, or allow another scheme in Transport.Schemes"
	return e
}

// bodyGone is the error about a request that would have to be sent once more.
// The next request begins as this one would have gone on.
func (x *exchange) bodyGone() *AuthError {
	x.r.prepare(x.st)
	e := x.denial.end(x.r, x.req, ErrBodyConsumed)
	e.remedy = "repeat the request, since the proxy is known now, or set Request.GetBody"
	return e
}

// unanswerable is the error about a scheme that fails for this request.
func (x *exchange) unanswerable(err error) *AuthError {
	e := x.denial.end(x.r, x.req, ErrNoUsableScheme)
	e.Reasons = append(e.Reasons, x.st.scheme.Name()+": "+err.Error())
	e.cause = err
	var failure *schemeError
	switch {
	case errors.As(err, &failure):
		e.remedy = failure.remedy
	case errors.As(err, new(unproven)):
		e.remedy = "something else than the proxy may be answering: check its address, and who is on the way to it"
	}
	return e
}
