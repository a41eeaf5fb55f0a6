package proxyauth

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// A Transport is an [http.RoundTripper] that gets through proxies which demand
// authentication, and a dialer through them ([Transport.DialContext]).
//
// Its zero value works: proxies and credentials come from the environment, by
// http.ProxyFromEnvironment and [EnvironmentCredentials]; [FromEnvironment]
// knows more variables and says what is wrong with them. A Transport is safe
// for concurrent use, and meant to be made once and shared: all it learns about
// a proxy, and all connections, are in it. Its fields must not be changed after
// the first use.
type Transport struct {
	// Base gives the settings for dialing, TLS, HTTP/2 and pooling. It is
	// cloned and never changed. Nil means http.DefaultTransport as it was at start-up.
	// Limits on connections hold for each proxy URL by itself, and MaxIdleConns for all
	// together, too: the idle connections of those used least recently are closed first.
	// If MaxIdleConnsPerHost is zero, tunnels and authenticated connections are
	// kept up to MaxIdleConns, or up to 100, in place of net/http's two for a host.
	//
	// A Base of your own has no proxy unless it says so: start from
	// http.DefaultTransport.(*http.Transport).Clone().
	//
	// Base.HTTP2 and Base.Protocols hold for tunnels and without a proxy. Settings that
	// golang.org/x/net/http2.ConfigureTransports has attached to Base are kept as far as
	// Base.HTTP2 has fields for them; Logger is told of others. Connections are not
	// shared with Base.
	//
	// Base.DialTLSContext is used without a proxy only. ProxyConnectHeader,
	// GetProxyConnectHeader and OnProxyConnectResponse (for the answer that
	// ends the authentication) work as in net/http.
	Base *http.Transport

	// Proxy returns the proxy for a request, as http.Transport.Proxy does.
	// Nil means Base.Proxy. Where it returns no proxy (nil), the request goes directly.
	Proxy func(*http.Request) (*url.URL, error)

	// Credentials supplies user names and passwords. It is asked for each request to a
	// proxy that demands them; where it has none, the userinfo of the proxy URL is
	// taken. Nil means the userinfo of the proxy URL, else the environment: see
	// EnvironmentCredentials.
	Credentials CredentialSource

	// Schemes are those that may be used, in order of preference. Nil means
	// DefaultSchemes(); an empty slice allows none. If only one is allowed, no
	// challenge is waited for: Basic and Negotiate send credentials with the first
	// request, and NTLM begins its handshake; Digest needs the nonce of a challenge.
	// Credentials that never passed, and that a proxy refuses by one scheme, are tried
	// once more by the next scheme that it offers: two attempts at the account at most.
	// Credentials that have passed are not tried by another scheme.
	Schemes []Scheme

	// ProxyTLSClientConfig is for the connection to https:// proxies. Nil
	// means Base.TLSClientConfig without its ServerName, NextProtos, session
	// cache and client certificates. NextProtos is always http/1.1.
	//
	// A new connection resumes the TLS session of an earlier one of the same user (RFC
	// 8446 §2.2). If ClientSessionCache is set, it is used instead, and for all users
	// alike. No session is resumed if SessionTicketsDisabled is set, or
	// VerifyPeerCertificate or GetClientCertificate, which crypto/tls does not call then.
	ProxyTLSClientConfig *tls.Config

	// ForbidCleartextBasic refuses Basic where the connection to the proxy is
	// not TLS, since anyone on the way can read the password.
	ForbidCleartextBasic bool

	// RejectedFor is how long credentials that never passed, and that a proxy
	// has refused twice, are not sent to it again, so that a client does not
	// lock an account. After each further refusal the time is doubled, up to 4
	// hours. Meanwhile requests fail at once, unless the source gives other
	// credentials; AuthError.NextTry says until when. Zero means 31 minutes, since
	// directories count failures for 30. Negative means until ForgetRejections is
	// called.
	//
	// Credentials that have passed are not held back for one refusal. After a
	// second one they are held back for 20 seconds, then for longer, up to
	// RejectedFor; if that is negative, until ForgetRejections is called. See
	// guides/security.md.
	RejectedFor time.Duration

	// Resolver resolves the names of targets, so that the proxy is asked for
	// an address: some proxies filter by address. It is used for tunnels only
	// (https:// URLs, DialContext). Nil means that names go to the proxy
	// unresolved.
	Resolver *net.Resolver

	// Retry repeats what is transient and safe to repeat, with pauses. Nil
	// means that nothing is repeated but what net/http repeats; a
	// &RetryPolicy{} repeats 3 times, after about 1, 2 and 4 seconds.
	Retry *RetryPolicy

	// Logger gets events about authentication, never secrets. At level Debug:
	// each leg, and a scheme that fails. At Info: the first success of
	// credentials, and when they pass again after a refusal. At Warn: credentials
	// that never passed and are refused; credentials that passed before and are
	// refused; credentials that are held back; a credential source that fails while
	// its last credentials stay in use; a proxy that asks for weaker protection
	// than before; retries; and, once, settings of Base that cannot be kept. The keys of
	// events are proxy, target, scheme, realm, leg, outcome, status, duration, source,
	// pause, before, now, error, remedy and settings, where they apply. Nil means that
	// nothing is logged.
	Logger *slog.Logger

	environment CredentialFunc // for nil Credentials; nil: EnvironmentCredentials()
	variables   *env.Proxies   // what Proxy was made of, for Diagnose; nil: not by FromEnvironment

	once sync.Once
	core atomic.Pointer[core] // which fmt does not follow, as it does any other with %s
}

// Format prints the same for every verb: a Transport holds passwords, and what is
// in use.
func (t *Transport) Format(f fmt.State, _ rune) { io.WriteString(f, "proxyauth.Transport") }

// started returns the core of t, which is made at its first use.
func (t *Transport) started() *core {
	t.once.Do(func() {
		t.core.Store(&core{settings: t.complete(), routes: make(map[routeKey]*route)})
	})
	return t.core.Load()
}

// complete returns the settings that the fields of t stand for.
func (t *Transport) complete() *settings {
	base := t.Base
	if base == nil {
		base = startTransport
	}
	if base == nil { // another package had replaced it before us
		base = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	s := &settings{
		original:    base,
		base:        base.Clone(),
		proxy:       t.Proxy,
		source:      t.Credentials,
		environment: t.environment,
		variables:   t.variables,
		schemes:     conversationsOf(t.Schemes),
		noClearText: t.ForbidCleartextBasic,
		resolver:    t.Resolver,
		retry:       t.Retry,
		log:         t.Logger,
		guard:       lockout.NewGuard(t.RejectedFor),
	}
	if s.proxy == nil {
		s.proxy = s.base.Proxy
	}
	if s.environment == nil {
		s.environment = environmentCredentials(env.ReadCredentials)
	}
	s.proxyTLS = carrier.TLSConfig(t.ProxyTLSClientConfig, s.base.TLSClientConfig)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.connections.max = s.base.MaxIdleConns
	s.keepHTTP2(base)
	return s
}

// startTransport is what http.DefaultTransport was before a program could put a
// Transport of this package there.
var startTransport, _ = http.DefaultTransport.(*http.Transport)

// RoundTrip sends req through its proxy, or directly where there is none, and
// answers the proxy's challenges. It does everything [http.Transport] does, and never
// returns a proxy's 407: a request that cannot be authenticated fails with an
// [*AuthError]. A proxy that opens no tunnel for another reason is a [*ConnectError], a
// certificate that is not trusted inside a tunnel an [*InterceptionError].
//
// A 407 through a tunnel or without a proxy is the origin's, and a response like any
// other. A 407 to a forwarded request counts as the proxy's if it has a challenge.
// Without a challenge it is an origin's, and returned, if the request carried
// credentials that answered a challenge or had passed before, or if its target needs
// none (RFC 9110 §11.7.1, §15.5.8).
//
// A body is sent once, where the protocol allows it. So while nothing is known of a
// proxy, an http:// request whose body can be read only once (Request.GetBody is nil)
// follows an OPTIONS of the same URL. That reaches the origin if the proxy demands
// nothing. With NTLM and Negotiate, OPTIONS can take the place of the first legs of a
// handshake.
//
// An httptrace.ClientTrace in the request's context sees what it sees with net/http and a
// proxy that demands nothing: no CONNECT, and each hook once, however often the request is
// sent. The hooks for the connection and the request's header are called when it is first
// sent, those for the answer when that is known not to be the proxy's 407. WroteHeaderField
// gets Proxy-Authorization with its scheme alone, such as "Basic REDACTED".
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := t.started()
	if req.URL == nil || req.Header == nil {
		return c.base.RoundTrip(req) // for its errors
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return c.original.RoundTrip(req) // which knows the protocols registered with it
	}
	r, err := c.routeFor(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if bare := carrier.WithoutAuthorization(req); bare != req && c.redirectedTo(r, req) {
		req = bare
	}
	return roundTrip(r, req)
}

// CloseIdleConnections closes the connections that are not in use and keeps
// what was learned about the proxies. Connections in use are not touched.
func (t *Transport) CloseIdleConnections() {
	c := t.core.Load()
	if c == nil {
		return
	}
	c.base.CloseIdleConnections()
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, r := range c.routes {
		r.closeIdle()
	}
}

// ForgetRejections forgets which credentials proxies have refused, or have answered
// unclearly. Call it when somebody has unlocked the account, or has set the right
// password at the proxy: the credentials are sent again with the next request, and have
// two attempts again.
func (t *Transport) ForgetRejections() {
	if c := t.core.Load(); c != nil {
		c.guard.Forget()
	}
}

// Stats returns the counts so far, zero before the first use.
func (t *Transport) Stats() Stats {
	if c := t.core.Load(); c != nil {
		return c.counters.stats(c.guard.Counts())
	}
	return Stats{}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
