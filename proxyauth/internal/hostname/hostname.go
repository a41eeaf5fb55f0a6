// Package hostname writes hosts and addresses as they go over the wire, in the
// request to a proxy and in the names that depend on it.
package hostname

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// ASCII returns a host name as it goes over the wire: an internationalized name in its
// ASCII form (RFC 5891), as in net/http. Addresses and ASCII names are returned unchanged,
// since the service principal name depends on how the user writes the proxy's host.
func ASCII(host string) (string, error) {
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

// Key returns the form of a host name in which names are compared: ASCII, in lower case.
func Key(host string) string {
	if ascii, err := ASCII(host); err == nil {
		host = ascii
	}
	return strings.ToLower(host)
}

// Address checks "host:port" and returns it as a CONNECT request has it: an IPv6 address
// in brackets, without a zone, which means nothing to the proxy (RFC 6874 §3); the port as
// a number.
func Address(addr string) (string, error) {
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
	if host, err = ASCII(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

// OfURL returns the host:port of a URL, with the port of its scheme (http, https,
// socks5, socks5h) where the URL has none.
func OfURL(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// OfRequest returns the host of a request that is forwarded, as net/http writes it
// into the absolute form: Request.Host where it is set, an internationalized name
// in its ASCII form, an IPv6 address without its zone.
func OfRequest(req *http.Request) string {
	host := cmp.Or(req.Host, req.URL.Host)
	if address, port, ok := strings.Cut(host, "]"); ok && strings.HasPrefix(address, "[") {
		address, _, _ = strings.Cut(address, "%")
		host = address + "]" + port
	}
	ascii, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return host // net/http will return the error
	}
	return ascii
}

// ASCIIHost returns the host of a URL, and its port if it has one, with the host name as
// [ASCII] returns it.
func ASCIIHost(u *url.URL) (string, error) {
	name := u.Hostname()
	ascii, err := ASCII(name)
	if err != nil {
		return "", err
	}
	return strings.Replace(u.Host, name, ascii, 1), nil
}
