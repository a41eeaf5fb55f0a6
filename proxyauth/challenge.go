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
// malformed ones; the error is nil if there are none. Unknown schemes and unknown
// parameters are not errors.
//
// What many proxies do is excused, as curl and Chromium excuse it: a missing realm, blanks
// and semicolons in place of commas, values without quotes or without the last one, and
// parameters that occur twice, of which the later counts. See [digest.ScanParam] and
// [digest.Params.Add], and guides/challenges.md for examples. A challenge is malformed all
// the same
//
//   - if it has more than 32 parameters, a nonce twice, or two different values of another
//     parameter that decides what is proved;
//   - if it has text that may be another challenge;
//   - if it is of Digest and has no nonce;
//   - if it is of Basic, and the name may be a word of a text: something else than parameters
//     follows it, or nothing follows it and its field has begun with more than bare names of
//     schemes.
//
// Fields after the 64th or beyond 64 KiB in all, and challenges after the 32nd, are not
// read; the error says so.
func ParseChallenges(fields []string) ([]Challenge, error) {
	read, err := scheme.ParseChallenges(fields)
	var all []Challenge
	for _, c := range read {
		all = append(all, Challenge{c.Scheme, c.Token68, c.Params})
	}
	return all, err
}
