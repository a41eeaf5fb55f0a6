package digest

import (
	"errors"
	"fmt"
	"strings"
)

// A Challenge is what a server or proxy asks for (RFC 7616 §3.3). The strings
// are as received, without quotes and escapes.
type Challenge struct {
	Realm     string   // "" also when absent, which RFC 7616 forbids
	Nonce     string   // never empty
	Opaque    string   // echoed when HasOpaque
	HasOpaque bool     // an empty opaque is echoed too
	Algorithm string   // as written by the peer; "" when absent or empty, which means MD5
	QOP       []string // in lower case, in order; nil when absent (RFC 2069)
	Stale     bool     // the nonce was too old, the credentials were right
	UserHash  bool     // the user name is wanted hashed (RFC 7616 §3.4.4)
	UTF8      bool     // charset=UTF-8: names and passwords are in NFC (RFC 7616 §4)
}

// ErrUnsupported is wrapped by errors about a challenge that is well-formed
// and asks for what this package does not know.
var ErrUnsupported = errors.New("not supported")

// ParseChallenge reads the parameters of a Digest challenge. A missing nonce is an error. A
// missing realm is read as an empty one, as curl and Chromium do. Unknown parameters, and
// domain, are ignored.
func ParseChallenge(params Params) (Challenge, error) {
	c := Challenge{Realm: params.Get("realm"), Nonce: params.Get("nonce")}
	if c.Nonce == "" {
		return c, errors.New("digest: challenge without nonce")
	}
	c.Opaque, c.HasOpaque = params.Lookup("opaque")
	c.Algorithm = params.Get("algorithm")
	if qop, ok := params.Lookup("qop"); ok {
		c.QOP = strings.FieldsFunc(strings.ToLower(qop), func(r rune) bool {
			return r == ',' || r == ' ' || r == '\t'
		})
		if len(c.QOP) == 0 && strings.TrimSpace(qop) != "" {
			c.QOP = []string{qop} // not none, which would be a weaker proof
		}
	}
	c.Stale = strings.EqualFold(params.Get("stale"), "true")
	c.UserHash = strings.EqualFold(params.Get("userhash"), "true")
	c.UTF8 = strings.EqualFold(params.Get("charset"), "UTF-8")
	return c, nil
}

// Strength orders challenges by their hash: SHA-512-256 is 3, SHA-256 is 2,
// MD5 (and no algorithm) is 1. It is 0 for an algorithm or a quality of protection
// that is not known, which cannot be answered.
func (c Challenge) Strength() int {
	if _, err := c.chooseQOP(false); err != nil {
		return 0
	}
	a, _, _ := parseAlgorithm(c.Algorithm)
	return int(a)
}

// chooseQOP returns the quality of protection to use: auth before auth-int,
// which costs a hash of the body, unless the caller prefers auth-int.
func (c Challenge) chooseQOP(preferAuthInt bool) (string, error) {
	var auth, authInt bool
	for _, q := range c.QOP {
		auth = auth || q == "auth"
		authInt = authInt || q == "auth-int"
	}
	switch {
	case authInt && (preferAuthInt || !auth):
		return "auth-int", nil
	case auth:
		return "auth", nil
	case len(c.QOP) == 0:
		return "", nil // RFC 2069
	}
	return "", fmt.Errorf("digest: qop %.40q: %w", strings.Join(c.QOP, ","), ErrUnsupported)
}
