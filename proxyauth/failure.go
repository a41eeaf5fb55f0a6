package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// The errors in which an exchange ends.

// refusal is the error about the last denial, which refuses the credentials.
func (x *exchange) refusal() *AuthError {
	e := x.denial.end(x.r, x.req, ErrRejected)
	e.remedy = "check user name and password in " + x.p.from
	return e
}

// A statusError is an answer that decides about requests which are not sent.
type statusError struct {
	proxy  string
	status int
}

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("proxyauth: proxy %s answered %d %s", e.proxy, e.status, http.StatusText(e.status)))
}

// noRefusal is the error about a 407 that is no refusal: it asks for nothing, or for
// nothing of what the proxy offered at first.
func (x *exchange) noRefusal() *AuthError {
	e := x.denial.end(x.r, x.req, ErrProxyFault)
	e.remedy = faultRemedy
	if len(x.denial.challenges) > 0 {
		e.Err = ErrNoUsableScheme
		e.reasons = append(e.reasons, fmt.Sprintf("the proxy offered %s before, and nothing else is sent in the middle (a man in the middle asks for a downgrade in this way)", list(names(x.known(), &x.denial.sent))))
		e.remedy = "try again; if that does not help, something else than the proxy may be answering: tell its administrators"
	}
	return e
}

const faultRemedy = "this is a fault of the proxy, or something else answers in its place: tell its administrators"

// neverContent is the error about a proxy that goes on asking.
func (x *exchange) neverContent() *AuthError {
	e := x.denial.end(x.r, x.req, ErrProxyFault)
	e.reasons = append(e.reasons, "the proxy asks again and again, as for a nonce that is always too old")
	e.remedy = "this is a fault of the proxy: tell its administrators, or allow another scheme in Transport.Schemes"
	return e
}

// bodyGone is the error about a request that would have to be sent once more.
func (x *exchange) bodyGone() *AuthError {
	e := x.denial.end(x.r, x.req, ErrBodyConsumed)
	e.remedy = "repeat the request, since the proxy is known now, or set Request.GetBody"
	return e
}

// unanswerable is the error about a scheme that fails for this request.
func (x *exchange) unanswerable(err error) *AuthError {
	d := &x.denial
	d.found = append(d.found, finding{x.p.scheme.Name(), err})
	e := d.end(x.r, x.req, ErrNoUsableScheme)
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

// heldBack is the error of a request that is not sent, since the guard has decided d
// about credentials that came from from.
func (x *exchange) heldBack(d lockout.Decision, from string) error {
	if ctx := x.req.Context(); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x.r.t.counters.notSent.Add(1)
	refused := d.Last.Verdict == lockout.Refused
	var e *AuthError
	if refused && errors.As(d.Last.Cause, &e) {
		e = e.again(x.req)
	} else {
		e = &AuthError{
			Proxy: x.r.name, Target: x.target, cause: d.Last.Cause,
			Err: ErrHeld, reasons: []string{"the answer to another request with them takes too long"}, remedy: "see why that target is slow",
		}
		e.Schemes, _ = outcomesOf(names(x.known(), &x.denial.sent), nil, nil)
		if d.Last.Cause != nil {
			e.reasons = []string{"the last answer: " + inShort(d.Last.Cause)}
			e.remedy = "check user name and password in " + from
		}
		if refused { // by a KDC
			e.Err, e.remembered, e.at = ErrRejected, true, time.Now()
		}
	}
	if refused && d.Until.IsZero() {
		e.remedy += unlessChanged
	}
	if gaveUp(e.cause) {
		e.cause = nil // that was another request's patience, and is not to be taken for this one's
	}
	e.NextTry = d.Until
	return e
}

const unlessChanged = "; they are not sent again before they change, or Transport.ForgetRejections is called"

// inShort is the text of an answer without what it may mean.
func inShort(cause error) string {
	var refused *ConnectError
	if errors.As(cause, &refused) {
		return fmt.Sprintf("%q to CONNECT %s", refused.Status, refused.Target)
	}
	return strings.TrimPrefix(cause.Error(), "proxyauth: ")
}

// afterRefusal tells what to do after the last refusal, and when the credentials are
// tried again if they are held back.
func (x *exchange) afterRefusal(from string) (remedy string, next time.Time) {
	remedy = "check user name and password in " + from
	if len(x.refused) == 0 {
		return remedy, next
	}
	switch s := x.r.account(x.refused[len(x.refused)-1].cred).Status(); {
	case s.State == lockout.HeldOff && s.Next.IsZero():
		return remedy + unlessChanged, next
	case s.State == lockout.HeldOff:
		return remedy, s.Next
	case !s.Passed.IsZero():
		return fmt.Sprintf("they passed %s, so ask the proxy's administrators whether it denies this target or has lost its directory; if it goes on, %s", ago(s.Passed), remedy), next
	}
	return remedy + "; they are sent once more, and then held back", next
}
