package proxyauth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// All schemes on both ways work in memory, in a bubble and outside.
func TestWorld(t *testing.T) {
	auths := map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}}
	f := func(t *testing.T, w *world) {
		for name, auth := range auths {
			for way, url := range w.ways() {
				for _, start := range []func(proxytest.Config) *proxytest.Proxy{w.newProxy, w.newTLSProxy} {
					p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
					tr := w.newTransport(p)
					for range 2 {
						requireOK(t, tr, url)
					}
					require.Zero(t, p.Refused("alice"), name+" "+way)
				}
			}
		}
		s := w.scripted(scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.After(time.Millisecond, scripted.Pass())))
		tr := w.through(s)
		for _, url := range w.ways() {
			requireOK(t, tr, url)
		}
		require.Empty(t, w.proxyFields())
	}
	t.Run("outside", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("bubble", func(t *testing.T) { inBubble(t, f) })
}
