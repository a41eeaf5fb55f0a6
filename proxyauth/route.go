package proxyauth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A routeKey is all that tells one route from another: the proxy, and the
// identity that its URL carries. It is compared exactly.
type routeKey struct {
	scheme, host       string // scheme "" is the way without a proxy
	username, password string
	hasUser            bool
}

// url returns the proxy's URL as it was given, without userinfo; a new one each time.
func (k routeKey) url() *url.URL { return &url.URL{Scheme: k.scheme, Host: k.host} }

// A route holds all that is known about one proxy: how to reach it, its
// connections, and what it demands. Nothing of it is shared with another route.
type route struct {
	*settings
	key  routeKey
	name string   // the proxy's URL for people, without userinfo
	url  *url.URL // to dial; nil without a proxy. Userinfo is for SOCKS alone
	told *url.URL // for credential sources; one for all requests, since they are asked often

	used    atomic.Uint64 // connections.clock when last used, for maxRoutes and Base.MaxIdleConns
	waiting atomic.Int64  // requests without an answer yet

	// The ways out. Without an HTTP proxy (directly, or by SOCKS, which net/http does
	// itself) there is only the direct one.
	direct  *http.Transport
	ways    *carrier.Proxy
	tunnels tunnels

	demand  demand.Known
	bare    *demand.Plan // the plan to send no credentials
	turn    turn         // of the request that finds out what the proxy demands
	tickets tickets      // of Negotiate
	failed  atomic.Bool  // the credential source has failed, once at least
	asked   atomic.Bool  // the proxy has answered 407, once at least
}

// A proxySchemeError is the scheme of a proxy URL that is not supported.
type proxySchemeError string

func (e proxySchemeError) Error() string {
	return fmt.Sprintf("proxyauth: proxy URL scheme %q is not supported: use http, https, socks5 or socks5h", string(e))
}

// newRoute returns the route of key; dial is dialTunnel.
func newRoute(s *settings, key routeKey, dial tunnelDialer) (*route, error) {
	r := &route{settings: s, key: key, bare: demand.Bare()}
	switch key.scheme {
	case "":
		r.direct = s.base.Clone()
		r.direct.Proxy = nil
	case "socks5", "socks5h":
		r.url = key.url()
		r.name = r.url.String()
		if key.hasUser {
			r.url.User = url.UserPassword(key.username, key.password)
		}
		r.direct = s.base.Clone()
		r.direct.Proxy = http.ProxyURL(r.url)
		r.direct.Dial = nil //lint:ignore SA1019 it is behind DialContext
		r.direct.DialContext = r.dialSOCKSProxy
	case "http", "https":
		r.url, r.told = key.url(), key.url()
		if r.url.Hostname() == "" {
			return nil, fmt.Errorf("proxyauth: the proxy URL %q has no host", r.url)
		}
		var err error
		if r.url.Host, err = hostname.ASCIIHost(r.url); err != nil {
			return nil, err
		}
		r.name = r.url.String()
		config := carrier.Config{
			Base: s.base, URL: key.url(), Name: r.name, TLS: s.proxyTLS, Traffic: &s.counters, MaxIdle: s.maxIdle(),
			Opened: func() { s.connections.opened(r) }, Closed: func() { s.connections.closed(r) },
		}
		if s.retry != nil {
			config.Again = func() func(context.Context, error) bool { return s.retry.begin(r.retries).again }
		}
		r.ways = carrier.NewProxy(config)
		r.tunnels.open = func() *http.Transport { return tunnelTransport(r, dial) }
		r.tunnels.now.Store(r.tunnels.open())
		r.tickets.beforeLogin = loginGuard(s.guard, r.account)
	default:
		return nil, proxySchemeError(key.scheme)
	}
	return r, nil
}

// dialSOCKSProxy opens a connection for net/http.
func (r *route) dialSOCKSProxy(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := carrier.Dial(ctx, r.base, network, addr)
	if err != nil {
		return nil, err
	}
	r.connections.opened(r)
	return carrier.Counted(conn, func() { r.connections.closed(r) }), nil
}

// account returns the account of credentials at the proxy. Directories do not tell
// capitals from small letters in the name of a user.
func (r *route) account(c scheme.Credentials) *lockout.Account {
	return r.guard.Account(lockout.Key{Proxy: r.name, User: strings.ToLower(c.Username), Pair: lockout.NewPair(c.Username, c.Password)})
}

// schemeProxy returns what schemes get to know of the proxy, which has made these offers.
func (r *route) schemeProxy(offers []challenge.Challenge) scheme.Proxy {
	p := scheme.Proxy{Host: r.url.Hostname(), Tickets: r.tickets.client}
	for _, s := range r.schemes {
		if len(challengesOf(offers, s.Name())) > 0 {
			p.Offered = append(p.Offered, s.Name())
		}
	}
	return p
}

// learn takes in what a request has found out. It ends the connections and tunnels of the
// plans that are no longer in force.
func (r *route) learn(f demand.Fact) (gone []*demand.Plan) {
	gone = r.demand.Learn(f)
	opened := false
	for _, p := range gone {
		r.ways.Retire(p.Record)
		opened = opened || p.Trusted()
	}
	if opened && f.What != demand.Dropped {
		r.tunnels.renew()
	}
	return gone
}

// retries counts that something is tried again, and tells of it.
func (r *route) retries(pause time.Duration, err error) {
	r.counters.retries.Add(1)
	r.log.Warn("proxy: trying again", "proxy", r.name, "pause", pause, "error", err)
}

// retire lets go of the connections of a route that is forgotten.
func (r *route) retire() {
	r.closeIdle()
	if r.ways != nil {
		for _, p := range r.demand.Load().Plans {
			r.ways.Retire(p.Record)
		}
	}
}

func (r *route) closeIdle() {
	if r.direct != nil {
		r.direct.CloseIdleConnections()
		return
	}
	r.tunnels.closeIdle()
	r.ways.CloseIdleConnections()
}
