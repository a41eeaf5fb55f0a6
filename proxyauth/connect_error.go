package proxyauth

import (
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// meaning tells what a proxy's refusal usually means, and what to do; "" where
// the status says all there is. These are limits that the proxy or the network
// sets, and no matter of authentication, except for the doubt about a 403.
func (e *ConnectError) meaning() (cause, remedy string) {
	cause, remedy = e.mostly()
	if e.neverAsks != "" {
		remedy += "; " + e.neverAsks
	}
	return cause, remedy
}

// mostly is meaning for a proxy that asks for credentials if it wants some.
func (e *ConnectError) mostly() (cause, remedy string) {
	switch {
	case e.StatusCode/100 == 3:
		cause = "it redirects elsewhere"
		if u, err := url.Parse(e.Header.Get("Location")); err == nil && u.Host != "" {
			cause = "it redirects to " + printable.Line(u.Host)
		}
		return cause + ", as the login page of a network does, and a web server that is no proxy",
			"log in to the network with a browser, or check host and port of the proxy URL"
	case e.temporary():
		return "the proxy cannot reach the target",
			"check the name and port, or try later; the proxy's administrators can tell whether its DNS knows the name and whether its own way out works"
	}
	switch e.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		switch {
		case e.StatusCode == http.StatusUnauthorized && e.Tried == "":
			return "it is perhaps a web server and no proxy, since a proxy asks for credentials by 407", "check host and port of the proxy URL"
		case e.Tried == "":
			return "its policy forbids the target, or it wants credentials without asking for them", "ask its administrators to allow the target" + e.portHint()
		case e.trusted:
			return "its policy forbids the target; the credentials are not in doubt, since they have passed before", "ask its administrators to allow the target" + e.portHint()
		default:
			cause = fmt.Sprintf("its policy forbids the target, or it refuses the credentials (%s) in this way", e.Tried)
		}
		return cause, "ask its administrators to allow the target" + e.portHint() + ", and check user name and password"
	case http.StatusBadRequest:
		return "it does not understand the request", "check the proxy URL: the port may want TLS (https://), or belong to a web server that is no proxy"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "it opens no tunnels, or is a web server and no proxy", "check host and port of the proxy URL, or ask its administrators to allow CONNECT"
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		cause, remedy = "the header of the request is too large for it", "ask its administrators for a higher limit"
		if tried := scheme.Named(scheme.Default(), e.Tried); tried != nil && tried.Traits().Large {
			cause += ": a Kerberos token grows with the groups of its user"
			remedy += ", or for fewer groups in the account, or use another scheme (Transport.Schemes)"
		}
		return cause, remedy
	case http.StatusTooManyRequests:
		return "it limits how many requests you send", "wait, and use fewer connections at once (Base.MaxConnsPerHost)"
	case http.StatusUnavailableForLegalReasons:
		return "the target is blocked for legal reasons", "ask its administrators; other credentials change nothing"
	case http.StatusNetworkAuthenticationRequired:
		return "the network wants you to log in before it lets anything pass (a captive portal); it is not the proxy's password that it asks for",
			"log in to the network with a browser, then try again"
	}
	return "", ""
}

// portHint adds to a remedy what many proxies do by default.
func (e *ConnectError) portHint() string {
	if _, port, err := net.SplitHostPort(e.Target); err == nil && port != "443" {
		return " (many proxies open tunnels to port 443 only, and this is " + port + ")"
	}
	return ""
}
