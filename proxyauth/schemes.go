package proxyauth

import "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"

// A Scheme is a way to authenticate to a proxy: [Basic], [Digest], [NTLM] or
// [Negotiate].
type Scheme interface {
	// Name is the auth-scheme as the standards write it: "Basic", "Digest", …
	Name() string

	conversations() scheme.Scheme
}

// A standard is a Scheme that package scheme has.
type standard struct{ scheme.Scheme }

func (s standard) conversations() scheme.Scheme { return s.Scheme }

// conversationsOf returns what stands behind schemes; nil is all.
func conversationsOf(schemes []Scheme) []scheme.Scheme {
	if schemes == nil {
		return scheme.Default()
	}
	var all []scheme.Scheme
	for _, s := range schemes {
		all = append(all, s.conversations())
	}
	return all
}

// DefaultSchemes returns the schemes in their order of preference when
// Transport.Schemes is nil: Negotiate, NTLM, Digest, Basic; in a new slice each
// time.
func DefaultSchemes() []Scheme {
	var all []Scheme
	for _, s := range scheme.Default() {
		all = append(all, standard{s})
	}
	return all
}

// Basic returns the Basic scheme (RFC 7617): user name and password in clear,
// with every request. Both are sent in UTF-8, and normalized (NFC) if the challenge says
// charset="UTF-8" or no challenge was waited for. A user name with a colon, and a
// control character in either, is an error.
func Basic() Scheme { return standard{scheme.Basic()} }

// Digest returns the Digest scheme (RFC 7616, and RFC 2069 where the proxy is
// that old): the password does not travel. Of several challenges the one with
// the strongest algorithm is answered: SHA-512-256, SHA-256, MD5.
//
// The proxy's Proxy-Authentication-Info (RFC 7615) is heeded in the header section
// and, where the Trailer field announces it, in the trailer section.
//
// The digest-uri is host:port for CONNECT and, as curl and browsers have it,
// path and query for forwarded requests. More than one DigestOptions is an error of
// the program and panics.
func Digest(o ...DigestOptions) Scheme {
	return standard{scheme.Digest(scheme.DigestOptions(one("Digest", o)))}
}

// DigestOptions are for proxies that differ from most. The zero value is what
// [Digest] uses.
type DigestOptions struct {
	// PreferAuthInt chooses qop=auth-int, which protects the body too, where
	// the proxy offers auth beside it. Request bodies are then read twice and
	// need Request.GetBody.
	PreferAuthInt bool

	// AbsoluteURI sends the absolute form of the URL as digest-uri of
	// forwarded requests, as RFC 7616 §3.4.6 asks for.
	AbsoluteURI bool
}

// NTLM returns the NTLM scheme (MS-NLMP, MS-NTHT), NTLMv2 only: a handshake of two
// legs authenticates a connection. The proxy answers the first leg with a 407; requests
// on the connection afterwards cost nothing. The user name may be "alice", `CORP\alice`
// or "alice@CORP.EXAMPLE". On Windows without credentials it is the logged-in user
// (SSPI).
//
// To https:// proxies the handshake is bound to the proxy's certificate (RFC 5929,
// tls-server-end-point).
func NTLM() Scheme { return standard{scheme.NTLM()} }

// Negotiate returns the Negotiate scheme (RFC 4559): Kerberos with a ticket from a
// ticket cache, by a keytab, or by the password of "user@REALM". Without a ticket it is
// NTLM inside SPNEGO for a user name and password, if the proxy does not offer NTLM by
// that name too. On Windows without credentials it is the logged-in user (SSPI).
//
// Credentials are not needed where there is a ticket cache or a keytab. With
// credentials, a ticket cache counts only if it is that user's. More than one
// NegotiateOptions is an error of the program and panics.
func Negotiate(o ...NegotiateOptions) Scheme {
	return standard{scheme.Negotiate(scheme.NegotiateOptions(one("Negotiate", o)))}
}

// NegotiateOptions say where the Negotiate scheme has its tickets from. The
// zero value takes them from the environment, as the MIT programs do.
type NegotiateOptions struct {
	// ConfigPath is the krb5.conf. Empty: the files of KRB5_CONFIG, else
	// /etc/krb5.conf.
	ConfigPath string

	// CachePath is the ticket cache: "FILE:…", "DIR:…" or a plain path.
	// Empty: KRB5CCNAME, else default_ccache_name of krb5.conf, else
	// /tmp/krb5cc_ and the user's id.
	CachePath string

	// KeytabPath is the client keytab; empty: KRB5_CLIENT_KTNAME. Principal is
	// the principal whose key in it is used; empty: that of the first entry.
	KeytabPath, Principal string

	// SPN is the proxy's service principal name. Empty: HTTP/ and the host of
	// the proxy URL as it is written, whatever the DNS says.
	SPN string
}

// one returns the options that a scheme was called with, or the zero value.
func one[O any](scheme string, o []O) (options O) {
	switch len(o) {
	case 0:
		return options
	case 1:
		return o[0]
	}
	panic("proxyauth: " + scheme + " takes one " + scheme + "Options")
}
