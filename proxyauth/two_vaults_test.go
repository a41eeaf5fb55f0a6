package proxyauth_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R8: a source that fails for one realm and answers for another one leaves the credentials
// of the former in use for 5 minutes, too, and is told once.
func TestOneVaultFails(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		other := w.newOrigin()
		auth := func(realm string) []proxytest.Auth { return []proxytest.Auth{proxytest.Basic{Realm: realm}} }
		p := w.newProxy(proxytest.Config{
			Auth: auth("one"), Users: map[string]string{"alice": "open sesame"},
			Realms: []proxytest.Realm{{
				Targets: []string{other.HTTP.Listener.Addr().String()}, Auth: auth("two"), Users: map[string]string{"bob": "open barley"},
			}},
		})
		tr := w.newTransport(p)
		one, two := newSafe("open sesame"), newSafe("open barley")
		two.name("bob", "open barley")
		tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			if req.Realm == "two" {
				return two.ProxyCredentials(ctx, req)
			}
			return one.ProxyCredentials(ctx, req)
		})
		for range 2 {
			requireOK(t, tr, w.HTTP.URL)
			requireOK(t, tr, other.HTTP.URL)
			two.fails(errVault)
			for begin := time.Now(); time.Since(begin) < 5*time.Minute; time.Sleep(time.Minute) {
				requireOK(t, tr, w.HTTP.URL)
				requireOK(t, tr, other.HTTP.URL)
			}
			refused := p.Refused("alice")
			for range 3 {
				_, _, err := fetch(tr, other.HTTP.URL)
				require.ErrorIs(t, err, errVault)
				requireOK(t, tr, w.HTTP.URL)
			}
			require.Equal(t, refused, p.Refused("alice"), "one's password was sent to the other realm")
			two.fails(nil)
		}
	})
}
