package proxyauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
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
	// cloned and never changed; limits on connections hold for each proxy by
	// itself. Nil means http.DefaultTransport as it was at start-up. If its
	// MaxIdleConnsPerHost is zero, tunnels and authenticated connections are
	// kept up to MaxIdleConns, or 100, and not to net/http's two for a host.
	//
	// A Base of your own has no proxy unless it says so: start from
	// http.DefaultTransport.(*http.Transport).Clone().
	//
	// Base.DialTLSContext is used without a proxy only. ProxyConnectHeader,
	// GetProxyConnectHeader and OnProxyConnectResponse (for the answer that
	// ends the authentication) work as in net/http.
	Base *http.Transport

	// Proxy returns the proxy for a request, as http.Transport.Proxy does.
	// Nil means Base.Proxy. Without a proxy a request goes as it is.
	Proxy func(*http.Request) (*url.URL, error)

	// Credentials supplies user names and passwords, and is asked for each
	// request; where it has none, the userinfo of the proxy URL is taken. Nil
	// means the userinfo of the proxy URL, else the environment: see
	// EnvironmentCredentials.
	Credentials CredentialSource

	// Schemes are those that may be used, in order of preference. Nil means
	// DefaultSchemes(). With one alone no challenge is waited for: Basic and
	// Negotiate send at once and NTLM begins its handshake; Digest needs the
	// nonce of a challenge. Credentials that never passed, and that a proxy refuses
	// by one scheme, are tried once more by the next one it offers: two attempts at
	// the account at most. Those that have passed are tried by no other.
	Schemes []Scheme

	// ProxyTLSClientConfig is for the connection to https:// proxies. Nil
	// means Base.TLSClientConfig without its ServerName, NextProtos, session
	// cache and client certificates. NextProtos is always http/1.1.
	ProxyTLSClientConfig *tls.Config

	// ForbidCleartextBasic refuses Basic where the connection to the proxy is
	// not TLS, since anyone on the way can read the password.
	ForbidCleartextBasic bool

	// RejectedFor is how long credentials that never passed, and that a proxy
	// has refused twice, are not sent to it again, so that a client does not
	// lock an account. It is the least time: after each further refusal it is
	// twice as long, up to 4 hours. Requests fail at once meanwhile, unless the
	// source gives other credentials; AuthError.NextTry says for how long. Zero
	// means 31 minutes, since directories count failures for 30. Negative means
	// until ForgetRejections.
	//
	// Credentials that have passed are not held back for one refusal. After a
	// second they are for 20 seconds, then for longer, up to RejectedFor; if that
	// is negative, until ForgetRejections as well. See guides/security.md.
	RejectedFor time.Duration

	// Resolver resolves the names of targets, so that the proxy is asked for
	// an address: some proxies filter by address. It counts for tunnels only
	// (https:// URLs, DialContext). Nil means that names go to the proxy
	// unresolved.
	Resolver *net.Resolver

	// Retry repeats what is transient and safe to repeat, with pauses. Nil
	// means that nothing is repeated but what net/http repeats; a
	// &RetryPolicy{} repeats 3 times, after about 1, 2 and 4 seconds.
	Retry *RetryPolicy

	// Logger gets events about authentication, never secrets. At level Debug:
	// each leg, and a scheme that fails. At Info: the first success of
	// credentials, and when they are good again. At Warn: credentials that never
	// passed and are refused; others that become suspect; all that are held back;
	// and retries. Their keys are proxy, target, scheme, realm, leg, outcome,
	// status, duration, source, pause and error, where they apply. Nil is silent.
	Logger *slog.Logger

	environment CredentialFunc // for nil Credentials; nil: EnvironmentCredentials()
	variables   *env.Proxies   // what Proxy was made of, for Diagnose; nil: not by FromEnvironment

	once sync.Once
	core atomic.Pointer[core] // which fmt does not follow, as it does any other with %s
}

// Format prints the same for every verb: a Transport holds passwords, and what is
// in use.
func (t *Transport) Format(f fmt.State, _ rune) { io.WriteString(f, "proxyauth.Transport") }

// startTransport is what http.DefaultTransport was before a program could put
// a Transport of this package there.
var startTransport, _ = http.DefaultTransport.(*http.Transport)

// A core is a Transport's settings, complete and fixed at its first use, and
// its routes.
type core struct {
	original    *http.Transport
	base        *http.Transport // the original's clone
	proxy       func(*http.Request) (*url.URL, error)
	source      CredentialSource
	environment CredentialFunc // where source is nil
	variables   *env.Proxies   // of FromEnvironment
	schemes     []Scheme
	proxyTLS    *tls.Config
	noClearText bool
	resolver    *net.Resolver // nil: the proxy's
	retry       *RetryPolicy  // nil: none
	log         *slog.Logger

	counters counters
	guard    *lockout.Guard

	mu     sync.RWMutex
	routes map[routeKey]*route
	clock  uint64 // counts new routes; see route.used
}

func (t *Transport) settings() *core {
	t.once.Do(func() {
		base := t.Base
		if base == nil {
			base = startTransport
		}
		if base == nil { // another package had replaced it before us
			base = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
		}
		c := &core{
			original:    base,
			base:        base.Clone(),
			proxy:       t.Proxy,
			source:      t.Credentials,
			environment: t.environment,
			variables:   t.variables,
			schemes:     t.Schemes,
			noClearText: t.ForbidCleartextBasic,
			resolver:    t.Resolver,
			retry:       t.Retry,
			log:         t.Logger,
			routes:      make(map[routeKey]*route),
		}
		// Clone has made base decide about HTTP/2. A clone would decide anew,
		// and differently once it has a DialContext of ours; and it must not
		// share an HTTP/2 pool that the user attached to base.
		if _, http2 := base.TLSNextProto["h2"]; http2 {
			c.base.TLSNextProto = nil
			c.base.ForceAttemptHTTP2 = true
		}
		if c.proxy == nil {
			c.proxy = c.base.Proxy
		}
		if c.environment == nil {
			c.environment = environmentCredentials(env.ReadCredentials)
		}
		if c.schemes == nil {
			c.schemes = DefaultSchemes()
		}
		c.guard = lockout.NewGuard(t.RejectedFor)
		c.proxyTLS = carrier.TLSConfig(t.ProxyTLSClientConfig, c.base.TLSClientConfig)
		if c.log == nil {
			c.log = slog.New(slog.DiscardHandler)
		}
		t.core.Store(c)
	})
	return t.core.Load()
}

// RoundTrip sends req through its proxy, or directly where there is none, and
// answers what the proxy demands. It does everything [http.Transport] does,
// and never returns a proxy's 407: see [AuthError].
//
// A 407 through a tunnel or without a proxy is the origin's, and a response like
// any other. A forwarded one with a challenge counts as the proxy's. One without a
// challenge is returned where the request carried credentials that answered a
// challenge or had passed before, or where its target needs none: then it is an
// origin's (RFC 9110 §11.7.1, §15.5.8).
//
// A body goes out once, where the protocol allows it. So while nothing is known of
// a proxy, an http:// request whose body cannot be rewound (it has no GetBody)
// follows an OPTIONS of the same URL, which reaches the origin if the proxy asks for
// nothing; with NTLM and Negotiate, OPTIONS can take the place of the first legs.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := t.settings()
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
	if bare := withoutProxyAuthorization(req); bare != req && c.redirectedTo(r, req) {
		req = bare
	}
	return r.roundTrip(req)
}

// redirectedTo reports whether req was made by a redirect of another route:
// http.Client keeps the caller's Proxy-Authorization when a site sends on to a
// part of it, which may be behind another proxy.
func (c *core) redirectedTo(r *route, req *http.Request) bool {
	if req.Response == nil || req.Response.Request == nil || req.Response.Request.URL == nil {
		return false
	}
	before, err := c.routeFor(req.Response.Request)
	return err != nil || before != r
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
// unclearly: somebody has unlocked the account, or has set the right password at the
// proxy. They are sent again with the next request, and have two attempts again.
func (t *Transport) ForgetRejections() {
	if c := t.core.Load(); c != nil {
		c.guard.Forget()
	}
}

// routeFor returns the route that req takes.
func (c *core) routeFor(req *http.Request) (*route, error) {
	var proxy *url.URL
	if c.proxy != nil {
		var err error
		if proxy, err = c.proxy(req); err != nil {
			return nil, withoutUserinfo(err)
		}
	}
	return c.route(proxy)
}

// errProxyURL stands for the error about a malformed HTTP_PROXY, whose text
// repeats the URL with its password.
var errProxyURL = errors.New("proxyauth: invalid proxy URL, not shown because it has userinfo: " +
	"write special characters of the user name and password percent-encoded")

func withoutUserinfo(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) && parse.Op == "parse" {
		return errProxyURL
	}
	if strings.Contains(err.Error(), "@") {
		return &struckError{errProxyURL.Error(), err}
	}
	return err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// defaultIdle is how many idle connections are kept where Base sets no limit.
// net/http's default of two for a host would throw handshakes away.
const defaultIdle = 100

// maxIdle returns how many authenticated connections may be idle on a route.
func (c *core) maxIdle() int {
	switch b := c.base; {
	case b.DisableKeepAlives || b.MaxIdleConnsPerHost < 0:
		return 0
	case b.MaxIdleConnsPerHost > 0:
		return b.MaxIdleConnsPerHost
	case b.MaxIdleConns > 0:
		return b.MaxIdleConns
	}
	return defaultIdle
}
