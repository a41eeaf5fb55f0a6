package proxyauth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R37: a pair of proxies behind one name, of which one refuses everybody, since it
// has lost its directory. They answer in turn, requests that come often or seldom, and
// a third of all pass.
func TestPairOfWhichOneRefuses(t *testing.T) {
	for _, scheme := range byPassword {
		for _, way := range ways {
			t.Run(scheme+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					config := proxytest.Config{Auth: waysIn[scheme].auth}
					p, q := w.newCrowdedProxy(config), w.newCrowdedProxy(config)
					q.SetDirectoryDown(-1)
					both := pair{proxies: []*proxytest.Proxy{p, q}}
					tr := w.newCrowdedTransport(p)
					tr.Base.DialContext = both.dial(w)
					for _, pace := range []time.Duration{50 * time.Millisecond, 5 * time.Second} {
						const requests = 60
						passed := 0
						for n := range requests {
							tr.CloseIdleConnections()
							both.turn.Store(int64(n))
							if reach(t.Context(), tr, way, fmt.Sprintf("host%d.example", n%7)) == nil {
								passed++
							}
							time.Sleep(pace)
						}
						assert.GreaterOrEqual(t, 3*passed, requests)
						t.Logf("%d of %d passed; so far %d attempts at the one that refuses", passed, requests, q.Attempts("alice"))
					}
				})
			})
		}
	}
}
