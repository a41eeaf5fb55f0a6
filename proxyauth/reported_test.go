package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// Every attempt counts, on whatever path its request ends, and nothing else does.

// A stale proxy is one that calls each nonce stale.
type staleProxy struct {
	nonces, attempts atomic.Int64
	delays           []time.Duration // of the answers to attempts, the last of all others
}

func (p *staleProxy) script(req *http.Request) scripted.Answer {
	nonce := fmt.Sprint("nonce ", p.nonces.Add(1))
	if req.Header.Get("Proxy-Authorization") == "" {
		return scripted.Challenge("Digest", "realm", "r", "qop", "auth", "nonce", nonce)
	}
	n := int(p.attempts.Add(1))
	io.Copy(io.Discard, req.Body)
	return scripted.After(p.delays[min(n, len(p.delays))-1], scripted.Challenge("Digest", "realm", "r", "qop", "auth", "nonce", nonce, "stale", "true"))
}

// R38: stale for ever, and slower than the clients' patience: four attempts, and then
// one each 31 minutes.
func TestStaleTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := staleProxy{delays: []time.Duration{3 * time.Second}}
		tr := w.through(w.scripted(p.script))
		c := &traffic{request: func(int) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return reach(ctx, tr.Transport, "tunnel", "host.example")
		}}
		c.every(time.Second, 30*time.Minute)
		failed, _ := c.failed(t)
		assert.Equal(t, c.began, failed)
		assert.LessOrEqual(t, p.attempts.Load(), int64(4))
	})
}

// R38: stale for ever, when the body is gone: what went out counts.
func TestStaleWithBodyGone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := staleProxy{delays: []time.Duration{0}}
		tr := w.through(w.scriptedBy(scripted.Config{Script: p.script, KeepBodies: true}))
		for range 30 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://host.example/", io.NopCloser(strings.NewReader("hello")))
			_, err := tr.RoundTrip(req)
			require.Error(t, err)
		}
		assert.LessOrEqual(t, p.attempts.Load(), int64(4))
	})
}

// R8: what is sent once more for a fresh nonce is the second attempt, also if that
// takes long.
func TestSecondLegIsSecondAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := staleProxy{delays: []time.Duration{time.Millisecond, 20 * time.Second}}
		tr := w.through(w.scripted(p.script))
		c := &traffic{request: func(int) error { return reach(t.Context(), tr.Transport, "tunnel", "host.example") }}
		for range 50 {
			c.begin()
		}
		c.failed(t)
		assert.EqualValues(t, 2, p.attempts.Load())
	})
}

// R38: a proxy that says 100 Continue before it looks at the credentials, as servers
// do that are written with Python's http.server.
func TestContinueBeforeRefusal(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 3 * time.Second, 30 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var attempts atomic.Int64
				denied := scripted.Page(407, "", "Proxy-Authenticate: Basic realm=r", "Connection: close")
				s := w.scriptedBy(scripted.Config{KeepBodies: true, Script: func(req *http.Request) scripted.Answer {
					if req.Header.Get("Proxy-Authorization") == "" {
						return denied
					}
					attempts.Add(1)
					return scripted.After(time.Millisecond, scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n")).Then(scripted.After(delay, denied))
				}})
				tr := w.through(s)
				c := &traffic{request: func(int) error {
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://host.example/", strings.NewReader("hello"))
					_, err := tr.RoundTrip(req)
					return err
				}}
				for range 200 {
					c.begin()
				}
				failed, _ := c.failed(t)
				assert.Equal(t, 200, failed)
				assert.LessOrEqual(t, attempts.Load(), int64(4))
			})
		})
	}
}

// R8, R36: those who wait for a connection when the user changes have no place for
// the new one's password.
func TestWaitingWhenUserChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newCrowdedProxy(proxytest.Config{Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{
			Access: func(l proxytest.Leg) proxytest.Answer {
				if l.Host == "slow.example" {
					return proxytest.Answer{Delay: 5 * time.Second}
				}
				return proxytest.Answer{}
			},
		}})
		tr := w.newCrowdedTransport(p)
		tr.Base.MaxConnsPerHost = 1
		var user atomic.Value
		user.Store(func() (string, string) { return "alice", "open sesame" })
		tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (c proxyauth.Credentials, err error) {
			c.Username, c.Password = user.Load().(func() (string, string))()
			return c, nil
		})
		require.NoError(t, reach(t.Context(), tr, "forward", "host.example"))
		c := &traffic{request: func(n int) error {
			return reach(t.Context(), tr, "forward", map[bool]string{true: "slow.example"}[n == 0]+map[bool]string{true: "host.example"}[n > 0])
		}}
		c.begin()
		time.Sleep(time.Second)
		for range 20 {
			c.begin()
		}
		time.Sleep(time.Second)
		user.Store(func() (string, string) { return "carol", "wrong" })
		c.begin()
		failed, _ := c.failed(t)
		assert.Equal(t, 21, failed)
		assert.LessOrEqual(t, p.Attempts("carol"), 2)

		user.Store(func() (string, string) { return "alice", "open sesame" })
		require.NoError(t, reach(t.Context(), tr, "forward", "host.example"), "nothing is held against her")
	})
}

// R8: what fails before anything is sent counts for nothing.
func TestNothingWasSent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		failed := errors.New("not now")

		tr := w.newTransport(p)
		calls, broken := 0, true
		tr.Base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) {
			if calls++; broken && calls > 1 {
				return nil, failed
			}
			return nil, nil
		}
		for range 5 {
			_, _, err := fetch(tr, w.HTTPS.URL)
			require.ErrorIs(t, err, failed)
			require.NotErrorIs(t, err, proxyauth.ErrHeld)
		}
		broken = false
		requireOK(t, tr, w.HTTPS.URL)
		require.Zero(t, tr.Stats().Unclear)

		tr = w.newTransport(p)
		for range 5 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.HTTP.URL, strings.NewReader("hello"))
			req.GetBody = func() (io.ReadCloser, error) { return nil, failed }
			if resp, err := tr.RoundTrip(req); err == nil { // the proxy is known then
				resp.Body.Close()
			} else {
				require.ErrorIs(t, err, failed)
			}
		}
		require.Zero(t, tr.Stats().Unclear)
	})
}

// R8: many are held by the same answer, which none of them changes.
func TestHeldBySameAnswer(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				denies := scripted.After(10*time.Millisecond, scripted.HangUp())
				tr := w.through(w.scripted(scripted.Demand(scripted.Challenge("Basic", "realm", "r"), denies)))
				tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
				c := &traffic{request: func(int) error { return reach(t.Context(), tr.Transport, way, "host.example") }}
				for range 100 {
					c.begin()
				}
				c.failed(t)
				for range 100 {
					c.begin()
				}
				c.failed(t)
				assert.ErrorIs(t, reach(t.Context(), tr.Transport, way, "host.example"), proxyauth.ErrHeld)
			})
		})
	}
}

// R35: an answer that comes too late, and cannot be read, shows no secret to those who
// are held by it.
func TestLateAnswerWithSecret(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.scripted(func(req *http.Request) scripted.Answer {
			_, token, sent := strings.Cut(req.Header.Get("Proxy-Authorization"), " ")
			if !sent {
				return scripted.Challenge("Basic", "realm", "r")
			}
			return scripted.After(3*time.Second, scripted.Raw("HTTP/1.1 "+token+" x\r\n\r\n"))
		})
		tr := w.through(s) // which is watched
		held := false
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := reach(ctx, tr.Transport, "tunnel", "host.example")
			cancel()
			require.Error(t, err)
			require.NotContains(t, err.Error(), "YWxpY2U6b3BlbiBzZXNhbWU")
			held = held || errors.Is(err, proxyauth.ErrHeld)
			time.Sleep(time.Second)
		}
		require.True(t, held)
	})
}

// R8: a request that was sent and refused does not say that it was not sent, though
// others of its credentials are held back.
func TestRefusedBesideHeld(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newCrowdedProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}})
		tr := w.newCrowdedTransport(p)
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		require.NoError(t, reach(t.Context(), tr, "tunnel", "host.example"))
		source.password.Store("open wheat")
		p.SetUser("alice", "open barley") // neither the former one nor the new one
		for n := range 20 {
			before := p.Refused("alice")
			err := reach(t.Context(), tr, "tunnel", fmt.Sprintf("host%d.example", n))
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			require.Equal(t, p.Refused("alice") == before, strings.Contains(err.Error(), "not sent"), err)
			time.Sleep(5 * time.Second)
		}
	})
}

// R38: a proxy that closes or resets the connection on which credentials come, which
// may have been used before: net/http does not send them again.
func TestClosedOnCredentials(t *testing.T) {
	for name, end := range map[string]scripted.Answer{"closes": scripted.HangUp(), "resets": scripted.Reset()} {
		for _, scheme := range []string{"Basic", "Digest"} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					var attempts atomic.Int64
					s := w.scripted(func(req *http.Request) scripted.Answer {
						if req.Header.Get("Proxy-Authorization") == "" {
							return scripted.Challenge(scheme, "realm", "r", "qop", "auth", "nonce", "n")
						}
						attempts.Add(1)
						return scripted.After(time.Second, end)
					})
					tr := w.through(s)
					c := &traffic{request: func(int) error { return reach(t.Context(), tr.Transport, "forward", "host.example") }}
					for range 100 {
						c.begin()
					}
					c.every(time.Second, 30*time.Minute)
					c.failed(t)
					assert.LessOrEqual(t, attempts.Load(), int64(4))
				})
			})
		}
	}
}

// R8, R38: what net/http would have sent again is no matter of Retry either, which
// would close connections for nothing.
func TestClosedOnCredentialsWithRetry(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.scripted(scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.HangUp()))
		tr := w.through(s)
		tr.Retry = &proxyauth.RetryPolicy{}
		begin := time.Now()
		require.Error(t, reach(t.Context(), tr.Transport, "forward", "host.example"))
		require.Zero(t, time.Since(begin))
		require.Zero(t, tr.Stats().Retries)
		require.Len(t, s.Authorizations(), 1)
	})
}
