package proxyauth_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
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

func basicToken(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// A refusal by 401 or 403 to CONNECT is taken for one, also after the same
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

// Connections that end do not excuse a refusal: neither those on which the proxy
// has refused, nor those of other requests.
func TestRefusedAndHungUp(t *testing.T) {
	for name, challenge := range map[string]func(n int) string{
		"Basic":  func(int) string { return `Basic realm="r"` },
		"Digest": func(n int) string { return fmt.Sprintf(`Digest realm="r", qop="auth", nonce="n%d"`, n) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				requests := 0
				s := w.scriptedBy(scripted.Config{TLS: w.certificate(), Script: func(*http.Request) scripted.Answer {
					requests++
					return scripted.Head407(challenge(requests)).Then(scripted.Raw("Connection: close\r\n\r\nno")).Then(scripted.HangUp())
				}})
				tr := w.through(s)
				tr.Credentials = proxyauth.UserPassword("alice", "wrong")
				for range 3 {
					_, _, err := fetch(tr, w.HTTP.URL)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
				}
				require.LessOrEqual(t, len(s.Authorizations()), 2)
				if name == "Basic" {
					require.Len(t, s.Authorizations(), 1)
				}
			})
		})
	}
	t.Run("another request", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			first, asked, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			s := w.scripted(func(req *http.Request) scripted.Answer {
				switch {
				case req.Host == "hangs.example:443":
					close(first)
					return scripted.Stall()
				case req.Header.Get("Proxy-Authorization") == "":
					close(asked)
					<-ended
				}
				return scripted.Challenge("Basic", "realm", "r")
			})
			tr := w.through(s)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				<-asked
				tr.DialContext(ctx, "tcp", "hangs.example:443")
				close(ended)
			})
			wg.Go(func() {
				<-first
				cancel()
			})
			_, _, err := fetch(tr, w.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			wg.Wait()
			require.Len(t, s.Authorizations(), 1)
		})
	})
}

// A password that has expired is tried once, by a proxy that takes its time to
// refuse it, too.
func TestSlowRefusalOfExpired(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused := scripted.Challenge("Basic", "realm", "r")
		attempts, expired := 0, false
		s := w.scripted(func(req *http.Request) scripted.Answer {
			switch {
			case req.Header.Get("Proxy-Authorization") == "":
				return refused
			case expired:
				attempts++
				return scripted.After(2*time.Second, refused) // as PAM does
			}
			return scripted.Pass()
		})
		tr := w.through(s)
		requireOK(t, tr, w.HTTP.URL)
		time.Sleep(10 * time.Second)
		expired = true
		allRejected(t, 20, tr, w.HTTP.URL)
		require.Equal(t, 1, attempts)
	})
}

// An answer that comes late does not make credentials good that were refused
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
		time.Sleep(10 * time.Second) // so that the slow request leads, and the next one waits for it
		begin := time.Now()
		done := make(chan error, 1)
		go func() {
			_, _, err := fetch(tr, w.HTTP.URL+"/slow")
			done <- err
		}()
		synctest.Wait()
		rotated = true
		source.password.Store("two")
		requireOK(t, tr, w.HTTP.URL) // one attempt with the old one
		require.Less(t, time.Since(begin), time.Minute)
		require.NoError(t, <-done)
		require.Equal(t, time.Minute, time.Since(begin))
		for range 3 {
			requireOK(t, tr, w.HTTP.URL)
		}
		require.Equal(t, 1, old)
	})
}

// A 403 that may mean the password is remembered for those, too, who have waited
// for the first challenge.
func TestForbiddenAfterSlowChallenge(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		challenge := scripted.After(2500*time.Millisecond, scripted.Challenge("Basic", "realm", "r")) // longer than they wait
		s := w.scripted(scripted.Demand(challenge, scripted.Status(403)))
		tr := w.through(s)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := tr.DialContext(t.Context(), "tcp", "one.example:443")
				assert.ErrorContains(t, err, "403")
			})
		}
		wg.Wait()
		require.Len(t, s.Authorizations(), 1)
	})
}
