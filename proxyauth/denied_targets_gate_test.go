//go:build gate

package proxyauth_test

import (
	"testing"
	"time"
)

// R37: TestDenyRuleBesideGoodTraffic for three minutes, which is long enough for all
// that is remembered of a denied page to end, and to begin again.
func TestDenyRuleForMinutes(t *testing.T) {
	for i, scheme := range byPassword {
		way := ways[i%len(ways)]
		t.Run(scheme+"/"+way, func(t *testing.T) {
			t.Parallel()
			besideDenyRule(t, scheme, way, 3*time.Minute)
		})
	}
}
