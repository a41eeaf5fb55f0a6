package proxyauth

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// NTLM returns the NTLM scheme (MS-NLMP, MS-NTHT), NTLMv2 only: a handshake of two
// legs, of which the proxy answers the first with a 407, that authenticates a
// connection and costs nothing on it afterwards. The user name may be "alice",
// `CORP\alice` or "alice@CORP.EXAMPLE".
//
// To https:// proxies the handshake is bound to the connection (RFC 5929
// tls-server-end-point).
func NTLM() Scheme { return ntlmScheme{} }

type ntlmScheme struct{}

func (ntlmScheme) Name() string { return "NTLM" }

func (ntlmScheme) traits() traits { return traits{strength: 2, ambient: true} }

func (ntlmScheme) requires() []string { return nil }

func (ntlmScheme) secretsIn(string) []string { return nil }

func (ntlmScheme) best(offers []challenge.Challenge) []challenge.Challenge { return offers }

func (ntlmScheme) accept(_ context.Context, p proxyFacts, _ []challenge.Challenge, c Credentials) (answerer, error) {
	if c.empty() {
		if bound := loggedInUser("NTLM", "HTTP/"+p.host); bound != nil {
			return answerer{bound: bound}, nil
		}
		return answerer{}, ErrNoCredentials
	}
	if c.Username == "" {
		return answerer{}, errors.New("no user name")
	}
	return answerer{bound: ntlmAuth(c)}, nil
}

type ntlmAuth Credentials

func (a ntlmAuth) handshake(_ context.Context, p peer) (handshake, error) {
	return ntlmHandshake{ntlm.New(a.Username, a.Password, ntlm.Options{
		TargetName:     "HTTP/" + p.host,
		ChannelBinding: endPointBinding(p.tls),
	})}, nil
}

func (ntlmAuth) again(*http.Request) bool { return false }

func (ntlmAuth) learned(bool) {}

func (ntlmAuth) other(context.Context) bool { return false }

func (ntlmAuth) describe(_ context.Context, with string) string { return with }

type ntlmHandshake struct{ h *ntlm.Handshake }

func (n ntlmHandshake) next(token68 string) (string, bool, error) {
	message, err := base64.StdEncoding.DecodeString(token68)
	if err != nil {
		return "", false, errNotBase64
	}
	reply, err := n.h.Next(message)
	return base64.StdEncoding.EncodeToString(reply), token68 != "", err
}

func (ntlmHandshake) bare(last bool) *schemeError {
	if !last {
		return &schemeError{err: errors.New("the proxy does not answer the first message of the handshake")}
	}
	return nil
}

func (ntlmHandshake) done(string) error { return nil }

func (ntlmHandshake) close() {}

// endPointBinding returns the channel binding tls-server-end-point (RFC 5929
// §4): a hash of the proxy's certificate, by the hash of its signature, or
// SHA-256 where that is MD5 or SHA-1. Nil: there is none.
func endPointBinding(state *tls.ConnectionState) []byte {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	cert := state.PeerCertificates[0]
	var hash crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil // Ed25519: not defined
	}
	h := hash.New()
	h.Write(cert.Raw)
	return h.Sum([]byte("tls-server-end-point:"))
}
