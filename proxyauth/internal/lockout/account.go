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
	underWay []*place
	last     Evidence // the last answer that was Refused or unclear
	refusal  int      // the number of the last refusal among those of all accounts

	// By schemes that never passed: see untried.go.
	tallies     []tally
	answered    time.Time // when the last answer that a pause runs from was read
	aboutTarget bool      // that was UnclearTarget
	longs       int       // how many long pauses are over
	long        *place    // of the attempt after the last one, until its answer is read
	bare        bool      // the next request begins without credentials
	retries     pause     // while a former pair passes: see pairs.go

	// By those that did: see trusted.go. What was refused and unclear is since
	// the last pass.
	proven     []string
	passed     time.Time
	mark       int    // refusal, when it was the last that counted; an attempt sent after it was read has no lower mark
	first      string // the target of the first refusal
	begun      int    // what mark was after the first refusal
	refused    int    // refusals: the first one, and those of attempts that were sent after it was read
	wide       bool   // refusals were at more than one target
	hold       pause
	recoveries [3]time.Time // when it was suspect and passed again, the last first

	elsewhere            time.Time // when, while it was held, a request for a target that was not odd asked last
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
	sent    Attempt
	at      time.Time
	more    int  // attempts, beside the first: see Repeat
	freed   bool // see Free
	expired bool // see expiry.go
}

// holds reports whether others may have to wait for the attempt: it was not sent at a
// time when any number may be.
func (p *place) holds() bool { return p.sent.paced }

// leaves frees a place, if it is taken.
func (a *account) leaves(p *place) {
	a.underWay = slices.DeleteFunc(a.underWay, func(other *place) bool { return other == p })
}

// is reports whether it is the attempt of a place.
func (sent Attempt) is(p *place) bool { return p != nil && p == sent.place }

// places returns how many attempts under way count that were sent after a time,
// and when the first of them was.
func (a *account) places(after time.Time) (n int, oldest time.Time) {
	return a.sentSince(func(p *place) bool { return p.holds() && !p.freed && p.at.After(after) })
}

// unanswered is the same for all attempts, also those whose place others have.
func (a *account) unanswered(after time.Time) (n int, oldest time.Time) {
	return a.sentSince(func(p *place) bool { return p.holds() && p.at.After(after) })
}

func (a *account) sentSince(counts func(*place) bool) (n int, oldest time.Time) {
	for _, p := range a.underWay {
		if counts(p) {
			if n == 0 || p.at.Before(oldest) {
				oldest = p.at
			}
			n += 1 + p.more
		}
	}
	return n, oldest
}

func (a *account) trusts(scheme string) bool { return slices.Contains(a.proven, scheme) }

// passes takes in a pass. One that was sent before the last refusal was read, of
// a scheme that had passed before, says nothing: its origin was slow.
func (a *account) passes(now time.Time, sent Attempt, trusted bool) {
	if !trusted {
		a.proves(sent.Scheme)
	}
	if sent.mark < a.mark {
		return
	}
	if a.suspect() {
		a.recoveries = [3]time.Time{now, a.recoveries[0], a.recoveries[1]}
	}
	for _, target := range a.refusedAt {
		a.denied.add(target)
	}
	a.denied.remove(sent.Target)
	a.passed = now
	a.clear()
}

// proves notes that a scheme has passed, which clears what is held against it.
func (a *account) proves(scheme string) {
	a.proven = append(slices.Clip(a.proven), scheme)
	a.tallies = slices.DeleteFunc(a.tallies, func(t tally) bool { return t.scheme == scheme })
	a.longs, a.long, a.retries, a.bare = 0, nil, pause{}, false
}

// clear ends what is held, but for schemes that never passed.
func (a *account) clear() {
	a.first, a.refused, a.wide, a.hold, a.denials = "", 0, false, pause{}, 0
	a.refusedAt, a.unclearAt = nil, nil
}

func (a *account) forget() {
	a.tallies, a.longs, a.long, a.retries, a.last, a.bare = nil, 0, nil, pause{}, Evidence{}, false
	a.clear()
	a.publish()
}

// givesBack ends an attempt that did not take place.
func (a *account) givesBack(now time.Time, sent Attempt) {
	if sent.is(a.hold.try) {
		a.hold.giveBack(now)
	}
	if sent.is(a.retries.try) {
		a.retries.giveBack(now)
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
	return f != nil && sent.place == nil && sent.mark >= f.mark && now.Before(f.fresh) && !slices.Contains(f.denied, sent.Target)
}

// A pause is the time between tries, which grows. A try begins the next pause at once,
// so that only one is made, and its answer begins that pause again.
type pause struct {
	next time.Time // when there is a try, zero: there is nothing to try
	step int       // how many tries there were
	try  *place    // the last one's
}

func (p *pause) begin(now time.Time, steps []time.Duration) {
	p.next = now.Add(steps[min(p.step, len(steps)-1)])
}

// claim begins a try.
func (p *pause) claim(now time.Time, steps []time.Duration, try *place) {
	p.step++
	p.try = try
	p.begin(now, steps)
}

// giveBack undoes a try that did not take place.
func (p *pause) giveBack(now time.Time) {
	p.step--
	p.try = nil
	p.next = now
}
