package proxyauth_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// Many ask at once, and the source is asked once.
func TestCachedBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newSafe("one")
		vault.takes = time.Second
		source := proxyauth.Cached(vault, time.Minute)
		burst := func(n int, req proxyauth.CredentialRequest) (errs []error) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					_, err := source.ProxyCredentials(t.Context(), req)
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				})
			}
			wg.Wait()
			return errs
		}
		begin := time.Now()
		require.Equal(t, make([]error, 1000), burst(1000, basicAt("a:1", "r")))
		require.Equal(t, time.Second, time.Since(begin))
		require.Equal(t, 1, vault.calls())

		// Those who wait get an error, too, and do not ask one after the other.
		vault.fails(errVault)
		for _, err := range burst(1000, basicAt("a:2", "r")) {
			require.ErrorIs(t, err, errVault)
		}
		require.Equal(t, 1, vault.calls())
		vault.fails(nil)

		// To another proxy the way is free meanwhile, and to what is kept.
		waiting := make(chan error)
		go func() { waiting <- burst(1, basicAt("a:3", "r"))[0] }()
		synctest.Wait()
		begin = time.Now()
		gives(t, "one", source, basicAt("a:1", "r"))
		require.Zero(t, time.Since(begin))
		go func() { waiting <- burst(1, basicAt("a:4", "r"))[0] }()
		require.NoError(t, <-waiting)
		require.NoError(t, <-waiting)
		require.Equal(t, time.Second, time.Since(begin))
	})
}

// Each request ends with its own context, and none with that of another.
func TestCachedContexts(t *testing.T) {
	for _, d := range []time.Duration{time.Minute, 0} {
		synctest.Test(t, func(t *testing.T) {
			vault := newSafe("one")
			vault.takes = 10 * time.Second
			source := proxyauth.Cached(vault, d)
			ends := func(after time.Duration, cause error) (ended chan error) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), after, cause)
				ended = make(chan error, 1)
				go func() {
					defer cancel()
					_, err := source.ProxyCredentials(ctx, basicAt("a:1", "r"))
					ended <- err
				}()
				synctest.Wait()
				return ended
			}
			begin := time.Now()
			patience := errors.New("no patience")
			first, second, third := ends(3*time.Second, nil), ends(2*time.Second, patience), ends(time.Minute, nil)
			require.Equal(t, patience, <-second)
			require.Equal(t, 2*time.Second, time.Since(begin))
			require.ErrorIs(t, <-first, context.DeadlineExceeded)
			require.Equal(t, 3*time.Second, time.Since(begin))
			require.NoError(t, <-third, "it asks itself")
			require.Equal(t, 13*time.Second, time.Since(begin))
			require.Equal(t, 2, vault.calls())
		})
	}
}

// An answer counts for all who wait, though nobody waits any longer in whose name it was
// asked for.
func TestCachedLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		source := proxyauth.Cached(proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			calls++
			time.Sleep(10 * time.Second) // whatever the context says
			return of("one"), nil
		}), time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { source.ProxyCredentials(ctx, basicAt("a:1", "r")) })
		synctest.Wait()
		wg.Go(func() { gives(t, "one", source, basicAt("a:1", "r")) })
		wg.Wait()
		gives(t, "one", source, basicAt("a:1", "r"))
		require.Equal(t, 1, calls)
	})
}

// Who waits for a call that began before its credentials were refused asks again if it
// gives those.
func TestCachedRejectedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vault := newSafe("one")
		vault.takes = time.Second
		source := proxyauth.Cached(vault, time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { gives(t, "one", source, basicAt("a:1", "r")) })
		synctest.Wait()
		begin := time.Now()
		gives(t, "one", source, basicAt("a:1", "r", of("one")))
		require.Equal(t, 2*time.Second, time.Since(begin), "once more, and then that is it")
		require.Equal(t, 2, vault.calls())
		wg.Wait()
	})
}

// A source that panics does so in the request that has asked, and no other waits for
// ever.
func TestCachedPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		source := proxyauth.Cached(proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			calls++
			time.Sleep(time.Second)
			if calls == 1 {
				panic("vault")
			}
			return of("one"), nil
		}), time.Minute)
		panicked := make(chan any)
		go func() {
			defer func() { panicked <- recover() }()
			source.ProxyCredentials(t.Context(), basicAt("a:1", "r"))
		}()
		synctest.Wait()
		go func() { gives(t, "one", source, basicAt("a:1", "r")); panicked <- nil }()
		require.Equal(t, "vault", <-panicked)
		require.Nil(t, <-panicked)
	})
}
