package proxyauth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// R8: after a refusal by Basic it is the turn of NTLM, by which credentials without a user
// name cannot be sent. No other attempt is made in its place without being counted.
func TestTurnOfUnusableScheme(t *testing.T) {
	for way := range 2 {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.scripted(scripted.Always(scripted.Challenges("NTLM", scripted.List("Basic", "realm", "r"))))
			tr := w.through(p)
			tr.Credentials = proxyauth.UserPassword("", "open sesame")
			for range 10 {
				_, _, err := fetch(tr, w.ways()[ways[way]])
				require.ErrorIs(t, err, proxyauth.ErrRejected)
				time.Sleep(time.Minute)
			}
			require.Len(t, p.Authorizations(), 2)
			require.EqualValues(t, 2, tr.Stats().Attempts)
		})
	}
}
