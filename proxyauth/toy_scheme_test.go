package proxyauth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A toyCase is a scheme of these tests, and the legs by which it authenticates.
type toyCase struct {
	scheme scheme.Scheme
	legs   []string // after the proxy has asked
	again  string   // a forwarded request after that, on the same connection
}

var toys = map[string]toyCase{
	"Toy":           {newToy(), []string{"Toy::"}, "Toy::"},
	"Toy-Handshake": {newToyHandshake(), []string{"Toy-Handshake:", "Toy-Handshake::"}, "bare"},
}

// withToys runs f by both schemes and on both ways, through a proxy that offers Basic,
// too. The Transport prefers the scheme.
func withToys(t *testing.T, f func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string)) {
	for name, c := range toys {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					p := newToyProxy(w, "Basic realm=r", name)
					tr := w.through(p.Proxy)
					tr.Base.TLSClientConfig.CurvePreferences = quickCurve
					tr.Schemes = []proxyauth.Scheme{proxyauth.SchemeOf(c.scheme), proxyauth.Basic()}
					f(t, w, c, p, tr, way)
				})
			})
		}
	}
}

// R6, R10, R17: a scheme that is added authenticates requests or connections, and then
// costs what its nature costs.
func TestAddedScheme(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		url := w.ways()[way]
		requireOK(t, tr, url)
		require.Equal(t, append([]string{"bare"}, c.legs...), p.legs(0))
		synctest.Wait()

		before := len(p.Requests())
		requireOK(t, tr, url)
		if way == "forward" {
			require.Equal(t, []string{c.again}, p.legs(before))
		} else {
			require.Empty(t, p.legs(before), "in the tunnel")
		}

		synctest.Wait()
		tr.CloseIdleConnections()
		before = len(p.Requests())
		requireOK(t, tr, url)
		require.Equal(t, c.legs, p.legs(before))

		stats := tr.Stats()
		require.Zero(t, stats.Rejections)
		require.Positive(t, stats.Attempts)
		require.Zero(t, p.refused)
		require.Empty(t, w.proxyFields())
	})
}

// R32: a stream arrives whole and once, by a scheme that is added, too.
func TestAddedSchemeStreams(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		tr.Base.ExpectContinueTimeout = time.Minute
		for range 2 {
			body := &countedBody{Reader: io.MultiReader(strings.NewReader(uploaded))}
			resp, err := post(t, tr, w.ways()[way], body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			synctest.Wait()
			require.EqualValues(t, 1, body.closed.Load())
			tr.CloseIdleConnections()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		var uploads []string
		for i, req := range w.requests {
			if req.Method == http.MethodPost {
				uploads = append(uploads, w.bodies[i])
			}
		}
		require.Equal(t, []string{uploaded, uploaded}, uploads)
	})
}

// R8, R35: a wrong password by a scheme that is added counts: two attempts at the account,
// of which Basic has the second one, and then none. What was sent is in no error.
func TestAddedSchemeIsRefused(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		tr.Credentials = proxyauth.UserPassword("alice", "open barley")
		for range 5 {
			_, _, err := fetch(tr, w.ways()[way])
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			var e *proxyauth.AuthError
			require.ErrorAs(t, err, &e)
			require.Equal(t, []proxyauth.SchemeOutcome{
				{Name: "Basic", Offered: true, Tried: true}, {Name: c.scheme.Name(), Offered: true, Tried: true},
			}, e.Schemes)
			require.Equal(t, 31*time.Minute, time.Until(e.NextTry).Round(time.Minute))
			require.Contains(t, string(e.Body), "you said ")
		}
		require.Equal(t, 2, p.refused)
		require.EqualValues(t, 2, tr.Stats().Rejections)
		require.EqualValues(t, 4, tr.Stats().NotSent)
		require.Equal(t, append(append([]string{"bare"}, c.legs...), "Basic::"), p.legs(0))
	})
}

// R8: the same where it is the only scheme: the second request makes the second attempt.
func TestAddedSchemeAloneIsRefused(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		tr.Schemes = tr.Schemes[:1]
		tr.Credentials = proxyauth.UserPassword("alice", "open barley")
		for range 5 {
			_, _, err := fetch(tr, w.ways()[way])
			require.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		require.Equal(t, 2, p.refused)
		require.Equal(t, append(append([]string{}, c.legs...), c.legs...), p.legs(0), "it needs no challenge")

		time.Sleep(32 * time.Minute)
		p.mu.Lock()
		p.users["alice"] = "open barley"
		p.mu.Unlock()
		requireOK(t, tr, w.ways()[way])
	})
}

// R37: one refusal of credentials that have passed costs the request that meets it.
func TestAddedSchemeIsSuspect(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		requireOK(t, tr, w.ways()[way])
		synctest.Wait()
		tr.CloseIdleConnections()
		p.mu.Lock()
		p.users["alice"] = "away"
		p.mu.Unlock()
		before := len(p.Requests())
		_, _, err := fetch(tr, w.ways()[way])
		require.ErrorIs(t, err, proxyauth.ErrRejected)
		require.Equal(t, c.legs, p.legs(before), "by no other scheme")
		p.mu.Lock()
		p.users["alice"] = "open sesame"
		p.mu.Unlock()
		requireOK(t, tr, w.ways()[way])
		require.Zero(t, tr.Stats().NotSent)
	})
}

// R7: a proxy that has authenticated by a scheme that is added gets no Basic afterwards.
func TestAddedSchemeIsStronger(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		requireOK(t, tr, w.ways()[way])
		synctest.Wait()
		tr.CloseIdleConnections()
		p.mu.Lock()
		p.offers, p.users = []string{"Basic realm=r"}, nil
		p.mu.Unlock()
		for range 5 {
			_, _, err := fetch(tr, w.ways()[way])
			require.Error(t, err)
		}
		for _, field := range p.Authorizations() {
			require.NotContains(t, field, "Basic ")
		}
	})
}

// R36: a connection that a scheme has authenticated belongs to one user.
func TestAddedSchemeIdentities(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		source := newSafe("open sesame")
		tr.Credentials = source
		for range 2 {
			for user, password := range map[string]string{"alice": "open sesame", "bob": "open wheat"} {
				source.name(user, password)
				before := len(p.Requests())
				requireOK(t, tr, w.ways()[way])
				synctest.Wait()
				if len(p.Requests()) == before {
					require.Equal(t, "tunnel", way, "that there is one of this user")
					continue
				}
				fields, on := p.Authorizations(), p.RequestsOn()
				require.Equal(t, user, toyParts(fields[len(fields)-1])[0])
				if owner := p.owners[on[len(on)-1]]; owner != "" {
					require.Equal(t, user, owner)
				}
			}
		}
		require.Zero(t, p.refused)
	})
}

// The doctor knows a scheme that is added.
func TestAddedSchemeDiagnosed(t *testing.T) {
	withToys(t, func(t *testing.T, w *world, c toyCase, p *toyProxy, tr *watchedTransport, way string) {
		report := tr.Diagnose(t.Context(), w.ways()[way])
		require.NoError(t, report.Err)
		require.Contains(t, report.String(), c.scheme.Name()+": to be used, with the credentials of Transport.Credentials")
	})
}
