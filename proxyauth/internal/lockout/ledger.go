package lockout

import (
	"slices"
	"time"
)

// How long a request waits.
const (
	patience    = 30 * time.Second // for answers under way, and in all
	soon        = 5 * time.Second  // for its turn, where that is known
	forever     = 200 * 365 * 24 * time.Hour
	rejectedFor = 31 * time.Minute // directories count failures for 30 minutes
)

// A Ledger is the accounts of one Transport. Not for concurrent use.
type Ledger struct {
	long     time.Duration // how long refused credentials are left alone
	window   time.Duration // how long an attempt counts for others: see pairs.go
	accounts map[Key]*account
	users    map[string][]*account
	sent     uint64
}

// NewLedger returns a Ledger that leaves refused credentials alone for the time
// long; zero is 31 minutes, less is for good.
func NewLedger(long time.Duration) *Ledger {
	if long == 0 {
		long = rejectedFor
	}
	l := &Ledger{long: long, window: long, accounts: map[Key]*account{}, users: map[string][]*account{}}
	if long < 0 {
		l.long, l.window = forever, rejectedFor
	}
	return l
}

// Ask says what r is to do.
func (l *Ledger) Ask(now time.Time, r Request) Decision {
	a := l.account(now, r.Key)
	scheme, t := l.choose(now, a, r)
	late := t.at.After(now) || scheme == ""
	end := now.Add(patience - r.Waited)
	waits := scheme != "" && now.Before(end) && (t.answers || t.at.Add(-t.others).Sub(now) <= soon)
	if f := l.instead(now, a, t, waits); late && f != nil {
		return Decision{Answer: Former, Former: f.key}
	}
	switch {
	case late && !waits:
		d := Decision{Answer: Held, Until: instant(now, t.at), Last: a.last}
		if t.because != nil {
			d.Last = t.because.last
		}
		return d
	case a.bare && !a.trusts(scheme) && !r.Challenged && !r.Unasked:
		return Decision{Answer: Bare}
	case late:
		return Decision{Answer: Wait, Until: earlier(t.at, end)}
	}
	return Decision{Answer: Go, Attempt: l.send(now, a, r, scheme, t)}
}

// choose returns the scheme for the next attempt, and its turn. Without any
// scheme that is when others may make one.
func (l *Ledger) choose(now time.Time, a *account, r Request) (string, turn) {
	if len(r.Schemes) == 0 {
		return "", turn{at: l.heldUntil(now, a)}
	}
	scheme := a.leastTried(r.Schemes)
	t := l.turn(now, a, scheme, r.Target)
	for _, other := range r.Schemes { // what has passed does not wait for what has not
		if t.at.After(now) && !a.trusts(scheme) && a.trusts(other) {
			scheme, t = other, l.turn(now, a, other, r.Target)
		}
	}
	return scheme, t
}

// A turn is when an attempt may be made.
type turn struct {
	at      time.Time     // not after now: now
	others  time.Duration // of which it is left to other targets
	answers bool          // an answer under way may bring it sooner
	try     bool          // of what is held
	long    bool          // after the long pause
	free    bool          // others need not know of it
	former  bool          // meanwhile the former pair is used
	because *account      // whose last outcome decides, if not its own
}

// turn returns the turn of a scheme at a target. Two promises hold at once, so
// where several rules apply the latest turn counts.
func (l *Ledger) turn(now time.Time, a *account, scheme, target string) turn {
	if a.trusts(scheme) {
		return l.turnTrusted(now, a, target)
	}
	t := l.turnUntried(now, a, target)
	if pairs := l.turnOfPairs(now, a); pairs.at.After(t.at) {
		t = pairs
	}
	if a.suspect() {
		trusted := l.turnTrusted(now, a, target)
		if trusted.at.After(t.at) {
			t.at, t.others, t.answers = trusted.at, trusted.others, trusted.answers
		}
		t.try = trusted.try
	}
	return t
}

// send notes an attempt.
func (l *Ledger) send(now time.Time, a *account, r Request, scheme string, t turn) Attempt {
	l.keep(now, a)
	l.sent++
	sent := Attempt{
		Key: a.key, Scheme: scheme, Target: r.Target, account: a,
		id: l.sent, mark: a.mark, long: t.long, paced: !t.free, challenged: r.Challenged,
	}
	a.underWay = append(a.underWay, place{id: sent.id, target: r.Target, at: now, mark: a.mark, free: t.free})
	if t.try {
		sent.try = a.hold.claim(now, l.holds())
	}
	if t.former {
		sent.again = a.again.claim(now, l.agains())
	}
	return sent
}

// Report takes in the answer to an attempt, and says how its account stood and
// how it stands.
func (l *Ledger) Report(now time.Time, sent Attempt, e Evidence) (was, is State) {
	a := l.account(now, sent.Key)
	l.keep(now, a)
	was = l.state(now, a)
	a.underWay = slices.DeleteFunc(a.underWay, func(p place) bool { return p.id == sent.id })
	trusted := a.trusts(sent.Scheme)
	if e.Verdict == Refused || e.Verdict == Unclear || e.Verdict == UnclearTarget {
		a.last = e
	}
	switch {
	case e.Verdict == Passed:
		a.passes(now, sent, trusted)
	case e.Verdict == NotSent:
		a.givesBack(now, sent)
	case e.Verdict == Refused && trusted && a.denies(now, sent.Target):
		a.denials++
	default:
		if !trusted {
			a.tries(now, sent, e)
		}
		if trusted || a.suspect() {
			a.doubts(now, l.holds(), sent, e)
		}
		if e.Verdict == Refused {
			l.pairRefused(now, a, was)
		}
	}
	a.publish()
	return was, l.state(now, a)
}

// Forget forgets all refusals: an account was unlocked.
func (l *Ledger) Forget() {
	for _, a := range l.accounts {
		a.forget()
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// instant returns at or now, whichever is later, or the zero Time for never.
func instant(now, at time.Time) time.Time {
	switch {
	case at.Sub(now) >= forever/2:
		return time.Time{}
	case at.Before(now):
		return now
	}
	return at
}
