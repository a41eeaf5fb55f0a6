package proxyauth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R27: where the scheme of an earlier hop fails, that is no matter of the next one,
// which has not even been asked what it demands.
func TestChainSchemeFails(t *testing.T) {
	for name, c := range map[string]proxytest.Config{
		"wrong proof":    {Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", RspAuth: true, BadRspAuth: true}}},
		"directory away": {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{DownInHandshake: true}},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					c.Users = alice
					first, second := w.newProxy(c), w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
					hop, last := w.newTransport(first), w.newTransport(second)
					last.Base.DialContext = hop.DialContext
					if name == "directory away" {
						conn, err := hop.DialContext(t.Context(), "tcp", w.HTTP.Listener.Addr().String())
						require.NoError(t, err)
						conn.Close()
						first.SetDirectoryDown(-1)
					}
					_, _, err := fetch(last, w.ways()[way])
					require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
					require.ErrorContains(t, err, "proxy "+first.URL.String()+" ")
					require.Empty(t, second.Transcript())
				})
			})
		}
	}
}
