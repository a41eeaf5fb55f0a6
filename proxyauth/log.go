package proxyauth

import (
	"context"
	"log/slog"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// Events about credentials, for Transport.Logger.

// logAuthenticated tells that credentials passed for the first time.
func (r *route) logAuthenticated(p *demand.Plan) {
	r.logCredentials(slog.LevelInfo, "proxy authenticated", p.Scheme.Name(), p)
}

// logRejected tells that credentials which have never passed were refused.
func (r *route) logRejected(scheme string, p *demand.Plan, cause error) {
	r.logCredentials(slog.LevelWarn, "proxy rejected credentials", scheme, p, slog.Any("error", cause))
}

// logAccount tells that credentials have become suspect, are held back, or are good
// again.
func (r *route) logAccount(scheme string, p *demand.Plan, was, is lockout.State, cause error) {
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

// logWeaker tells that a proxy asks for less protection than the credentials have had
// before.
func (r *route) logWeaker(p *demand.Plan, before string) {
	r.logCredentials(slog.LevelWarn, "proxy asks for weaker protection", p.Scheme.Name(), p,
		slog.String("before", before), slog.String("now", p.Nature.ProtectedBy))
}

// logCredentials logs an event about the credentials of p.
func (r *route) logCredentials(level slog.Level, message, scheme string, p *demand.Plan, more ...slog.Attr) {
	r.log.LogAttrs(context.Background(), level, message, append([]slog.Attr{
		slog.String("proxy", r.name), slog.String("scheme", scheme),
		slog.String("realm", p.RealmShown), slog.String("source", p.From),
	}, more...)...)
}
