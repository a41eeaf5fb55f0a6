package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The first request on an unknown proxy costs one 407; the second, and a new
// connection later, cost none.
func TestTrips(t *testing.T) {
	t.Parallel()
	schemes := map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}}
	for name, auth := range schemes {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			o := newOrigin(t)
			for way, url := range o.ways() {
				p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				t.Cleanup(p.Close)
				t.Run(p.URL.Scheme+"/"+name+"/"+way, func(t *testing.T) {
					tr := newTransport(t, p, o)
					requireOK(t, tr, url)
					c := p.Counts()
					require.Equal(t, 1, c.Challenges)
					require.Equal(t, 2, c.Requests)

					requireOK(t, tr, url)
					tr.CloseIdleConnections()
					requireOK(t, tr, url)
					require.Equal(t, 1, p.Counts().Challenges)
					require.Equal(t, map[string]int{"forward": 4, "tunnel": 3}[way], p.Counts().Requests)
					require.Equal(t, p.Counts().Requests-1, p.Attempts("alice"))
					require.Empty(t, o.proxyFields())
				})
			}
		}
	}
}

// 1,000 goroutines on a cold route learn the challenge once.
func TestColdBurst(t *testing.T) {
	for way, want := range map[string]int{"forward": 1001, "tunnel": 65} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				w.HTTPS.TLS.NextProtos = []string{"http/1.1"}
				p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
				tr := w.newTransport(p)
				tr.Base.MaxConnsPerHost = 64
				tr.Base.MaxIdleConnsPerHost = 64
				tr.Base.ForceAttemptHTTP2 = false
				errs := make(chan error, 1000)
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(func() {
						status, body, err := fetch(tr, w.ways()[way])
						if err == nil && status != 200 {
							err = fmt.Errorf("%d %s", status, body)
						}
						if err != nil {
							errs <- err
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				close(errs)
				for err := range errs {
					t.Error(err)
				}
				c := p.Counts()
				require.Equal(t, 1, c.Challenges)
				require.Equal(t, want, c.Requests)
			})
		})
	}
}

func TestHTTP2OriginThroughTunnel(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	_, body, err := fetch(tr, o.HTTPS.URL)
	require.NoError(t, err)
	require.Contains(t, body, "HTTP/2.0")
}

func TestNoCredentials(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
			tr := newTransport(t, p, o)
			tr.Credentials = nil
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
			var auth *proxyauth.AuthError
			require.ErrorAs(t, err, &auth)
			require.Equal(t, []string{"Digest", "Basic"}, auth.Offered)
			require.Equal(t, 407, auth.StatusCode)
			require.NotEmpty(t, auth.Body)
			require.NotEmpty(t, auth.Header["Proxy-Authenticate"])
			require.Equal(t, 0, p.Attempts("alice"))
			t.Log(err)
		})
	}
}

var _ http.RoundTripper = (*proxyauth.Transport)(nil)

// The error of a Proxy function that looks something up is its own.
func TestProxyFunctionFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tr := &proxyauth.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://wpad.example/wpad.dat", nil)
		require.NoError(t, err)
		_, err = http.DefaultClient.Do(req)
		return nil, err
	}}
	_, _, err := fetch(tr, "http://origin.example/")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "wpad.example")

	// An @ in its text may stand behind a password: what it is can be told only.
	mine := errors.New("no proxy for alice:1234@proxy")
	tr = &proxyauth.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, mine }}
	_, _, err = fetch(tr, "http://origin.example/")
	require.ErrorIs(t, err, mine)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "1234")
}
