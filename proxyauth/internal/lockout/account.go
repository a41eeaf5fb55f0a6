package lockout

import (
	"slices"
	"sync/atomic"
	"time"
)

// An account is what is known of a Key.
type account struct {
	key      Key
	used     time.Time // last
	underWay []place
	last     Evidence // that was refused or unclear

	// By schemes that never passed: see untried.go.
	tallies  []tally
	answered time.Time // when the last answer that a pause runs from was read
	target   bool      // it was UnclearTarget
	longs    int       // how many long pauses are over
	bare     bool      // the next request begins without credentials
	again    pause     // while a former pair passes: see pairs.go

	// By those that did: see trusted.go. What was refused and unclear is since
	// the last pass.
	proven  []string
	passed  time.Time
	mark    int    // counts refusals, so that an attempt knows which were read before it was sent
	first   string // the target of the first refusal
	begun   int    // mark, after that
	refused int    // it, and those of attempts that were sent after it was read
	wide    bool   // they were at more than one target
	hold    pause
	rallies [3]time.Time // when it was suspect and passed again

	refusedAt, unclearAt targets
	denied               targets // the proxy denies them, whatever the password
	denials              int     // refusals there, since the last pass

	// freely is nil where an attempt needs the ledger's leave, or its pass
	// must be reported. It is read without the guard's lock.
	freely atomic.Pointer[freely]
}

// freely is how an account is used without asking the ledger. It does not change.
type freely struct {
	until  time.Time // when attempts are to ask again
	fresh  time.Time // until when a pass need not be reported
	mark   int
	proven []string
	denied targets
}

// A place is taken by an attempt under way.
type place struct {
	id     uint64
	target string
	at     time.Time
	mark   int
	free   bool // it was sent when any number may be, so it holds nobody up
}

// places returns how many attempts under way count, and when the first was sent.
func (a *account) places() (n int, oldest time.Time) {
	for _, p := range a.underWay {
		if !p.free {
			if n == 0 {
				oldest = p.at
			}
			n++
		}
	}
	return n, oldest
}

func (a *account) trusts(scheme string) bool { return slices.Contains(a.proven, scheme) }

// passes takes in a pass. One that was sent before the last refusal was read, of
// a scheme that had passed before, says nothing: its origin was slow.
func (a *account) passes(now time.Time, sent Attempt, trusted bool) {
	if !trusted {
		a.proven = append(slices.Clip(a.proven), sent.Scheme)
		a.tallies = slices.DeleteFunc(a.tallies, func(t tally) bool { return t.scheme == sent.Scheme })
		a.longs, a.again, a.bare = 0, pause{}, false
	}
	if sent.mark != a.mark {
		return
	}
	if a.suspect() {
		a.rallies = [3]time.Time{now, a.rallies[0], a.rallies[1]}
	}
	for _, target := range a.refusedAt {
		a.denied.add(target)
	}
	a.denied.remove(sent.Target)
	a.passed = now
	a.clear()
}

// clear ends what is held, but for schemes that never passed.
func (a *account) clear() {
	a.first, a.refused, a.wide, a.hold, a.denials = "", 0, false, pause{}, 0
	a.refusedAt, a.unclearAt = nil, nil
}

func (a *account) forget() {
	a.tallies, a.longs, a.again, a.last, a.bare = nil, 0, pause{}, Evidence{}, false
	a.clear()
	a.publish()
}

// givesBack ends an attempt that did not take place.
func (a *account) givesBack(now time.Time, sent Attempt) {
	if sent.try > 0 && sent.try == a.hold.step {
		a.hold.giveBack(now)
	}
	if sent.again > 0 && sent.again == a.again.step {
		a.again.giveBack(now)
	}
}

// publish lets requests use a clean account without asking.
func (a *account) publish() {
	if a.suspect() || a.denials > 0 || len(a.unclearAt) > 0 {
		a.freely.Store(nil)
		return
	}
	a.freely.Store(&freely{
		until: a.passed.Add(atEase), fresh: a.passed.Add(atEase / 60),
		mark: a.mark, proven: a.proven, denied: slices.Clone(a.denied),
	})
}

// lets reports whether an attempt may be made without asking.
func (f *freely) lets(now time.Time, scheme, target string) bool {
	return f != nil && now.Before(f.until) && slices.Contains(f.proven, scheme) && !slices.Contains(f.denied, target)
}

// knows reports whether a pass is nothing new.
func (f *freely) knows(now time.Time, sent Attempt) bool {
	return f != nil && sent.id == 0 && sent.mark == f.mark && now.Before(f.fresh) && !slices.Contains(f.denied, sent.Target)
}

// A pause is the time between tries, which grows. A try that begins ends it as
// if it had failed already, so that only one is made; its answer begins the next.
type pause struct {
	next time.Time
	step int // how many tries there were
}

func (p *pause) begin(now time.Time, steps []time.Duration) {
	p.next = now.Add(steps[min(p.step, len(steps)-1)])
}

func (p *pause) claim(now time.Time, steps []time.Duration) (try int) {
	p.step++
	p.begin(now, steps)
	return p.step
}

func (p *pause) giveBack(now time.Time) {
	p.step--
	p.next = now
}
