package proxyauth_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A source whose password can be changed.
type rotating struct{ password shelf }

func (r *rotating) ProxyCredentials(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	return proxyauth.Credentials{Username: "alice", Password: r.password.Load()}, nil
}

// A shelf holds a password where printing does not see it.
type shelf struct{ p atomic.Pointer[string] }

func (s *shelf) Store(password string) { s.p.Store(&password) }

func (s *shelf) Load() string { return *s.p.Load() }

// R8: a password that the source has changed is tried; one that has changed at the
// proxy and in the source costs no error.
func TestRotatedPassword(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
			tr := newTransport(t, p, o)
			source := &rotating{}
			source.password.Store("open barley")
			tr.Credentials = source
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrRejected)

			source.password.Store("open sesame")
			requireOK(t, tr, url)

			// Changed at the proxy and in the source: no failure at all.
			p.SetUser("alice", "open wheat")
			source.password.Store("open wheat")
			tr.CloseIdleConnections()
			requireOK(t, tr, url)
		})
	}
}

// R8: a source that keeps what it got sees what was refused, and gets anew.
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
	require.Equal(t, 2, p.Refused("alice"), "by two schemes")
}

// R8: a refusal by 401 or 403 to CONNECT is taken for one, also after the same
// credentials have passed: the source has others now.
func TestRotationRefusedOtherwise(t *testing.T) {
	for _, status := range []int{401, 403, 407} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			o := newOrigin(t)
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"alice": "one"},
				Behaviour: proxytest.Behaviour{RefuseWith: status}})
			tr := newTransport(t, p, o)
			source := &rotating{}
			source.password.Store("one")
			tr.Credentials = source
			addr := o.HTTP.Listener.Addr().String()
			c, err := tr.DialContext(t.Context(), "tcp", addr)
			require.NoError(t, err)
			c.Close()
			p.SetUser("alice", "two")
			source.password.Store("two")
			for range 3 {
				if c, err = tr.DialContext(t.Context(), "tcp", addr); err == nil {
					c.Close()
				}
			}
			require.NoError(t, err)
			require.LessOrEqual(t, p.Refused("alice"), 1)
		})
	}
}

// R7, R8: a password that has changed is sent once more for a fresh nonce, since the
// old one passed, and by no other scheme.
func TestDigestPasswordChanged(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	requireOK(t, tr, o.HTTP.URL)
	p.SetUser("alice", "open wheat")
	p.Reset()
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrRejected)
	require.Equal(t, 2, p.Refused("alice"))
	require.Equal(t, []string{"Digest", "Digest"}, sent(p))
}

// R8, R13: a strict proxy, all of whose nonces are in use when the password
// changes there: two requests, each of which has got a nonce for itself, send the old
// password in vain, and the third is not sent.
func TestDigestPasswordChangedAtStrictProxy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", ExactNC: true}}, Users: alice})
		tr := w.newTransport(p)
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		concurrently(t, 50, 500, tr, w.HTTP.URL) // shows that it is strict

		const slow = 100
		hold, held := make(chan struct{}), make(chan struct{}, slow)
		release := sync.OnceFunc(func() { close(hold) })
		t.Cleanup(release)
		w.mu.Lock()
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				held <- struct{}{}
				<-hold
			}
			io.WriteString(rw, "origin")
		}
		w.mu.Unlock()
		ended := make(chan error, slow)
		for range slow {
			go func() { _, _, err := fetch(tr, w.HTTP.URL+"/slow"); ended <- err }()
		}
		for range slow {
			<-held
		}
		p.SetUser("alice", "open wheat")
		for range 3 {
			_, _, err := fetch(tr, w.HTTP.URL)
			assert.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		assert.Equal(t, 4, p.Refused("alice"))
		source.password.Store("open wheat")
		requireOK(t, tr, w.HTTP.URL)
		release()
		for range slow {
			assert.NoError(t, <-ended)
		}
		requireOK(t, tr, w.HTTP.URL)
	})
}

// R8: a password that has changed at the proxy is tried twice, and then held back for
// this target.
func TestNTLMPasswordExpires(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
			tr := newTransport(t, p, o)
			requireOK(t, tr, url)
			tr.CloseIdleConnections()
			p.SetUser("alice", "open wheat")
			p.Reset()
			for range 3 {
				_, _, err := fetch(tr, url)
				require.ErrorIs(t, err, proxyauth.ErrRejected)
			}
			require.Equal(t, 2, p.Attempts("alice"))
		})
	}
}

// R8: a password that expires at night is tried twice in the morning, by whatever
// number of goroutines, and by Digest each time for two nonces; one that has not costs
// no request its answer.
func TestPasswordExpiresAtNight(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{
		"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{},
	} {
		for _, way := range []string{"forward", "tunnel"} {
			for _, night := range []time.Duration{61 * time.Second, 8 * time.Hour} {
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
								require.LessOrEqual(t, p.Attempts("alice"), 4)
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

// R8: a password that has expired is tried three times after a pause, by a proxy that takes
// its time to refuse it, too.
func TestSlowRefusalOfExpired(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused := scripted.Challenge("Basic", "realm", "r")
		var attempts atomic.Int32
		expired := false
		s := w.scripted(func(req *http.Request) scripted.Answer {
			switch {
			case req.Header.Get("Proxy-Authorization") == "":
				return refused
			case expired:
				attempts.Add(1)
				return scripted.After(2*time.Second, refused) // as PAM does
			}
			return scripted.Pass()
		})
		tr := w.through(s)
		requireOK(t, tr, w.HTTP.URL)
		time.Sleep(61 * time.Second)
		expired = true
		allRejected(t, 20, tr, w.HTTP.URL)
		require.EqualValues(t, 3, attempts.Load())
	})
}

func basicToken(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// R8: an answer that comes late does not make credentials good that were refused
// meanwhile.
func TestLateSuccess(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused, passed := scripted.Challenge("Basic", "realm", "r"), scripted.Pass()
		rotated, old := false, 0
		s := w.scripted(func(req *http.Request) scripted.Answer {
			_, token, _ := strings.Cut(req.Header.Get("Proxy-Authorization"), " ")
			switch {
			case token == basicToken("alice", "one") && !rotated && strings.HasSuffix(req.URL.Path, "/slow"):
				return scripted.After(time.Minute, passed)
			case token == basicToken("alice", "one") && !rotated, token == basicToken("alice", "two") && rotated:
				return passed
			case token == basicToken("alice", "one"):
				old++
			}
			return refused
		})
		tr := w.through(s)
		source := &rotating{}
		source.password.Store("one")
		tr.Credentials = source
		requireOK(t, tr, w.HTTP.URL)
		time.Sleep(10 * time.Second) // so that the slow request asks the proxy, and the next one waits for it
		begin := time.Now()
		done := make(chan error, 1)
		go func() {
			_, _, err := fetch(tr, w.HTTP.URL+"/slow")
			done <- err
		}()
		synctest.Wait()
		rotated = true
		source.password.Store("two")
		requireOK(t, tr, w.HTTP.URL)
		require.Less(t, time.Since(begin), time.Minute)
		require.NoError(t, <-done)
		require.Equal(t, time.Minute, time.Since(begin))
		for range 3 {
			requireOK(t, tr, w.HTTP.URL)
		}
		require.Zero(t, old)
	})
}

// R8: connections of denied requests are not held while others find out: with two
// of them, a rotation at the proxy and in the source goes by unnoticed.
func TestRotationWithFewConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		tr.Base.MaxConnsPerHost = 2
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		requireOK(t, tr, w.HTTP.URL)
		p.SetUser("alice", "open wheat")
		source.password.Store("open wheat")
		begin := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				req, err := http.NewRequest("GET", w.HTTP.URL, nil)
				assert.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				if assert.NoError(t, err) {
					resp.Body.Close()
					assert.Equal(t, 200, resp.StatusCode)
				}
			})
		}
		wg.Wait()
		require.Zero(t, time.Since(begin))
	})
}

// A rotation that many notice at once is one: of tunnels and of handshakes.
func TestRotationNoticedByMany(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"alice": "one", "bob": "two"}})
	tr := newTransport(t, p, o)
	tr.Base.MaxConnsPerHost = 1
	const n = 40
	var rotated atomic.Bool
	var asked atomic.Int32
	all := make(chan struct{})
	tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		if !rotated.Load() {
			return proxyauth.Credentials{Username: "alice", Password: "one"}, nil
		}
		if asked.Add(1) == n {
			close(all)
		}
		<-all
		return proxyauth.Credentials{Username: "bob", Password: "two"}, nil
	})
	requireOK(t, tr, o.HTTPS.URL)
	before := tr.Stats().Tunnels
	rotated.Store(true)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { requireOK(t, tr, o.HTTPS.URL) })
	}
	wg.Wait()
	require.LessOrEqual(t, tr.Stats().Tunnels, before+2)
}
