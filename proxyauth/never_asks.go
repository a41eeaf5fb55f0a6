package proxyauth

import (
	"context"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// Some proxies demand credentials and never say so by 407: they answer something else to a
// request without any, or close the connection. net/http and curl pass, since they send
// Basic at once. Here nothing is sent unasked unless the caller allows Basic alone, so
// errors tell of that.

const basicAtOnce = "if it wants credentials and does not ask for them by 407, Schemes: []proxyauth.Scheme{proxyauth.Basic()} sends them at once"

// asksInItsWay reports whether a proxy that never asks may answer so to a request without
// credentials.
func asksInItsWay(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// neverAsks returns what to do if the proxy, which has answered a request without
// credentials by something else than 407, is one that never asks; "" where it has asked
// before, where there are no credentials, and where Basic must not be used.
func (r *route) neverAsks(ctx context.Context) string {
	switch {
	case r.asked.Load(), r.unasked(), len(r.demand.Load().Plans) > 0, scheme.Named(r.schemes, "Basic") == nil,
		r.noClearText && r.key.scheme != "https", !r.hasCredentials(ctx):
		return ""
	}
	return basicAtOnce
}

// hasCredentials reports whether somebody has set credentials. A source is not asked: that
// it has them for this proxy is assumed.
func (r *route) hasCredentials(ctx context.Context) bool {
	if r.key.hasUser || r.source != nil {
		return true
	}
	_, err := r.environment(ctx, CredentialRequest{})
	return err == nil
}

// withCure returns f, or a copy that says what to do where a connection has ended and the
// proxy may be one that never asks.
func (t *trail) withCure(f *carrier.Fault, authorization []string) *carrier.Fault {
	if f.Kind != carrier.Lost {
		return f
	}
	cure := t.neverAsks(nil, authorization)
	if cure == "" {
		return f
	}
	cured := *f
	cured.Cure = cure
	return &cured
}

// neverAsks is that of the route, about an answer to a leg of t; with nil, about a
// connection that ended before the proxy has answered anything.
func (t *trail) neverAsks(resp *http.Response, authorization []string) string {
	switch {
	case authorization != nil, len(carrier.Authorization(t.req.Header)) > 0,
		resp != nil && !asksInItsWay(resp.StatusCode), resp == nil && t.r.demand.Load().Asked:
		return ""
	}
	return t.r.neverAsks(t.req.Context())
}
