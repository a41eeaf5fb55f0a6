package proxyauth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R37: the directory of the users is away for three minutes, after it has refused two
// targets once each. Requests are for these alone, or for others too. A minute after its
// return at most all is well again, and meanwhile the credentials were sent a few times
// only.
func TestDirectoryAway(t *testing.T) {
	const gone, pace = 3 * time.Minute, time.Second
	for _, scheme := range byPassword {
		for way, targets := range map[string]int{"forward": 40, "tunnel": 2} {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					p := w.newCrowdedProxy(proxytest.Config{Auth: waysIn[scheme].auth})
					tr := w.newCrowdedTransport(p)
					request := func(host string) error {
						tr.CloseIdleConnections() // or nobody is asked by NTLM
						return reach(t.Context(), tr, way, host)
					}
					require.NoError(t, request("good.example"))
					for n := range 2 {
						p.SetDirectoryDown(-1)
						require.Error(t, request(fmt.Sprintf("host%d.example", n)))
						p.SetDirectoryDown(0)
						begin := time.Now()
						require.NoError(t, request("good.example"))
						assert.Zero(t, time.Since(begin))
						time.Sleep(pace)
					}

					c := &traffic{request: func(n int) error { return request(fmt.Sprintf("host%d.example", n%targets)) }}
					c.every(pace, 10*time.Second)
					before := p.Attempts("alice")
					p.SetDirectoryDown(-1)
					c.every(pace, gone)
					while := p.Attempts("alice") - before
					p.SetDirectoryDown(0)
					back := time.Now()
					c.every(pace, 2*time.Minute)
					failed, last := c.failed(t)
					assert.LessOrEqual(t, last.Sub(back), time.Minute)
					assert.Positive(t, failed)
					// Two hold the account, and it is tried after 20 s, 1 and 2 minutes.
					// What says nothing of it, for the proxy denied the target before, is
					// counted here, too.
					most := 6
					if scheme == "Digest" {
						most *= 2 // each with a nonce of its own
					}
					assert.LessOrEqual(t, while, most)
					t.Logf("%d of %d failed, the last %s after its return; %d attempts meanwhile", failed, c.began, last.Sub(back), while)
				})
			})
		}
	}
}
