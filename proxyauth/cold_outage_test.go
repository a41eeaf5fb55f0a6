package proxyauth_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R38: where all that a program reaches first answers 503, for ten minutes, that
// says nothing of its password: nobody waits for more than 30 seconds, and once
// the targets are well each request passes at once. The same where it is the load
// balancer before the proxies that says so.
func TestAllTargetsUnavailableAtFirst(t *testing.T) {
	for _, name := range []string{"Basic", "Digest", "NTLM", "NTLM inside Negotiate"} {
		for _, way := range ways {
			for _, where := range []string{"targets", "balancer"} {
				t.Run(name+"/"+way+"/"+where, func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						const outage = 10 * time.Minute
						begin := time.Now()
						unavailable := proxytest.Answer{Status: 503, Delay: 50 * time.Millisecond}
						p := w.newProxy(proxytest.Config{
							Auth: wrongWays[name], Users: alice,
							Behaviour: proxytest.Behaviour{Access: func(proxytest.Leg) proxytest.Answer {
								if where == "targets" && time.Since(begin) < outage {
									return unavailable
								}
								return proxytest.Answer{Delay: 50 * time.Millisecond}
							}},
						})
						if where == "balancer" {
							p.AnswerNext(-1, unavailable)
						}
						tr := w.newTransport(p)
						ctx, cancel := context.WithTimeout(t.Context(), outage+time.Minute)
						defer cancel()
						var wg sync.WaitGroup
						for range 20 {
							wg.Go(func() { keepAsking(t, ctx, tr, way, w, outage) })
						}
						time.Sleep(outage)
						p.AnswerNext(0, proxytest.Answer{})
						wg.Wait()
						require.Zero(t, tr.Stats().Rejections+tr.Stats().NotSent)
						require.Zero(t, p.Refused("alice"))
					})
				})
			}
		}
	}
}

// keepAsking asks again and again during an outage, and after it, when all must
// pass.
func keepAsking(t *testing.T, ctx context.Context, tr requester, way string, w *world, outage time.Duration) {
	url := w.ways()[way]
	first := time.Now()
	for ; ctx.Err() == nil; time.Sleep(30 * time.Second) {
		begin := time.Now()
		status, _, err := fetch(tr, url)
		took := time.Since(begin)
		if begin.Sub(first) < outage {
			assert.LessOrEqual(t, took, 30*time.Second)
			assert.NotErrorIs(t, err, proxyauth.ErrRejected)
			continue
		}
		assert.NoError(t, err)
		assert.Equal(t, 200, status)
		assert.Less(t, took, time.Second, "it passes at once")
	}
}
