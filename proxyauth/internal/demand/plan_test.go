package demand_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A plan with another session is the same plan, and what becomes of one becomes of the
// other; the former is as it was.
func TestWith(t *testing.T) {
	first := plan("Digest", "r", "alice").With(session("MD5"))
	second := first.With(session("SHA-256"))
	require.Equal(t, "MD5", first.Nature.ProtectedBy)
	require.Equal(t, "SHA-256", second.Nature.ProtectedBy)
	require.Equal(t, session("SHA-256"), second.Session)
	require.True(t, first.Same(second))
	require.True(t, second.Same(first))
	require.True(t, second.Passed())
	require.True(t, first.Trusted())

	other := plan("Digest", "r", "alice").With(session("MD5"))
	require.False(t, first.Same(other))
	require.False(t, other.Trusted())
	require.False(t, Bare().Same(Bare()))
	require.Nil(t, Bare().Scheme)
}

// A proxy that gives another session in a trailer: it comes in the place of the session
// that it was given to, and so does the next one.
func TestRenew(t *testing.T) {
	var k Known
	p := plan("Digest", "r", "alice")
	p.Learn = func(f Fact) { k.Learn(f) }
	first := p.With(session("MD5"))
	k.Learn(Fact{What: Adopted, Plan: first})
	first.Renew(session("SHA-256"))
	second := k.Load().PlanFor("a")
	require.Equal(t, "SHA-256", second.Nature.ProtectedBy)
	first.Renew(session("SHA-512"))
	require.Same(t, second, k.Load().PlanFor("a"), "the first is in force no longer")
	second.Renew(session("SHA-512"))
	require.Equal(t, "SHA-512", k.Load().PlanFor("a").Nature.ProtectedBy)
}

// Credentials pass for the first time once.
func TestPassed(t *testing.T) {
	p := plan("Digest", "r", "alice")
	require.False(t, p.Trusted())
	var first atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if p.Passed() {
				first.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, first.Load())
	require.True(t, p.Trusted())
	require.False(t, p.Passed())

	p.Record = NewRecord(true)
	require.True(t, p.Trusted())
	require.False(t, p.Passed())
	p.Record = NewRecord(false)
	require.False(t, p.Trusted())
	require.True(t, p.Passed())
}

// One odd answer after a pass may be a mishap; a second one is not, and neither is one
// before anything has passed.
func TestOdd(t *testing.T) {
	p := plan("Digest", "r", "alice")
	require.True(t, p.Odd())
	require.True(t, p.Odd())
	p.Passed()
	for range 2 {
		require.False(t, p.Odd())
		require.True(t, p.Odd())
		require.True(t, p.Odd())
		p.Passed()
	}
}

// That a plan protects less than what has passed before is told once, whatever session
// it goes on with, and again when it protects in another way.
func TestWeaker(t *testing.T) {
	d := Demand{Protection: protections["SHA-256"], ProtectedBy: "SHA-256"}
	p := plan("Digest", "r", "alice")
	for _, step := range []struct {
		name, session string
		weaker        bool
	}{
		{"a session that says nothing of it", "", false},
		{"a better one", "SHA-512", false},
		{"the same", "SHA-256", false},
		{"a weaker one", "MD5", true},
		{"this once more", "MD5", false},
		{"a better one meanwhile", "SHA-512", false},
		{"the weaker one, of which it was told already", "MD5", false},
	} {
		p = p.With(session(step.session))
		require.Equal(t, step.weaker, p.Weaker(&d), step.name)
	}
	d.Protection, d.ProtectedBy = protections["SHA-512"], "SHA-512"
	require.True(t, p.With(session("SHA-256")).Weaker(&d), "another weaker one")
	require.True(t, p.Weaker(&d), "and the first again")
	require.False(t, p.Weaker(&Demand{}), "than nothing")
	require.True(t, plan("Digest", "s", "alice").With(session("MD5")).Weaker(&d), "another plan")
}

// Whether a request on an authenticated connection needs a handshake of its own.
func TestNeedsToken(t *testing.T) {
	learns, ticket := scheme.Nature{Learns: true}, scheme.Nature{Learns: true, Ticket: true}
	never := func(*Plan) {}
	remembers := func(p *Plan) { p.Remembered(true) }
	forgets := func(p *Plan) { p.Remembered(false) }
	for _, row := range []struct {
		name          string
		nature        scheme.Nature
		learned       func(*Plan)
		other, stream bool
	}{
		{"by a scheme whose connections stay authenticated", scheme.Nature{}, never, false, false},
		{"the same with a ticket", scheme.Nature{Ticket: true}, never, false, false},
		{"the same, where the proxy forgets something", scheme.Nature{Ticket: true}, forgets, false, false},
		{"nothing is known: a ticket costs no leg, and a stream would be lost", ticket, never, false, true},
		{"nothing is known: without a ticket each handshake is an attempt", learns, never, false, false},
		{"the proxy remembers", ticket, remembers, false, false},
		{"the proxy forgets", ticket, forgets, true, true},
		{"the proxy forgets, and there is no ticket", learns, forgets, true, true},
		{"it has remembered, and forgets by now", ticket, func(p *Plan) { remembers(p); forgets(p) }, true, true},
		{"what forgets once is not relied on", ticket, func(p *Plan) { forgets(p); remembers(p) }, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := plan("NTLM", "", "alice").With(&toySession{nature: row.nature})
			row.learned(p)
			require.Equal(t, row.other, p.NeedsToken(false))
			require.Equal(t, row.stream, p.With(p.Session).NeedsToken(true))
		})
	}
}

// A source fails from the first time on, until it works again.
func TestSourceFails(t *testing.T) {
	p := plan("Basic", "", "alice")
	begin := time.Unix(1, 0)
	for _, row := range []struct {
		at, since time.Duration
		first     bool
	}{{0, 0, true}, {time.Second, 0, false}, {time.Hour, 0, false}} {
		since, first := p.SourceFails(begin.Add(row.at))
		require.Equal(t, row.first, first)
		require.True(t, begin.Add(row.since).Equal(since))
	}
	p.SourceWorks()
	since, first := p.With(&toySession{}).SourceFails(begin.Add(time.Hour))
	require.True(t, first)
	require.True(t, begin.Add(time.Hour).Equal(since))
}

// A target is unplanned where all plans are for other realms than its own.
func TestUnplanned(t *testing.T) {
	var k Known
	require.False(t, k.Load().Unplanned("b"), "nothing is known")
	alice, bob := plan("Digest", "world", "alice"), plan("Digest", "intranet", "bob")
	for _, f := range []Fact{{What: Passed, Plan: alice, Target: "a"}, {What: Passed, Plan: bob, Target: "b"}} {
		k.Learn(f)
	}
	require.False(t, k.Load().Unplanned("b"))
	k.Learn(Fact{What: Dropped, Plan: bob})
	require.True(t, k.Load().Unplanned("b"))
	require.False(t, k.Load().Unplanned("a"))
	require.False(t, k.Load().Unplanned("c"), "its realm is not known")
	k.Learn(Fact{What: Dropped, Plan: alice})
	require.False(t, k.Load().Unplanned("b"), "no plan at all")
}
