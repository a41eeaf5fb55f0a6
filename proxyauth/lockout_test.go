package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R8: two attempts in all, the second by the next scheme if there is one, whatever
// the number of goroutines (requirement 8: px #234, alpaca #2), and none before the
// source gives another password.
func TestLockout(t *testing.T) {
	basic, digest := proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}
	for name, test := range map[string]struct {
		auth  []proxytest.Auth
		tried []string
	}{
		"Basic":                 {[]proxytest.Auth{basic}, []string{"Basic"}},
		"Digest":                {[]proxytest.Auth{digest}, []string{"Digest"}},
		"Digest and Basic":      {[]proxytest.Auth{basic, digest}, []string{"Digest", "Basic"}},
		"NTLM":                  {ntlmOnly(), []string{"NTLM"}},
		"NTLM and Basic":        {[]proxytest.Auth{proxytest.NTLM{}, basic}, []string{"NTLM", "Basic"}},
		"NTLM inside Negotiate": {[]proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}}, []string{"Negotiate"}},
		"Negotiate and Digest":  {[]proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, digest}, []string{"Negotiate", "Digest"}},
		"all four":              {[]proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, proxytest.NTLM{}, digest, basic}, []string{"NTLM", "Digest"}},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					url := w.ways()[way]
					p := w.newProxy(proxytest.Config{Auth: test.auth, Users: alice})
					tr := w.newTransport(p)
					source := &rotating{}
					source.password.Store("open barley")
					tr.Credentials = source
					allRejected(t, 1000, tr, url)
					require.Equal(t, 2, p.Attempts("alice"))
					require.Equal(t, test.tried, slices.Compact(sent(p)))

					requests := p.Counts().Requests
					_, _, err := fetch(tr, url)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
					require.ErrorContains(t, err, "not sent")
					require.Equal(t, requests, p.Counts().Requests)

					source.password.Store("open sesame")
					requireOK(t, tr, url)
					require.Equal(t, 2, p.Refused("alice"))
				})
			})
		}
	}
}

// R8: after two attempts rejected credentials are not sent for 31 minutes, or as
// long as RejectedFor says, and then once; each time it takes twice as long, up to
// four hours.
func TestRejectedFor(t *testing.T) {
	for rejectedFor, pauses := range map[time.Duration][]time.Duration{
		0:                {31 * time.Minute, 62 * time.Minute, 124 * time.Minute, 4 * time.Hour, 4 * time.Hour},
		time.Hour:        {time.Hour, 2 * time.Hour, 4 * time.Hour, 4 * time.Hour},
		10 * time.Minute: {10 * time.Minute, 20 * time.Minute},
		5 * time.Hour:    {5 * time.Hour, 5 * time.Hour},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"alice": "other"}})
			tr := w.newTransport(p)
			tr.RejectedFor = rejectedFor
			allRejected(t, 20, tr, w.HTTP.URL)
			require.Equal(t, 2, p.Attempts("alice"))
			for _, pause := range pauses {
				p.Reset()
				time.Sleep(pause - 6*time.Second) // who comes in the last 5 waits
				begin := time.Now()
				allRejected(t, 20, tr, w.HTTP.URL)
				require.Zero(t, time.Since(begin))
				require.Zero(t, p.Counts().Requests)
				time.Sleep(8 * time.Second) // for a second it is left to other targets
				allRejected(t, 20, tr, w.HTTP.URL)
				require.Equal(t, 1, p.Attempts("alice"))
			}
			time.Sleep(5 * time.Hour)
			p.SetUser("alice", "open sesame")
			requireOK(t, tr, w.HTTP.URL)
		})
	}
}

// R8: some proxies refuse wrong credentials with 401 or 403 to CONNECT, which may
// as well mean something else: after two attempts the third is 5 seconds later, and
// then there is a longer pause. Nothing was refused. Another password is tried at
// once.
func TestRefusedOtherwise(t *testing.T) {
	for _, status := range []int{401, 403} {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{RefuseWith: status}})
			tr := w.newTransport(p)
			source := &rotating{}
			source.password.Store("open barley")
			tr.Credentials = source
			begin := time.Now()
			for i := range 4 {
				if i == 3 {
					begin = time.Now()
				}
				_, _, err := fetch(tr, w.HTTPS.URL)
				require.ErrorContains(t, err, fmt.Sprint(status))
				require.NotErrorIs(t, err, proxyauth.ErrRejected)
				require.Equal(t, min(i+1, 3), p.Attempts("alice"))
				switch waited := time.Since(begin); i {
				case 2:
					require.InDelta(t, 5500*time.Millisecond, waited, float64(time.Second/2))
				case 3:
					require.ErrorIs(t, err, proxyauth.ErrHeld)
					fallthrough
				default:
					require.Zero(t, waited)
				}
			}
			source.password.Store("open sesame")
			requireOK(t, tr, w.HTTPS.URL)
			require.Equal(t, 3, p.Refused("alice"))
		})
	}
}

// R8: of all who get a 403 to CONNECT, or are held by it, each sees it, for its own
// target.
func TestForbiddenInDoubt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{RefuseWith: 403}})
		tr := w.newTransport(p)
		tr.Credentials = proxyauth.UserPassword("alice", "wrong")
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				_, _, err := fetch(tr, w.HTTPS.URL)
				var refused *proxyauth.ConnectError
				if assert.ErrorAs(t, err, &refused) {
					assert.Equal(t, 403, refused.StatusCode)
					assert.Equal(t, w.HTTPS.Listener.Addr().String(), refused.Target)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 3, p.Attempts("alice")) // all wait for the third
		_, _, err := fetch(tr, w.HTTPS.URL)
		require.ErrorContains(t, err, "not sent")
		require.Equal(t, 3, p.Attempts("alice"))
	})
}

// R8: a proxy that knows the user, and lets him not open a tunnel: what passes for
// another target shows that the credentials are right, and ends all pauses.
func TestForbiddenByPolicy(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
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
		tr := w.through(s)
		dial := func() error {
			conn, err := tr.DialContext(t.Context(), "tcp", "a.example:443")
			if err == nil {
				conn.Close()
			}
			return err
		}
		for range 2 {
			require.ErrorContains(t, dial(), "403")
		}
		requireOK(t, tr, w.HTTP.URL) // after 5 seconds
		require.ErrorContains(t, dial(), "403")
		allowed = true
		require.NoError(t, dial())
		require.Len(t, s.Authorizations(), 5)
	})
}

// R8: a 403 that may mean the password counts for those, too, who have waited for
// the first challenge.
func TestForbiddenAfterSlowChallenge(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		challenge := scripted.After(2500*time.Millisecond, scripted.Challenge("Basic", "realm", "r"))
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
		require.Len(t, s.Authorizations(), 3) // the third after 5 seconds
	})
}

// R8: connections that end do not excuse a refusal: neither those on which the
// proxy has refused, nor those of other requests.
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
				require.Len(t, s.Authorizations(), 2)
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

// R8: a proxy that takes its time to refuse a wrong password, to hold up who
// guesses, gets it twice, one after the other where it answers within 4 seconds.
func TestSlowRefusal(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused := scripted.Challenge("Basic", "realm", "r")
		s := w.scripted(scripted.Demand(refused, scripted.After(3*time.Second, refused))) // as long as PAM's
		tr := w.through(s)
		begin := time.Now()
		allRejected(t, 100, tr, "http://origin.example/")
		require.Len(t, s.Authorizations(), 2)
		require.Equal(t, 6*time.Second, time.Since(begin))
	})
}

// R8: a 407 that offers NTLM no more, nor anything that the proxy offered before,
// may be a refusal or not: two attempts, the third 5 seconds later, and then the
// password is held.
func TestNTLMRefusedWithoutOffer(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var final atomic.Int32
				s := w.scripted(func(req *http.Request) scripted.Answer {
					offer := "NTLM"
					switch field := req.Header.Get("Proxy-Authorization"); {
					case strings.HasPrefix(field, "NTLM TlRMTVNTUAAB"):
						offer += " " + stubType2
					case strings.HasPrefix(field, "NTLM TlRMTVNTUAAD"):
						final.Add(1)
						offer = `Basic realm="weaker"`
					}
					return scripted.Challenges(offer)
				})
				tr := w.through(s)
				for i := range 4 {
					_, _, err := fetch(tr, w.ways()[way])
					require.Error(t, err)
					require.NotErrorIs(t, err, proxyauth.ErrRejected)
					require.Equal(t, i == 3, errors.Is(err, proxyauth.ErrHeld), err)
				}
				require.EqualValues(t, 3, final.Load())
				for _, field := range s.Authorizations() {
					require.True(t, strings.HasPrefix(field, "NTLM "), "by a weaker scheme")
				}
			})
		})
	}
}

// R8: a refusal is one, in whatever words: the password goes out twice.
func TestNegotiateRejectToken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const reject = "oQcwBaADCgEC" // NegTokenResp, negState reject
		var final atomic.Int32
		s := w.scripted(func(req *http.Request) scripted.Answer {
			switch field := req.Header.Get("Proxy-Authorization"); {
			case field == "":
				return scripted.Challenge("Negotiate")
			case strings.HasPrefix(field, "Negotiate TlRM"): // the answer to a bare type 2
				final.Add(1)
				return scripted.Challenges("Negotiate " + reject)
			}
			return scripted.Challenges("Negotiate " + stubType2) // bare
		})
		tr := w.through(s)
		for range 5 {
			_, _, err := fetch(tr, w.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		require.EqualValues(t, 2, final.Load())
	})
}
