package proxyauth_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A safe is a source that is slow and can be told what to say.
type safe struct {
	mu             sync.Mutex
	user, password shelf
	err            error
	takes          time.Duration
	asked          []proxyauth.CredentialRequest
}

// newSafe returns a safe with a password of alice.
func newSafe(password string) *safe {
	s := &safe{}
	s.name("alice", password)
	return s
}

// name has the safe give other credentials from now on.
func (s *safe) name(user, password string) {
	s.user.Store(user)
	s.password.Store(password)
}

func (s *safe) ProxyCredentials(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req)
	takes, err := s.takes, s.err
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return proxyauth.Credentials{}, fmt.Errorf("safe: %w", ctx.Err())
	}
	if err != nil {
		return proxyauth.Credentials{}, err
	}
	return proxyauth.Credentials{Username: s.user.Load(), Password: s.password.Load()}, nil
}

// fails has the safe fail from now on, or no longer.
func (s *safe) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// calls returns how often it was asked since the last time.
func (s *safe) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.asked)
	s.asked = nil
	return n
}

// of returns the credentials of alice.
func of(password string) proxyauth.Credentials {
	return proxyauth.Credentials{Username: "alice", Password: password}
}

// basicAt is a request for a proxy and a realm.
func basicAt(proxy, realm string, rejected ...proxyauth.Credentials) proxyauth.CredentialRequest {
	return proxyauth.CredentialRequest{Proxy: &url.URL{Scheme: "http", Host: proxy}, Scheme: "Basic", Realm: realm, Rejected: rejected}
}

// gives checks that a source gives a password.
func gives(t *testing.T, want string, source proxyauth.CredentialSource, req proxyauth.CredentialRequest) {
	t.Helper()
	c, err := source.ProxyCredentials(t.Context(), req)
	assert.NoError(t, err)
	assert.Equal(t, "alice:"+want, c.Username+":"+c.Password)
}

// What the source gave counts for a while, for each proxy, scheme and realm.
func TestCachedKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newSafe("one")
		source := proxyauth.Cached(vault, time.Minute)
		requests := []proxyauth.CredentialRequest{basicAt("a:1", "r"), basicAt("a:1", "s"), basicAt("a:2", "r")}
		digest := requests[0]
		digest.Scheme = "Digest"
		secure := basicAt("a:1", "r")
		secure.Proxy.Scheme = "https"
		requests = append(requests, digest, secure)
		for _, req := range requests {
			for range 3 {
				gives(t, "one", source, req)
			}
			require.Equal(t, 1, vault.calls())
		}
		vault.password.Store("two")
		time.Sleep(time.Minute - 1)
		for _, req := range requests {
			gives(t, "one", source, req)
		}
		require.Zero(t, vault.calls())
		time.Sleep(time.Nanosecond)
		for _, req := range requests {
			gives(t, "two", source, req)
			require.Equal(t, 1, vault.calls())
		}
	})
}

// A request is given to the source as it came.
func TestCachedAsks(t *testing.T) {
	vault := newSafe("one")
	req := basicAt("a:1", "r", of("nil"))
	gives(t, "one", proxyauth.Cached(vault, time.Minute), req)
	require.Equal(t, []proxyauth.CredentialRequest{req}, vault.asked)
}

// What was rejected is forgotten at once. A source that gives the same again is asked
// once a second.
func TestCachedRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newSafe("one")
		source := proxyauth.Cached(vault, time.Hour)
		gives(t, "one", source, basicAt("a:1", "r"))
		gives(t, "one", source, basicAt("a:1", "r", of("other")))
		require.Equal(t, 1, vault.calls())

		for range 3 {
			for range 5 {
				gives(t, "one", source, basicAt("a:1", "r", of("one")))
			}
			require.Equal(t, 1, vault.calls())
			time.Sleep(time.Second - 1)
			gives(t, "one", source, basicAt("a:1", "r", of("other"), of("one")))
			require.Zero(t, vault.calls())
			time.Sleep(time.Nanosecond)
		}
		vault.password.Store("two")
		for range 5 {
			gives(t, "two", source, basicAt("a:1", "r", of("one")))
		}
		require.Equal(t, 1, vault.calls())

		// Nobody calls them rejected any longer.
		gives(t, "two", source, basicAt("a:1", "r", of("two")))
		require.Equal(t, 1, vault.calls())
		time.Sleep(time.Minute)
		gives(t, "two", source, basicAt("a:1", "r"))
		require.Zero(t, vault.calls())

		// They are forgotten even if the source fails then.
		vault.fails(errVault)
		_, err := source.ProxyCredentials(t.Context(), basicAt("a:1", "r", of("two")))
		require.ErrorIs(t, err, errVault)
		vault.fails(nil)
		gives(t, "two", source, basicAt("a:1", "r"))
		require.Equal(t, 2, vault.calls())
	})
}

// That there is nothing is an answer, and an error is none.
func TestCachedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newSafe("")
		source := proxyauth.Cached(vault, time.Minute)
		asks := func(want error, calls int) {
			t.Helper()
			for range 3 {
				c, err := source.ProxyCredentials(t.Context(), basicAt("a:1", "r"))
				require.ErrorIs(t, err, want)
				require.Empty(t, c.Username)
			}
			require.Equal(t, calls, vault.calls())
		}
		vault.fails(errVault)
		asks(errVault, 3)
		none := fmt.Errorf("vault: %w", proxyauth.ErrNoCredentials)
		vault.fails(none)
		asks(none, 1)
		vault.fails(nil)
		time.Sleep(time.Minute)
		gives(t, "", source, basicAt("a:1", "r"))
		require.Equal(t, 1, vault.calls())

		// Neither does an error bring back what was before.
		time.Sleep(time.Minute)
		vault.fails(errVault)
		asks(errVault, 3)
	})
	nothing := proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (c proxyauth.Credentials, err error) { return })
	calls := 0
	source := proxyauth.Cached(proxyauth.CredentialFunc(func(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		calls++
		return nothing(ctx, req)
	}), time.Minute)
	for range 3 {
		c, err := source.ProxyCredentials(t.Context(), basicAt("a:1", "r"))
		require.NoError(t, err)
		require.Zero(t, c)
	}
	require.Equal(t, 1, calls)

	_, err := proxyauth.Cached(nil, time.Minute).ProxyCredentials(t.Context(), basicAt("a:1", "r"))
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
}

// No time is no time: only requests that wait together share a call. The longest is for
// ever.
func TestCachedTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []time.Duration{0, -time.Second, math.MinInt64, math.MaxInt64} {
			vault := newSafe("one")
			vault.takes = time.Second
			source := proxyauth.Cached(vault, d)
			for range 3 {
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() { gives(t, "one", source, basicAt("a:1", "r")) })
				}
				wg.Wait()
				time.Sleep(1000 * time.Hour)
			}
			if d > 0 {
				require.Equal(t, 1, vault.calls())
			} else {
				require.Equal(t, 3, vault.calls(), d)
			}
		}
	})
}

// However many realms a proxy thinks of, 1,024 answers are kept: the latest.
func TestCachedBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newSafe("one")
		source := proxyauth.Cached(vault, time.Hour)
		ask := func(i int) int {
			gives(t, "one", source, basicAt("a:1", strconv.Itoa(i)))
			time.Sleep(time.Millisecond)
			return vault.calls()
		}
		for i := range 1024 {
			require.Equal(t, 1, ask(i))
		}
		for i := range 1024 {
			require.Zero(t, ask(i))
		}
		require.Equal(t, 1, ask(1024))
		require.Zero(t, ask(1))
		require.Equal(t, 1, ask(0))
		require.Zero(t, ask(2))
		require.Equal(t, 1, ask(1))
	})
}

// A source is asked for each request.
func TestCachedAllocates(t *testing.T) {
	source, req := proxyauth.Cached(newSafe("one"), time.Hour), basicAt("a:1", "r", of("other"))
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() { source.ProxyCredentials(ctx, req) }))
}

// R8: a password that has changed at the proxy and in the vault costs few requests, and
// the vault few calls; while nobody has changed it there, too.
func TestCachedRotation(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: map[string]string{"alice": "open barley"}})
				tr := w.newTransport(p)
				vault := newSafe("open barley")
				tr.Credentials = proxyauth.Cached(vault, time.Hour)
				other := w.newOrigin()
				next := func(i int) error {
					tr.CloseIdleConnections()
					status, _, err := fetch(tr, []string{w.ways()[way], other.ways()[way]}[i%2])
					if err == nil {
						require.Equal(t, http.StatusOK, status)
					}
					return err
				}
				for i := range 10 {
					require.NoError(t, next(i))
				}
				require.Equal(t, 1, vault.calls())

				p.SetUser("alice", "open sesame")
				begin := time.Now()
				for i := range 100 {
					require.ErrorIs(t, next(i), proxyauth.ErrRejected)
					time.Sleep(10 * time.Millisecond)
				}
				require.LessOrEqual(t, vault.calls(), 2*int(1+time.Since(begin)/time.Second), "for each scheme")
				vault.password.Store("open sesame")
				time.Sleep(time.Second)
				for i := range 10 {
					require.NoError(t, next(i))
				}
				require.LessOrEqual(t, vault.calls(), 2)
			})
		})
	}
}
