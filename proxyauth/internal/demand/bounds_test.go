package demand_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
)

const maxTargets = 256

// targetsOf returns how many of n targets fulfil a condition.
func targetsOf(n int, is func(target string) bool) (all int) {
	for i := range n {
		if is(strconv.Itoa(i)) {
			all++
		}
	}
	return all
}

// Of 256 targets it is known that they pass without credentials, and the last one is
// among them.
func TestMostBareTargets(t *testing.T) {
	var d Demand
	for i := range 2 * maxTargets {
		before := d
		d, _ = d.Next(Fact{What: PassedBare, Target: strconv.Itoa(i)})
		require.True(t, d.IsBare(strconv.Itoa(i)))
		require.False(t, before.IsBare(strconv.Itoa(i)))
		require.Equal(t, min(i+1, maxTargets), targetsOf(i+1, d.IsBare))
	}
	last := strconv.Itoa(2*maxTargets - 1)
	d, _ = d.Next(Fact{What: PassedBare, Target: last})
	require.Equal(t, maxTargets, targetsOf(2*maxTargets, d.IsBare), "one that is known costs no other its place")
	d, _ = d.Next(Fact{What: Challenged, Target: last})
	require.Equal(t, maxTargets-1, targetsOf(2*maxTargets, d.IsBare))
	d, _ = d.Next(Fact{What: PassedBare, Target: last})
	require.Equal(t, maxTargets, targetsOf(2*maxTargets, d.IsBare))
}

// Of 256 targets the realm is known.
func TestMostRealms(t *testing.T) {
	world, intranet := plan("Digest", "world", "alice"), plan("Digest", "intranet", "bob")
	var d Demand
	d, _ = d.Next(Fact{What: Adopted, Plan: world})
	d, _ = d.Next(Fact{What: Adopted, Plan: intranet})
	in := func(p *Plan) int {
		return targetsOf(2*maxTargets, func(target string) bool { return d.IsOf(target, p) })
	}
	for i := range 2 * maxTargets {
		d, _ = d.Next(Fact{What: Passed, Plan: world, Target: strconv.Itoa(i)})
		require.True(t, d.IsOf(strconv.Itoa(i), world))
		require.Equal(t, min(i+1, maxTargets), in(world))
	}
	last := strconv.Itoa(2*maxTargets - 1)
	d, _ = d.Next(Fact{What: Passed, Plan: intranet, Target: last})
	require.Equal(t, 1, in(intranet))
	require.Equal(t, maxTargets-1, in(world), "one that is known costs no other its place")
	require.Same(t, intranet, d.PlanFor(last))
}
