package proxyauth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R8: a source that has failed for 5 minutes does not bring back a former password of the
// user, which passed before the one that was in use.
func TestSourceFailsAfterNewPassword(t *testing.T) {
	for _, scheme := range []string{"Basic", "NTLM"} {
		for _, way := range ways {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: waysIn[scheme].auth, Users: map[string]string{"alice": "open sesame"}})
				tr := w.newTransport(p)
				tr.Base.TLSClientConfig.CurvePreferences = quickCurve
				source := newSafe("open sesame")
				tr.Credentials = source
				requireOK(t, tr, w.ways()[way])
				p.SetUser("alice", "open barley")
				source.name("alice", "open barley")
				tr.CloseIdleConnections()
				requireOK(t, tr, w.ways()[way])
				source.fails(errVault)
				for begin := time.Now(); time.Since(begin) < 5*time.Minute; time.Sleep(time.Minute) {
					requireOK(t, tr, w.ways()[way])
				}
				attempts := p.Attempts("alice")
				for range 10 {
					tr.CloseIdleConnections()
					_, _, err := fetch(tr, w.ways()[way])
					require.ErrorIs(t, err, errVault)
					time.Sleep(20 * time.Second)
				}
				require.Zero(t, p.Refused("alice"))
				require.Equal(t, attempts, p.Attempts("alice"))
			})
		}
	}
}
