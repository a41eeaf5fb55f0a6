package proxyauth

import (
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A place is an exchange's attempt at an account, as the guard has allowed it. The zero
// place is none.
type place struct {
	attempt lockout.Attempt
	held    bool          // the attempt has still to be reported
	legs    int           // with credentials, sent in this attempt
	again   bool          // one of them was answered by a challenge, for which they are sent again
	waited  time.Duration // how long the exchange has waited for places, this one and others
}

// take begins with another attempt, after the last one was reported.
func (l *place) take(a lockout.Attempt) {
	l.attempt, l.held, l.legs, l.again = a, true, 0, false
}

// report tells the guard what the answer to the attempt means, if the place is held.
// cause is that answer, and p the plan by which the credentials were sent.
func (l *place) report(r *route, p *demand.Plan, v verdict.Verdict, cause error) {
	if !l.held {
		return
	}
	l.held = false
	if v == verdict.NotSent && l.again && !l.attempt.Trusted {
		// The challenge that was to be answered may have been a refusal.
		v, cause = verdict.Unclear, &statusError{r.name, http.StatusProxyAuthRequired}
	}
	was, is := r.guard.Report(l.attempt, lockout.Evidence{Verdict: v, Legs: l.legs, Cause: cause})
	switch {
	case was != is:
		r.logAccount(l.attempt.Scheme, p, was, is, cause)
	case v == verdict.Refused && !l.attempt.Trusted:
		r.logRejected(l.attempt.Scheme, p, cause)
	}
}
