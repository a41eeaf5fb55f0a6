package proxyauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// A chooser considers the schemes by which a request can be authenticated. It sends
// nothing to the proxy and does not ask the guard, so that Diagnose can use it as well.
type chooser struct {
	r   *route
	req *http.Request

	// What the proxy offers: what it offered at first, since that is what may be used,
	// and its last challenges, which are answered, the newest first.
	known  []challenge.Challenge
	latest [2][]challenge.Challenge
	own    bool // this request has got the challenges itself, so no other has answered them

	failures map[string]*scheme.Failure
	refused  []refused
	sent     secret.Sent

	learning *learning // ended before a KDC is asked, so that others do not wait for that
	dry      bool      // new plans do not come into force
}

// refused is credentials that the proxy, or a KDC, has refused to a request.
type refused struct {
	scheme  scheme.Scheme
	cred    scheme.Credentials
	trusted bool // they had passed before, so no other scheme is tried with them
	byKDC   bool // they have not been sent to the proxy
}

// A candidate is a scheme that was considered.
type candidate struct {
	scheme scheme.Scheme
	cred   scheme.Credentials
	from   string       // where the credentials came from, or were looked for
	plan   *demand.Plan // by which the request is sent. Without a session a challenge has to be got first

	// Why it cannot be used: ErrNoUsableScheme, ErrNoCredentials or ErrRejected; nil: it
	// can be.
	why          error
	detail       error  // what is said about the scheme in an error; may be nil
	cause        error  // the error of the source or of the scheme, for AuthError.Unwrap; may be nil
	remedy       string // for this cause, in place of the general one; may be ""
	sourceFailed bool   // detail and cause are about the credential source
}

// unusable returns k as a scheme that cannot be used.
func (k candidate) unusable(why, detail error) candidate {
	k.why, k.detail = why, detail
	return k
}

// consider finds out whether a scheme can be used, and by which plan. offered is false
// where the proxy does not offer it.
func (c *chooser) consider(s scheme.Scheme) (k candidate, offered bool) {
	k.scheme = s
	offers, offered := c.offersFor(s)
	if !offered {
		return k, false
	}
	if err := c.forbids(s); err != nil {
		return k.unusable(ErrNoUsableScheme, err), true
	}
	if failure := c.failures[s.Name()]; failure != nil {
		k.cause, k.remedy = failure.Err, failure.Remedy
		return k.unusable(ErrNoUsableScheme, failure), true
	}
	var err error
	k.cred, k.from, err = c.r.credentials(c.req.Context(), s, realmOf(offers))
	switch {
	case errors.Is(err, ErrNoCredentials):
		return k.unusable(ErrNoCredentials, nil), true
	case err != nil:
		k.cause, k.remedy, k.sourceFailed = err, "see to "+k.from+", where that error comes from", true
		return k.unusable(ErrNoCredentials, fmt.Errorf("%s failed: %s", k.from, strings.TrimPrefix(err.Error(), "proxyauth: "))), true
	case c.wasRefused(s, k.cred):
		return k.unusable(ErrRejected, nil), true
	}
	if s.Traits().LogsIn {
		c.learning.end()
	}
	switch k.plan, err = c.planBy(s, k.cred, k.from); {
	case errors.Is(err, errNoChallenge): // the guard can be asked about the credentials all the same
		k.plan = &demand.Plan{
			Scheme: s, Names: []string{s.Name()}, Credentials: k.cred, From: k.from, Account: c.r.account(k.cred), Record: new(demand.Record),
		}
	case errors.Is(err, scheme.ErrNoCredentials):
		return k.unusable(ErrNoCredentials, nil), true
	case errors.As(err, new(scheme.Refused)):
		return k.unusable(ErrRejected, err), true
	case err != nil:
		k.cause = err
		if k.cred == (scheme.Credentials{}) {
			return k.unusable(ErrNoCredentials, err), true
		}
		return k.unusable(ErrNoUsableScheme, err), true
	}
	return k, true
}

// errNoChallenge: the scheme needs a challenge that nobody has answered yet.
var errNoChallenge = errors.New("no challenge")

// planBy returns the plan to answer by the scheme with credentials: the one in force, a
// new one, or either with a session of its own for the challenge of this request.
func (c *chooser) planBy(s scheme.Scheme, cred scheme.Credentials, from string) (p *demand.Plan, err error) {
	offers, offered := c.offersFor(s)
	if !offered {
		return nil, errors.New("not offered")
	}
	if p = c.r.demand.Load().Find(s, realmOf(offers), cred); p == nil {
		if !c.own && s.Traits().NeedsChallenge {
			return nil, errNoChallenge
		}
		made, err := c.r.newPlan(c.req.Context(), s, c.known, offers, cred, from)
		if err != nil {
			return nil, err
		}
		made.RealmShown = shown(made.Realm, &c.sent)
		if c.dry {
			return made, nil
		}
		if p = c.r.adopt(made); p == made {
			return p, nil
		}
	}
	if c.own && len(offers) > 0 && !p.Nature.Connection {
		if fresh := p.Session.Talk(c.req.Context(), scheme.Peer{}, c.req, true).Challenged(offers, false).Next; fresh != nil {
			return p.WithOwn(fresh), nil
		}
	}
	return p, nil
}

// namesFor returns the schemes by which the credentials of p, which have not passed yet,
// can be tried.
func (c *chooser) namesFor(p *demand.Plan) []string {
	var names []string
	for _, s := range c.r.schemes {
		if s == p.Scheme || c.mayUse(s, p.Credentials) {
			names = append(names, s.Name())
		}
	}
	return names
}

// mayUse reports whether credentials can be tried by a scheme as well.
func (c *chooser) mayUse(s scheme.Scheme, cred scheme.Credentials) bool {
	offers, offered := c.offersFor(s)
	d := c.r.demand.Load()
	switch {
	case !offered, c.forbids(s) != nil, c.failures[s.Name()] != nil, c.wasRefused(s, cred):
		return false
	case s.Traits().LogsIn && d.Find(s, "", cred) == nil:
		return false // to find out would be an attempt
	}
	theirs, _, err := c.r.credentials(c.req.Context(), s, realmOf(offers))
	return err == nil && theirs == cred
}

// offersFor returns the challenges of the scheme that are answered, the best first.
// Where the proxy need not be asked there are none, and yet the scheme is offered.
func (c *chooser) offersFor(s scheme.Scheme) (offers []challenge.Challenge, offered bool) {
	if len(c.known) == 0 {
		return nil, c.r.unasked()
	}
	name := s.Name()
	if !offersAny(c.known, name) {
		return nil, false
	}
	for _, all := range [...][]challenge.Challenge{c.latest[0], c.latest[1], c.known} {
		if offers = challengesOf(all, name); len(offers) > 0 {
			return s.Best(offers), true
		}
	}
	return nil, false
}

// wasRefused reports whether credentials are not to be sent by the scheme since they
// were refused to this request.
func (c *chooser) wasRefused(s scheme.Scheme, cred scheme.Credentials) bool {
	return slices.ContainsFunc(c.refused, func(r refused) bool {
		return r.cred == cred && (r.scheme == s || r.trusted)
	})
}

// forbids says why the scheme may not be used with this proxy, or nil.
func (c *chooser) forbids(s scheme.Scheme) error {
	return forbidden(s.Traits(), c.r.demand.Load().Strength, c.r.noClearText && c.r.key.scheme != "https")
}

// forbidden says why a scheme may not be used, or nil. strength is the greatest of those
// that have passed; noClearText forbids to send the password in clear.
func forbidden(s scheme.Traits, strength int, noClearText bool) error {
	switch {
	case s.ClearText && noClearText:
		return errors.New("forbidden by Transport.ForbidCleartextBasic")
	case s.Strength < strength:
		return errors.New("refused as a downgrade, since this proxy has authenticated by a stronger scheme before (a man in the middle asks for it in this way)")
	}
	return nil
}

// offersAny reports whether there is a challenge of the scheme.
func offersAny(all []challenge.Challenge, name string) bool {
	return slices.ContainsFunc(all, func(c challenge.Challenge) bool { return c.Is(name) })
}

// familiar reports whether any scheme of offers is among those that were known before.
func familiar(known, offers []challenge.Challenge) bool {
	return slices.ContainsFunc(offers, func(c challenge.Challenge) bool { return offersAny(known, c.Scheme) })
}
