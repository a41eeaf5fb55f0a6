package proxyauth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// DialContext connects to addr ("host:port") through its proxy, or directly
// where there is none: for anything that is not HTTP. network must be "tcp",
// "tcp4" or "tcp6"; which of them matters only without a proxy. The proxy is the one
// that Transport.Proxy returns for https://addr. It gets the name unresolved, unless
// Transport.Resolver is set.
//
// The connection is the raw connection to the proxy wherever possible: a
// *net.TCPConn for http:// and socks5:// proxies, unless bytes of the target came
// together with an HTTP proxy's answer. An httptrace.ClientTrace in ctx sees the dial to the
// proxy as it sees that of a net.Dialer. Errors are as with [Transport.RoundTrip]: an
// [*AuthError], or a [*ConnectError] if the proxy opens no tunnel for another reason.
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
	c := t.started()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: addr}, Host: addr, Header: http.Header{}}
	r, err := c.routeFor(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	switch {
	case r.direct == nil:
		return dialTunnel(ctx, r, addr, true)
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
