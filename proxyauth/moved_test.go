package proxyauth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R37: a proxy that had NTLM and now has something else is asked what.
func TestOtherSchemeThanNTLM(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
				tr := w.newTransport(p)
				requireOK(t, tr, w.ways()[way])
				p.Restart(proxytest.Negotiate{NTLM: &proxytest.NTLM{}})
				p.CloseClientConnections()
				tr.CloseIdleConnections()
				requireOK(t, tr, w.ways()[way])
				require.Zero(t, p.Refused("alice"))
			})
		})
	}
}

// R7: Digest is not used after NTLM has passed, whoever asks for it.
func TestNoDigestAfterNTLM(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
				tr := w.newTransport(p)
				requireOK(t, tr, w.ways()[way])
				p.Restart(proxytest.Digest{Realm: "r"})
				p.CloseClientConnections()
				tr.CloseIdleConnections()
				for range 3 {
					_, _, err := fetch(tr, w.ways()[way])
					require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
				}
				for _, field := range authorizations(p) {
					require.NotContains(t, field, "Digest")
				}
			})
		})
	}
}
