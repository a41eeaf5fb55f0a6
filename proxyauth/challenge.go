package proxyauth

import (
	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// A Challenge is one offer of a Proxy-Authenticate header (RFC 9110 §11.3): a
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
// It returns the well-formed challenges and, if there are others, an error that
// tells what is wrong with those. Malformed is a challenge with a parameter
// that occurs twice, a quote that does not end, text that is no parameter, or
// without a parameter that its scheme requires (realm for Basic; realm and
// nonce for Digest). Unknown schemes and unknown parameters are not errors.
//
// What is beyond 64 KiB, 32 challenges, or 32 parameters of one challenge is
// not read, and told in the error.
func ParseChallenges(fields []string) ([]Challenge, error) {
	read, err := parseChallenges(fields)
	var all []Challenge
	for _, c := range read {
		all = append(all, Challenge{c.Scheme, c.Token68, c.Params})
	}
	return all, err
}

// parseChallenges reads fields with what each scheme requires.
func parseChallenges(fields []string) ([]challenge.Challenge, error) {
	return challenge.Parse(fields, func(name string) []string {
		if scheme := schemeNamed(DefaultSchemes(), name); scheme != nil {
			return scheme.requires()
		}
		return nil
	})
}
