package proxyauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// asciiHost returns a host name as it goes over the wire: an internationalized
// name in its ASCII form (RFC 5891), as net/http has it. Addresses and ASCII
// names stay as they are: a DNS answer or a spelling must not choose an SPN.
func asciiHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", fmt.Errorf("proxyauth: host name %q: %w", host, err)
			}
			return ascii, nil
		}
	}
	return host, nil
}

// asciiAddr checks and returns "host:port" as it can stand in a CONNECT request:
// an IPv6 address in brackets and without its zone, which means nothing to the
// proxy (RFC 6874 §3).
func asciiAddr(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("proxyauth: address to dial: %w", err)
	}
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
	}
	number, err := net.LookupPort("tcp", port)
	if host == "" || err != nil || number == 0 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`@/?#\`, r) }) {
		return "", fmt.Errorf("proxyauth: address to dial: %q is not host:port", addr)
	}
	if host, err = asciiHost(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

// requestHost returns the host of a request that is forwarded, as net/http writes
// it into the absolute form: Request.Host where it is set, an internationalized
// name in its ASCII form, an IPv6 address without its zone.
func requestHost(req *http.Request) string {
	host := cmp.Or(req.Host, req.URL.Host)
	if i := strings.IndexByte(host, '%'); i >= 0 && strings.HasPrefix(host, "[") {
		if j := strings.IndexByte(host, ']'); j > i {
			host = host[:i] + host[j:]
		}
	}
	ascii, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return host // and net/http says so
	}
	return ascii
}

// connectByName asks the proxy for a tunnel to addr, by its name or, where the
// Transport has a Resolver, by one address of it after the other.
func (r *route) connectByName(ctx context.Context, addr string, raw bool) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(addr)
	if r.t.resolver == nil || net.ParseIP(host) != nil {
		return r.connect(ctx, addr, raw)
	}
	ips, err := r.t.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("proxyauth: %w (set Transport.Resolver to nil to leave names to the proxy)", err)
	}
	for _, ip := range ips {
		var conn net.Conn
		conn, err = r.connect(ctx, net.JoinHostPort(ip.Unmap().String(), port), raw)
		var unreachable *ConnectError
		if err == nil || !errors.As(err, &unreachable) || !unreachable.temporary() {
			return conn, err
		}
	}
	return nil, err
}
