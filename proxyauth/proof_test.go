package proxyauth_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A password that expires at night is tried once in the morning, by whatever
// number of goroutines; one that has not costs no request its answer. That they
// have passed counts for 10 seconds.
func TestPasswordExpiresAtNight(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{
		"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{},
	} {
		for _, way := range []string{"forward", "tunnel"} {
			for _, night := range []time.Duration{10 * time.Second, 8 * time.Hour} {
				for _, tomorrow := range []string{alice["alice"], "new"} {
					t.Run(fmt.Sprint(name, "/", way, "/", night, "/", tomorrow), func(t *testing.T) {
						t.Parallel()
						inBubble(t, func(t *testing.T, w *world) {
							p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
							tr := w.newTransport(p)
							pass := map[string]func() error{
								"forward": func() error { _, _, err := fetch(tr, w.HTTP.URL); return err },
								"tunnel": func() error {
									c, err := tr.DialContext(t.Context(), "tcp", w.HTTP.Listener.Addr().String())
									if err == nil {
										c.Close()
									}
									return err
								},
							}[way]
							require.NoError(t, pass())
							tr.CloseIdleConnections()
							time.Sleep(night)
							p.SetUser("alice", tomorrow)
							p.Reset()
							var wg sync.WaitGroup
							for range 200 {
								wg.Go(func() {
									if err := pass(); tomorrow == "new" {
										assert.ErrorIs(t, err, proxyauth.ErrRejected)
									} else {
										assert.NoError(t, err)
									}
								})
							}
							wg.Wait()
							if tomorrow == "new" {
								require.Equal(t, 1, p.Attempts("alice"))
							} else {
								require.Zero(t, p.Refused("alice"))
							}
						})
					})
				}
			}
		}
	}
}

// While the one that goes first waits for its origin, the others do not wait long
// for it: the proxy has let it pass.
func TestProofOfSlowOrigin(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		requireOK(t, tr, w.HTTP.URL)
		time.Sleep(10 * time.Second)

		leave := make(chan struct{})
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				<-leave
			}
			rw.Write([]byte("origin"))
		}
		slow := make(chan error, 1)
		go func() {
			_, _, err := fetch(tr, w.HTTP.URL+"/slow")
			slow <- err
		}()
		synctest.Wait()
		begin := time.Now()
		requireOK(t, tr, w.HTTP.URL)
		require.Equal(t, 4*time.Second, time.Since(begin))
		close(leave)
		require.NoError(t, <-slow)
	})
}

// A proxy that answers wrong credentials with 403, which may as well be its
// policy about the target: one attempt for a target, until the credentials
// change or pass for another.
func TestForbiddenInDoubt(t *testing.T) {
	w := newWorld(t)
	target := w.HTTPS.Listener.Addr().String()
	p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{RefuseWith: 403}})
	tr := w.newTransport(p)
	source := &rotating{}
	source.password.Store("wrong")
	tr.Credentials = source
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, _, err := fetch(tr, w.HTTPS.URL)
			var refused *proxyauth.ConnectError
			if assert.ErrorAs(t, err, &refused) {
				assert.Equal(t, 403, refused.StatusCode)
				assert.Equal(t, target, refused.Target)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, p.Attempts("alice"))
	_, _, err := fetch(tr, w.HTTPS.URL)
	require.ErrorContains(t, err, "so this request was not sent")

	source.password.Store("open sesame")
	requireOK(t, tr, w.HTTPS.URL)

	// The policy of a proxy that knows the user.
	allowed := false
	s := w.scripted(func(req *http.Request) scripted.Answer {
		switch {
		case req.Header.Get("Proxy-Authorization") == "":
			return scripted.Challenge("Basic", "realm", "r")
		case req.Method == "CONNECT" && !allowed:
			return scripted.Status(403)
		}
		return scripted.PassWith("origin")
	})
	tr = w.through(s)
	_, err = tr.DialContext(t.Context(), "tcp", "a.example:443")
	require.ErrorContains(t, err, "403")
	asked := len(s.Requests())
	_, err = tr.DialContext(t.Context(), "tcp", "a.example:443")
	require.ErrorContains(t, err, "403")
	require.Len(t, s.Requests(), asked, "not sent again")
	requireOK(t, tr, w.HTTP.URL) // which shows that the credentials are right
	allowed = true
	conn, err := tr.DialContext(t.Context(), "tcp", "a.example:443")
	require.NoError(t, err)
	conn.Close()
}

// A source that keeps what it got sees what was refused, and gets anew.
func TestSourceSeesRejected(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	var mu sync.Mutex
	kept := proxyauth.Credentials{Username: "alice", Password: "of yesterday"}
	fetched := 0
	tr.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, refused := range req.Rejected {
			if refused == kept {
				kept, fetched = proxyauth.Credentials{Username: "alice", Password: "open sesame"}, fetched+1
			}
		}
		return kept, nil
	})
	requireOK(t, tr, o.HTTP.URL) // without any error: the source had others
	requireOK(t, tr, o.HTTPS.URL)
	require.Equal(t, 1, fetched)
	require.Equal(t, 1, p.Refused("alice"))
}
