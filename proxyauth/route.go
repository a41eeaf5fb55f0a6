package proxyauth

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// A routeKey is all that tells one route from another: the proxy, and the
// identity that its URL carries. It is compared exactly.
type routeKey struct {
	scheme, host       string // scheme "" is the way without a proxy
	username, password string
	hasUser            bool
}

// A route holds all that is known about one proxy: how to reach it, its
// connections, and how far authentication has got. Nothing of it is shared
// with another route.
type route struct {
	t    *core
	key  routeKey
	name string   // the proxy's URL for people, without userinfo
	url  *url.URL // to dial; nil without a proxy. Userinfo is for SOCKS alone
	told *url.URL // for credential sources, which are asked often

	used atomic.Uint64 // core.clock when last used, for maxRoutes

	dialer  *carrier.Dialer
	traffic *traffic

	probesTell atomic.Bool // where a probe passed, so did the request

	// The ways out. Without an HTTP proxy (directly, or by SOCKS, which
	// net/http does itself) there is only the direct one.
	direct  *http.Transport
	tunnel  atomic.Pointer[http.Transport] // https://: dials by CONNECT
	forward *http.Transport                // http://: the proxy gets absolute-form requests
	pinned  *http.Transport                // http:// by a connection-bound scheme: makes the connections of a pool

	// demand is what is known of what the proxy asks for; nil: nothing.
	demand atomic.Pointer[demand]

	mu         sync.Mutex
	learner    *learning         // the request that is finding out; nil: none
	strength   int               // the greatest of schemes that have passed
	offered    []string          // schemes that the proxy offers and the Transport allows
	former     []*http.Transport // tunnels of other identities, last used last
	kerberos   *negotiate.Client
	kerberosOf negotiate.Options
}

// A proxySchemeError is the scheme of a proxy URL that is not supported.
type proxySchemeError string

func (e proxySchemeError) Error() string {
	return fmt.Sprintf("proxyauth: proxy URL scheme %q is not supported: use http, https, socks5 or socks5h", string(e))
}

// maxRoutes bounds the routes of a Transport. Proxy services that take a
// session's name in the user name make a new one for every session.
const maxRoutes = 1024

// route returns the route for a proxy URL; nil means no proxy.
func (c *core) route(u *url.URL) (*route, error) {
	var key routeKey
	if u != nil {
		key = routeKey{scheme: u.Scheme, host: u.Host}
		if key.scheme == "" {
			key.scheme = "http" // as net/http does
		}
		if u.User != nil {
			key.hasUser = true
			key.username = u.User.Username()
			key.password, _ = u.User.Password()
		}
	}
	c.mu.RLock()
	r, now := c.routes[key], c.clock
	c.mu.RUnlock()
	if r == nil {
		if u != nil && strings.Contains(u.Opaque+u.Path+u.RawQuery+u.Fragment, "@") {
			return nil, errProxyURL // there is no "//", or a raw "#" or the like in the password ended the host
		}
		return c.newRoute(key)
	}
	if r.used.Load() != now {
		r.used.Store(now)
	}
	return r, nil
}

func (c *core) newRoute(key routeKey) (*route, error) {
	r := &route{t: c, key: key}
	switch key.scheme {
	case "":
		r.direct = c.base.Clone()
		r.direct.Proxy = nil
	case "socks5", "socks5h":
		r.name = (&url.URL{Scheme: key.scheme, Host: key.host}).String()
		r.url = r.proxyURL()
		if key.hasUser {
			r.url.User = url.UserPassword(key.username, key.password)
		}
		r.direct = c.base.Clone()
		r.direct.Proxy = http.ProxyURL(r.url)
	case "http", "https":
		r.url, r.told = r.proxyURL(), r.proxyURL()
		if r.url.Hostname() == "" {
			return nil, fmt.Errorf("proxyauth: the proxy URL %q has no host", r.url)
		}
		host, err := hostname.ASCII(r.url.Hostname())
		if err != nil {
			return nil, err
		}
		if host != r.url.Hostname() {
			r.url.Host = strings.Replace(r.url.Host, r.url.Hostname(), host, 1)
		}
		r.name = r.url.String()
		r.traffic = &traffic{counters: &c.counters}
		r.dialer = &carrier.Dialer{Base: c.base, URL: r.url, Name: r.name, TLS: c.proxyTLS, Traffic: r.traffic}
		r.tunnel.Store(r.tunnelTransport())
		r.forward = r.forwardTransport()
		r.pinned = r.pinnedTransport()
	default:
		return nil, proxySchemeError(key.scheme)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.routes[key]; first != nil {
		return first, nil
	}
	if len(c.routes) >= maxRoutes {
		c.dropOldest()
	}
	c.clock++
	r.used.Store(c.clock)
	c.routes[key] = r
	return r, nil
}

// dropOldest forgets the route that was not used for the longest time.
// Requests under way on it go on. c.mu is held.
func (c *core) dropOldest() {
	var oldest *route
	for _, r := range c.routes {
		if oldest == nil || r.used.Load() < oldest.used.Load() {
			oldest = r
		}
	}
	delete(c.routes, oldest.key)
	oldest.closeIdle()
	for _, p := range oldest.demand.Load().all() {
		p.retire()
	}
}

// facts returns what schemes get to know of the proxy.
func (r *route) facts() proxyFacts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return proxyFacts{r.url.Hostname(), r.offered, r.tickets}
}

// noteOffers keeps what a scheme has to know of the other offers.
func (r *route) noteOffers(d *denial) {
	var offered []string
	for _, scheme := range r.t.schemes {
		if len(d.of(scheme.Name())) > 0 {
			offered = append(offered, scheme.Name())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offered = offered
}

// tickets returns the Kerberos client for o, with the tickets that it has.
func (r *route) tickets(o negotiate.Options) *negotiate.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kerberos == nil || r.kerberosOf != o {
		r.kerberos, r.kerberosOf = negotiate.NewClient(o), o
		r.kerberos.BeforeLogin(r.logsIn(Credentials{o.Username, o.Password}))
	}
	return r.kerberos
}

// proxyURL returns the proxy's URL without userinfo, new each time since
// others get to hold it.
func (r *route) proxyURL() *url.URL { return &url.URL{Scheme: r.key.scheme, Host: r.key.host} }

// roundTrip sends req by the way out that its URL asks for.
func (r *route) roundTrip(req *http.Request) (*http.Response, error) {
	if r.direct != nil {
		return roundTripOrigin(r.direct, req, req)
	}
	if req.URL.Scheme != "https" {
		return r.roundTripForward(req)
	}
	r.checkIdentity(req.Context())
	resp, err := roundTripOrigin(r.tunnel.Load(), withASCIIHost(r.forDialing(req)), req)
	if err != nil {
		err = r.intercepted(hostname.OfURL(req.URL), err)
	}
	return resp, err
}

// roundTripOrigin sends req where the next hop is its origin, which must not
// see what is meant for a proxy. The caller's request is asked for by the
// response.
func roundTripOrigin(t *http.Transport, req, caller *http.Request) (*http.Response, error) {
	resp, err := t.RoundTrip(withoutProxyAuthorization(req))
	if resp != nil {
		resp.Request = caller
	}
	return resp, err
}

// withASCIIHost returns req itself where its host is in ASCII. For another in
// capitals net/http and its HTTP/2 do not agree on what connection is whose, and
// dial without end.
func withASCIIHost(req *http.Request) *http.Request {
	name := req.URL.Hostname()
	ascii, err := hostname.ASCII(name)
	if err != nil || ascii == name {
		return req
	}
	u, same := *req.URL, *req
	u.Host, same.URL = strings.Replace(u.Host, name, ascii, 1), &u
	return &same
}

// renewTunnel begins anew with tunnels, since those that there are belong to
// another identity. Those in use stay as long as Base keeps idle connections, or
// until closeIdle: net/http does not close a busy HTTP/2 connection later on.
func (r *route) renewTunnel() {
	old := r.tunnel.Swap(r.tunnelTransport())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.former = append(r.former, old)
	if len(r.former) > maxFormer {
		r.former = slices.Delete(r.former, 0, 1)
	}
	for _, t := range r.former {
		t.CloseIdleConnections()
	}
}

// maxFormer bounds the memory of a route whose identity goes on changing.
const maxFormer = 16

func (r *route) closeIdle() {
	for _, t := range []*http.Transport{r.direct, r.tunnel.Load(), r.forward} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
	r.mu.Lock()
	former := slices.Clone(r.former)
	r.mu.Unlock()
	for _, t := range former {
		t.CloseIdleConnections()
	}
	for _, p := range r.demand.Load().all() {
		if p.pool != nil {
			p.pool.CloseIdle()
		}
	}
}
