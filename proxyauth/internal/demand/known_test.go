package demand_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// learners is how many goroutines learn at once. All their targets can be known.
const learners = 64

// At first nothing is known; then what was learned.
func TestKnown(t *testing.T) {
	var k Known
	require.Equal(t, &Demand{}, k.Load())
	require.Empty(t, k.Learn(Fact{What: PassedBare, Target: "a"}))
	before := k.Load()
	require.Empty(t, k.Learn(Fact{What: PassedBare, Target: "b"}))
	require.True(t, k.Load().IsBare("a"))
	require.True(t, k.Load().IsBare("b"))
	require.False(t, before.IsBare("b"))
	require.Same(t, k.Load(), k.Load())
}

// A slowToy is a scheme for which others learn something while a fact about it is taken
// in.
type slowToy struct {
	toy
	meanwhile func()
}

func (s *slowToy) Traits() scheme.Traits {
	if f := s.meanwhile; f != nil {
		s.meanwhile = nil
		f()
	}
	return s.toy.Traits()
}

// What was learned while a fact is taken in is not lost, and what has gone meanwhile
// does not go again.
func TestLearnMeanwhile(t *testing.T) {
	for _, known := range []bool{true, false} {
		var k Known
		slow, bob := &slowToy{toy: schemes[1]}, plan("Digest", "r", "bob")
		if known {
			k.Learn(Fact{What: Adopted, Plan: bob})
		}
		slow.meanwhile = func() {
			gone := k.Learn(Fact{What: Dropped, Plan: bob})
			require.Equal(t, known, len(gone) == 1)
			k.Learn(Fact{What: PassedBare, Target: "b"})
		}
		alice := plan("Digest", "r", "alice")
		alice.Scheme = slow
		require.Empty(t, k.Learn(Fact{What: Passed, Plan: alice, Target: "a"}))
		require.Nil(t, slow.meanwhile)
		require.True(t, k.Load().IsBare("b"))
		require.Equal(t, []*Plan{alice}, k.Load().Plans)
	}
}

// Of what many learn at once nothing is lost, while others read.
func TestLearnAtOnce(t *testing.T) {
	var k Known
	alice, bob := plan("Digest", "world", "alice"), plan("Digest", "intranet", "bob")
	k.Learn(Fact{What: Adopted, Plan: alice})
	k.Learn(Fact{What: Adopted, Plan: bob})
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				d := k.Load()
				for i := range learners {
					target := strconv.Itoa(i)
					if p := d.PlanFor(target); p != alice && p != bob {
						t.Error("no plan for", target)
					}
					d.IsBare(target)
					d.IsOf(target, alice)
				}
			}
		})
	}
	for i := range learners {
		writers.Go(func() {
			target := strconv.Itoa(i)
			k.Learn(Fact{What: PassedBare, Target: target})
			k.Learn(Fact{What: Passed, Target: target, Plan: []*Plan{alice, bob}[i%2]})
			if i%4 == 0 {
				k.Learn(Fact{What: Challenged, Target: target})
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	d := k.Load()
	for i := range learners {
		target := strconv.Itoa(i)
		require.Equal(t, i%4 != 0, d.IsBare(target), target)
		require.Same(t, []*Plan{alice, bob}[i%2], d.PlanFor(target), target)
	}
}

// Each plan is in force or has gone, and goes once.
func TestPlansGoOnce(t *testing.T) {
	var k Known
	var mu sync.Mutex
	gone := map[*Plan]int{}
	var wg sync.WaitGroup
	for i := range learners {
		wg.Go(func() {
			p := plan("Digest", strconv.Itoa(i), "alice")
			for _, old := range k.Learn(Fact{What: Adopted, Plan: p}) {
				mu.Lock()
				gone[old]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, p := range k.Load().Plans {
		gone[p]++
	}
	require.Len(t, k.Load().Plans, 8)
	require.Len(t, gone, learners)
	for p, times := range gone {
		require.Equal(t, 1, times, p.Realm)
	}
}

// Whoever has another session for a plan at the same time as others: one of them comes
// in its place, and only one.
func TestReplacedOnce(t *testing.T) {
	var k Known
	first := plan("Digest", "r", "alice")
	k.Learn(Fact{What: Adopted, Plan: first})
	var wg sync.WaitGroup
	for range learners {
		wg.Go(func() { k.Learn(Fact{What: Replaced, Plan: first, By: first.With(session("SHA-256"))}) })
	}
	wg.Wait()
	require.Len(t, k.Load().Plans, 1)
	require.NotSame(t, first, k.Load().Plans[0])
	require.True(t, first.Same(k.Load().Plans[0]))
}
