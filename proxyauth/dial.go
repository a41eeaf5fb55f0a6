package proxyauth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// DialContext connects to addr ("host:port") through its proxy, or directly
// where there is none: for anything that is not HTTP. network must be "tcp",
// "tcp4" or "tcp6", and counts only without a proxy. The proxy is the one for
// https://addr; the name goes to it unresolved, unless there is a Resolver.
//
// The connection is the raw one to the proxy wherever possible: a
// *net.TCPConn for http:// and socks5:// proxies, unless bytes of the target came
// together with an HTTP proxy's answer. Errors are as with RoundTrip; a refusal for other
// reasons than authentication is a [*ConnectError].
func (t *Transport) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("proxyauth: network %q cannot go through an HTTP proxy: use tcp", network)
	}
	asked := addr
	addr, err := hostname.Address(addr)
	if err != nil {
		return nil, err
	}
	c := t.settings()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: addr}, Host: addr, Header: http.Header{}}
	r, err := c.routeFor(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	switch {
	case r.direct == nil:
		return r.dialTunnel(ctx, addr, true)
	case r.url != nil:
		return c.dialSOCKS(ctx, r.url, addr)
	}
	if strings.Contains(asked, "%") { // an IPv6 zone, which a proxy would not know
		addr = asked
	}
	return carrier.Dial(ctx, c.base, network, addr)
}

// dialSOCKS tunnels through a SOCKS5 proxy, whose own authentication needs no
// help.
func (c *core) dialSOCKS(ctx context.Context, u *url.URL, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if u.User != nil {
		auth = &proxy.Auth{User: u.User.Username()}
		auth.Password, _ = u.User.Password()
	}
	d, err := proxy.SOCKS5("tcp", hostname.OfURL(u), auth, nil)
	if err != nil {
		return nil, fmt.Errorf("proxyauth: %w", err)
	}
	conn, err := carrier.Dial(ctx, c.base, "tcp", hostname.OfURL(u))
	if err != nil {
		return nil, err
	}
	// And not its DialContext, whose connection wraps this one.
	greeter := d.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if _, err := greeter.DialWithConn(ctx, conn, "tcp", addr); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// forDialing returns req so that a dial which it begins ends with it: others
// wait for a CONNECT while it is not known how the proxy stands, and a retry would
// pause for nobody.
func (r *route) forDialing(req *http.Request) *http.Request {
	if p := r.demand.Load().planFor(req.URL.Host); r.t.retry == nil && p != nil && p.trusted() {
		return req
	}
	return carrier.Marked(req)
}

// dialProxyAgain reaches the proxy with retries, for connections on which nothing
// but requests to be forwarded will travel.
func (r *route) dialProxyAgain(ctx context.Context, trace *httptrace.ClientTrace) (net.Conn, error) {
	ctx, stop := carrier.EndWithMarked(ctx)
	defer stop()
	retrying := r.retrying()
	for {
		conn, err := r.dialer.Dial(ctx, trace, false)
		if err == nil || !retrying.again(ctx, err) {
			return conn, err
		}
	}
}
