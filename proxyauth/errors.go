package proxyauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// Why a request could not be authenticated. errors.Is on every [*AuthError]
// says which of these it was.
var (
	// ErrNoCredentials: the proxy demands credentials and there are none. A
	// [CredentialSource] returns it to say that it has none.
	ErrNoCredentials = errors.New("proxyauth: no credentials for the proxy")

	// ErrNoUsableScheme: nothing that the proxy offers can be used.
	ErrNoUsableScheme = errors.New("proxyauth: the proxy offers no usable authentication scheme")

	// ErrRejected: the proxy refused the credentials, now or a while ago.
	ErrRejected = errors.New("proxyauth: the proxy rejected the credentials")

	// ErrBodyConsumed: the proxy demanded authentication after it had taken
	// from a request body that cannot be sent twice.
	ErrBodyConsumed = errors.New("proxyauth: the request body cannot be sent again")
)

// An AuthError tells why a request did not get through its proxy. It holds no
// credentials: passwords and tokens are struck out even where the proxy's page
// repeats them.
type AuthError struct {
	Proxy   string   // the proxy's URL without userinfo
	Target  string   // the host, or host:port for a tunnel, that was asked for
	Realm   string   // of the proxy's first challenge that has one
	Offered []string // schemes in the proxy's last challenge, in its order
	Tried   []string // schemes for which credentials were sent, in order
	Reasons []string // why each offered scheme did not do, as far as known

	// The response that ended it: usually 407, its header, and the first
	// 4 KiB of its body.
	StatusCode int
	Status     string
	Header     http.Header
	Body       []byte

	// Err is ErrNoCredentials, ErrNoUsableScheme, ErrRejected or
	// ErrBodyConsumed.
	Err error

	cause  error     // of a credential source or a scheme; may be nil
	remedy string    // what to do next
	at     time.Time // when the proxy said so

	// remembered: this request was not sent, since the proxy's answer to an
	// earlier one was known.
	remembered bool
}

// Error names the proxy, what it offered, what was tried and what to do next.
func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "proxyauth: proxy %s ", e.Proxy)
	switch {
	case errors.Is(e.cause, digest.ErrServer), errors.Is(e.cause, negotiate.ErrServer):
		b.WriteString("did not prove that it knows the credentials")
	case e.Err == ErrNoCredentials:
		b.WriteString("demands authentication and there are no credentials for it")
	case e.Err == ErrNoUsableScheme:
		b.WriteString("demands authentication and offers nothing that can be used")
	case e.Err == ErrRejected:
		b.WriteString("rejected the credentials")
	case e.Err == ErrBodyConsumed:
		b.WriteString("demanded authentication when a part of the request body was gone, and it cannot be read again")
	}
	if e.remembered {
		fmt.Fprintf(&b, " %s, so this request was not sent", ago(e.at))
	}
	fmt.Fprintf(&b, " (target %s", e.Target)
	if e.StatusCode != 0 && e.StatusCode != http.StatusProxyAuthRequired {
		fmt.Fprintf(&b, "; status %d", e.StatusCode)
	}
	fmt.Fprintf(&b, "; offered: %s", list(e.Offered))
	if e.Realm != "" {
		fmt.Fprintf(&b, ", realm %q", e.Realm)
	}
	if len(e.Tried) > 0 {
		fmt.Fprintf(&b, "; tried: %s", list(e.Tried))
	}
	for _, reason := range e.Reasons {
		b.WriteString("; " + reason)
	}
	b.WriteString(")")
	if e.remedy != "" {
		b.WriteString(": " + e.remedy)
	}
	return b.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func ago(t time.Time) string {
	if d := time.Since(t).Round(time.Second); d >= time.Second {
		return d.String() + " ago"
	}
	return "just now"
}

// Unwrap returns Err and, where there is one, the error of the credential
// source or the scheme behind it.
func (e *AuthError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.cause}
}

// A ConnectError is a proxy's refusal to open a tunnel for another reason than
// authentication: its policy, or the target cannot be reached. Like an [AuthError]
// it holds no credentials, even where the proxy repeats them.
type ConnectError struct {
	Proxy      string      // the proxy's URL without userinfo
	Target     string      // host:port
	StatusCode int         // of the answer to CONNECT
	Status     string      // with its text, "403 Forbidden"
	Header     http.Header // of the answer
	Body       []byte      // the first 4 KiB
	Tried      string      // the scheme for which credentials were sent, or ""

	proven     bool      // the credentials have passed for another target
	at         time.Time // when the proxy said so, if that is remembered
	remembered bool      // this request was not sent
}

// Error names the proxy, the target, the status, what it usually means and what
// to do about it.
func (e *ConnectError) Error() string {
	s := fmt.Sprintf("proxyauth: proxy %s answered %q to CONNECT %s", e.Proxy, e.Status, e.Target)
	if e.remembered {
		s += " " + ago(e.at) + ", so this request was not sent"
	}
	cause, remedy := e.meaning()
	if cause != "" {
		s += ": " + cause + "; " + remedy
	}
	return s
}

// temporary reports whether the proxy says that it cannot reach the target.
func (e *ConnectError) temporary() bool {
	switch e.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// A proxyDialError is a failure to reach the proxy itself.
type proxyDialError struct {
	proxy string
	doing string // "connecting", "TLS handshake", …
	err   error
}

func (e *proxyDialError) Error() string {
	if text := e.err.Error(); strings.HasPrefix(text, "proxyauth: ") { // of an earlier hop of a chain
		return fmt.Sprintf("%s (on the way to proxy %s)", text, e.proxy)
	}
	return fmt.Sprintf("proxyauth: proxy %s: %s: %v", e.proxy, e.doing, e.err) + e.remedy()
}

// remedy says what to do; "" where the error says it all.
func (e *proxyDialError) remedy() string {
	err := e.err
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
	case strings.Contains(tlsAlert(err), "handshake failure"): // which says no more by TLS 1.2
		return ": perhaps it wants a client certificate (Transport.ProxyTLSClientConfig.Certificates), or other TLS versions or ciphers"
	case errors.As(err, &other) && string(other.RecordHeader[:]) != "HTTP/":
		return ": it speaks neither TLS nor HTTP on this port: check host and port of the proxy URL"
	case errors.As(err, &other):
		return ": it does not speak TLS on this port: write the proxy URL with http://"
	case e.doing == "TLS handshake" && (errors.Is(err, io.EOF) || e.Timeout()):
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
	alert := tlsAlert(err)
	return strings.Contains(alert, "certificate required") || strings.Contains(alert, "bad certificate")
}

// tlsAlert returns the alert that ended a connection, "" if it was none.
func tlsAlert(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

// Unwrap gives the error the form that net/http has for it (issue 16997).
func (e *proxyDialError) Unwrap() error {
	return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: e.err}
}

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *proxyDialError) Timeout() bool { return timedOut(e.err) }

// Temporary is part of net.Error; it is never true.
func (e *proxyDialError) Temporary() bool { return false }

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// A legError is the failure of a connection to a proxy between the request and
// its answer.
type legError struct {
	proxy   string
	request string // "CONNECT host:port"; "" for one that is forwarded
	err     error
}

func (e *legError) Error() string {
	s := "proxyauth: proxy " + e.proxy + ": "
	if e.request != "" {
		s += e.request + ": "
	}
	s += e.err.Error()
	if wantsCertificate(e.err) {
		s += wantsCertificateRemedy
	}
	return s
}

func (e *legError) Unwrap() error { return e.err }

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *legError) Timeout() bool { return timedOut(e.err) }

// Temporary is part of net.Error; it is never true.
func (e *legError) Temporary() bool { return false }

const wantsCertificateRemedy = ": it wants a client certificate: set Transport.ProxyTLSClientConfig.Certificates"
