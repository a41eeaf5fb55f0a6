package proxyauth_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R46: after a pause of ten minutes one or two of five goroutines ask for targets that
// are slow or dead. Nobody else waits more than 0.7 s.
func TestSlowTargetsAfterPause(t *testing.T) {
	for name, slow := range map[string]proxytest.Answer{
		"slow":           {Delay: 10 * time.Second},
		"503 after 30 s": {Delay: 30 * time.Second, Status: 503},
		"never answered": {Never: true}, // they give up after a minute
	} {
		for _, scheme := range byPassword {
			for _, way := range ways {
				for slowOnes := 1; slowOnes <= 2; slowOnes++ {
					t.Run(fmt.Sprint(name, "/", scheme, "/", way, "/", slowOnes), func(t *testing.T) {
						t.Parallel()
						afterPause(t, slow, scheme, way, slowOnes)
					})
				}
			}
		}
	}
}

func afterPause(t *testing.T, slow proxytest.Answer, scheme, way string, slowOnes int) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newCrowdedProxy(proxytest.Config{Auth: waysIn[scheme].auth, Behaviour: proxytest.Behaviour{
			Access: func(leg proxytest.Leg) proxytest.Answer {
				if strings.HasPrefix(leg.HostPort(), "slow") {
					return slow
				}
				return proxytest.Answer{Delay: letsPass}
			},
		}})
		tr := w.newCrowdedTransport(p)
		require.NoError(t, reach(t.Context(), tr, way, "good.example"))
		time.Sleep(10 * time.Minute)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		behind := &traffic{request: func(n int) error { return reach(ctx, tr, way, fmt.Sprintf("slow%d.example", n)) }}
		others := &traffic{request: func(n int) error { return reach(ctx, tr, way, fmt.Sprintf("host%d.example", n)) }}
		for range slowOnes {
			behind.begin()
		}
		for range 5 - slowOnes {
			time.Sleep(10 * time.Millisecond)
			others.begin()
		}
		others.every(100*time.Millisecond, time.Second)
		failed, _ := others.failed(t)
		assert.Zero(t, failed)
		assert.LessOrEqual(t, others.longest, letsPass+700*time.Millisecond)
		behind.all.Wait()
		t.Log(others.longest)
	})
}
