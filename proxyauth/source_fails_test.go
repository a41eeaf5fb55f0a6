package proxyauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A failWorld is a proxy of one scheme that knows two users, and a Transport whose
// source can be told what to say.
type failWorld struct {
	*world
	p      *proxytest.Proxy
	tr     *watchedTransport
	source *safe
	book   *logbook
	url    string
}

// withFailingSource runs f by all schemes that take a password, on both ways.
func withFailingSource(t *testing.T, f func(*testing.T, failWorld)) {
	for _, scheme := range []string{"Basic", "Digest", "NTLM"} {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					p := w.newProxy(proxytest.Config{Auth: waysIn[scheme].auth, Users: map[string]string{"alice": "open sesame", "bob": "open sesame"}})
					tr := w.newTransport(p)
					tr.Base.TLSClientConfig.CurvePreferences = quickCurve
					source, book := newSafe("open sesame"), &logbook{}
					tr.Credentials = source
					tr.Logger = slog.New(slog.NewJSONHandler(book, nil))
					f(t, failWorld{w, p, tr, source, book, w.ways()[way]})
				})
			})
		}
	}
}

// authenticates makes a request that cannot use a connection or a tunnel of an earlier one.
func (w failWorld) authenticates() error {
	w.tr.CloseIdleConnections()
	synctest.Wait()
	status, _, err := fetch(w.tr, w.url)
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// requireFails requires that a request fails by what the source says, and sends nothing.
func (w failWorld) requireFails(t *testing.T, cause error) {
	t.Helper()
	before := w.attempts()
	err := w.authenticates()
	var e *proxyauth.AuthError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, cause)
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
	require.Equal(t, before, w.attempts())
}

func (w failWorld) attempts() int { return w.p.Attempts("alice") + w.p.Attempts("bob") }

// requireTold requires one event of the failure since the last call.
func (w failWorld) requireTold(t *testing.T) {
	t.Helper()
	events := w.book.told(t, slog.LevelWarn)
	require.Len(t, events, 1)
	require.Equal(t, "proxy: the credential source failed", events[0]["msg"])
	require.Equal(t, w.p.URL.String(), events[0]["proxy"])
	require.Equal(t, "Transport.Credentials", events[0]["source"])
	require.Equal(t, errVault.Error(), events[0]["error"])
}

// R8: a source that fails leaves the credentials that passed last in use for 5
// minutes. It is told once, and not for each request; then requests fail.
func TestSourceFails(t *testing.T) {
	withFailingSource(t, func(t *testing.T, w failWorld) {
		for range 2 {
			require.NoError(t, w.authenticates())
			require.Empty(t, w.book.told(t, slog.LevelWarn))
			begin := time.Now()
			w.source.fails(errVault)
			for time.Since(begin) < 5*time.Minute-10*time.Second {
				before := w.p.Attempts("alice")
				require.NoError(t, w.authenticates(), time.Since(begin))
				require.Greater(t, w.p.Attempts("alice"), before)
				if begin.Equal(time.Now()) {
					w.requireTold(t)
				}
				time.Sleep(10 * time.Second)
			}
			require.Empty(t, w.book.told(t, slog.LevelWarn), "once is enough")
			time.Sleep(11 * time.Second)
			for range 3 {
				w.requireFails(t, errVault)
				time.Sleep(time.Hour)
			}
			w.source.fails(nil) // and from then on it is as if nothing had been
		}
		require.NoError(t, w.authenticates())
		require.Zero(t, w.p.Refused("alice"))
		require.Zero(t, w.tr.Stats().NotSent)
	})
}

// R8: the 5 minutes begin anew with each failure, and not with the last pass.
func TestSourceFailsLate(t *testing.T) {
	withFailingSource(t, func(t *testing.T, w failWorld) {
		require.NoError(t, w.authenticates())
		time.Sleep(time.Hour)
		for range 3 {
			w.source.fails(errVault)
			require.NoError(t, w.authenticates())
			w.requireTold(t)
			time.Sleep(4 * time.Minute)
			require.NoError(t, w.authenticates())
			w.source.fails(nil)
			require.NoError(t, w.authenticates())
		}
	})
}

// R8: that there are no credentials, or others, is an answer, which counts at once:
// also while the source had failed before.
func TestSourceSaysNone(t *testing.T) {
	for _, fails := range []bool{false, true} {
		withFailingSource(t, func(t *testing.T, w failWorld) {
			require.NoError(t, w.authenticates())
			outage := func() {
				if fails {
					w.source.fails(errVault)
					require.NoError(t, w.authenticates())
				}
			}
			outage()
			none := fmt.Errorf("vault: %w", proxyauth.ErrNoCredentials)
			w.source.fails(none)
			w.requireFails(t, proxyauth.ErrNoCredentials)
			w.source.fails(nil)
			require.NoError(t, w.authenticates())

			outage()
			w.source.fails(nil)
			w.source.name("", "")
			w.requireFails(t, proxyauth.ErrNoCredentials)
			w.source.name("alice", "open sesame")
			require.NoError(t, w.authenticates())

			outage()
			w.source.fails(nil)
			w.source.name("bob", "open sesame")
			w.p.Reset()
			require.NoError(t, w.authenticates())
			require.Zero(t, w.p.Attempts("alice"))
			require.Equal(t, 1, w.p.Attempts("bob"))

			// Where they fail now, it is bob's that go on.
			w.source.fails(errVault)
			require.NoError(t, w.authenticates())
			require.Zero(t, w.p.Attempts("alice"))
			require.Equal(t, 2, w.p.Attempts("bob"))
		})
	}
}

// R8: where nothing has passed yet, a source that fails ends the request at once.
func TestSourceFailsCold(t *testing.T) {
	withFailingSource(t, func(t *testing.T, w failWorld) {
		w.source.fails(errVault)
		w.requireFails(t, errVault)
		w.source.fails(nil)
		w.source.name("alice", "open barley")
		require.ErrorIs(t, w.authenticates(), proxyauth.ErrRejected)
		w.source.fails(errVault)
		w.requireFails(t, errVault)
		w.source.fails(nil)
		w.source.name("alice", "open sesame")
		require.NoError(t, w.authenticates())
	})
}

// R8: many requests meet the failure at once, and it is told once.
func TestSourceFailsMany(t *testing.T) {
	withFailingSource(t, func(t *testing.T, w failWorld) {
		require.NoError(t, w.authenticates())
		w.source.fails(errVault)
		w.tr.CloseIdleConnections()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, _, err := fetch(w.tr, w.url)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		w.requireTold(t)
	})
}

// R8: a request that does not wait for the source says nothing of it.
func TestSourceIsNotWaitedFor(t *testing.T) {
	withFailingSource(t, func(t *testing.T, w failWorld) {
		require.NoError(t, w.authenticates())
		w.source.takes = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, "GET", w.url, nil)
		require.NoError(t, err)
		begin := time.Now()
		_, err = w.tr.RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begin))
		require.Empty(t, w.book.told(t, slog.LevelWarn))
		time.Sleep(10 * time.Minute)
		w.source.takes = 0
		w.source.fails(errVault)
		require.NoError(t, w.authenticates())
		w.requireTold(t)
	})
}

// R35: what the source says of its failure is shown as it is, and nothing of what it gave
// before.
func TestSourceFailsSilently(t *testing.T) {
	withFailingSource(t, func(t *testing.T, w failWorld) {
		require.NoError(t, w.authenticates())
		w.source.fails(errVault)
		require.NoError(t, w.authenticates())
		time.Sleep(6 * time.Minute)
		w.requireFails(t, errVault)
		w.book.mu.Lock()
		defer w.book.mu.Unlock()
		require.True(t, bytes.Contains(w.book.text.Bytes(), []byte(errVault.Error())))
		requireNoSecret(t, w.book.text.String(), authorizations(w.p))
	})
}

// R8, R40: where a source fails for one realm alone, that is told once, and after five
// minutes requests to that realm fail, whatever the source says for others.
func TestSourceFailsForOneRealm(t *testing.T) {
	inTwoRealms(t, func(t *testing.T, _ *proxytest.Proxy, tr *watchedTransport, world, intranet string) {
		var down atomic.Bool
		book := &logbook{}
		tr.Logger = slog.New(slog.NewJSONHandler(book, nil))
		tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			if down.Load() && req.Realm == "intranet" {
				return proxyauth.Credentials{}, errors.New("the vault is sealed")
			}
			return realmSource(ctx, req)
		})
		for range 2 {
			requireOK(t, tr, world)
			requireOK(t, tr, intranet)
		}
		book.told(t, slog.LevelWarn)
		down.Store(true)
		for range 10 {
			requireOK(t, tr, intranet)
			requireOK(t, tr, world)
			tr.CloseIdleConnections()
			time.Sleep(29 * time.Second)
		}
		require.Len(t, book.told(t, slog.LevelWarn), 1)
		time.Sleep(11 * time.Second)
		_, _, err := fetch(tr, intranet)
		require.ErrorContains(t, err, "the vault is sealed")
		requireOK(t, tr, world)
		down.Store(false)
		requireOK(t, tr, intranet)
	})
}
