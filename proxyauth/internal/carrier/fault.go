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

// A Fault is why a leg has no answer, or a connection was not opened.
type Fault struct {
	Kind  Kind
	Proxy string // its URL without userinfo; "": Err is told as it is
	Doing string // "connecting", handshaking, "CONNECT host:port"; "" for a forwarded request
	Err   error
	Cure  string // what to do, where the connection ended; "": that is not known

	// Left: something of the leg may have reached the proxy. Pending: its answer is
	// waited for still, and goes to Leg.Late.
	Left, Pending bool
}

// A Kind says what a Fault means for the message.
type Kind int

const (
	Own         Kind = iota // it is about the request itself: its body, its context, a function of the caller; Err is told as it is
	Unreachable             // the proxy was not reached
	Lost                    // the connection ended instead of an answer
	Broken                  // the answer cannot be read, or does not come in time
	NoExpect                // the proxy does not know Expect: once more, without
	BodyGone                // the body cannot be sent once more
	Died                    // the connection had ended before the leg, which is safe to repeat on another
	Moved                   // the connections' owner is out of use
)

const handshaking = "TLS handshake"

func (e *Fault) Error() string {
	text := e.Err.Error()
	switch {
	case e.Kind == Own || e.Proxy == "":
		return text
	case e.Kind == Unreachable && strings.HasPrefix(text, "proxyauth: "): // of an earlier hop of a chain
		return fmt.Sprintf("%s (on the way to proxy %s)", text, e.Proxy)
	}
	begin := "proxyauth: proxy " + e.Proxy + ": "
	if e.Doing != "" {
		begin += e.Doing + ": "
	}
	return begin + text + e.Remedy()
}

// Unwrap gives the error about a proxy that was not reached the form that net/http
// has for it (issue 16997).
func (e *Fault) Unwrap() error {
	if e.Kind == Unreachable {
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: e.Err}
	}
	return e.Err
}

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *Fault) Timeout() bool { return TimedOut(e.Err) }

// Temporary is part of net.Error; it is never true.
func (e *Fault) Temporary() bool { return false }

// TimedOut reports whether err says that it is a timeout.
func TimedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// unreachable returns the fault in err which says that the proxy was not reached, nil
// if there is none. net/http wraps it in ways that differ.
func unreachable(err error) *Fault {
	for fault := (*Fault)(nil); errors.As(err, &fault); err = fault.Err {
		if fault.Kind == Unreachable {
			return fault
		}
	}
	return nil
}

// connectionLost reports whether err is the end of a connection, and not of
// patience or of what the proxy's answer has to look like.
func connectionLost(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// Remedy says what to do, behind ": "; "" where the error says it all.
func (e *Fault) Remedy() string {
	err := e.Err
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		other   tls.RecordHeaderError
		dns     *net.DNSError
	)
	switch {
	case wantsCertificate(err):
		return ": it wants a client certificate: set Transport.ProxyTLSClientConfig.Certificates"
	case e.Kind != Unreachable && e.Cure != "":
		return ": " + e.Cure
	case e.Kind != Unreachable:
		return ""
	case errors.As(err, &unknown):
		return ": trust its CA by Transport.ProxyTLSClientConfig.RootCAs, or on Linux by SSL_CERT_FILE"
	case errors.As(err, &host) && len(host.Certificate.DNSNames)+len(host.Certificate.IPAddresses) == 0:
		return ": no name can match, since its certificate has none beside the common name: ask its administrators for one with a subjectAltName"
	case errors.As(err, &host):
		return ": write the proxy URL with a name that its certificate has"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": check this machine's clock, or tell the proxy's administrators that its certificate has expired"
	case strings.Contains(TLSAlert(err), "handshake failure"): // which says no more by TLS 1.2
		return ": perhaps it wants a client certificate (Transport.ProxyTLSClientConfig.Certificates), or other TLS versions or ciphers"
	case errors.As(err, &other) && string(other.RecordHeader[:]) != "HTTP/":
		return ": it speaks neither TLS nor HTTP on this port: check host and port of the proxy URL"
	case errors.As(err, &other):
		return ": it does not speak TLS on this port: write the proxy URL with http://"
	case e.Doing == handshaking && (errors.Is(err, io.EOF) || e.Timeout()):
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
