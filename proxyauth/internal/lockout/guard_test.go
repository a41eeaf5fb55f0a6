package lockout

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var alice = Key{"proxy", "alice", NewPair("alice", "secret")}

func toTarget(target string) Request {
	return Request{Schemes: basic, Target: target, Unasked: true}
}

// goes sends an attempt that must go at once.
func goes(t *testing.T, a *Account, target string) Attempt {
	t.Helper()
	begin := time.Now()
	d, waited, err := a.Wait(t.Context(), toTarget(target))
	require.NoError(t, err)
	require.Equal(t, Go, d.Answer)
	require.Zero(t, time.Since(begin))
	require.Zero(t, waited)
	return d.Attempt
}

// R8, R38: 1,000 goroutines with a wrong password, refused after 3 s.
func TestGuardWrongPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		cause := errors.New("407")
		var sent atomic.Int64
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				d, waited, err := a.Wait(t.Context(), toTarget("t"))
				assert.NoError(t, err)
				if d.Answer == Go {
					sent.Add(1)
					time.Sleep(3 * time.Second)
					g.Report(d.Attempt, Evidence{Verdict: verdict.Refused, Cause: cause})
					return
				}
				assert.Equal(t, Held, d.Answer)
				assert.Equal(t, cause, d.Last.Cause)
				assert.Equal(t, 6*time.Second, waited)
				assert.Equal(t, 31*time.Minute+time.Second, time.Until(d.Until))
			})
		}
		all.Wait()
		assert.EqualValues(t, 2, sent.Load())
		assert.Equal(t, Counts{Attempts: 2, Refusals: 2}, g.Counts())
		assert.Equal(t, []Pair{alice.Pair}, g.Rejected("proxy"))
		assert.Empty(t, g.Rejected("another"))
		assert.Empty(t, g.waiting)

		was, _ := g.Report(Attempt{Key: alice, account: a.known.Load(), place: &place{}}, Evidence{Verdict: verdict.NotSent})
		assert.Equal(t, HeldOff, was)
	})
}

// R8: 1,000 goroutines with a right password wait for the first alone.
func TestGuardRightPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		begin := time.Now()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				d, _, err := a.Wait(t.Context(), toTarget("t"))
				assert.NoError(t, err)
				assert.Equal(t, Go, d.Answer)
				time.Sleep(time.Second)
				g.Report(d.Attempt, Evidence{Verdict: verdict.Passed})
			})
		}
		all.Wait()
		assert.Equal(t, 2*time.Second, time.Since(begin))
		assert.Equal(t, Counts{Attempts: 1000}, g.Counts())
	})
}

// R8: what a request waits for is known when it waits again; its context ends it.
func TestGuardWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		first, second := goes(t, g.Account(alice), "a"), g.Account(alice)
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		d, waited, err := second.Wait(ctx, toTarget("b"))
		assert.Equal(t, cause, err)
		assert.NotContains(t, []Answer{Go, Wait, Bare, Former, Held}, d.Answer)
		assert.Equal(t, time.Second, waited)
		assert.Empty(t, g.waiting)
		_, _, err = second.Wait(ctx, toTarget("b"))
		assert.Equal(t, cause, err)

		d, waited, err = second.Wait(t.Context(), toTarget("b"))
		require.NoError(t, err)
		assert.Equal(t, Go, d.Answer)
		assert.Equal(t, 3*time.Second, waited, "the second attempt after 4 s")
		r := toTarget("c")
		r.Waited = 20 * time.Second
		d, waited, err = second.Wait(t.Context(), r)
		require.NoError(t, err)
		assert.Equal(t, Held, d.Answer)
		assert.Equal(t, 30*time.Second, waited)
		g.Report(first, Evidence{Verdict: verdict.Passed})
	})
}

// R8: who asks without waiting is told how long, and leaves nobody behind.
func TestGuardAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a, b := g.Account(alice), g.Account(alice)
		first := a.Ask(toTarget("a"))
		require.Equal(t, Go, first.Answer)
		assert.Equal(t, alice, first.Attempt.Key)
		time.Sleep(time.Second)
		d := b.Ask(toTarget("b"))
		assert.Equal(t, Wait, d.Answer)
		assert.Equal(t, 3*time.Second, time.Until(d.Until))
		assert.Empty(t, g.waiting)
		assert.Nil(t, b.known.Load())

		g.Report(first.Attempt, Evidence{Verdict: verdict.Refused})
		g.Report(b.Ask(toTarget("b")).Attempt, Evidence{Verdict: verdict.Refused})
		d = a.Ask(toTarget("c"))
		assert.Equal(t, Held, d.Answer)
		assert.Equal(t, 31*time.Minute, time.Until(d.Until))
		assert.Equal(t, Counts{Attempts: 2, Refusals: 2}, g.Counts())
	})
}

// R8: one who gives up leaves the others waiting.
func TestGuardLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		first := goes(t, a, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for _, ctx := range []context.Context{ctx, t.Context()} {
			all.Go(func() { a.Wait(ctx, toTarget("b")) })
		}
		time.Sleep(2 * time.Second)
		g.mu.Lock()
		assert.Equal(t, 1, g.waiting["alice"].n)
		g.mu.Unlock()
		begin := time.Now()
		was, is := g.Report(first, Evidence{Verdict: verdict.Passed})
		assert.Equal(t, []State{New, Trusted}, []State{was, is})
		all.Wait()
		assert.Zero(t, time.Since(begin))
	})
}

// R37: the hot path neither locks nor allocates, and a pass is written once a
// second.
func TestGuardHotPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		g.Report(goes(t, a, "t"), Evidence{Verdict: verdict.Passed})
		passed := a.Status().Passed
		hot := func() {
			d, _, _ := a.Wait(t.Context(), toTarget("t"))
			g.Report(d.Attempt, Evidence{Verdict: verdict.Passed})
			d = a.Ask(toTarget("t"))
			g.Free(d.Attempt)
			g.Report(d.Attempt, Evidence{Verdict: verdict.Passed})
			g.Report(d.Attempt, Evidence{Verdict: verdict.Nothing})
			g.Report(d.Attempt, Evidence{Verdict: verdict.NotSent})
		}
		g.mu.Lock() // so that it would never return
		assert.Zero(t, testing.AllocsPerRun(10, hot))
		time.Sleep(999 * time.Millisecond)
		hot()
		g.mu.Unlock()
		assert.Equal(t, passed, a.Status().Passed)
		time.Sleep(time.Millisecond)
		hot()
		assert.Equal(t, time.Now(), a.Status().Passed)
		time.Sleep(time.Minute)

		first := goes(t, a, "t")
		d, waited, _ := a.Wait(t.Context(), toTarget("t"))
		assert.Equal(t, 300*time.Millisecond, waited)
		g.Report(d.Attempt, Evidence{Verdict: verdict.NotSent})
		g.Report(first, Evidence{Verdict: verdict.UnclearTarget})
		assert.EqualValues(t, 1, g.Counts().Unclear)
		assert.Nil(t, a.known.Load().freely.Load(), "the next pass is to be told")
	})
}

// R37: what makes an account suspect ends the hot path at once, for every
// scheme but those that passed, and for denied targets.
func TestGuardSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a, b := g.Account(alice), g.Account(alice)
		assert.Equal(t, alice, b.Key())
		g.Report(goes(t, a, "t"), Evidence{Verdict: verdict.Passed})
		g.Report(goes(t, b, "t"), Evidence{Verdict: verdict.Passed})
		late := goes(t, a, "slow")
		was, is := g.Report(goes(t, b, "x"), Evidence{Verdict: verdict.Refused})
		assert.Equal(t, []State{Trusted, Suspect}, []State{was, is})
		was, is = g.Report(late, Evidence{Verdict: verdict.Passed})
		assert.Equal(t, []State{Suspect, Suspect}, []State{was, is}, "it was sent before")

		one := goes(t, a, "t")
		d, waited, _ := b.Wait(t.Context(), toTarget("t"))
		assert.Equal(t, 4*time.Second, waited)
		was, is = g.Report(one, Evidence{Verdict: verdict.Passed})
		assert.Equal(t, []State{Suspect, Trusted}, []State{was, is})
		g.Report(d.Attempt, Evidence{Verdict: verdict.Passed})

		f := a.known.Load().freely.Load()
		assert.True(t, f.lets(time.Now(), "Basic", "t"))
		assert.False(t, f.lets(time.Now(), "Digest", "t"))
		assert.False(t, f.lets(time.Now(), "Basic", "x"))
		assert.False(t, f.lets(time.Now().Add(time.Minute), "Basic", "t"))
		assert.True(t, f.knows(time.Now(), "t", 1))
		known := a.known.Load()
		assert.True(t, Attempt{Target: "t", mark: 1, account: known}.needless(time.Now(), verdict.Passed))
		assert.False(t, Attempt{Target: "t", mark: 1, account: known, place: &place{}}.needless(time.Now(), verdict.Passed))
		assert.False(t, f.knows(time.Now(), "t", 0))
		assert.False(t, f.knows(time.Now(), "x", 1))
		var none *freely
		assert.False(t, none.knows(time.Now(), "", 0))
	})
}

// R8: who waits for an attempt goes when that is known to take as long as its
// body, and its answer counts when it comes.
func TestGuardFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		upload := goes(t, a, "upload")
		time.AfterFunc(time.Second, func() { g.Free(upload) })
		d, waited, err := a.Wait(t.Context(), toTarget("t"))
		require.NoError(t, err)
		assert.Equal(t, Go, d.Answer)
		assert.Equal(t, time.Second, waited)
		assert.Equal(t, 1, a.Status().UnderWay)
		g.Report(d.Attempt, Evidence{Verdict: verdict.Refused})
		_, is := g.Report(upload, Evidence{Verdict: verdict.Refused})
		assert.Equal(t, HeldOff, is)
		assert.Equal(t, Counts{Attempts: 2, Refusals: 2}, g.Counts())
	})
}

// R8: ForgetRejections lets those go who wait.
func TestGuardForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(3 * time.Second)
		a := g.Account(alice)
		for range 2 {
			g.Report(goes(t, a, "t"), Evidence{Verdict: verdict.Refused})
		}
		time.AfterFunc(time.Second, g.Forget)
		d, waited, err := a.Wait(t.Context(), toTarget("t"))
		require.NoError(t, err)
		assert.Equal(t, Go, d.Answer)
		assert.Equal(t, time.Second, waited)
	})
}

// An account that was forgotten for want of memory is found again.
func TestGuardEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		g.Report(goes(t, a, "t"), Evidence{Verdict: verdict.Passed})
		old := a.known.Load()
		g.ledger.evict(time.Now())
		assert.Equal(t, Status{}, a.Status())
		sent := goes(t, a, "t")
		assert.NotSame(t, old, a.known.Load())
		g.Report(sent, Evidence{Verdict: verdict.Passed})
		assert.Equal(t, Trusted, a.Status().State)
	})
}

// R37: who waits asks again when it may bring a turn, not for each of hundreds
// of refusals of attempts that the ledger did not know.
func TestMatters(t *testing.T) {
	free, known := Attempt{}, Attempt{place: &place{}}
	for _, test := range []struct {
		sent    Attempt
		verdict verdict.Verdict
		was, is State
		want    bool
	}{
		{free, verdict.Refused, Suspect, Suspect, false},
		{free, verdict.Refused, Trusted, Suspect, true},
		{free, verdict.Passed, Trusted, Trusted, true},
		{known, verdict.Nothing, Suspect, Suspect, true},
	} {
		assert.Equal(t, test.want, matters(test.sent, Evidence{Verdict: test.verdict}, test.was, test.is), "%v", test)
	}
}

func TestSent(t *testing.T) {
	g := NewGuard(0)
	require.Empty(t, g.Sent("proxy"))
	a := g.Account(Key{Proxy: "proxy", User: "alice", Pair: NewPair("alice", "1")})
	require.Equal(t, Go, a.Ask(Request{Schemes: []string{"Basic"}}).Answer)
	require.Equal(t, []Pair{NewPair("alice", "1")}, g.Sent("proxy"))
	require.Empty(t, g.Sent("another"))
}

// R8, R37: an attempt is repeated in its place by leave, but where any number may be
// made.
func TestGuardRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		first := goes(t, a, "t")
		assert.True(t, g.Repeat(first, 1))
		assert.False(t, g.Repeat(first, 2))
		g.Report(first, Evidence{Verdict: verdict.Passed})
		free := goes(t, a, "t")
		assert.True(t, g.Repeat(free, 2))
		assert.True(t, g.Repeat(Attempt{}, 2), "one of which the ledger does not know")
	})
}
