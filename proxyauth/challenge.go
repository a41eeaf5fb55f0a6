package proxyauth

import (
	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A Challenge is one challenge of a Proxy-Authenticate field (RFC 9110 §11.3): a
// scheme with a token or with parameters.
type Challenge struct {
	// Scheme is the auth-scheme as the proxy wrote it. Compare it without
	// regard to case.
	Scheme string

	// Token68 is the token that follows the scheme, as in NTLM and Negotiate;
	// "" when there is none.
	Token68 string

	params digest.Params
}

// Param returns the value of the parameter name, in any case, without its
// quotes and escapes, or "" when the challenge does not have it. Octets beyond
// ASCII are as the proxy sent them.
func (c Challenge) Param(name string) string { return c.params.Get(name) }

// HasParam reports whether the challenge has the parameter name, in any case.
func (c Challenge) HasParam(name string) bool {
	_, ok := c.params.Lookup(name)
	return ok
}

// ParseChallenges reads the values of the Proxy-Authenticate fields of one
// response (RFC 9110 §11.6.1, §11.7.1), in order: one or more challenges in a
// field, empty list elements, white space around "=", quoted strings that hold
// commas and scheme names.
//
// It returns the well-formed challenges, and an error that says what is wrong with the
// malformed ones; the error is nil if there are none. A challenge is malformed if it has
// a parameter twice, more than 32 parameters, a quote that does not end, or text that is
// no parameter, or if it lacks a parameter that its scheme requires (realm for Basic;
// realm and nonce for Digest). Unknown schemes and unknown parameters are not errors.
//
// Fields beyond 64 KiB in all, and challenges after the 32nd, are not read; the error
// says so.
func ParseChallenges(fields []string) ([]Challenge, error) {
	read, err := scheme.ParseChallenges(fields)
	var all []Challenge
	for _, c := range read {
		all = append(all, Challenge{c.Scheme, c.Token68, c.Params})
	}
	return all, err
}
