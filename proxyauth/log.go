package proxyauth

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// sent counts a leg, and tells Transport.Logger of it. What happened to it is its
// outcome:
//
//	passed      the proxy asked for nothing (more)
//	challenged  it asks for credentials, and none were sent
//	refused     it asks although credentials were sent, or for the next leg of a handshake
//	failed      there was no answer
//
// It returns err without the secrets that were sent, since the parser of an answer may
// quote them.
func (x *exchange) sent(begin time.Time, authorization []string, resp *http.Response, err error) error {
	x.legs++
	if err != nil {
		sent := &x.denial.sent
		sent.Add(secretsIn(authorization)...)
		sent.Add(secretsIn(authorizationIn(x.req.Header))...) // the caller's own
		err = struckFrom(err, sent, "proxyauth: proxy "+x.r.name)
	}
	ctx, log := x.req.Context(), x.r.t.log
	if !log.Enabled(ctx, slog.LevelDebug) {
		return err
	}
	attrs := []slog.Attr{
		slog.String("proxy", x.r.name),
		slog.String("target", target(x.req)),
		slog.Int("leg", x.legs),
		slog.Duration("duration", time.Since(begin)),
	}
	if x.p.scheme != nil {
		attrs = append(attrs, slog.String("scheme", x.p.scheme.Name()), slog.String("realm", x.p.realmShown))
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
	}
	log.LogAttrs(ctx, slog.LevelDebug, "proxy leg", append(attrs, slog.String("outcome", outcome))...)
	return err
}

// logAuthenticated tells that credentials passed for the first time.
func (r *route) logAuthenticated(p *plan) {
	r.logCredentials(slog.LevelInfo, "proxy authenticated", p.scheme.Name(), p)
}

// logRejected tells that credentials which have never passed were refused.
func (r *route) logRejected(scheme string, p *plan, cause error) {
	r.logCredentials(slog.LevelWarn, "proxy rejected credentials", scheme, p, slog.Any("error", cause))
}

// logAccount tells that credentials have become suspect, are held back, or are good
// again.
func (r *route) logAccount(scheme string, p *plan, was, is lockout.State, cause error) {
	because := slog.Any("error", cause)
	switch {
	case is == lockout.HeldOff:
		r.logCredentials(slog.LevelWarn, "proxy credentials are held back", scheme, p, because)
	case is == lockout.Suspect:
		r.logCredentials(slog.LevelWarn, "proxy credentials are suspect", scheme, p, because)
	case is == lockout.Trusted && was != lockout.New:
		r.logCredentials(slog.LevelInfo, "proxy credentials are good again", scheme, p)
	}
}

// logCredentials logs an event about the credentials of p.
func (r *route) logCredentials(level slog.Level, message, scheme string, p *plan, more ...slog.Attr) {
	r.t.log.LogAttrs(context.Background(), level, message, append([]slog.Attr{
		slog.String("proxy", r.name), slog.String("scheme", scheme),
		slog.String("realm", p.realmShown), slog.String("source", p.from),
	}, more...)...)
}
