package proxyauth_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// atOnce lets n goroutines make requests by Digest, each of them as many as there are
// rounds, and none may fail. Each tunnel is for one request.
func atOnce(t *testing.T, d proxytest.Digest, way string, n, rounds int) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{d}, Users: alice})
		tr := w.newCrowdedTransport(p)
		var rt http.RoundTripper = tr
		if way == "tunnel" {
			rt = &http.Transport{DialContext: tr.DialContext, DisableKeepAlives: true}
		}
		begin := time.Now()
		concurrently(t, n, n*rounds, rt, w.HTTP.URL)
		require.Zero(t, time.Since(begin))
		require.Zero(t, p.Refused("alice"))
		require.Zero(t, tr.Stats().NotSent)
		t.Logf("%d requests in %d legs, %d of them 407", n*rounds, p.Counts().Requests, p.Counts().Challenges)
	})
}

// R13, R37: nonce counts that overtake each other at a proxy that looks at them and
// never says stale: no request fails. Apache's mod_auth_digest with AuthDigestNcCheck
// counts for the opaque, not for the nonce, and a challenge got by a request with
// credentials keeps the opaque.
func TestNonceCountsOvertaken(t *testing.T) {
	for name, d := range map[string]proxytest.Digest{
		"by opaque": {Realm: "r", CountByOpaque: true, NeverStale: true},
		"ascending": {Realm: "r", StrictNC: true, NeverStale: true},
		"exact":     {Realm: "r", ExactNC: true, NeverStale: true},
		"one-time":  {Realm: "r", NonceUses: 1, NeverStale: true},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				rounds := 2
				if d.CountByOpaque {
					rounds = map[string]int{"forward": 20, "tunnel": 5}[way]
				}
				atOnce(t, d, way, 50, rounds)
			})
		}
	}
}

// R37: a nonce that is always the same is no sign of a refusal.
func TestConstantNonce(t *testing.T) {
	for name, d := range map[string]proxytest.Digest{
		"says stale":  {Realm: "r", Nonce: "constant"},
		"never stale": {Realm: "r", Nonce: "constant", NeverStale: true},
		"announced":   {Realm: "r", Nonce: "constant", NextNonce: true},
		"RFC 2069":    {Realm: "r", Nonce: "constant", QOP: []string{}},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				atOnce(t, d, way, 20, 5)
			})
		}
	}
}
