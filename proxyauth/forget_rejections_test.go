package proxyauth_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// requireUnsent requires that a request fails at once, and that p does not see it.
func requireUnsent(t testing.TB, tr *watchedTransport, p *proxytest.Proxy, url string) *proxyauth.AuthError {
	t.Helper()
	requests, begin := p.Counts().Requests, time.Now()
	_, _, err := fetch(tr, url)
	require.Equal(t, requests, p.Counts().Requests)
	require.Zero(t, time.Since(begin))
	var held *proxyauth.AuthError
	require.ErrorAs(t, err, &held)
	require.ErrorContains(t, err, "not sent")
	return held
}

// R8: ForgetRejections lets credentials be sent at once that were refused: by each
// scheme and way.
func TestForgetRejections(t *testing.T) {
	for name, auth := range wrongWays {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					url := w.ways()[way]
					p := w.newProxy(proxytest.Config{Auth: auth, Users: map[string]string{"alice": "other"}})
					tr := w.newTransport(p)
					tr.ForgetRejections() // is no first use
					allRejected(t, 3, tr, url)
					require.Equal(t, 2, p.Attempts("alice"))
					require.ErrorIs(t, requireUnsent(t, tr, p, url), proxyauth.ErrRejected)

					tr.ForgetRejections()
					allRejected(t, 3, tr, url)
					require.Equal(t, 4, p.Attempts("alice"), "two again, if they are wrong still")

					p.SetUser("alice", "open sesame")
					requireUnsent(t, tr, p, url)
					tr.ForgetRejections()
					begin := time.Now()
					requireOK(t, tr, url)
					require.Zero(t, time.Since(begin))
				})
			})
		}
	}
}

// R8: ForgetRejections ends every hold, also those of unclear answers.
func TestForgetUnclear(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		tr, s, _ := holds["403"].begin(t, w)
		_, _, err := fetch(tr, w.HTTPS.URL)
		require.ErrorIs(t, err, proxyauth.ErrHeld)
		sent := len(s.Authorizations())
		tr.ForgetRejections()
		_, _, err = fetch(tr, w.HTTPS.URL)
		require.NotErrorIs(t, err, proxyauth.ErrHeld)
		require.Len(t, s.Authorizations(), sent+1)
	})
}

// R8: with a negative RejectedFor refused credentials are never sent again, be it
// that they never passed or that they did, until ForgetRejections; the error says
// so, and has no NextTry.
func TestRejectedForGood(t *testing.T) {
	for _, passed := range []bool{false, true} {
		for name, auth := range wrongWays {
			inBubble(t, func(t *testing.T, w *world) {
				users := map[string]string{"alice": "other"}
				if passed {
					users = alice
				}
				p := w.newProxy(proxytest.Config{Auth: auth, Users: users})
				tr := w.newTransport(p)
				tr.RejectedFor = -1
				targets := []string{w.HTTP.URL, w.newOrigin().HTTP.URL} // a second refusal at the same target would hold that alone
				if passed {
					requireOK(t, tr, targets[0])
					tr.CloseIdleConnections()
					p.SetUser("alice", "other")
				}
				for _, url := range targets {
					_, _, err := fetch(tr, url)
					require.ErrorIs(t, err, proxyauth.ErrRejected, name)
				}
				sent := p.Refused("alice")
				if passed { // where Digest has passed a nonce that is not fresh may explain a refusal, so each goes twice
					require.LessOrEqual(t, sent, 4, name)
				} else {
					require.Equal(t, 2, sent, name)
				}
				for _, pause := range []time.Duration{0, time.Minute, 24 * time.Hour, 365 * 24 * time.Hour} {
					time.Sleep(pause)
					for _, url := range append(targets, w.HTTPS.URL) {
						var held *proxyauth.AuthError
						if url == w.HTTPS.URL {
							_, _, err := fetch(tr, url)
							require.True(t, errors.As(err, &held), err)
						} else {
							held = requireUnsent(t, tr, p, url)
						}
						require.ErrorIs(t, held, proxyauth.ErrRejected)
						require.Zero(t, held.NextTry)
						require.ErrorContains(t, held, "ForgetRejections")
					}
				}
				require.Equal(t, sent, p.Refused("alice"), name)
				p.SetUser("alice", "open sesame")
				tr.ForgetRejections()
				requireOK(t, tr, targets[0])
			})
		}
	}
}
