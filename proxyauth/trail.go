package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A trail is what has happened to a request so far: the facts of which its errors and its
// log events are made.
type trail struct {
	r      *route
	req    *http.Request
	target string // host:port

	legs     int
	sent     secret.Sent                // secrets that were sent, which must not show up in an error
	tried    []string                   // schemes by which credentials were sent
	from     string                     // the source of the credentials that were sent last
	found    []finding                  // why schemes cannot be used, as of the last denial
	failures map[string]*scheme.Failure // of schemes that this request does not try again, by name

	last denial // the last answer that asked for credentials, or ended the exchange
}

// answered counts a leg, and tells Transport.Logger of it. What happened to it is its
// outcome:
//
//	passed      the proxy asked for nothing (more)
//	challenged  it asks for credentials, and none were sent
//	refused     it asks although credentials were sent, or for the next leg of a handshake
//	failed      there was no answer
//
// It returns err without the secrets that were sent, since the parser of an answer may
// quote them.
func (t *trail) answered(p *demand.Plan, begin time.Time, authorization []string, resp *http.Response, err error) error {
	t.legs++
	if err != nil {
		t.secrets(authorization)
		t.recalls()
		err = t.struck(err)
	}
	ctx, log := t.req.Context(), t.r.log
	if !log.Enabled(ctx, slog.LevelDebug) {
		return err
	}
	attrs := []slog.Attr{
		slog.String("proxy", t.r.name),
		slog.String("target", t.target),
		slog.Int("leg", t.legs),
		slog.Duration("duration", time.Since(begin)),
	}
	if p.Scheme != nil {
		attrs = append(attrs, slog.String("scheme", p.Scheme.Name()), slog.String("realm", p.RealmShown))
	}
	outcome := "passed"
	switch {
	case err != nil:
		outcome = "failed"
		attrs = append(attrs, slog.Any("error", err))
	case resp.StatusCode == http.StatusProxyAuthRequired && authorization == nil:
		outcome = "challenged"
	case resp.StatusCode == http.StatusProxyAuthRequired:
		outcome = "refused"
	}
	if resp != nil {
		attrs = append(attrs, slog.Int("status", resp.StatusCode))
		if remedy := t.neverAsks(resp, authorization); remedy != "" {
			attrs = append(attrs, slog.String("remedy", remedy))
		}
	}
	log.LogAttrs(ctx, slog.LevelDebug, "proxy leg", append(attrs, slog.String("outcome", outcome))...)
	return err
}

// secrets notes what was sent to the proxy, or set by the caller, since the proxy may repeat
// it.
func (t *trail) secrets(authorization []string) {
	t.sent.Add(scheme.SecretsIn(authorization)...)
	t.sent.Add(scheme.SecretsIn(carrier.Authorization(t.req.Header))...)
}

// fewUsers is for how many users of a proxy it is recalled what was sent before.
const fewUsers = 8

// recalls notes, for an error, what was sent to the proxy before this request, since the
// proxy may repeat that, too.
func (t *trail) recalls() {
	for _, p := range t.r.demand.Load().Plans {
		t.sent.Add(scheme.SecretsOf(p.Credentials)...)
	}
	if pairs := t.r.guard.Sent(t.r.name); len(pairs) <= fewUsers {
		for _, c := range revealed(pairs) {
			t.sent.Add(scheme.SecretsOf(scheme.Credentials(c))...)
		}
	}
}

// struck returns err without the secrets that were sent. Where it may quote what the proxy
// says, it is in one line, and cut if it is too long to be read. To a proxy that was not
// reached no secrets were sent.
func (t *trail) struck(err error) error {
	fault, ok := err.(*carrier.Fault)
	if !ok {
		return secret.StrikeError(err, &t.sent)
	}
	inner := fault.Err
	switch text := inner.Error(); {
	case fault.Kind == carrier.Broken && len(text) > maxShownError:
		inner = printable.Told(shown(text, &t.sent), inner)
	case fault.Kind != carrier.Unreachable:
		inner = secret.StrikeError(inner, &t.sent)
	}
	if fault.Kind != carrier.Own {
		inner = printable.Error(inner)
	}
	if inner == fault.Err {
		return err
	}
	safe := *fault
	safe.Err = inner
	return &safe
}

// told returns an error of a scheme, which may repeat what the proxy says, in one line and
// without the secrets that were sent; nil for nil.
func (t *trail) told(err error) error {
	if err == nil {
		return nil
	}
	return printable.Error(secret.StrikeError(err, &t.sent))
}

// tries notes that credentials are sent by a scheme.
func (t *trail) tries(p *demand.Plan) {
	t.tried, t.from = append(t.tried, p.Scheme.Name()), p.From
}

// denies takes in an answer that asks for credentials, or ends the exchange.
func (t *trail) denies(resp *http.Response, hangUp func(*http.Response), authorization []string) {
	t.secrets(authorization)
	if resp.StatusCode == http.StatusProxyAuthRequired {
		t.r.counters.challenges.Add(1)
		t.r.asked.Store(true)
	}
	t.last = readDenial(resp, hangUp)
	t.found = nil
}

// fails notes that a scheme cannot be used by this exchange.
func (t *trail) fails(name string, failure *scheme.Failure) {
	if t.failures == nil {
		t.failures = make(map[string]*scheme.Failure)
	}
	t.failures[name] = failure
}

// finds notes why a scheme cannot be used; the name "" stands for what is about no scheme.
func (t *trail) finds(name string, err error) {
	f := finding{name, err}
	if !slices.ContainsFunc(t.found, func(other finding) bool { return other.String() == f.String() }) {
		t.found = append(t.found, f)
	}
}

// error returns the error of a request that the last answer ends.
func (t *trail) error(why error, remedy string) *AuthError {
	t.recalls()
	d := &t.last
	e := &AuthError{
		Proxy: t.r.name, Target: t.target, Realm: realmShown(d.challenges, &t.sent),
		tried: slices.Clone(t.tried), remedy: remedy, Err: why, at: time.Now(),
	}
	e.Schemes, e.reasons = outcomesOf(names(d.challenges, &t.sent), t.tried, append(d.faults(&t.sent), t.found...))
	if d.resp != nil {
		e.StatusCode, e.Status = d.resp.StatusCode, shown(d.resp.Status, &t.sent)
		e.Header, e.Body = d.safeHeader(&t.sent), d.safePage(t.req.Context(), &t.sent)
	}
	return e
}

// connectError returns the error about an answer that opens no tunnel. trusted: the
// credentials that were sent had passed before.
func (t *trail) connectError(resp *http.Response, hangUp func(*http.Response), authorization []string, trusted bool) *ConnectError {
	t.secrets(authorization)
	t.recalls()
	d := denial{resp: resp, hangUp: hangUp}
	e := &ConnectError{
		Proxy: t.r.name, Target: t.target, StatusCode: resp.StatusCode, Status: shown(resp.Status, &t.sent),
		Header: d.safeHeader(&t.sent), Body: d.safePage(t.req.Context(), &t.sent), trusted: trusted,
		neverAsks: t.neverAsks(resp, authorization),
	}
	if authorization != nil {
		e.Tried, _, _ = strings.Cut(authorization[0], " ")
	}
	return e
}

// The errors in which an exchange ends.

const (
	faultRemedy      = "this is a fault of the proxy, or something else answers in its place: tell its administrators"
	checkPassword    = "check user name and password in "
	tryAgainOrTell   = "try again; if that does not help, something else than the proxy may be answering: tell its administrators"
	neverContentCure = "this is a fault of the proxy: tell its administrators, or allow another scheme in Transport.Schemes"
)

// refusal is the error about the last answer, which refuses credentials.
func (t *trail) refusal(from string) *AuthError { return t.error(ErrRejected, checkPassword+from) }

// noRefusal is the error about a 407 that is no refusal: it asks for nothing, or for
// nothing of what the proxy offered at first, which is known.
func (t *trail) noRefusal(known []challenge.Challenge) *AuthError {
	if len(t.last.challenges) == 0 {
		return t.error(ErrProxyFault, faultRemedy)
	}
	t.finds("", fmt.Errorf("the proxy offered %s before, and nothing else is sent in the middle (a man in the middle asks for a downgrade in this way)", list(names(known, &t.sent))))
	return t.error(ErrNoUsableScheme, tryAgainOrTell)
}

// neverContent is the error about a proxy that goes on asking.
func (t *trail) neverContent() *AuthError {
	t.finds("", errors.New("the proxy asks again and again, as for a nonce that is always too old"))
	return t.error(ErrProxyFault, neverContentCure)
}

// bodyGone is the error about a request that would have to be sent once more.
func (t *trail) bodyGone() *AuthError {
	return t.error(ErrBodyConsumed, "repeat the request, since the proxy is known now, or set Request.GetBody")
}

// unanswerable is the error about a scheme that fails for this request.
func (t *trail) unanswerable(name string, err error) *AuthError {
	t.found = append(t.found, finding{name, t.told(err)})
	e := t.error(ErrNoUsableScheme, "")
	e.cause = t.told(err)
	var failure *scheme.Failure
	switch {
	case errors.As(err, &failure):
		e.remedy = failure.Remedy
	case errors.As(err, new(scheme.Unproven)):
		e.remedy = "something else than the proxy may be answering: check its address, and who is on the way to it"
	}
	return e
}

// heldBack is the error of a request that is not sent, since the guard has decided d
// about credentials that came from from.
func (t *trail) heldBack(d lockout.Decision, from string, known []challenge.Challenge) error {
	if ctx := t.req.Context(); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.r.counters.notSent.Add(1)
	refused := d.Last.Verdict == verdict.Refused
	var e *AuthError
	if refused && errors.As(d.Last.Cause, &e) {
		e = e.again(t.target)
	} else {
		e = &AuthError{
			Proxy: t.r.name, Target: t.target, cause: d.Last.Cause,
			Err: ErrHeld, reasons: []string{"the answer to another request with them takes too long"}, remedy: "see why that target is slow",
		}
		e.Schemes, _ = outcomesOf(names(known, &t.sent), nil, nil)
		if d.Last.Cause != nil {
			e.reasons = []string{"the last answer: " + inShort(d.Last.Cause)}
			e.remedy = checkPassword + from
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

// endedEarly is the failure of a handshake that ends before its last message, by a scheme
// that has passed before. Nobody could check a password, so only this request fails.
var endedEarly = &scheme.Failure{
	Err:    errors.New("the proxy does not answer the first message of the handshake, as it did before"),
	Once:   true,
	Remedy: "try again; if that does not help, ask the proxy's administrators whether it reaches its directory",
}

// longer is the failure of handshakes, each of which has ended as exchange.spoiled says.
// What follows an answer would be taken for the next one.
var longer = &scheme.Failure{
	Err:    errors.New("the proxy's 407 is longer than its header says, so the handshake cannot go on behind it"),
	Once:   true,
	Remedy: faultRemedy,
}

// A statusError is an answer that decides about requests which are not sent.
type statusError struct {
	proxy  string
	status int
}

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("proxyauth: proxy %s answered %d %s", e.proxy, e.status, http.StatusText(e.status)))
}

// inShort returns what an answer was, without what it may mean.
func inShort(cause error) string {
	var refused *ConnectError
	if errors.As(cause, &refused) {
		return fmt.Sprintf("%q to CONNECT %s", refused.Status, refused.Target)
	}
	return strings.TrimPrefix(cause.Error(), "proxyauth: ")
}

// gaveUp reports whether err says that nobody waited for the answer any longer.
func gaveUp(err error) bool {
	return carrier.TimedOut(err) || errors.Is(err, context.Canceled) || errors.Is(err, carrier.ErrCanceled)
}
