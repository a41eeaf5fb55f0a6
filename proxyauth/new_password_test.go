package proxyauth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R37: a new password reaches the client a minute before it reaches the proxy. No
// request fails, the new password is tried but a few times before, and in use soon
// after.
func TestNewPasswordEarly(t *testing.T) {
	const minute, pace = time.Minute, time.Second
	for _, scheme := range byPassword {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					p := w.newCrowdedProxy(proxytest.Config{Auth: waysIn[scheme].auth, Behaviour: proxytest.Behaviour{
						Access:  func(proxytest.Leg) proxytest.Answer { return proxytest.Answer{Delay: letsPass} },
						Refusal: proxytest.Answer{Delay: denies},
					}})
					tr := w.newCrowdedTransport(p)
					source := &rotating{}
					source.password.Store("open sesame")
					tr.Credentials = source
					c := &traffic{request: func(n int) error {
						return reach(t.Context(), tr, way, fmt.Sprintf("host%d.example", n%40))
					}}
					c.every(pace, 10*time.Second)
					source.password.Store("open wheat")
					c.every(pace, minute)
					early := p.Refused("alice")
					p.SetUser("alice", "open wheat")
					c.every(pace, 10*time.Second)
					failed, _ := c.failed(t)
					assert.Zero(t, failed)
					assert.LessOrEqual(t, c.longest, time.Second)

					most := 3 // at once, and after 20 s
					if scheme == "Digest" {
						most *= 2 // for each of them a nonce of its own
					}
					assert.LessOrEqual(t, early, most)
					assert.LessOrEqual(t, p.Refused("alice")-early, most, "with the former one")
					t.Log(c.longest, early, p.Refused("alice")-early)

					tr.CloseIdleConnections()
					before := p.Refused("alice")
					require.NoError(t, reach(t.Context(), tr, way, "host.example"))
					assert.Equal(t, before, p.Refused("alice"), "the new one is in use")
				})
			})
		}
	}
}

// R37: a directory that replicates: of a pair of proxies one knows the new password
// five minutes before the other, and every second request goes to that. A third
// of all requests pass meanwhile, and all of them soon afterwards.
func TestDirectoryReplicates(t *testing.T) {
	for _, scheme := range byPassword {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					config := proxytest.Config{Auth: waysIn[scheme].auth}
					p, q := w.newCrowdedProxy(config), w.newCrowdedProxy(config)
					both := pair{proxies: []*proxytest.Proxy{p, q}}
					tr := w.newCrowdedTransport(p)
					tr.Base.DialContext = both.dial(w)
					source := &rotating{}
					source.password.Store("open sesame")
					tr.Credentials = source
					request := func(n int) error {
						tr.CloseIdleConnections()
						both.turn.Add(1)
						return reach(t.Context(), tr, way, fmt.Sprintf("host%d.example", n%7))
					}
					before := &traffic{request: request}
					before.every(time.Second, 10*time.Second)
					failed, _ := before.failed(t)
					assert.Zero(t, failed)

					source.password.Store("open wheat")
					q.SetUser("alice", "open wheat")
					meanwhile := &traffic{request: request}
					meanwhile.every(3*time.Second, 5*time.Minute)
					failed, _ = meanwhile.failed(t)
					assert.GreaterOrEqual(t, 3*(meanwhile.began-failed), meanwhile.began)
					t.Logf("%d of %d failed", failed, meanwhile.began)

					p.SetUser("alice", "open wheat")
					ended := time.Now()
					afterwards := &traffic{request: request}
					afterwards.every(3*time.Second, 2*time.Minute)
					if failed, last := afterwards.failed(t); failed > 0 {
						assert.LessOrEqual(t, last.Sub(ended), time.Minute)
					}
				})
			})
		}
	}
}
