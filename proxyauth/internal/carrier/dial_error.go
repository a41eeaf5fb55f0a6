package carrier

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// A DialError is a failure to reach the proxy itself.
type DialError struct {
	Proxy string // its URL without userinfo
	Doing string // "connecting" or "TLS handshake"
	Err   error
}

func (e *DialError) Error() string {
	if text := e.Err.Error(); strings.HasPrefix(text, "proxyauth: ") { // of an earlier hop of a chain
		return fmt.Sprintf("%s (on the way to proxy %s)", text, e.Proxy)
	}
	return fmt.Sprintf("proxyauth: proxy %s: %s: %v", e.Proxy, e.Doing, e.Err) + e.Remedy()
}

// Remedy says what to do, behind ": "; "" where the error says it all.
func (e *DialError) Remedy() string {
	err := e.Err
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		other   tls.RecordHeaderError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &unknown):
		return ": trust its CA by Transport.ProxyTLSClientConfig.RootCAs, or on Linux by SSL_CERT_FILE"
	case errors.As(err, &host) && len(host.Certificate.DNSNames)+len(host.Certificate.IPAddresses) == 0:
		return ": no name can match, since its certificate has none beside the common name: ask its administrators for one with a subjectAltName"
	case errors.As(err, &host):
		return ": write the proxy URL with a name that its certificate has"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": check this machine's clock, or tell the proxy's administrators that its certificate has expired"
	case wantsCertificate(err):
		return wantsCertificateRemedy
	case strings.Contains(TLSAlert(err), "handshake failure"): // which says no more by TLS 1.2
		return ": perhaps it wants a client certificate (Transport.ProxyTLSClientConfig.Certificates), or other TLS versions or ciphers"
	case errors.As(err, &other) && string(other.RecordHeader[:]) != "HTTP/":
		return ": it speaks neither TLS nor HTTP on this port: check host and port of the proxy URL"
	case errors.As(err, &other):
		return ": it does not speak TLS on this port: write the proxy URL with http://"
	case e.Doing == "TLS handshake" && (errors.Is(err, io.EOF) || e.Timeout()):
		return ": perhaps it does not speak TLS on this port, and its URL begins with http://"
	case errors.As(err, &dns) && dns.IsNotFound:
		return ": check the name in the proxy URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": check the port in the proxy URL"
	}
	return ""
}

// wantsCertificate reports whether err is the alert by which a TLS server says
// that it wants a certificate of the client: by TLS 1.3, where it comes with the
// first answer. (crypto/tls does not export alerts.)
func wantsCertificate(err error) bool {
	alert := TLSAlert(err)
	return strings.Contains(alert, "certificate required") || strings.Contains(alert, "bad certificate")
}

// TLSAlert returns the alert that ended a connection, "" if it was none.
func TLSAlert(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

// Unwrap gives the error the form that net/http has for it (issue 16997).
func (e *DialError) Unwrap() error {
	return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: e.Err}
}

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *DialError) Timeout() bool { return TimedOut(e.Err) }

// Temporary is part of net.Error; it is never true.
func (e *DialError) Temporary() bool { return false }

// TimedOut reports whether err says that it is a timeout.
func TimedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// UnwrapDial takes net/http's wrapping from an error about reaching the proxy,
// so that it reads the same on all ways out.
func UnwrapDial(err error) error {
	var dial *DialError
	if errors.As(err, &dial) {
		return dial
	}
	return err
}
