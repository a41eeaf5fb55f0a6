package negotiate

import (
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
