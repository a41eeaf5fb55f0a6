package proxyauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// realmSource has a pair for each of two realms.
func realmSource(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	if req.Realm == "intranet" {
		return proxyauth.Credentials{Username: "bob", Password: "open wheat"}, nil
	}
	return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
}

// inTwoRealms runs f with a proxy that has two realms, and a URL in each. By Digest it
// judges credentials by the realm that they name; one that answers 400 to any but its
// own cannot be told what to ask for.
func inTwoRealms(t *testing.T, f func(t *testing.T, p *proxytest.Proxy, tr *watchedTransport, world, intranet string)) {
	for name, of := range map[string]func(realm string) []proxytest.Auth{
		"Basic": func(realm string) []proxytest.Auth { return []proxytest.Auth{proxytest.Basic{Realm: realm}} },
		"Digest": func(realm string) []proxytest.Auth {
			return []proxytest.Auth{proxytest.Digest{Realm: realm, NeverStale: true}}
		},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					inside := w.newOrigin()
					p := w.newProxy(proxytest.Config{Auth: of("world"), Users: alice, Realms: []proxytest.Realm{{
						Targets: []string{inside.HTTP.Listener.Addr().String(), inside.HTTPS.Listener.Addr().String()},
						Auth:    of("intranet"), Users: map[string]string{"bob": "open wheat"},
					}}})
					tr := w.newTransport(p)
					tr.Credentials = proxyauth.CredentialFunc(realmSource)
					tr.Base.TLSClientConfig.CurvePreferences = quickCurve
					f(t, p, tr, w.ways()[way], inside.ways()[way])
				})
			})
		}
	}
}

// R40: a proxy with two realms, and a source that has a pair for each: both get
// through, again and again, and after the first time without a 407.
func TestTwoRealms(t *testing.T) {
	inTwoRealms(t, func(t *testing.T, p *proxytest.Proxy, tr *watchedTransport, world, intranet string) {
		const rounds = 10
		for range rounds {
			for _, url := range []string{world, intranet} {
				tr.CloseIdleConnections()
				requireOK(t, tr, url)
			}
		}
		legs := p.Counts().Requests
		assert.LessOrEqual(t, legs, 2*rounds+6)
		assert.LessOrEqual(t, p.Refused("alice")+p.Refused("bob"), 3, "one's pair in the other's realm")
		assert.Zero(t, tr.Stats().NotSent)
		t.Logf("%d requests in %d legs", 2*rounds, legs)

		p.Reset()
		for range rounds {
			tr.CloseIdleConnections()
			requireOK(t, tr, intranet)
			requireOK(t, tr, world)
		}
		assert.Zero(t, p.Counts().Challenges)
		assert.Zero(t, p.Refused("alice")+p.Refused("bob"))
	})
}

// R40: the same over a day, with pauses after which a proxy may be asked anew.
func TestTwoRealmsOverTime(t *testing.T) {
	inTwoRealms(t, func(t *testing.T, p *proxytest.Proxy, tr *watchedTransport, world, intranet string) {
		for range 10 {
			for _, pause := range []time.Duration{time.Second, 90 * time.Second, 45 * time.Minute} {
				for _, url := range []string{world, intranet, intranet, world} {
					requireOK(t, tr, url)
				}
				synctest.Wait()
				tr.CloseIdleConnections()
				time.Sleep(pause)
			}
		}
		assert.LessOrEqual(t, p.Refused("alice")+p.Refused("bob"), 3, "one's pair in the other's realm")
		assert.LessOrEqual(t, p.Counts().Challenges, 6)
		assert.Zero(t, tr.Stats().NotSent)
	})
}

// R40: the same, where all ask at once from the start.
func TestTwoRealmsAtOnce(t *testing.T) {
	inTwoRealms(t, func(t *testing.T, p *proxytest.Proxy, tr *watchedTransport, world, intranet string) {
		c := &traffic{request: func(n int) error {
			status, body, err := fetch(tr, []string{world, intranet}[n%2])
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("status %d: %s", status, body)
			}
			return err
		}}
		for range 2 {
			for range 20 {
				c.begin()
			}
			failed, _ := c.failed(t)
			require.Zero(t, failed)
		}
		assert.Zero(t, tr.Stats().NotSent)
		t.Logf("%d requests in %d legs, the longest took %s", c.began, p.Counts().Requests, c.longest)
	})
}

// R32, R40: of a host that nobody has asked for yet it is not known which realm it is
// of. A body that can be read only once arrives there all the same.
func TestStreamToSecondRealm(t *testing.T) {
	for name, of := range map[string]func(realm string) proxytest.Auth{
		"Basic":  func(realm string) proxytest.Auth { return proxytest.Basic{Realm: realm} },
		"Digest": func(realm string) proxytest.Auth { return proxytest.Digest{Realm: realm, NeverStale: true} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				known, other := w.newOrigin(), w.newOrigin()
				p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{of("world")}, Users: alice, Realms: []proxytest.Realm{{
					Targets: []string{known.HTTP.Listener.Addr().String(), other.HTTP.Listener.Addr().String()},
					Auth:    []proxytest.Auth{of("intranet")}, Users: map[string]string{"bob": "open wheat"},
				}}})
				tr := w.newTransport(p)
				tr.Credentials = proxyauth.CredentialFunc(realmSource)
				requireOK(t, tr, w.ways()["forward"])
				requireOK(t, tr, known.ways()["forward"])
				requireOK(t, tr, w.ways()["forward"])
				resp, err := post(t, tr, other.ways()["forward"], io.NopCloser(strings.NewReader(uploaded)))
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, resp.StatusCode)
				other.mu.Lock()
				defer other.mu.Unlock()
				require.Equal(t, []string{uploaded}, other.bodies)
			})
		})
	}
}
