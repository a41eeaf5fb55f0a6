package proxyauth

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// sent tells Transport.Logger of a leg. What happened to it is its outcome:
//
//	passed      the proxy asked for nothing (more)
//	challenged  it asks for credentials, and none were sent
//	refused     it asks although credentials were sent, or for the next leg of a handshake
//	failed      there was no answer
//
// It returns err without what was sent, which the parser of an answer may quote.
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
	if x.st.scheme != nil {
		attrs = append(attrs, slog.String("scheme", x.st.scheme.Name()), slog.String("realm", x.st.realmShown))
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
func (r *route) logAuthenticated(st *standing) {
	r.t.log.LogAttrs(context.Background(), slog.LevelInfo, "proxy authenticated", slog.String("proxy", r.name),
		slog.String("scheme", st.scheme.Name()), slog.String("realm", st.realmShown), slog.String("source", st.from))
}

// logRejected tells that credentials were refused, and will not be sent again
// for a while.
func (r *route) logRejected(e *AuthError, source string) {
	r.t.log.LogAttrs(context.Background(), slog.LevelWarn, "proxy rejected credentials", slog.String("proxy", r.name),
		slog.Any("tried", e.Tried), slog.String("realm", e.Realm), slog.String("source", source))
}
