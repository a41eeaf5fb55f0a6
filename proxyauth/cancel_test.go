package proxyauth_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// How a request can end before its answer.
var endings = []string{"context", "Request.Cancel", "Client.Timeout"}

// R30, R34: at every leg of every scheme on every way out: a request that is
// canceled while the proxy does not answer returns at once, its connection is
// closed, and the next request works, on a new connection.
func TestCancelAtEveryLeg(t *testing.T) {
	t.Parallel()
	var all []journey
	for _, scheme := range schemeNames() {
		all = append(all, journeys(scheme)...)
	}
	for _, j := range all {
		if j.tls && (j.scheme != "NTLM" || j.warm) { // TLS is the same for all
			continue
		}
		t.Run(j.String(), func(t *testing.T) {
			var begun []int // with which byte of the proxy each leg begins
			inBubble(t, func(t *testing.T, w *world) {
				a := newArena(t, w, j)
				defer a.close()
				turns, legs, _, requests := a.measure()
				for _, turn := range turns {
					if turn.down >= legs.down {
						break // in the tunnel
					}
					if j.tls && len(begun) == 1 {
						break // above TLS the legs are those without
					}
					begun = append(begun, turn.down)
				}
				if !j.tls {
					require.GreaterOrEqual(t, len(begun), requests, "each leg is canceled")
				}
			})
			for n, at := range begun {
				for _, ending := range endings {
					if j.way == "dial" && ending != "context" {
						continue
					}
					t.Run(fmt.Sprintf("byte %d/%s", at, ending), func(t *testing.T) {
						t.Parallel()
						inBubble(t, func(t *testing.T, w *world) {
							a := newArena(t, w, j)
							defer a.close()
							a.cancel(t, n+1, fault{kind: stalls, at: at}, ending)
						})
					})
				}
			}
		})
	}
}

// cancel makes the journey, and ends it when the saboteur strikes.
func (a *arena) cancel(t *testing.T, n int, f fault, ending string) {
	p, err := a.newTrip(n)
	require.NoError(t, err)
	defer p.close()
	ctx, stop := context.WithTimeout(t.Context(), time.Hour)
	defer stop()
	p.warmUp(ctx, fault{})
	before := p.saboteur.connections()
	struck := p.saboteur.arm(f)

	const timeout = 3 * time.Second // shorter than a TLS handshake may take
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	canceled := make(chan struct{})
	p.ending = func(req *http.Request) (http.RoundTripper, *http.Request) {
		switch ending {
		case "Request.Cancel":
			//lint:ignore SA1019 http.Client.Timeout uses it
			req.Cancel = canceled
		case "Client.Timeout":
			return clientOf{&http.Client{Transport: p.tr, Timeout: timeout}}, req
		}
		return p.tr, req
	}
	begin := time.Now()
	ended := make(chan outcome, 1)
	go func() { ended <- p.do(ctx, p.path) }()
	took := time.Duration(0)
	switch ending {
	case "context":
		<-struck
		cancel()
	case "Request.Cancel":
		<-struck
		close(canceled)
	default:
		took = timeout
	}
	out := <-ended
	require.Equal(t, took, time.Since(begin))
	require.Error(t, out.err)
	switch ending {
	case "context":
		require.ErrorIs(t, out.err, context.Canceled)
	case "Client.Timeout":
		var timeout net.Error
		require.ErrorAs(t, out.err, &timeout)
		require.True(t, timeout.Timeout(), "%v", out.err)
	default:
		require.ErrorContains(t, out.err, "canceled")
	}
	require.Contains(t, []int{-1, 1}, out.closed, "closings of the request body")
	if dialing := a.warm && a.way == "tunnel"; !dialing { // there net/http goes on, for the next request
		<-p.saboteur.hitEnded()
	}

	// The next one does not wait for anything.
	p.ending = nil
	begin = time.Now()
	out = p.do(t.Context(), p.path+"n")
	require.NoError(t, out.err)
	require.Zero(t, time.Since(begin))
	require.Equal(t, answerTo(p.path+"n"), out.body)
	require.Greater(t, p.saboteur.connections(), before)
	require.Zero(t, p.proxy.Refused("alice"))
}

// A clientOf is a client as a RoundTripper.
type clientOf struct{ *http.Client }

func (c clientOf) RoundTrip(req *http.Request) (*http.Response, error) { return c.Do(req) }

// R30: a request that is canceled while its credentials are looked for says so,
// and not that there are none.
func TestCancelCredentials(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tr := newTransport(t, p, o)
			tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, _ proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
				cancel()
				<-ctx.Done()
				return proxyauth.Credentials{}, ctx.Err()
			})
			req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			require.NoError(t, err)
			_, err = tr.RoundTrip(req)
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, proxyauth.ErrNoCredentials)
		})
	}
}

// R30: a request that is canceled while the proxy is being dialed returns at once.
func TestCancelDialing(t *testing.T) {
	for _, scheme := range []proxyauth.Scheme{proxyauth.Digest(), proxyauth.NTLM()} {
		for _, way := range ways {
			for _, ending := range endings {
				t.Run(scheme.Name()+"/"+way+"/"+ending, func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}, proxytest.Digest{Realm: "r"}}, Users: alice})
						tr := w.newTransport(p)
						tr.Schemes = []proxyauth.Scheme{scheme} // NTLM dials for its pool at once
						dials := 0
						tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
							dials++
							select {
							case <-ctx.Done():
								return nil, context.Cause(ctx)
							case <-time.After(time.Hour):
								return w.dial(ctx, network, addr)
							}
						}
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						req, err := http.NewRequestWithContext(ctx, "GET", w.ways()[way], nil)
						require.NoError(t, err)
						var rt http.RoundTripper = tr
						canceled := make(chan struct{})
						begin := time.Now()
						switch ending {
						case "Request.Cancel":
							//lint:ignore SA1019 http.Client.Timeout uses it
							req.Cancel = canceled
						case "Client.Timeout":
							rt = clientOf{&http.Client{Transport: tr, Timeout: time.Minute}}
						}
						ended := make(chan error, 1)
						go func() {
							_, err := rt.RoundTrip(req)
							ended <- err
						}()
						synctest.Wait()
						require.Equal(t, 1, dials)
						switch ending {
						case "context":
							cancel()
						case "Request.Cancel":
							close(canceled)
						}
						err = <-ended
						require.Error(t, err)
						if ending == "context" {
							require.ErrorIs(t, err, context.Canceled)
						}
						if ending == "Client.Timeout" {
							require.Equal(t, time.Minute, time.Since(begin))
						} else {
							require.Zero(t, time.Since(begin))
						}
					})
				})
			}
		}
	}
}

// R30, R34: a request that ends while it waits, at any leg, returns promptly.
func TestCancel(t *testing.T) {
	answers := map[string][]scripted.Answer{
		"Basic": {scripted.Challenges("Basic realm=r")},
		"NTLM":  {scripted.Challenge("NTLM"), scripted.Challenges("NTLM " + stubType2)},
	}
	for name, stallAt := range map[string]int{"Basic": 1, "Basic ": 2, "NTLM": 2, "NTLM ": 3} {
		before := answers[strings.TrimSpace(name)][:stallAt-1]
		for _, way := range ways {
			t.Run(fmt.Sprint(name, way, " leg ", stallAt), func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(scripted.InTurn(append(slices.Clone(before), scripted.Stall())...))
					tr := w.through(s)
					ctx, cancel := context.WithCancel(t.Context())
					req, err := http.NewRequestWithContext(ctx, "GET", w.ways()[way], nil)
					require.NoError(t, err)
					ended := make(chan error, 2)
					for range 2 { // one asks the proxy, the other waits for it
						go func() {
							_, err := tr.RoundTrip(req)
							ended <- err
						}()
					}
					synctest.Wait()
					require.Len(t, s.Requests(), stallAt)
					begin := time.Now()
					cancel()
					for range 2 {
						require.ErrorIs(t, <-ended, context.Canceled)
					}
					require.Zero(t, time.Since(begin))
				})
			})
		}
	}
}

// R8, R37: a request that is canceled for the failure of another one, as errgroup does,
// has not failed in that way itself.
func TestCanceledForAnother(t *testing.T) {
	for _, way := range ways {
		for _, shown := range []bool{false, true} {
			t.Run(fmt.Sprint(way, "/", shown), func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					other := w.newTransport(w.newProxy(proxytest.Config{
						Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", RspAuth: true, BadRspAuth: true}}, Users: alice,
					}))
					_, _, failed := fetch(other, w.ways()[way])
					require.ErrorIs(t, failed, proxyauth.ErrNoUsableScheme)

					tr := w.through(w.scripted(func(req *http.Request) scripted.Answer {
						sent := req.Header.Get("Proxy-Authorization") != ""
						switch {
						case strings.HasPrefix(req.Host, "slow.example") && sent == shown:
							return scripted.After(50*time.Second, scripted.Page(200, ""))
						case !sent:
							return scripted.Challenge("Basic", "realm", "r")
						}
						return scripted.Page(200, "")
					})).Transport
					for range 4 {
						ctx, cancel := context.WithCancelCause(t.Context())
						time.AfterFunc(time.Second, func() { cancel(failed) })
						require.ErrorIs(t, reach(ctx, tr, way, "slow.example"), failed)
						time.Sleep(2 * time.Minute)
					}
					err := reach(t.Context(), tr, way, "host.example")
					if shown && way == "forward" {
						require.ErrorIs(t, err, proxyauth.ErrHeld)
						require.NotErrorIs(t, err, failed)
						time.Sleep(5 * time.Minute) // and not 31
						err = reach(t.Context(), tr, way, "host.example")
					}
					require.NoError(t, err)
				})
			})
		}
	}
}

// R27: a header for CONNECT that is asked for by way of another proxy, in vain.
func TestHeaderFailsForAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		other := w.newTransport(w.newProxy(proxytest.Config{
			Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", RspAuth: true, BadRspAuth: true}}, Users: alice,
		}))
		_, _, failed := fetch(other, w.HTTP.URL)
		tr := w.newTransport(w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice}))
		tr.Base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, failed }
		_, _, err := fetch(tr, w.HTTPS.URL)
		require.ErrorIs(t, err, failed)
	})
}
