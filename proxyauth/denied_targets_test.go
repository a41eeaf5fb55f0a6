package proxyauth_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// How long the proxy of these tests takes to let a request pass, and to deny it, and
// how long a good request may wait.
const letsPass, denies, mostWait = 20 * time.Millisecond, 30 * time.Millisecond, 200 * time.Millisecond

// denyRule is that of a proxy that denies the hosts of denied.example with a 407.
func denyRule(leg proxytest.Leg) proxytest.Answer {
	if host, _, _ := strings.Cut(leg.HostPort(), ":"); strings.HasSuffix(host, "denied.example") {
		return proxytest.Answer{Status: 407, Delay: denies}
	}
	return proxytest.Answer{Delay: letsPass}
}

// behindDenyRule runs f in a bubble with a client whose credentials have passed, and
// good traffic of it.
func behindDenyRule(t *testing.T, scheme, way string, f func(t *testing.T, tr *proxyauth.Transport, good *traffic)) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newCrowdedProxy(proxytest.Config{Auth: waysIn[scheme].auth, Behaviour: proxytest.Behaviour{Access: denyRule}})
		tr := w.newCrowdedTransport(p)
		require.NoError(t, reach(t.Context(), tr, way, "good.example"))
		good := &traffic{request: func(n int) error {
			return reach(t.Context(), tr, way, fmt.Sprintf("good%d.example", n%40))
		}}
		f(t, tr, good)
		failed, _ := good.failed(t)
		assert.Zero(t, failed)
		assert.LessOrEqual(t, good.longest, letsPass+mostWait)
		assert.Zero(t, p.Refused("alice"))
		t.Logf("%d good requests, the slowest took %s; %d legs were denied", good.began, good.longest, p.Denied("alice"))
	})
}

// besideDenyRule asks for a page that the proxy denies 10 times a second, beside 100
// good requests a second.
func besideDenyRule(t *testing.T, scheme, way string, length time.Duration) {
	behindDenyRule(t, scheme, way, func(t *testing.T, tr *proxyauth.Transport, good *traffic) {
		denied := &traffic{request: func(int) error { return reach(t.Context(), tr, way, "denied.example") }}
		var both sync.WaitGroup
		both.Go(func() { good.every(10*time.Millisecond, length) })
		both.Go(func() { denied.every(100*time.Millisecond, length) })
		both.Wait()
		failed, _ := denied.failed(t)
		assert.Equal(t, denied.began, failed)
	})
}

// R37: a page that the proxy denies, asked for again and again beside good traffic:
// none of that fails, or waits long. TestDenyRuleForMinutes goes on with it.
func TestDenyRuleBesideGoodTraffic(t *testing.T) {
	for _, scheme := range byPassword {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				besideDenyRule(t, scheme, way, time.Second)
			})
		}
	}
}

// R37: a page of six denied parts, asked for at once, three times: no other request
// fails.
func TestDeniedPage(t *testing.T) {
	for _, scheme := range byPassword {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				behindDenyRule(t, scheme, way, func(t *testing.T, tr *proxyauth.Transport, good *traffic) {
					parts := &traffic{request: func(n int) error {
						return reach(t.Context(), tr, way, fmt.Sprintf("part%d.denied.example", n))
					}}
					for range 3 {
						good.every(50*time.Millisecond, time.Second)
						for range 6 {
							parts.begin()
						}
					}
					good.every(50*time.Millisecond, time.Second)
					failed, _ := parts.failed(t)
					assert.Equal(t, 18, failed)
				})
			})
		}
	}
}
