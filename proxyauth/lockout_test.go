package proxyauth_test

import (
	"context"
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

// R8: one attempt for each scheme, at most two in all, whatever the number of
// goroutines (requirement 8: px #234, alpaca #2), and none before the source gives
// another password.
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
					require.Equal(t, len(test.tried), p.Attempts("alice"))
					require.Equal(t, test.tried, slices.Compact(sent(p)))

					requests := p.Counts().Requests
					_, _, err := fetch(tr, url)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
					require.ErrorContains(t, err, "not sent")
					require.Equal(t, requests, p.Counts().Requests)

					source.password.Store("open sesame")
					requireOK(t, tr, url)
					require.Equal(t, len(test.tried), p.Refused("alice"))
				})
			})
		}
	}
}

// R8: rejected credentials are not sent again for 15 minutes, or as long as
// RejectedFor says, and then once.
func TestRejectedFor(t *testing.T) {
	for rejectedFor, lasts := range map[time.Duration]time.Duration{
		0: 15 * time.Minute, time.Hour: time.Hour, time.Nanosecond: time.Nanosecond, -1: 40 * 365 * 24 * time.Hour,
	} {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"alice": "other"}})
			tr := w.newTransport(p)
			tr.RejectedFor = rejectedFor
			_, _, err := fetch(tr, w.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			for range 2 {
				p.Reset()
				time.Sleep(lasts - time.Nanosecond)
				if lasts > time.Nanosecond {
					allRejected(t, 20, tr, w.HTTP.URL)
					require.Zero(t, p.Counts().Requests)
				}
				time.Sleep(2 * time.Nanosecond)
				if rejectedFor < 0 {
					continue
				}
				allRejected(t, 20, tr, w.HTTP.URL)
				if lasts > time.Nanosecond {
					require.Equal(t, 1, p.Attempts("alice"))
				}
			}
			if rejectedFor < 0 {
				allRejected(t, 20, tr, w.HTTP.URL)
				require.Zero(t, p.Counts().Requests)
				return
			}
			time.Sleep(lasts + time.Nanosecond)
			p.SetUser("alice", "open sesame")
			requireOK(t, tr, w.HTTP.URL)
		})
	}
}

// R8: some proxies refuse wrong credentials with 401 or 403.
func TestRefusedOtherwise(t *testing.T) {
	o := newOrigin(t)
	for status, url := range map[int]string{401: o.HTTPS.URL, 403: o.HTTPS.URL} {
		p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{RefuseWith: status}})
		tr := newTransport(t, p, o)
		tr.Credentials = proxyauth.UserPassword("alice", "open barley")
		_, _, err := fetch(tr, url)
		require.ErrorContains(t, err, fmt.Sprint(status))
		if status == 401 {
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			_, _, err = fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		require.Equal(t, 1, p.Refused("alice"))
	}
}

// R8: a proxy that answers wrong credentials with 403, which may as well be its
// policy about the target: one attempt for a target, until the credentials change
// or pass for another.
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

// R8: a 403 that may mean the password is remembered for those, too, who have
// waited for the first challenge.
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

// R8: a proxy that takes its time to refuse a wrong password, to hold up who
// guesses, gets it once.
func TestSlowRefusal(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused := scripted.Challenge("Basic", "realm", "r")
		s := w.scripted(scripted.Demand(refused, scripted.After(3*time.Second, refused))) // as long as PAM's
		tr := w.through(s)
		begin := time.Now()
		allRejected(t, 100, tr, "http://origin.example/")
		require.Len(t, s.Authorizations(), 1)
		require.Equal(t, 3*time.Second, time.Since(begin))
	})
}

// R8: a refusal that offers NTLM no more is one all the same: the password does
// not go out again.
func TestNTLMRefusedWithoutOffer(t *testing.T) {
	w := newWorld(t)
	for way, url := range w.ways() {
		t.Run(way, func(t *testing.T) {
			var final atomic.Int32
			s := w.scripted(func(req *http.Request) scripted.Answer {
				offer := "NTLM"
				switch field := req.Header.Get("Proxy-Authorization"); {
				case strings.HasPrefix(field, "NTLM TlRMTVNTUAAB"):
					offer += " " + stubType2
				case strings.HasPrefix(field, "NTLM TlRMTVNTUAAD"):
					final.Add(1)
					offer = "X-Other"
				}
				return scripted.Challenges(offer)
			})
			tr := w.through(s)
			for range 3 {
				_, _, err := fetch(tr, url)
				assert.ErrorIs(t, err, proxyauth.ErrRejected)
			}
			require.EqualValues(t, 1, final.Load())
		})
	}
}

// R8: a refusal is one, in whatever words: a password goes out once.
func TestNegotiateRejectToken(t *testing.T) {
	w := newWorld(t)
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
	require.EqualValues(t, 1, final.Load())
}
