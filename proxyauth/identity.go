package proxyauth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// The source of credentials is asked for each request, by every scheme. Connections and
// tunnels of another user than the one it names are never used.

// Where credentials come from, for people.
const (
	fromSource      = "Transport.Credentials"
	fromURL         = "the proxy URL"
	fromEnvironment = "PROXY_USER and PROXY_PASS"
	fromAmbience    = "the environment (ticket cache, keytab, logged-in user)"
)

// goodFor is how long credentials that have passed stay in use while their source
// fails.
const goodFor = 5 * time.Minute

// credentials asks the sources in their order: the Transport's own and then the proxy
// URL's userinfo; without an own source the environment comes last. Where a source
// fails, the credentials that passed last go on for goodFor. The zero Credentials are
// for a scheme that needs none. from names the source for errors, also beside an error
// of it.
func (r *route) credentials(ctx context.Context, s scheme.Scheme, realm string) (c scheme.Credentials, from string, err error) {
	c, from, err = r.ask(ctx, s, realm)
	works := err == nil || errors.Is(err, ErrNoCredentials)
	if works && !r.failed.Load() || !works && ctx.Err() != nil {
		return c, from, err
	}
	var passed *demand.Plan // by credentials of this source; the one for most targets
	var since time.Time
	var first bool
	now := time.Now()
	for _, p := range r.demand.Load().Plans {
		switch {
		case p.From != from || !p.Trusted() || realm != "" && p.Realm != "" && p.Realm != realm:
		case works:
			p.SourceWorks()
		case passed == nil:
			passed = p
			since, first = p.SourceFails(now)
		default: // it does not come back when the first one has gone
			p.SourceFails(now)
		}
	}
	if passed == nil {
		return c, from, err
	}
	r.failed.Store(true)
	if first {
		r.log.LogAttrs(ctx, slog.LevelWarn, "proxy: the credential source failed",
			slog.String("proxy", r.name), slog.String("source", from), slog.Any("error", err))
	}
	if now.Sub(since) >= goodFor {
		return c, from, err
	}
	return passed.Credentials, from, nil
}

func (r *route) ask(ctx context.Context, s scheme.Scheme, realm string) (c scheme.Credentials, from string, err error) {
	if r.source != nil {
		given, err := r.source.ProxyCredentials(ctx, CredentialRequest{
			Proxy: r.told, Scheme: s.Name(), Realm: realm, Rejected: revealed(r.guard.Rejected(r.name)),
		})
		if err != nil && !errors.Is(err, ErrNoCredentials) {
			return c, fromSource, err
		}
		if err == nil && !given.empty() {
			return scheme.Credentials(given), fromSource, nil
		}
	}
	if r.key.hasUser {
		return scheme.Credentials{Username: r.key.username, Password: r.key.password}, fromURL, nil
	}
	if r.source == nil {
		given, err := r.environment(ctx, CredentialRequest{})
		if err == nil {
			return scheme.Credentials(given), fromEnvironment, nil
		}
		if !errors.Is(err, ErrNoCredentials) {
			return c, fromEnvironment, err
		}
	}
	if s.Traits().Ambient {
		return c, fromAmbience, nil
	}
	return c, "", ErrNoCredentials
}

func revealed(pairs []lockout.Pair) []Credentials {
	var all []Credentials
	for _, pair := range pairs {
		var c Credentials
		c.Username, c.Password = pair.Reveal()
		all = append(all, c)
	}
	return all
}

// newPlan returns how to send requests by a scheme with credentials.
func (r *route) newPlan(ctx context.Context, s scheme.Scheme, known, offers []challenge.Challenge, c scheme.Credentials, from string) (*demand.Plan, error) {
	session, err := s.Begin(ctx, r.schemeProxy(known), offers, c)
	if err != nil {
		return nil, err
	}
	p := (&demand.Plan{
		Scheme: s, Names: []string{s.Name()}, Realm: realmOf(offers), Credentials: c, From: from, Offers: offers,
		Record: new(demand.Record), Learn: func(f demand.Fact) { r.learn(f) },
	}).With(session)
	if !p.Nature.Ticket {
		p.Account = r.account(c)
	}
	return p, nil
}

// adopt brings p into force and returns it, or returns the plan by the same scheme and
// credentials that another request has brought into force meanwhile.
func (r *route) adopt(p *demand.Plan) *demand.Plan {
	r.learn(demand.Fact{What: demand.Adopted, Plan: p})
	if other := r.demand.Load().Find(p.Scheme, p.Realm, p.Credentials); other != nil {
		return other
	}
	return p
}

// identified returns the plan for the credentials that the source gives now: p if they
// are the same, nil if there is no plan with them or p is nil. If they are another user's,
// the connections and tunnels of p end.
func (r *route) identified(ctx context.Context, p *demand.Plan) *demand.Plan {
	if p == nil {
		return nil
	}
	c, from, err := r.credentials(ctx, p.Scheme, p.Realm)
	if err != nil && !errors.Is(err, ErrNoCredentials) && ctx.Err() != nil {
		return p // the source was not waited for
	}
	sameUser := err == nil && c.Username == p.Credentials.Username
	switch {
	case err == nil && c == p.Credentials && !(p.Nature.Connection && p.Session.Other(ctx)):
		return p
	case !sameUser || c == p.Credentials:
		if gone := r.learn(demand.Fact{What: demand.Dropped, Plan: p}); len(gone) > 0 {
			r.tunnels.renew()
		}
	}
	if err != nil {
		return nil
	}
	d := r.demand.Load()
	if next := d.Find(p.Scheme, p.Realm, c); next != nil {
		return next
	}
	if p.Scheme.Traits().NeedsChallenge {
		return nil
	}
	next, err := r.newPlan(ctx, p.Scheme, d.Offers, p.Offers, c, from)
	if err != nil {
		return nil
	}
	next.RealmShown = p.RealmShown
	if adopted := r.adopt(next); adopted != next {
		return adopted
	}
	if sameUser && next.Nature.Connection {
		r.tunnels.renew() // the open ones were authenticated with the former password
	}
	return next
}

// checkIdentity ends the tunnels of the route if the credential source gives another user
// than the one for whom they were opened, so that they carry no further request.
func (r *route) checkIdentity(ctx context.Context) {
	for _, p := range r.demand.Load().Plans {
		r.identified(ctx, p)
	}
}
