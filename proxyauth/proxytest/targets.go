package proxytest

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// HostPort returns the host and the port that the request is for, in lower
// case, whether it is CONNECT or to be forwarded. It is "" if the request names
// none.
func (l Leg) HostPort() string {
	if l.Method == http.MethodConnect {
		return strings.ToLower(l.Target)
	}
	u, err := url.Parse(l.Target)
	if err != nil || u.Host == "" {
		return ""
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// isFor reports whether the request is for one of the targets listed.
func (x *exchange) isFor(targets []string) bool {
	return len(targets) > 0 && contains(targets, x.leg.HostPort())
}

// contains reports whether the target is among those listed, each a host, for
// any port, or a host and a port.
func contains(targets []string, hostPort string) bool {
	host, _, _ := net.SplitHostPort(hostPort)
	return slices.ContainsFunc(targets, func(t string) bool {
		return strings.EqualFold(t, hostPort) || strings.EqualFold(t, host)
	})
}

// admit reports whether a request that has authenticated, or need not, may go
// on to its target. If not it has answered it.
func (x *exchange) admit(user string) bool {
	p, b := x.c.p, &x.c.p.behaviour
	var a Answer
	switch {
	case user != "" && x.isFor(b.Denied):
		a.Status = http.StatusProxyAuthRequired
	case b.Access != nil:
		a = b.Access(p.copyLeg(x.leg))
	}
	if user != "" && a.decides() {
		p.mu.Lock()
		p.record.denied[user]++
		p.mu.Unlock()
	}
	return !x.give(a, "the rules of access say no")
}
