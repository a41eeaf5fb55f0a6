package proxyauth_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R23: a request that waits for a connection while users take turns again and again waits
// on as the user of the day. The proxy is not to blame, and the request gets through.
func TestUsersTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: map[string]string{"alice": "open sesame", "bob": "open sesame"}})
		tr := w.newTransport(p)
		tr.Base.MaxConnsPerHost = 1
		source := newSafe("open sesame")
		tr.Credentials = source
		users := []string{"bob", "alice"}
		for _, user := range users {
			source.name(user, "open sesame")
			requireOK(t, tr, w.HTTP.URL)
		}
		release, waiter := make(chan struct{}), make(chan error, 1)
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if strings.HasPrefix(req.URL.Path, "/held") {
				<-release
			}
		}
		var held []chan error
		for i := range 30 {
			source.name(users[i%2], "open sesame")
			ended := make(chan error, 1)
			held = append(held, ended)
			go func() {
				_, _, err := fetch(tr, w.HTTP.URL+"/held")
				ended <- err
			}()
			synctest.Wait()
			if i == 0 {
				go func() {
					_, _, err := fetch(tr, w.HTTP.URL+"/waits")
					waiter <- err
				}()
				synctest.Wait()
			}
		}
		close(release)
		for _, ended := range held {
			require.NoError(t, <-ended)
		}
		require.NoError(t, <-waiter)
	})
}
