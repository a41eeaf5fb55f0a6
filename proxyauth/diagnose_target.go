package proxyauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// forward sends a HEAD request to an http:// target.
func (d *diagnosis) forward() {
	resp, err := roundTrip(d.r, d.req)
	if err != nil {
		cause, remedy := d.refusal(err)
		d.fail("request", err, cause, remedy)
		return
	}
	resp.Body.Close()
	e := &ConnectError{StatusCode: resp.StatusCode, Header: resp.Header}
	answer := fmt.Sprintf("HEAD %s is answered %s", d.report.Target, statusLine(resp))
	own := fromProxy(resp)
	if d.r.direct == nil {
		if p := planInForce(d.r, target(d.req)); p != nil {
			e.Tried = p.Scheme.Name()
		}
		answer += ", " + identity(d.r, target(d.req))
		own = own || mayBeProxys(resp.StatusCode)
	}
	if host := d.redirects(resp); host != "" {
		d.add("request", StepNote, "if you do not know that host: the network may want you to log in, with a browser", answer+", and sent on to "+host)
		return
	}
	if !own {
		d.ok("request", answer)
		return
	}
	cause, remedy := e.meaning()
	if !fromProxy(resp) {
		cause += "; or it is the target itself that says so"
	}
	d.fail("request", fmt.Errorf("proxyauth: proxy %s: %s", d.r.name, answer), answer+": "+cause, remedy)
}

// redirects returns the other host that a response sends to, or "".
func (d *diagnosis) redirects(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil || resp.StatusCode/100 != 3 || strings.EqualFold(u.Hostname(), d.req.URL.Hostname()) {
		return ""
	}
	sent := sentBefore(d.r)
	return shown(u.Host, &sent)
}

// mayBeProxys reports whether a status of a forwarded request is mostly a limit
// that the proxy sets.
func mayBeProxys(status int) bool {
	switch status {
	case http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge, http.StatusTooManyRequests,
		http.StatusUnavailableForLegalReasons, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// fromProxy reports whether a response is known to be the proxy's own.
func fromProxy(resp *http.Response) bool {
	return resp.Header.Get("X-Squid-Error") != "" ||
		strings.Contains(resp.Header.Get("Proxy-Status"), "error=") || // RFC 9209
		resp.StatusCode == http.StatusNetworkAuthenticationRequired
}

// target ends the way: TLS for an https:// URL, a request for an http:// one.
func (d *diagnosis) target(conn net.Conn) {
	defer conn.Close()
	switch {
	case d.noHTTP:
		return
	case d.req.URL.Scheme == "http":
		d.forward()
		return
	}
	config := &tls.Config{}
	if c := d.core.base.TLSClientConfig; c != nil {
		config = c.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(d.addr)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(d.ctx); err != nil {
		if d.r.name != "" {
			err = intercepted(d.r, d.addr, err)
		}
		d.failTLS(err)
		return
	}
	d.ok("target's TLS", describeTLS(secure.ConnectionState()))
}

func (d *diagnosis) failTLS(err error) {
	var (
		intercepted *InterceptionError
		invalid     *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
		other       tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &intercepted):
		cause, remedy := intercepted.meaning()
		d.fail("target's TLS", err, cause, remedy)
	case errors.As(err, &unknown):
		d.fail("target's TLS", err, fmt.Sprintf("the target's certificate is not trusted: %v; %s", unknown, issuedBy(err)),
			"if it is right, add its CA to Base.TLSClientConfig.RootCAs, or on Linux to the file that SSL_CERT_FILE names")
	case errors.As(err, &invalid):
		d.fail("target's TLS", err, fmt.Sprintf("the certificate is not valid for the target: %v; %s", invalid.Err, issuedBy(err)),
			"check the target's name and this machine's clock, or tell the target's administrators")
	case errors.As(err, &other):
		remedy := "check the target's port; if it is right, something on the way answers instead, such as a login page: try a browser"
		if d.r.name != "" {
			remedy += "; or what is at the proxy's address is a web server and no proxy: check host and port of the proxy URL"
		}
		d.fail("target's TLS", err, "what answers in the target's place does not speak TLS", remedy)
	default:
		d.fail("target's TLS", err, fmt.Sprintf("the TLS handshake with the target failed: %v", err),
			"check that the target is up; a proxy or firewall that looks into TLS may have cut it, and its administrators can tell")
	}
}

// describeTLS tells who is at the other end.
func describeTLS(s tls.ConnectionState) string {
	text := tls.VersionName(s.Version)
	if len(s.PeerCertificates) == 0 {
		return text
	}
	c := s.PeerCertificates[0]
	return fmt.Sprintf("%s, certificate of %q issued by %q, valid until %s", text,
		commonName(c.Subject), commonName(c.Issuer), c.NotAfter.Format("2006-01-02"))
}

// issuedBy tells whose certificate was not accepted.
func issuedBy(err error) string {
	var invalid *tls.CertificateVerificationError
	if !errors.As(err, &invalid) || len(invalid.UnverifiedCertificates) == 0 {
		return ""
	}
	c := invalid.UnverifiedCertificates[0]
	return fmt.Sprintf("it is the certificate of %q issued by %q, valid until %s",
		commonName(c.Subject), commonName(c.Issuer), c.NotAfter.Format("2006-01-02"))
}
