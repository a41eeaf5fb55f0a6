package proxyauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// schemes tells what would become of each scheme.
func (d *diagnosis) schemes(denial *denial) {
	d.r.noteOffers(denial)
	var details []string
	chosen := ""
	for _, scheme := range d.core.schemes {
		name := scheme.Name()
		offers := scheme.best(denial.of(name))
		switch {
		case len(offers) == 0:
			details = append(details, name+": not offered")
		case chosen != "":
			details = append(details, name+": offered, but "+chosen+" comes first")
		default:
			what, usable := d.consider(scheme, offers)
			if usable {
				chosen = name
			}
			details = append(details, name+": "+what)
		}
	}
	for _, name := range denial.names() {
		if schemeNamed(d.core.schemes, name) == nil {
			details = append(details, name+": offered, but not supported or not among Transport.Schemes")
		}
	}
	outcome := StepOK
	if chosen == "" {
		outcome = StepNote
	}
	d.add("schemes", outcome, "", details...)
}

// consider tells whether an offered scheme can be used, and with what, or why
// not.
func (d *diagnosis) consider(scheme Scheme, offers []challenge.Challenge) (what string, usable bool) {
	if reason := d.r.forbidden(scheme); reason != "" {
		return reason, false
	}
	cred, from, err := d.r.credentials(d.ctx, scheme, offers[0].Params.Get("realm"))
	if errors.Is(err, ErrNoCredentials) {
		return "no credentials", false
	}
	if err != nil {
		return "no credentials: " + strings.TrimPrefix(err.Error(), "proxyauth: "), false
	}
	account := d.r.account(cred).Status()
	if account.State == lockout.HeldOff {
		return "the credentials of " + from + " are held back: " + describe(account), false
	}
	a, err := scheme.accept(d.ctx, d.r.facts(), offers, cred)
	if errors.Is(err, ErrNoCredentials) {
		return "no credentials", false
	}
	if err != nil {
		return strings.TrimPrefix(err.Error(), "negotiate: "), false
	}
	with := "with the credentials of " + from
	if a.bound != nil {
		with = a.bound.describe(d.ctx, with)
	}
	if !a.ticket && account.State != lockout.New {
		with += "; they " + describe(account)
	}
	return "to be used, " + with, true
}

// describe tells how an account stands.
func describe(s lockout.Status) string {
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

// plan returns how the target's requests are authenticated now, or nil.
func (d *diagnosis) plan() *plan {
	known := d.r.demand.Load()
	if known.isBare(target(d.req)) {
		return nil
	}
	return known.planFor(target(d.req))
}

// identity tells that in words.
func (d *diagnosis) identity() string {
	p := d.plan()
	if p == nil {
		return "without credentials"
	}
	return "authenticated by " + p.scheme.Name() + " with the credentials of " + p.from
}
