package scheme

import (
	"encoding/base64"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// Default returns all schemes without options, in their order of preference; in a new
// slice each time.
func Default() []Scheme {
	return []Scheme{Negotiate(NegotiateOptions{}), NTLM(), Digest(DigestOptions{}), Basic()}
}

// Named returns the one of schemes that has the name, in any case, or nil.
func Named(schemes []Scheme, name string) Scheme {
	for _, s := range schemes {
		if strings.EqualFold(s.Name(), name) {
			return s
		}
	}
	return nil
}

// SecretsIn returns what of these values of Proxy-Authorization must not show up
// in an error, though the proxy may repeat it.
func SecretsIn(authorization []string) []string {
	var all []string
	for _, value := range authorization {
		name, token, _ := strings.Cut(value, " ")
		all = append(all, value, token)
		// Not only the schemes in use count: the caller may have set the field, and
		// by a scheme of its own, which may have a response as Digest has.
		s := Named(Default(), name)
		if s == nil {
			s = Digest(DigestOptions{})
		}
		all = append(all, s.SecretsIn(token)...)
	}
	return all
}

// SecretsOf returns what must not show up in an error of credentials that a proxy may know;
// nil if they are zero.
func SecretsOf(c Credentials) []string {
	if c == (Credentials{}) {
		return nil
	}
	return SecretsIn([]string{"Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))})
}

// ParseChallenges reads the values of the Proxy-Authenticate fields of one response,
// with what each scheme requires: see challenge.Parse.
func ParseChallenges(fields []string) ([]challenge.Challenge, error) {
	return challenge.Parse(fields, func(name string) []string {
		if s := Named(Default(), name); s != nil {
			return s.Requires()
		}
		return nil
	})
}
