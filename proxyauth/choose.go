package proxyauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// chooseNow is choose for an exchange that has had a 407: what it does next it does
// without waiting for what others learn.
func (x *exchange) chooseNow() error {
	_, err := x.choose()
	x.tellsOthers()
	return err
}

// choose finds out how to answer the proxy: by the first of the Transport's schemes
// that is offered, allowed, has credentials which may be sent now, and can answer. It
// sets x.p. ready is false where the proxy has to be asked for a challenge first. The
// error is the *AuthError that ends the request.
func (x *exchange) choose() (ready bool, err error) {
	c := &choice{why: ErrNoUsableScheme, from: x.denial.source}
	if x.denial.refused {
		c.why = ErrRejected
	}
	for _, scheme := range x.r.t.schemes {
		if done, err := c.consider(x, scheme); done || err != nil {
			return !c.asks, err
		}
	}
	if ctx := x.req.Context(); ctx.Err() != nil { // which may be why
		return false, context.Cause(ctx)
	}
	if c.held != nil && !x.denial.refused {
		return false, x.heldBack(*c.held, c.from)
	}
	if x.denial.resp == nil && len(x.refused) == 0 { // it has not been asked yet
		x.p, x.denial.found = bare, nil
		return false, nil
	}
	for _, refused := range x.refused {
		d := x.r.account(refused.cred).Ask(x.question(nil))
		if d.Answer == lockout.Former && x.turnToFormer(d.Former, c.from) {
			return true, nil
		}
	}
	return false, c.error(x)
}

// A choice is a choose under way.
type choice struct {
	why    error  // that nothing can be used, as far as known
	cause  error  // of that
	remedy string // more to the point than what is said in general
	from   string // where the credentials came from
	asks   bool   // the proxy is to be asked for a challenge first
	held   *lockout.Decision
}

// deny notes why a scheme cannot be used; err is nil where kind says all. Wrong
// credentials matter more than none, and those more than a scheme that cannot be used.
func (c *choice) deny(x *exchange, kind error, scheme string, err error) {
	if kind == ErrRejected || c.why == ErrNoUsableScheme {
		c.why = kind
	}
	if err != nil {
		x.denial.found = append(x.denial.found, finding{scheme, err})
	}
}

// consider tries to go on by a scheme, and reports whether x does.
func (c *choice) consider(x *exchange, scheme Scheme) (done bool, err error) {
	name := scheme.Name()
	offers, _, offered := x.offersFor(scheme)
	if !offered {
		return false, nil
	}
	if reason := x.r.forbidden(scheme); reason != "" {
		c.deny(x, ErrNoUsableScheme, name, errors.New(reason))
		return false, nil
	}
	if failure := x.denial.failures[name]; failure != nil {
		c.cause = failure.err
		c.deny(x, ErrNoUsableScheme, name, failure)
		c.remedy = cmp.Or(c.remedy, failure.remedy)
		return false, nil
	}
	cred, source, err := x.r.credentials(x.req.Context(), scheme, realmOf(offers))
	if err != nil {
		c.noCredentials(x, name, source, err)
		return false, nil
	}
	c.from = source
	if x.wasRefused(scheme, cred) {
		c.deny(x, ErrRejected, name, nil)
		return false, nil
	}
	if scheme.traits().logsIn { // which may take a while
		x.tellsOthers()
	}
	p, err := x.planBy(scheme, cred, source)
	whose := p
	switch {
	case errors.Is(err, errNoChallenge): // the guard can be asked all the same
		whose = &plan{scheme: scheme, names: []string{name}, cred: cred, account: x.r.account(cred), record: new(record)}
	case err != nil:
		return false, c.cannot(x, scheme, cred, err)
	case p.account == nil:
		x.p = p
		return true, nil
	}
	if p != nil && x.holds && x.attempt.Scheme == name && x.attempt.Key == p.account.Key() {
		x.p = p // the place was kept for a challenge: see asksFirst
		return true, nil
	}
	x.report(lockout.NotSent, nil)
	waited := x.waited
	d, err := x.ask(whose)
	if err != nil {
		return false, err
	}
	if x.waited != waited && scheme.traits().needsChallenge { // others have learned meanwhile
		p, _ = x.planBy(scheme, cred, source)
	}
	switch d.Answer {
	case lockout.Go:
		x.takes(d.Attempt)
		switch {
		case p == nil || d.Attempt.Scheme == name && x.usedUp(p):
			x.asksFirst()
			c.asks = true
		case d.Attempt.Scheme == name:
			x.p = p
		default:
			x.p = p
			x.turnTo(d.Attempt.Scheme)
		}
		return true, nil
	case lockout.Bare:
		x.asksFirst()
		return true, nil
	case lockout.Former:
		if x.turnToFormer(d.Former, source) {
			return true, nil
		}
	}
	if c.held == nil {
		c.held = &d
	}
	return false, nil
}

// noCredentials notes that the source has none for a scheme, or has failed.
func (c *choice) noCredentials(x *exchange, scheme, source string, err error) {
	if !errors.Is(err, ErrNoCredentials) {
		c.cause = err
		failed := finding{err: fmt.Errorf("%s failed: %s", source, strings.TrimPrefix(err.Error(), "proxyauth: "))}
		if d := &x.denial; !slices.ContainsFunc(d.found, func(f finding) bool { return f.String() == failed.String() }) {
			d.found = append(d.found, failed)
		}
		c.remedy = "see to " + source + ", where that error comes from"
	}
	c.deny(x, ErrNoCredentials, scheme, nil)
}

// cannot notes why a scheme cannot answer. The error ends the choice.
func (c *choice) cannot(x *exchange, scheme Scheme, cred Credentials, err error) error {
	name := scheme.Name()
	var turned *notAdmitted
	switch {
	case errors.As(err, &turned):
		if c.held == nil {
			c.held = &turned.decision
		}
	case errors.Is(err, ErrNoCredentials):
		c.deny(x, ErrNoCredentials, name, nil)
	case errors.As(err, new(refusedElsewhere)):
		x.refused = append(x.refused, refused{scheme: scheme, cred: cred})
		c.deny(x, ErrRejected, name, err)
	case cred.empty():
		c.cause = err
		c.deny(x, ErrNoCredentials, name, err)
	default:
		c.cause = err
		c.deny(x, ErrNoUsableScheme, name, err)
	}
	return nil
}

// error is why nothing can be used.
func (c *choice) error(x *exchange) *AuthError {
	d := &x.denial
	for _, name := range d.names() {
		if schemeNamed(x.r.t.schemes, name) == nil {
			d.found = append(d.found, finding{name, errors.New("not among Transport.Schemes")})
		}
	}
	e := d.end(x.r, x.req, c.why)
	e.cause = c.cause
	switch c.why {
	case ErrNoCredentials:
		e.remedy = "set Transport.Credentials, write user name and password into the proxy URL, or set PROXY_USER and PROXY_PASS"
		if x.r.t.source != nil {
			e.remedy = "Transport.Credentials has none for it, and the proxy URL has no user name"
		}
	case ErrNoUsableScheme:
		e.remedy = "ask the proxy's administrators for another scheme, or allow one that it offers"
		if len(d.challenges) == 0 && d.failures == nil {
			e.Err, e.remedy = ErrProxyFault, faultRemedy
		}
	case ErrRejected:
		e.remedy, e.NextTry = x.afterRefusal(c.from)
	}
	if c.why != ErrRejected && c.remedy != "" {
		e.remedy = c.remedy
	}
	return e
}

// wasRefused reports whether credentials are not to be sent by the scheme since they
// were refused to this exchange.
func (x *exchange) wasRefused(scheme Scheme, cred Credentials) bool {
	return slices.ContainsFunc(x.refused, func(r refused) bool {
		return r.cred == cred && (r.scheme == scheme || r.trusted)
	})
}

// errNoChallenge: the scheme needs a challenge that nobody has answered yet.
var errNoChallenge = errors.New("no challenge")

// planBy returns the plan to answer by the scheme with credentials: the one in force,
// or a new one.
func (x *exchange) planBy(scheme Scheme, cred Credentials, from string) (*plan, error) {
	offers, own, offered := x.offersFor(scheme)
	if !offered {
		return nil, errors.New("not offered")
	}
	x.private = false
	p := x.r.demand.Load().find(scheme, realmOf(offers), cred)
	if p == nil {
		if !own && scheme.traits().needsChallenge {
			return nil, errNoChallenge
		}
		made, err := x.r.newPlan(x.req.Context(), scheme, offers, cred, from)
		if err != nil {
			return nil, err
		}
		made.realmShown = x.denial.sent.StrikeString(made.realm)
		isNew := false
		if p, isNew = x.r.adopt(made); isNew {
			return p, nil
		}
	}
	if own && p.auth != nil && len(offers) > 0 { // a nonce that nobody else uses
		if fresh, _ := p.auth.challenged(answer{}, offers); fresh != nil {
			x.private = true
			return p.with(fresh), nil
		}
	}
	return p, nil
}

// schemesFor returns the schemes by which the credentials of p, which have not passed
// yet, can be tried.
func (x *exchange) schemesFor(p *plan) []string {
	var names []string
	for _, scheme := range x.r.t.schemes {
		if scheme == p.scheme || x.mayUse(scheme, p.cred) {
			names = append(names, scheme.Name())
		}
	}
	return names
}

// mayUse reports whether credentials can be tried by a scheme as well.
func (x *exchange) mayUse(scheme Scheme, cred Credentials) bool {
	offers, _, offered := x.offersFor(scheme)
	switch {
	case !offered, x.r.forbidden(scheme) != "", x.denial.failures[scheme.Name()] != nil, x.wasRefused(scheme, cred):
		return false
	case scheme.traits().logsIn && x.r.demand.Load().find(scheme, "", cred) == nil:
		return false // to find out would be an attempt
	}
	theirs, _, err := x.r.credentials(x.req.Context(), scheme, realmOf(offers))
	return err == nil && theirs == cred
}

// offersFor returns the challenges of the scheme, the best first. They are own if no
// other exchange has answered them. Where the proxy need not be asked, there are none
// and yet it is offered.
func (x *exchange) offersFor(scheme Scheme) (offers []challenge.Challenge, own, offered bool) {
	known := x.known()
	if len(known) == 0 {
		return nil, true, x.r.unasked()
	}
	name := scheme.Name()
	if !slices.ContainsFunc(known, func(c challenge.Challenge) bool { return c.Is(name) }) {
		return nil, false, false
	}
	for _, all := range [][]challenge.Challenge{x.denial.challenges, x.offers, known} {
		if offers = challengesOf(all, name); len(offers) > 0 {
			return scheme.best(offers), x.offers != nil || x.denial.resp != nil, true
		}
	}
	return nil, false, false
}

// offersOf returns the proxy's last challenges for the scheme.
func (x *exchange) offersOf(scheme Scheme) []challenge.Challenge {
	return scheme.best(x.denial.of(scheme.Name()))
}

func realmOf(offers []challenge.Challenge) string {
	if len(offers) == 0 {
		return ""
	}
	return offers[0].Params.Get("realm")
}

// unasked reports whether the only scheme allowed needs no challenge, so that it can
// be used before the proxy has asked.
func (r *route) unasked() bool {
	return len(r.t.schemes) == 1 && !r.t.schemes[0].traits().needsChallenge
}

// forbidden says why the scheme may not be used on this route, or "".
func (r *route) forbidden(scheme Scheme) string {
	has := scheme.traits()
	if has.clearText && r.t.noClearText && r.key.scheme != "https" {
		return "forbidden by Transport.ForbidCleartextBasic"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if has.strength < r.strength {
		return "refused as a downgrade, since this proxy has authenticated by a stronger scheme before (a man in the middle asks for it in this way)"
	}
	return ""
}

// credentials asks the sources in their order: the Transport's own and then the
// proxy URL's userinfo; without an own source the environment comes last. The
// zero Credentials are for a scheme that needs none. from names the source for
// errors, also beside an error of it.
func (r *route) credentials(ctx context.Context, scheme Scheme, realm string) (c Credentials, from string, err error) {
	if r.t.source != nil {
		c, err = r.t.source.ProxyCredentials(ctx, CredentialRequest{
			Proxy: r.told, Scheme: scheme.Name(), Realm: realm, Rejected: r.rejected(),
		})
		if err != nil && !errors.Is(err, ErrNoCredentials) {
			return Credentials{}, "Transport.Credentials", err
		}
		if err == nil && !c.empty() {
			return c, "Transport.Credentials", nil
		}
	}
	if r.key.hasUser {
		return Credentials{r.key.username, r.key.password}, "the proxy URL", nil
	}
	if r.t.source == nil {
		c, err = r.t.environment(ctx, CredentialRequest{})
		if err == nil {
			return c, environmentName, nil
		}
		if !errors.Is(err, ErrNoCredentials) {
			return Credentials{}, environmentName, err
		}
	}
	if scheme.traits().ambient {
		return Credentials{}, "the environment (ticket cache, keytab, logged-in user)", nil
	}
	return Credentials{}, "", ErrNoCredentials
}

// rejected returns the credentials that may not be sent to the proxy now, since it has
// refused them.
func (r *route) rejected() []Credentials { return revealed(r.t.guard.Rejected(r.name)) }

func revealed(pairs []lockout.Pair) []Credentials {
	var all []Credentials
	for _, pair := range pairs {
		var c Credentials
		c.Username, c.Password = pair.Reveal()
		all = append(all, c)
	}
	return all
}

const environmentName = "PROXY_USER and PROXY_PASS"
