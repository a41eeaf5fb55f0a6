package proxyauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// maxTrials is how many schemes the same credentials are tried with before
// they count as wrong: each is an attempt at the account.
const maxTrials = 2

// choose returns how to answer the challenges of a 407: with the first of the
// Transport's schemes that is offered, allowed, has credentials which were not
// refused, and can answer. The error is the *AuthError that ends the request.
func (r *route) choose(req *http.Request, d *denial) (*standing, error) {
	why := ErrNoUsableScheme
	if d.refused {
		why = ErrRejected
	}
	from := d.source
	var cause error
	remedy := "" // more to the point than what is said in general
	deny := func(kind error, format string, args ...any) {
		// Wrong credentials matter more than none, and those more than a
		// scheme that cannot be used.
		if kind == ErrRejected || why == ErrNoUsableScheme {
			why = kind
		}
		if format != "" {
			d.reasons = append(d.reasons, fmt.Sprintf(format, args...))
		}
	}
	for _, scheme := range r.t.schemes {
		name := scheme.Name()
		offers := scheme.best(d.of(name))
		if len(offers) == 0 {
			continue
		}
		if reason := r.forbidden(scheme); reason != "" {
			deny(ErrNoUsableScheme, "%s: %s", name, reason)
			continue
		}
		if failure := d.failures[name]; failure != nil {
			cause = failure.err
			deny(ErrNoUsableScheme, "%s: %v", name, failure)
			remedy = cmp.Or(remedy, failure.remedy)
			continue
		}
		realm := offers[0].Params.Get("realm")
		cred, source, err := r.credentials(req.Context(), scheme, realm)
		if err != nil {
			if errors.Is(err, ErrNoCredentials) {
				deny(ErrNoCredentials, "")
			} else {
				cause = err
				if failed := fmt.Sprintf("%s failed: %s", source, strings.TrimPrefix(err.Error(), "proxyauth: ")); !slices.Contains(d.reasons, failed) {
					d.reasons = append(d.reasons, failed)
				}
				deny(ErrNoCredentials, "")
				remedy = "see to " + source + ", where that error comes from"
			}
			continue
		}
		from = source
		if this, times := r.rejected(name, cred); this {
			deny(ErrRejected, "")
			continue
		} else if times >= maxTrials {
			deny(ErrRejected, "%s: not tried, since the same credentials were rejected %d times", name, times)
			continue
		}
		r.noteOffers(d)
		st, err := r.standFor(req.Context(), scheme, offers, cred, source)
		var refused refusedElsewhere
		switch {
		case err == nil:
			st.realmShown = d.sent.StrikeString(st.realm)
			return st, nil
		case errors.Is(err, ErrNoCredentials):
			deny(ErrNoCredentials, "")
		case errors.As(err, &refused):
			r.reject(&standing{scheme: scheme, cred: cred}, realm)
			deny(ErrRejected, "%s: %v", name, err)
		case cred.empty():
			cause = err
			deny(ErrNoCredentials, "%s: %v", name, err)
		default:
			cause = err
			deny(ErrNoUsableScheme, "%s: %v", name, err)
		}
	}
	if ctx := req.Context(); ctx.Err() != nil { // which may be why
		return nil, context.Cause(ctx)
	}
	for _, name := range d.names() {
		if schemeNamed(r.t.schemes, name) == nil {
			d.reasons = append(d.reasons, name+": not among Transport.Schemes")
		}
	}
	e := d.end(r, req, why)
	e.cause = cause
	switch why {
	case ErrNoCredentials:
		e.remedy = "set Transport.Credentials, write user name and password into the proxy URL, or set PROXY_USER and PROXY_PASS"
		if r.t.source != nil {
			e.remedy = "Transport.Credentials has none for it, and the proxy URL has no user name"
		}
	case ErrNoUsableScheme:
		e.remedy = "ask the proxy's administrators for another scheme, or allow one that it offers"
		if len(d.challenges) == 0 {
			e.remedy = "this is a fault of the proxy, or something else answers in its place: tell its administrators"
		}
	case ErrRejected:
		e.remedy = "check user name and password in " + from + "; they are not sent again before they change"
		if r.t.rejectedFor < forGood {
			e.remedy += ", or for " + strings.Replace(r.t.rejectedFor.String(), "m0s", "m", 1)
		}
		r.standing.CompareAndSwap(nil, &standing{refusal: e, until: time.Now().Add(r.t.rejectedFor)})
		r.logRejected(e, from)
	}
	if why != ErrRejected && remedy != "" {
		e.remedy = remedy
	}
	return nil, e
}

// standFor returns how to send requests by a scheme with credentials.
func (r *route) standFor(ctx context.Context, scheme Scheme, offers []challenge.Challenge, cred Credentials, source string) (*standing, error) {
	a, err := scheme.accept(ctx, r.facts(), offers, cred)
	if err != nil {
		return nil, err
	}
	st := &standing{answerer: a, scheme: scheme, cred: cred, from: source, proof: new(proof)}
	if len(offers) > 0 {
		st.realm = offers[0].Params.Get("realm")
	}
	if a.bound != nil {
		st.pool = carrier.NewPool(carrier.PoolConfig{
			Transport: r.pinned, URL: r.url,
			MaxConns: r.t.base.MaxConnsPerHost, MaxIdle: r.t.maxIdle(), IdleTimeout: r.t.base.IdleConnTimeout,
		})
	}
	return st, nil
}

// forbidden says why the scheme may not be used on this route, or "".
func (r *route) forbidden(scheme Scheme) string {
	if !scheme.traits().clearText {
		return ""
	}
	if r.t.noClearText && r.key.scheme != "https" {
		return "forbidden by Transport.ForbidCleartextBasic"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proved {
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
			Proxy: r.told, Scheme: scheme.Name(), Realm: realm, Rejected: r.allRejected(),
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

const environmentName = "PROXY_USER and PROXY_PASS"
