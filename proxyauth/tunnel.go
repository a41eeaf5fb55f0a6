package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// dialTunnel returns a tunnel to addr through the proxy of r. The bytes of a raw connection
// are not counted.
func dialTunnel(ctx context.Context, r *route, addr string, raw bool) (net.Conn, error) {
	ctx, stop := carrier.EndWithMarked(ctx)
	defer stop()
	dials := carrier.DialsOf(ctx, raw)
	ctx = carrier.Untraced(ctx)
	retrying := r.retry.begin(r.retries)
	for {
		conn, err := connectByName(ctx, r, addr, raw, dials)
		if err == nil || !retrying.again(ctx, err) {
			return conn, err
		}
	}
}

// connectByName asks the proxy for a tunnel to addr, by its name or, where the
// Transport has a Resolver, by one address of it after the other.
func connectByName(ctx context.Context, r *route, addr string, raw bool, dials *carrier.Dials) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(addr)
	if r.resolver == nil || net.ParseIP(host) != nil {
		return connect(ctx, r, addr, raw, dials)
	}
	ips, err := r.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("proxyauth: %w (set Transport.Resolver to nil to leave names to the proxy)", err)
	}
	for _, ip := range ips {
		var conn net.Conn
		conn, err = connect(ctx, r, net.JoinHostPort(ip.Unmap().String(), port), raw, dials)
		var unreachable *ConnectError
		if err == nil || !errors.As(err, &unreachable) || !unreachable.temporary() {
			return conn, err
		}
	}
	return nil, err
}

// connect asks the proxy for a tunnel.
func connect(ctx context.Context, r *route, addr string, raw bool, dials *carrier.Dials) (net.Conn, error) {
	t := r.ways.Tunnel(ctx, addr, raw, dials)
	if _, err := run(r, t); err != nil {
		t.Close()
		return nil, err
	}
	r.counters.tunnels.Add(1)
	return t.Conn(), nil
}
