package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

var basicOnly = []proxytest.Auth{proxytest.Basic{Realm: "r"}}

// R8: another pair from the source goes at once; but of one user name no more than
// two that never passed in 31 minutes.
func TestTwoPairsOfAUser(t *testing.T) {
	for name, auth := range wrongWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: auth, Users: alice})
				tr := w.newTransport(p)
				source := &rotating{}
				tr.Credentials = source
				var first time.Time
				for i, password := range []string{"one", "two"} {
					source.password.Store(password)
					begin := time.Now()
					allRejected(t, 50, tr, w.HTTP.URL)
					require.Zero(t, time.Since(begin), "at once")
					require.Equal(t, 2*(i+1), p.Attempts("alice"))
					if i == 0 {
						first = begin
						time.Sleep(10 * time.Minute)
					}
				}
				source.password.Store("three")
				held := requireUnsent(t, tr, p, w.HTTP.URL)
				require.ErrorIs(t, held, proxyauth.ErrRejected)
				require.WithinDuration(t, first.Add(31*time.Minute), held.NextTry, 2*time.Second)

				time.Sleep(time.Until(held.NextTry))
				source.password.Store("open sesame")
				requireOK(t, tr, w.HTTP.URL)
				require.Equal(t, 4, p.Refused("alice"))
			})
		})
	}
}

// R8: what never passed at any proxy has four attempts at all of them together;
// what has passed at one has two at each.
func TestOnePairAtManyProxies(t *testing.T) {
	for _, passes := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *world) {
			proxies := make(map[string]*proxytest.Proxy) // by target
			var targets []string
			for i := range 6 {
				users := map[string]string{"alice": "other"}
				if i == 0 && passes {
					users = alice
				}
				target := w.newOrigin().HTTP.URL
				targets = append(targets, target)
				proxies[target] = w.newProxy(proxytest.Config{Auth: basicOnly, Users: users})
			}
			attempts := func() (n int) {
				for _, p := range proxies {
					n += p.Refused("alice")
				}
				return n
			}
			tr := w.newTransport(proxies[targets[0]])
			tr.Proxy = func(req *http.Request) (*url.URL, error) { return proxies["http://"+req.URL.Host].URL, nil }
			wanted := 4
			if passes {
				wanted = 2 * 5
				requireOK(t, tr, targets[0])
				targets = targets[1:]
			}
			for range 3 {
				for _, target := range targets {
					allRejected(t, 10, tr, target)
				}
			}
			require.Equal(t, wanted, attempts())
			time.Sleep(30 * time.Minute)
			for _, target := range targets {
				requireUnsent(t, tr, proxies[target], target)
			}
			require.Equal(t, wanted, attempts())
		})
	}
}

// An askedSource notes what it is told to be rejected.
type askedSource struct {
	proxyauth.CredentialSource
	mu       sync.Mutex
	askings  int
	rejected []proxyauth.Credentials // by the first of these
	most     int
}

func (a *askedSource) ProxyCredentials(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	a.mu.Lock()
	if a.askings++; a.askings == 1 {
		a.rejected = slices.Clone(req.Rejected)
	}
	a.most = max(a.most, len(req.Rejected))
	a.mu.Unlock()
	return a.CredentialSource.ProxyCredentials(ctx, req)
}

// told returns what the source is told when one more request begins.
func (a *askedSource) told(tr *watchedTransport, url string) []proxyauth.Credentials {
	a.askings, a.rejected = 0, nil
	fetch(tr, url)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rejected
}

// R8: a source is told which credentials may not be sent now, since they were
// refused: not what is only suspect, or unclear, nor what may be tried again.
func TestRejectedIsWhatMayNotBeSent(t *testing.T) {
	pair := proxyauth.Credentials{Username: "alice", Password: "open sesame"}
	asked := func(tr *watchedTransport) *askedSource {
		source := &askedSource{CredentialSource: proxyauth.UserPassword(pair.Username, pair.Password)}
		tr.Credentials = source
		return source
	}
	t.Run("never passed", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: map[string]string{"alice": "other"}})
			tr := w.newTransport(p)
			source := asked(tr)
			require.Empty(t, source.told(tr, w.HTTP.URL))
			require.Empty(t, source.told(tr, w.HTTP.URL), "refused once")
			require.True(t, slices.Equal([]proxyauth.Credentials{pair}, source.told(tr, w.HTTP.URL)), "refused twice")
			time.Sleep(31*time.Minute + 2*time.Second)
			require.Empty(t, source.told(tr, w.HTTP.URL), "it may be tried")
			require.Len(t, source.told(tr, w.HTTP.URL), 1)
			tr.ForgetRejections()
			require.Empty(t, source.told(tr, w.HTTP.URL))
		})
	})
	t.Run("passed", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: alice})
			tr := w.newTransport(p)
			source := asked(tr)
			other := w.newOrigin().HTTP.URL
			requireOK(t, tr, w.HTTP.URL)
			p.SetDirectoryDown(-1)
			require.Empty(t, source.told(tr, w.HTTP.URL))
			require.Empty(t, source.told(tr, other), "suspect")
			require.True(t, slices.Equal([]proxyauth.Credentials{pair}, source.told(tr, other)), "held")
			p.SetDirectoryDown(0)
			time.Sleep(time.Minute)
			require.Empty(t, source.told(tr, other), "it may be tried")
			requireOK(t, tr, other)
		})
	})
	t.Run("unclear", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			tr := w.through(w.scripted(scripted.Demand(askBasic, scripted.Status(401))))
			source := asked(tr)
			for range 4 {
				require.Empty(t, source.told(tr, w.HTTPS.URL))
			}
			require.NotZero(t, tr.Stats().NotSent)
		})
	})
	t.Run("the latest last", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: alice})
			tr := w.newTransport(p)
			var user atomic.Int32
			source := &askedSource{CredentialSource: proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
				return proxyauth.Credentials{Username: fmt.Sprint("user", user.Load()), Password: "wrong"}, nil
			})}
			tr.Credentials = source
			for range 6 {
				allRejected(t, 3, tr, w.HTTP.URL)
				user.Add(1)
				time.Sleep(time.Second)
			}
			var users []string
			for _, c := range source.told(tr, w.HTTP.URL) {
				users = append(users, c.Username)
			}
			require.Equal(t, []string{"user0", "user1", "user2", "user3", "user4", "user5"}, users)
		})
	})
}

// R8, R38: a source that has another wrong password for each request, for ever.
func TestRotatingWrongPasswords(t *testing.T) {
	for name, auth := range map[string][]proxytest.Auth{"one scheme": basicOnly, "two schemes": digestAndBasic()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: auth, Users: alice})
				tr := w.newTransport(p)
				var n atomic.Int64
				source := &askedSource{CredentialSource: proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
					return proxyauth.Credentials{Username: "alice", Password: fmt.Sprint("wrong", n.Add(1))}, nil
				})}
				tr.Credentials = source
				c := &askers{
					tr: tr.Transport, way: "forward", size: 20, grows: 2, longest: time.Minute, lasts: 3 * time.Hour,
					attempts: func() int { return p.Attempts("alice") },
					judge: func(err error, took time.Duration) string {
						if !errors.Is(err, proxyauth.ErrRejected) {
							return "not rejected"
						}
						return ""
					},
				}
				c.run(t.Context())
				require.Empty(t, c.complaints)
				require.LessOrEqual(t, c.most(30*time.Minute), 4)
				require.LessOrEqual(t, c.within(time.Minute), 4)
				require.LessOrEqual(t, source.most, 4, "what the source is told is bounded")
				t.Log(c.seen, source.most)
			})
		})
	}
}

// R8: many user names in one Transport, all wrong: each is tried twice. Here they
// are a few; TestThousandsOfWrongUserNames has more.
func TestManyWrongUserNames(t *testing.T) { tryWrongUserNames(t, 50) }

func tryWrongUserNames(t *testing.T, users int) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: basicOnly, Users: alice})
		tr := w.newTransport(p)
		name := func(n int) string { return fmt.Sprint("user", n) }
		var user atomic.Value
		tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			return proxyauth.Credentials{Username: user.Load().(string), Password: "wrong"}, nil
		})
		for i := range 3 * users {
			user.Store(name(i % users))
			_, _, err := fetch(tr.Transport, w.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		for i := range users {
			require.Equal(t, 2, p.Attempts(name(i)), name(i))
		}
		require.EqualValues(t, users, tr.Stats().NotSent)
	})
}
