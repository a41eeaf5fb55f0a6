package scheme

import (
	"context"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// Digest returns the Digest scheme (RFC 7616, and RFC 2069 where the proxy is that
// old).
func Digest(o DigestOptions) Scheme { return digestScheme{o} }

type digestScheme struct{ DigestOptions }

func (digestScheme) Name() string { return "Digest" }

func (digestScheme) Traits() Traits { return Traits{Strength: 1, NeedsChallenge: true, ByRealm: true} }

func (digestScheme) Requires() []string { return []string{"realm", "nonce"} } // RFC 7616 §3.3

func (digestScheme) SecretsIn(value string) []string {
	_, response, _ := strings.Cut(" "+value, ` response="`)
	response, _, _ = strings.Cut(response, `"`)
	return []string{response}
}

func (digestScheme) Best(offers []challenge.Challenge) []challenge.Challenge {
	best, strength := 0, -1
	for i, offer := range offers {
		if c, err := readChallenge(offer); err == nil && c.Strength() > strength {
			best, strength = i, c.Strength()
		}
	}
	if best == 0 {
		return offers
	}
	return append([]challenge.Challenge{offers[best]}, slices.Delete(slices.Clone(offers), best, best+1)...)
}

func (s digestScheme) Begin(_ context.Context, _ Proxy, offers []challenge.Challenge, c Credentials) (Session, error) {
	challenge, err := first(offers)
	if err != nil {
		return nil, err
	}
	session, err := newDigestSession(challenge, c, s.DigestOptions, new(nonces))
	if err != nil {
		return nil, err
	}
	return session, nil
}
