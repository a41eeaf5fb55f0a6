package proxyauth_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// How a request can end before its answer.
var endings = []string{"context", "Request.Cancel", "Client.Timeout"}

// At every leg of every scheme on every way out: a request that is canceled
// while the proxy does not answer returns at once, its connection is closed,
// and the next request works, on a new connection.
func TestCancelAtEveryLeg(t *testing.T) {
	var all []journey
	for _, scheme := range schemeNames() {
		all = append(all, journeys(scheme)...)
	}
	for _, j := range all {
		if j.tls && (j.scheme != "NTLM" || j.warm) { // TLS is the same for all
			continue
		}
		t.Run(j.String(), func(t *testing.T) {
			t.Parallel()
			a := newArena(t, j)
			defer a.close()
			turns, legs, _, requests := a.measure()
			n, canceled := 0, 0
			for _, turn := range turns {
				if turn.down >= legs.down {
					break // in the tunnel
				}
				if j.tls && canceled == 1 {
					break // above TLS the legs are those without
				}
				canceled++
				for _, ending := range endings {
					if j.way == "dial" && ending != "context" {
						continue
					}
					n++
					t.Run(fmt.Sprintf("byte %d/%s", turn.down, ending), func(t *testing.T) {
						a.cancel(t, n, fault{kind: stalls, at: turn.down}, ending)
					})
				}
			}
			if !j.tls {
				require.GreaterOrEqual(t, canceled, requests, "each leg was canceled")
			}
		})
	}
}

// cancel makes the journey, and ends it when the saboteur strikes.
func (a *arena) cancel(t *testing.T, n int, f fault, ending string) {
	p, err := a.newTrip(n)
	require.NoError(t, err)
	defer p.close()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	p.warmUp(ctx, fault{})
	before := p.saboteur.connections()
	struck := p.saboteur.arm(f)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	canceled := make(chan struct{})
	p.ending = func(req *http.Request) (http.RoundTripper, *http.Request) {
		switch ending {
		case "Request.Cancel":
			//lint:ignore SA1019 http.Client.Timeout uses it
			req.Cancel = canceled
		case "Client.Timeout":
			return clientOf{&http.Client{Transport: p.tr, Timeout: 100 * time.Millisecond}}, req
		}
		return p.tr, req
	}
	ended := make(chan outcome, 1)
	go func() { ended <- p.do(ctx, p.path) }()
	if ending != "Client.Timeout" {
		receive(t, struck, "the fault")
		cancelBy := map[string]func(){"context": cancel, "Request.Cancel": func() { close(canceled) }}[ending]
		cancelBy()
	}
	out := receive(t, ended, "the end of the request")
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
	dialing := a.warm && a.way == "tunnel"  // there net/http goes on, for the next request
	if !dialing && p.saboteur.struckYet() { // a timeout may come before
		receive(t, p.saboteur.hitEnded(), "the end of the connection")
	}

	// The next one does not wait for anything: what it would wait for takes 10
	// seconds at least.
	p.ending = nil
	soon, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	out = p.do(soon, p.path+"n")
	require.NoError(t, out.err)
	require.Equal(t, answerTo(p.path+"n"), out.body)
	require.Greater(t, p.saboteur.connections(), before)
	require.LessOrEqual(t, p.proxy.Refused("alice"), 0)
}

// A clientOf is a client as a RoundTripper.
type clientOf struct{ *http.Client }

func (c clientOf) RoundTrip(req *http.Request) (*http.Response, error) { return c.Do(req) }

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("waited too long for %s\n%s", what, stacks())
		panic("not reached")
	}
}

// A request that is canceled while its credentials are looked for says so, and
// not that there are none.
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

// A request that is canceled while the proxy is being dialed returns at once.
func TestCancelDialing(t *testing.T) {
	o := newOrigin(t)
	for _, scheme := range []proxyauth.Scheme{proxyauth.Digest(), proxyauth.NTLM()} {
		for way, url := range o.ways() {
			for _, ending := range endings {
				t.Run(scheme.Name()+"/"+way+"/"+ending, func(t *testing.T) {
					p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}, proxytest.Digest{Realm: "r"}}, Users: alice})
					tr := newTransport(t, p, o)
					tr.Schemes = []proxyauth.Scheme{scheme} // NTLM dials for its pool at once
					dialing, over := make(chan struct{}, 10), make(chan struct{})
					defer close(over)
					dial := tr.Base.DialContext
					tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
						dialing <- struct{}{}
						select {
						case <-ctx.Done():
							return nil, context.Cause(ctx)
						case <-over:
							return dial(ctx, network, addr)
						}
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
					require.NoError(t, err)
					var rt http.RoundTripper = tr
					canceled := make(chan struct{})
					switch ending {
					case "Request.Cancel":
						//lint:ignore SA1019 http.Client.Timeout uses it
						req.Cancel = canceled
					case "Client.Timeout":
						rt = clientOf{&http.Client{Transport: tr, Timeout: 50 * time.Millisecond}}
					}
					ended := make(chan error, 1)
					go func() {
						_, err := rt.RoundTrip(req)
						ended <- err
					}()
					receive(t, dialing, "dialing")
					switch ending {
					case "context":
						cancel()
					case "Request.Cancel":
						close(canceled)
					}
					err = receive(t, ended, "the end of the request")
					require.Error(t, err)
					if ending == "context" {
						require.ErrorIs(t, err, context.Canceled)
					}
				})
			}
		}
	}
}

// A request that ends while it waits, at any leg, returns promptly.
func TestCancel(t *testing.T) {
	o := newOrigin(t)
	answers := map[string][]string{
		"Basic": {"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=r\r\nContent-Length: 0\r\n\r\n"},
		"NTLM": {
			"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + stubType2 + "\r\nContent-Length: 0\r\n\r\n",
		},
	}
	for name, stallAt := range map[string]int{"Basic": 1, "Basic ": 2, "NTLM": 2, "NTLM ": 3} {
		answers := answers[strings.TrimSpace(name)]
		for way, url := range o.ways() {
			t.Run(fmt.Sprint(name, way, " leg ", stallAt), func(t *testing.T) {
				t.Parallel()
				var n atomic.Int32
				reached := make(chan struct{})
				s := scriptedProxy(t, func(*http.Request) string {
					switch i := int(n.Add(1)); {
					case i < stallAt:
						return answers[i-1]
					case i == stallAt:
						close(reached)
					} // and the other may take its turn before it sees the end
					return stall
				})
				tr := s.transport(t, o)
				ctx, cancel := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
				require.NoError(t, err)
				var waiting atomic.Int32
				ended := make(chan error, 2)
				for range 2 { // one leads, the other waits for it
					go func() {
						waiting.Add(1)
						_, err := tr.RoundTrip(req)
						ended <- err
					}()
				}
				<-reached
				cancel()
				for range 2 {
					select {
					case err := <-ended:
						require.ErrorIs(t, err, context.Canceled)
					case <-time.After(5 * time.Second):
						t.Fatal("still waiting")
					}
				}
			})
		}
	}
}

// A learner that is cancelled hands over to one that waits.
func TestLearnerHandsOver(t *testing.T) {
	o := newOrigin(t)
	var n atomic.Int32
	first := make(chan struct{})
	s := scriptedProxy(t, func(req *http.Request) string {
		if n.Add(1) == 1 {
			close(first)
			return stall
		}
		if req.Header.Get("Proxy-Authorization") == "" {
			return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=r\r\nContent-Length: 0\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin"
	})
	tr := s.transport(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	learner := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "GET", o.HTTP.URL, nil)
		_, err := tr.RoundTrip(req)
		learner <- err
	}()
	<-first
	others := make(chan error)
	for range 10 {
		go func() {
			_, _, err := fetch(tr, o.HTTP.URL)
			others <- err
		}()
	}
	cancel()
	require.ErrorIs(t, <-learner, context.Canceled)
	for range 10 {
		require.NoError(t, <-others)
	}
	require.Equal(t, int32(12), n.Load(), "one that stalled, one 407, ten answers")
}
