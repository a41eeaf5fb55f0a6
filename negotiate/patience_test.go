package negotiate

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R26: what does not answer is waited for four seconds, counted from the first who
// asked; what it answers later serves those who ask then.
func TestPatience(t *testing.T) {
	t.Setenv("KRB5CCNAME", "")
	t.Setenv("KRB5_CLIENT_KTNAME", "")
	dir := t.TempDir()
	o := Options{ConfigPath: filepath.Join(dir, "krb5.conf")}
	proxy := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: map[string]string{"alice": "x"}})
	defer proxy.Close()
	require.NoError(t, proxy.WriteKerberosConfig(o.ConfigPath))

	synctest.Test(t, func(t *testing.T) {
		cache := filepath.Join(dir, "cache")
		require.NoError(t, proxy.WriteTicketCache(cache, "alice", time.Hour, "proxy.example"))
		client := NewClient(o)
		// In the place of a KDC: the name of the cache takes ten seconds, the first
		// time that it is asked for by the goroutine that gets the ticket.
		var calls atomic.Int32
		client.defaultCache = func() string {
			if calls.Add(1) == 2 {
				time.Sleep(10 * time.Second)
			}
			return cache
		}
		began := time.Now()
		fails := func(after time.Duration) {
			_, err := client.Ticket(t.Context(), "HTTP/proxy.example")
			assert.Equal(t, after, time.Since(began))
			var e *Error
			if assert.ErrorAs(t, err, &e) {
				assert.Equal(t, "the KDC cannot be reached", e.Cause)
				assert.False(t, e.Rejected)
			}
		}
		var second sync.WaitGroup
		second.Go(func() {
			time.Sleep(3 * time.Second)
			fails(4 * time.Second)
		})
		fails(4 * time.Second)
		second.Wait()
		time.Sleep(time.Second)
		fails(5 * time.Second) // at once

		time.Sleep(5 * time.Second)
		synctest.Wait()
		ticket := client.Kept("HTTP/proxy.example")
		require.NotNil(t, ticket)
		again, err := client.Ticket(t.Context(), "HTTP/proxy.example")
		require.NoError(t, err)
		require.Same(t, ticket, again)
	})
}

// R26: the time in which a login waits for its turn is none in which a KDC is waited
// for. Nobody's turn is not asked for.
func TestPatienceAfterTheTurn(t *testing.T) {
	t.Setenv("KRB5CCNAME", "")
	t.Setenv("KRB5_CLIENT_KTNAME", "")
	dir := t.TempDir()
	o := Options{ConfigPath: filepath.Join(dir, "krb5.conf"), Username: "alice@NOWHERE.EXAMPLE", Password: "x"}
	proxy := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: map[string]string{"alice": "x"}})
	defer proxy.Close()
	require.NoError(t, proxy.WriteKerberosConfig(o.ConfigPath))

	for name, test := range map[string]struct {
		reading, turn, kdc time.Duration // how long each takes
		callers            time.Duration // for how long they wait at most
		turns              int
		waited             time.Duration
		silent             bool
	}{
		"long turn":             {3 * time.Second, time.Hour, 4*time.Second - 1, 2 * time.Hour, 1, time.Hour + 7*time.Second - 1, false},
		"long turn, silent KDC": {3 * time.Second, time.Hour, 5 * time.Second, 2 * time.Hour, 1, time.Hour + 7*time.Second, true},
		"slow disk":             {5 * time.Second, 0, 0, time.Hour, 0, 4 * time.Second, true},
		"callers in a hurry":    {2 * time.Second, 0, 0, time.Second, 0, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := NewClient(o)
				var calls, turns atomic.Int32
				client.defaultCache = func() string {
					if calls.Add(1) == 2 { // of the goroutine that gets the ticket
						time.Sleep(test.reading)
					}
					return filepath.Join(dir, "none")
				}
				client.BeforeLogin(func(context.Context) (func(error), error) {
					turns.Add(1)
					time.Sleep(test.turn)
					return func(error) { time.Sleep(test.kdc) }, nil // in the place of a KDC that takes as long
				})
				ctx, cancel := context.WithTimeout(t.Context(), test.callers)
				defer cancel()
				began := time.Now()
				_, err := client.Ticket(ctx, "HTTP/proxy.example")
				assert.Error(t, err)
				assert.Equal(t, test.waited, time.Since(began))
				if test.silent {
					assert.ErrorIs(t, err, errSilent)
				} else {
					assert.NotErrorIs(t, err, errSilent)
				}
				time.Sleep(time.Minute)
				assert.EqualValues(t, test.turns, turns.Load())
			})
		})
	}
}
