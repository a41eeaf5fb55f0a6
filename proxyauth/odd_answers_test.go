package proxyauth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// byRule makes the rules of the proxy give an answer to the request for the odd
// target, whose credentials are right.
func byRule(a proxytest.Answer) (begin, end func(*healthy)) {
	return func(h *healthy) { h.rule(a) }, (*healthy).lift
}

// with sets what an oddity has two of.
func (o oddity) with(begin, end func(*healthy)) oddity {
	o.begin, o.end = begin, end
	return o
}

// restarted makes the proxy forget all that it knows of its clients, and offer these
// schemes from then on, or the same as before.
func restarted(auth ...proxytest.Auth) func(*healthy) {
	return func(h *healthy) { h.pair.proxies[0].Restart(auth...) }
}

// rejected: so the request is told, if it has a password; what is said of a ticket is
// another matter.
func rejected(t *testing.T, h *healthy, err error) {
	if !strings.HasPrefix(h.scheme, "Kerberos") {
		assert.ErrorIs(t, err, proxyauth.ErrRejected)
	}
}

// constantNonce makes the nonce of the proxy's Digest always the same.
func constantNonce(c *proxytest.Config) {
	c.Auth = []proxytest.Auth{proxytest.Digest{Realm: "r", Nonce: "constant"}}
}

// answered407: the request has got a response.
func answered407(t *testing.T, _ *healthy, err error) { assert.ErrorContains(t, err, "status 407") }

var (
	noChallenge = proxytest.Answer{Status: 407, Challenges: []string{}}
	another     = proxytest.Digest{Realm: "another", Algorithms: []string{"SHA-256"}, Opaque: "o", NeverStale: true}
)

// oddities are the cases of requirement 37, but for those that take many requests.
var oddities = []oddity{
	oddity{name: "(a) deny rule of a target, by 407", failed: 1, extra: [3]int{0, 1, 3}, ends: rejected}.
		with(byRule(proxytest.Answer{Status: 407})),

	oddity{name: "(b) directory away for one answer", anew: true, failed: 1, extra: [3]int{0, 1, 2}, ends: rejected}.
		with(func(h *healthy) { h.pair.proxies[0].SetDirectoryDown(1) }, nil),
	oddity{name: "(b) directory away for one request", anew: true, failed: 1, extra: [3]int{0, 1, 2}, ends: rejected}.
		with(func(h *healthy) { h.pair.proxies[0].SetDirectoryDown(-1) }, func(h *healthy) { h.pair.proxies[0].SetDirectoryDown(0) }),
	oddity{name: "(b) the same, at the first step of a handshake", anew: true, failed: 1, extra: [3]int{0, 0, 2},
		schemes: []string{"NTLM", "NTLM inside Negotiate"},
		config:  func(c *proxytest.Config) { c.Behaviour.DownInHandshake = true },
	}.with(func(h *healthy) { h.pair.proxies[0].SetDirectoryDown(-1) }, func(h *healthy) { h.pair.proxies[0].SetDirectoryDown(0) }),

	oddity{name: "(c) an origin's 407 that demands Basic", way: "forward", failed: 1, extra: [3]int{0, 1, 4}}.
		with(byRule(proxytest.Answer{Status: 407, Challenges: []string{`Basic realm="give me"`}})),
	oddity{name: "(c) an origin's 407 that demands Digest", way: "forward", failed: 1, extra: [3]int{1, 2, 4}}.
		with(byRule(proxytest.Answer{Status: 407, Challenges: []string{`Digest realm="give me", qop="auth", nonce="n"`}})),
	oddity{name: "(c) an origin's 407 without a challenge", way: "forward", failed: 1, ends: answered407}.
		with(byRule(noChallenge)),
	oddity{name: "(c) the same, to the first credentials", way: "forward", cold: true, failed: 1, extra: [3]int{2, 2, 4}, ends: answered407}.
		with(byRule(noChallenge)),

	oddity{name: "(d) a 407 without a challenge to CONNECT", way: "tunnel", failed: 1, extra: [3]int{1, 1, 2}, ends: func(t *testing.T, _ *healthy, err error) {
		assert.ErrorIs(t, err, proxyauth.ErrProxyFault)
		assert.NotErrorIs(t, err, proxyauth.ErrRejected)
	}}.with(byRule(noChallenge)),
	oddity{name: "(d) a 401 to CONNECT", way: "tunnel", failed: 1, extra: [3]int{1, 1, 2}, ends: func(t *testing.T, _ *healthy, err error) {
		assert.ErrorContains(t, err, "401")
	}}.with(byRule(proxytest.Answer{Status: 401})),

	// Another realm may be that of one target, so that each meets it.
	oddity{name: "(e) a restart", extra: [3]int{0, 1, 1}}.
		with(func(h *healthy) { h.pair.proxies[0].Restart(); h.pair.proxies[0].CloseClientConnections() }, nil),
	oddity{name: "(e) a restart that keeps connections", extra: [3]int{0, 1, 3}}.
		with(restarted(), nil),
	oddity{name: "(e) a restart with another realm", schemes: []string{"Basic"}}.
		with(restarted(proxytest.Basic{Realm: "another"}), nil),
	oddity{name: "(e) a restart with another realm", schemes: []string{"Digest"}, extra: [3]int{0, 2, 0}}.
		with(restarted(proxytest.Digest{Realm: "another", NeverStale: true}), nil),
	oddity{name: "(e) with another algorithm", schemes: []string{"Digest"}, extra: [3]int{0, 1, 0}}.
		with(restarted(proxytest.Digest{Realm: "r", Algorithms: []string{"SHA-256"}, NeverStale: true}), nil),
	oddity{name: "(e) with all of these", schemes: []string{"Digest"}, extra: [3]int{0, 2, 0}}.
		with(restarted(another), nil),
	{name: "(e) one-time nonces", schemes: []string{"Digest"}, extra: [3]int{0, 2, 0},
		config: func(c *proxytest.Config) {
			c.Auth = []proxytest.Auth{proxytest.Digest{Realm: "r", NonceUses: 1, NeverStale: true}}
		}},
	oddity{name: "(e) a pair behind one name", anew: true, extra: [3]int{0, 2, 0}, schemes: byPassword,
		another: func(c *proxytest.Config) {
			switch c.Auth[0].(type) {
			case proxytest.Basic:
				c.Auth[0] = proxytest.Basic{Realm: "another"}
			case proxytest.Digest:
				c.Auth[0] = another
			}
		},
	}.with(func(h *healthy) { h.pair.turn.Store(1) }, func(h *healthy) { h.pair.turn.Store(0) }),

	oddity{name: "(g) deny rule, and a constant nonce", schemes: []string{"Digest"}, config: constantNonce, failed: 1, ends: rejected}.
		with(byRule(proxytest.Answer{Status: 407})),
	oddity{name: "(g) a restart, and a constant nonce", schemes: []string{"Digest"}, config: constantNonce}.
		with(func(h *healthy) { h.pair.proxies[0].Restart(); h.pair.proxies[0].CloseClientConnections() }, nil),
}

// R37: whatever odd answer credentials meet that passed a moment ago, at most the
// request that meets it fails, and the next one passes at once. The table shows what
// each costs; it is in the log.
func TestOddAnswers(t *testing.T) {
	var all []*cost
	t.Run("story", func(t *testing.T) {
		for _, o := range oddities {
			for _, scheme := range oddSchemes {
				if o.schemes != nil && !slices.Contains(o.schemes, scheme.name) {
					continue
				}
				for _, way := range ways {
					if o.way != "" && o.way != way {
						continue
					}
					c := new(cost)
					all = append(all, c)
					t.Run(o.name+"/"+scheme.name+"/"+way, func(t *testing.T) {
						t.Parallel()
						inBubble(t, func(t *testing.T, w *world) {
							h := newHealthy(w, o, scheme.name, scheme.in, way)
							*c = h.meets(t)
							h.judge(t, *c)
						})
					})
				}
			}
		}
	})
	if testing.Verbose() {
		t.Log("\n" + table(all))
	}
}
