package proxyauth

import (
	"errors"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
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
	name := scheme.Name()
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
	if this, schemes := d.r.rejected(name, cred); this || schemes >= maxTrials {
		return "the credentials of " + from + " were rejected not long ago and are not sent again", false
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
	return "to be used, " + with, true
}

// identity tells how the route's requests are authenticated now.
func (d *diagnosis) identity() string {
	st := d.r.standing.Load()
	if st == nil || st.scheme == nil {
		return "without credentials"
	}
	return "authenticated by " + st.scheme.Name() + " with the credentials of " + st.from
}
