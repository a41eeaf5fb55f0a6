package proxyauth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A freeWorld has two origins, of which the proxy lets everybody to the second.
type freeWorld struct {
	*world
	p          *proxytest.Proxy
	tr         *watchedTransport
	good, free string // URLs
}

// withFreeHost runs f by all schemes and ways.
func withFreeHost(t *testing.T, access func(free *origin) func(proxytest.Leg) proxytest.Answer, f func(*testing.T, freeWorld)) {
	for name, in := range waysIn {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					free := w.newOrigin()
					c := proxytest.Config{Auth: in.auth, Users: alice}
					c.Behaviour.Free = []string{free.HTTP.Listener.Addr().String(), free.HTTPS.Listener.Addr().String()}
					if access != nil {
						c.Behaviour.Access = access(free)
					}
					p := w.newProxy(c)
					tr := in.transportIn(w, p)
					tr.Base.ExpectContinueTimeout = time.Minute
					tr.Base.TLSClientConfig.CurvePreferences = quickCurve
					f(t, freeWorld{w, p, tr, w.ways()[way], free.ways()[way]})
				})
			})
		}
	}
}

// requireStream uploads a body that can be read once.
func (w freeWorld) requireStream(t *testing.T) {
	t.Helper()
	w.tr.CloseIdleConnections()
	w.mu.Lock()
	w.requests, w.bodies = nil, nil
	w.mu.Unlock()
	body := &countedBody{Reader: io.MultiReader(strings.NewReader(uploaded))}
	resp, err := post(t, w.tr, w.good, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	synctest.Wait()
	require.EqualValues(t, 1, body.closed.Load())
	w.mu.Lock()
	defer w.mu.Unlock()
	var uploads []string
	for i, req := range w.requests {
		if req.Method == http.MethodPost {
			uploads = append(uploads, w.bodies[i])
		}
	}
	require.Equal(t, []string{uploaded}, uploads)
}

// R32, R39: that one host is reached without credentials says nothing of others: a
// stream to another one arrives whole, whatever was asked for before.
func TestFreeHostThenStream(t *testing.T) {
	withFreeHost(t, nil, func(t *testing.T, w freeWorld) {
		for range 2 {
			requireOK(t, w.tr, w.free)
		}
		w.requireStream(t)
		for range 2 {
			requireOK(t, w.tr, w.free)
			w.requireStream(t)
			w.tr.CloseIdleConnections()
		}
		requireOK(t, w.tr, w.good)
		requireOK(t, w.tr, w.free)
		w.requireStream(t)
		require.Zero(t, w.p.Refused("alice"))
	})
}

// R39: a request to a host for which the proxy wants no credentials, which ends late, takes
// away nothing of what others have learned meanwhile, however it ends: they go on without
// any 407.
func TestSlowFreeHost(t *testing.T) {
	for how, end := range map[string]proxytest.Answer{
		"passes": {}, "fails": {Status: http.StatusBadGateway}, "is denied": {Status: http.StatusForbidden}, "is cut off": {Reset: true},
	} {
		t.Run(how, func(t *testing.T) {
			slowly := func(free *origin) func(proxytest.Leg) proxytest.Answer {
				return func(leg proxytest.Leg) (a proxytest.Answer) {
					switch leg.HostPort() {
					case free.HTTP.Listener.Addr().String(), free.HTTPS.Listener.Addr().String():
						a = end
						a.Delay = 10 * time.Second
					}
					return a
				}
			}
			withFreeHost(t, slowly, func(t *testing.T, w freeWorld) { w.requireNothingLost(t, how == "passes") })
		})
	}
}

// requireNothingLost makes a request to the free host, and others before it ends and
// after.
func (w freeWorld) requireNothingLost(t *testing.T, passes bool) {
	ended := make(chan error, 1)
	go func() { _, _, err := fetch(w.tr, w.free); ended <- err }()
	time.Sleep(time.Second)
	for range 3 {
		requireOK(t, w.tr, w.good)
	}
	select {
	case err := <-ended:
		require.FailNow(t, "it is not slow", err)
	default:
	}
	w.p.Reset()
	requireOK(t, w.tr, w.good)
	if err := <-ended; passes {
		require.NoError(t, err)
	}
	requireOK(t, w.tr, w.good)
	w.requireStream(t)
	if passes {
		requireOK(t, w.tr, w.free)
		w.requireStream(t)
	}
	if after := w.p.Counts(); after.Challenges != after.Handshakes {
		t.Errorf("%d times 407, %d of them in handshakes", after.Challenges, after.Handshakes)
	}
}
