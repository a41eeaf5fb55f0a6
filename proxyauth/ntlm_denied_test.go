package proxyauth_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// likeSquid is a proxy that remembers whom a connection belongs to, passes over all
// credentials on it from then on, and denies a host to everybody.
func likeSquid(w *world, denied string) *scripted.Proxy {
	known := make(map[int]bool)
	var s *scripted.Proxy
	s = w.scripted(func(req *http.Request) scripted.Answer {
		on := s.RequestsOn() // one request at a time
		conn, step := on[len(on)-1], ntlmStep(req)
		switch {
		case !known[conn] && step == 1:
			return scripted.Challenges("NTLM " + stubType2)
		case !known[conn] && step != 3, req.URL.Hostname() == denied:
			known[conn] = known[conn] || step == 3
			return scripted.Challenge("NTLM")
		}
		known[conn] = true
		return scripted.PassWith("origin")
	})
	return s
}

// R37: (a) on a connection that squid knows it denies the target, and answers the
// handshake that follows in the same way. Only one on a new connection tells.
func TestNTLMDenied(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := likeSquid(w, "denied.example")
		tr := w.through(s)
		requireOK(t, tr, "http://origin.example/")
		for range 3 {
			before := len(s.Requests())
			_, _, err := fetch(tr, "http://denied.example/")
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			var e *proxyauth.AuthError
			require.ErrorAs(t, err, &e)
			require.Equal(t, []proxyauth.SchemeOutcome{{Name: "NTLM", Offered: true, Tried: true}}, e.Schemes)
			var steps []int
			for _, req := range s.Requests()[before:] {
				steps = append(steps, ntlmStep(req))
			}
			require.Equal(t, []int{0, 1, 3}, steps)
			on := s.RequestsOn()[before:]
			require.NotEqual(t, on[0], on[1])
			require.Equal(t, on[1], on[2])

			before = len(s.Requests())
			requireOK(t, tr, "http://origin.example/")
			require.Len(t, s.Requests(), before+2, "a handshake")
			requireOK(t, tr, "http://origin.example/")
			require.Len(t, s.Requests(), before+3)
		}
		require.Zero(t, tr.Stats().NotSent)
	})
}

// R37: (b) a proxy that answers a type 1 without a type 2 has lost its directory for a
// moment: that is no refusal, and it costs no other request anything.
func TestNTLMUnanswered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var away atomic.Bool
		s := w.scripted(func(req *http.Request) scripted.Answer {
			if away.Load() && ntlmStep(req) == 1 {
				return scripted.Challenge("NTLM")
			}
			return byNTLM(scripted.PassWith("origin"))(req)
		})
		tr := w.through(s)
		for _, way := range []string{"http://origin.example/", "https://origin.example/"} {
			_, _, err := fetch(tr, way)
			if err != nil {
				require.NotErrorAs(t, err, new(*proxyauth.AuthError)) // no TLS behind it
			}
			tr.CloseIdleConnections()
			away.Store(true)
			before := tr.Stats()
			_, _, err = fetch(tr, way)
			require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
			require.ErrorContains(t, err, "does not answer the first message")
			away.Store(false)
			require.Equal(t, before.Attempts, tr.Stats().Attempts)
			before = tr.Stats()
			_, _, err = fetch(tr, way)
			if err != nil {
				require.NotErrorAs(t, err, new(*proxyauth.AuthError))
			}
			require.Equal(t, before.Challenges+1, tr.Stats().Challenges, "the type 2")
		}
	})
}
