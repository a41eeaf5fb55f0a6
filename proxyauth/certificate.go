package proxyauth

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
)

// An InterceptionError says that the certificate which arrived through a tunnel
// is from an issuer that is not trusted. Behind a company's proxy that is mostly
// the proxy, which ends TLS itself to look inside; it may as well be a target
// with a private CA, or an attack. Nothing was sent to the target.
type InterceptionError struct {
	Proxy  string // the proxy's URL without userinfo
	Target string // host:port
	Issuer string // of the last certificate in the chain that arrived, in its own words
	Err    error  // of crypto/tls: wraps a *tls.CertificateVerificationError

	noRoots bool // this machine trusts nobody
}

// Error names the issuer and the two ways to trust it.
func (e *InterceptionError) Error() string {
	cause, remedy := e.meaning()
	return fmt.Sprintf("proxyauth: %s. %s (%v)", cause, remedy, e.Err)
}

func (e *InterceptionError) meaning() (cause, remedy string) {
	if e.noRoots {
		return fmt.Sprintf("the certificate of %s through proxy %s cannot be verified: this machine has no CA certificates", e.Target, e.Proxy),
			"Install the package ca-certificates, or copy /etc/ssl/certs/ca-certificates.crt into the image"
	}
	return fmt.Sprintf("the certificate of %s through proxy %s is issued by %q, which is not trusted: "+
			"the proxy seems to intercept TLS, or the target has a CA of its own", e.Target, e.Proxy, e.Issuer),
		"If that is right, get the CA's certificate from your administrators " +
			"and add it to Base.TLSClientConfig.RootCAs, or on Linux to the file that SSL_CERT_FILE names"
}

// Unwrap returns Err.
func (e *InterceptionError) Unwrap() error { return e.Err }

// intercepted returns err as an *InterceptionError if it is one. The text of an error about a
// certificate is in one line, since it quotes names from there.
func intercepted(r *route, target string, err error) error {
	var invalid *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &invalid) {
		return err
	}
	if !errors.As(err, &unknown) || len(invalid.UnverifiedCertificates) == 0 {
		return printable.Error(err)
	}
	var hop *carrier.Fault
	if errors.As(err, &hop) && hop.Kind == carrier.Unreachable { // the certificate of a proxy
		return printable.Error(err)
	}
	chain := invalid.UnverifiedCertificates
	issuer := chain[len(chain)-1].Issuer
	e := &InterceptionError{Proxy: r.name, Target: target, Issuer: commonName(issuer), Err: printable.Error(err)}
	if conf := r.base.TLSClientConfig; conf == nil || conf.RootCAs == nil {
		roots, err := x509.SystemCertPool()
		e.noRoots = err == nil && roots.Equal(x509.NewCertPool()) // as in an image made from scratch
	}
	return e
}

func commonName(name pkix.Name) string {
	return printable.Line(cmp.Or(name.CommonName, name.String()))
}
