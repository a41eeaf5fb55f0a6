package proxyauth_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// openConns counts a Transport's connections that are open.
type openConns struct{ open atomic.Int32 }

// countConnections counts those of tr from now on. It is called before tr is used.
func countConnections(tr *watchedTransport) *openConns {
	c := &openConns{}
	dial := tr.Base.DialContext
	tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.open.Add(1)
		return &countedConn{conn, sync.OnceFunc(func() { c.open.Add(-1) })}, nil
	}
	return c
}

// left returns how many are open when those are closed that nobody uses.
func (c *openConns) left(tr *watchedTransport) int {
	synctest.Wait()
	tr.CloseIdleConnections()
	synctest.Wait()
	return int(c.open.Load())
}

type countedConn struct {
	net.Conn
	ended func()
}

func (c *countedConn) Close() error {
	c.ended()
	return c.Conn.Close()
}

// givenUp are the ways to ask for a tunnel, and to give up after some time.
var givenUp = map[string]func(t *testing.T, tr *watchedTransport, w *world, after time.Duration) error{
	"dial": func(t *testing.T, tr *watchedTransport, w *world, after time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		return opens(ctx, tr, w.HTTP.Listener.Addr().String())
	},
	"dial that is canceled": func(t *testing.T, tr *watchedTransport, w *world, after time.Duration) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		defer time.AfterFunc(after, cancel).Stop()
		return opens(ctx, tr, w.HTTP.Listener.Addr().String())
	},
	"request": func(t *testing.T, tr *watchedTransport, w *world, after time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		return asks(ctx, tr, w.HTTPS.URL)
	},
}

// R38: a CONNECT with credentials that have never passed goes on for a minute when
// its caller gives up. The late 200 shows that they are good: requests need not
// wait for each other any more. Its tunnel is closed.
func TestLateTunnelShowsThatCredentialsAreGood(t *testing.T) {
	for _, scheme := range []string{"Basic", "Digest", "NTLM", "NTLM inside Negotiate"} {
		for how, ask := range givenUp {
			for _, late := range []time.Duration{20 * time.Second, 59 * time.Second} {
				t.Run(scheme+"/"+how+"/"+late.String(), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						var slow atomic.Int64
						slow.Store(int64(late))
						p := w.newProxy(proxytest.Config{
							Auth: wrongWays[scheme], Users: alice,
							Behaviour: proxytest.Behaviour{Access: func(proxytest.Leg) proxytest.Answer {
								return proxytest.Answer{Delay: time.Duration(slow.Load())}
							}},
						})
						tr := w.newTransport(p)
						conns := countConnections(tr)
						begin := time.Now()
						require.Error(t, ask(t, tr, w, 5*time.Second))
						require.Equal(t, 5*time.Second, time.Since(begin), "the caller has no longer to wait")
						require.EqualValues(t, 1, conns.open.Load(), "the CONNECT goes on")
						slow.Store(int64(3 * time.Second))
						time.Sleep(late - 4*time.Second)
						require.Zero(t, conns.left(tr), "nobody wants the tunnel")
						require.EqualValues(t, 1, tr.Stats().Attempts)
						require.Zero(t, tr.Stats().Unclear)

						begin = time.Now()
						var wg sync.WaitGroup
						for range 20 {
							wg.Go(func() { assert.NoError(t, opens(t.Context(), tr, w.HTTP.Listener.Addr().String())) })
						}
						wg.Wait()
						require.Equal(t, 3*time.Second, time.Since(begin), "none has waited for another")
						require.Equal(t, 21, p.Attempts("alice"))
						require.Zero(t, conns.left(tr))
					})
				})
			}
		}
	}
}

// R38: the late 407 is a refusal like any other: a client that gives up before a
// slow proxy has refused does not try again and again.
func TestLateRefusalCounts(t *testing.T) {
	for _, scheme := range []string{"Basic", "Digest", "NTLM", "NTLM inside Negotiate"} {
		for how, ask := range givenUp {
			t.Run(scheme+"/"+how, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					p := w.newProxy(proxytest.Config{
						Auth: wrongWays[scheme], Users: alice,
						Behaviour: proxytest.Behaviour{Refusal: proxytest.Answer{Delay: 20 * time.Second}},
					})
					tr := w.newTransport(p)
					tr.Credentials = proxyauth.UserPassword("alice", "open barley")
					conns := countConnections(tr)
					for range 3 { // the second begins 5 seconds after the first; the third waits for their answers
						err := ask(t, tr, w, 5*time.Second)
						require.Error(t, err)
						require.NotErrorIs(t, err, proxyauth.ErrRejected)
					}
					require.Equal(t, 2, p.Attempts("alice"))
					require.Zero(t, tr.Stats().Attempts, "none is answered yet")
					time.Sleep(11 * time.Second) // a second after the second refusal
					require.Zero(t, conns.left(tr))
					require.EqualValues(t, 2, tr.Stats().Rejections)
					require.Zero(t, tr.Stats().Unclear)

					begin := time.Now()
					err := ask(t, tr, w, 5*time.Second)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
					require.Zero(t, time.Since(begin))
					require.Equal(t, 2, p.Attempts("alice"))
					var refused *proxyauth.AuthError
					require.ErrorAs(t, err, &refused)
					require.WithinDuration(t, begin.Add(31*time.Minute), refused.NextTry, 2*time.Second)
				})
			})
		}
	}
}

// R38: where no answer comes the CONNECT ends after a minute, and counts as
// unclear; nothing is left behind.
func TestLateConnectEnds(t *testing.T) {
	for how, ask := range givenUp {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				s := w.scripted(scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Stall()))
				tr := w.through(s)
				conns := countConnections(tr)
				require.Error(t, ask(t, tr, w, 5*time.Second))
				time.Sleep(50 * time.Second)
				require.EqualValues(t, 1, conns.open.Load(), "after 55 seconds it goes on")
				require.Zero(t, tr.Stats().Unclear)
				time.Sleep(11 * time.Second)
				require.Zero(t, conns.left(tr), "after 66 it has ended")
				require.EqualValues(t, 1, tr.Stats().Unclear)
				require.Len(t, s.Authorizations(), 1)
			})
		})
	}
}

// R30, R38: a CONNECT ends with its caller where no account is in danger: without
// credentials, and with those that have passed. (For a request to https:// net/http
// itself may go on, to have the tunnel for the next one.)
func TestConnectEndsWithItsCaller(t *testing.T) {
	for _, how := range []string{"dial", "dial that is canceled"} {
		for _, passed := range []int{0, 1} {
			inBubble(t, func(t *testing.T, w *world) {
				var stalls atomic.Bool
				s := w.scripted(func(req *http.Request) scripted.Answer {
					switch {
					case stalls.Load():
						return scripted.Stall()
					case req.Header.Get("Proxy-Authorization") == "":
						return scripted.Challenge("Basic", "realm", "r")
					}
					return scripted.Pass()
				})
				tr := w.through(s)
				conns := countConnections(tr)
				for range passed {
					require.NoError(t, givenUp[how](t, tr, w, 5*time.Second))
				}
				stalls.Store(true)
				require.Error(t, givenUp[how](t, tr, w, 5*time.Second))
				synctest.Wait()
				require.Zero(t, conns.open.Load())
				require.Len(t, s.Authorizations(), 2*passed)
			})
		}
	}
}
