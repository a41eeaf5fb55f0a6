package proxyauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// considered tells what would become of each scheme for req, after the proxy has denied
// a request without credentials. It considers them as a request does. usable:
// there is one to go on with.
func considered(r *route, req *http.Request, d *denial) (details []string, usable bool) {
	sent := sentBefore(r)
	c := &chooser{r: r, req: req, known: d.challenges, own: true, sent: sent, dry: true}
	chosen := ""
	for _, s := range r.schemes {
		name := s.Name()
		if chosen != "" && offersAny(d.challenges, name) {
			details = append(details, name+": offered, but "+chosen+" comes first")
			continue
		}
		k, offered := c.consider(s)
		if !offered || len(d.challenges) == 0 {
			details = append(details, name+": not offered")
			continue
		}
		if k.detail != nil { // a KDC may repeat what the proxy was sent
			k.detail = secret.StrikeError(k.detail, &sent)
		}
		what, can := described(r, req, k)
		if can {
			chosen = name
		}
		details = append(details, name+": "+what)
	}
	for _, name := range names(d.challenges, &sent) {
		if scheme.Named(r.schemes, name) == nil {
			details = append(details, name+": offered, but not supported or not among Transport.Schemes")
		}
	}
	return details, chosen != ""
}

// described tells with which credentials an offered scheme can be used, or why it cannot.
func described(r *route, req *http.Request, k candidate) (what string, usable bool) {
	switch {
	case k.why == ErrNoCredentials && k.sourceFailed:
		return "no credentials: " + strings.TrimPrefix(k.cause.Error(), "proxyauth: "), false
	case k.why == ErrNoCredentials && k.detail == nil:
		return "no credentials", false
	case errors.Is(k.detail, scheme.ErrNotNow):
		return "the credentials of " + k.from + " are held back: " + history(r.account(k.cred).Status()), false
	case k.why != nil:
		return strings.TrimPrefix(k.detail.Error(), "negotiate: "), false
	}
	with := k.plan.Session.Describe(req.Context(), "with the credentials of "+k.from)
	if k.plan.Account == nil {
		return "to be used, " + with, true
	}
	switch account := k.plan.Account.Status(); account.State {
	case lockout.HeldOff:
		return "the credentials of " + k.from + " are held back: " + history(account), false
	case lockout.New:
	default:
		with += "; they " + history(account)
	}
	return "to be used, " + with, true
}

// history tells how attempts at an account have ended so far.
func history(s lockout.Status) string {
	var parts []string
	if !s.Passed.IsZero() {
		parts = append(parts, "passed "+ago(s.Passed))
	}
	for _, answers := range []struct {
		what  string
		times int
	}{{"refused", s.Refused}, {"answered unclearly", s.Unclear}} {
		switch answers.times {
		case 0:
		case 1:
			parts = append(parts, answers.what+" once")
		case 2:
			parts = append(parts, answers.what+" twice")
		default:
			parts = append(parts, fmt.Sprintf("%s %d times", answers.what, answers.times))
		}
	}
	if s.State == lockout.HeldOff && !s.Next.IsZero() {
		parts = append(parts, "next try in "+inTime(s.Next))
	}
	return strings.Join(parts, ", ")
}

// planInForce returns the plan by which requests to a target are authenticated now, or
// nil. A target is what [target] returns: host:port for a tunnel.
func planInForce(r *route, target string) *demand.Plan {
	known := r.demand.Load()
	if known.IsBare(target) {
		return nil
	}
	return known.PlanFor(target)
}

// identity tells how requests to a target are authenticated now.
func identity(r *route, target string) string {
	p := planInForce(r, target)
	if p == nil {
		return "without credentials"
	}
	return "authenticated by " + p.Scheme.Name() + " with the credentials of " + p.From
}
