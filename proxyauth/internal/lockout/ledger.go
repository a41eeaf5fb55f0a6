package lockout

import (
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
	refused  map[*account]struct{} // those with a refusal that may count: see rejected.go
	refusals int                   // that counted so far
}

// NewLedger returns a Ledger that leaves refused credentials alone for the time
// long; zero is 31 minutes, less is for good.
func NewLedger(long time.Duration) *Ledger {
	if long == 0 {
		long = rejectedFor
	}
	l := &Ledger{
		long: long, window: long,
		accounts: map[Key]*account{}, users: map[string][]*account{}, refused: map[*account]struct{}{},
	}
	if long < 0 {
		l.long, l.window = forever, rejectedFor
	}
	return l
}

// Ask says what r is to do.
func (l *Ledger) Ask(now time.Time, r Request) Decision {
	l.expire(now, r.Key.User)
	a := l.account(now, r.Key)
	if a.held() && a.wide && !a.odd(r.Target) {
		a.elsewhere = now
	}
	scheme, t := l.choose(now, a, r)
	late := t.at.After(now) || scheme == ""
	end := now.Add(patience - r.Waited)
	waits := scheme != "" && now.Before(end) && (t.answers || t.at.Add(-t.others).Sub(now) <= soon)
	if f := l.instead(now, a, t, waits); late && f != nil && !r.NoFormer {
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
		if !t.unasked.IsZero() {
			t.at = earlier(t.at, t.unasked)
		}
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
	others  time.Duration // how long before that it is left to other targets
	unasked time.Time     // when it is not left to others after all, unless one of them asks; zero: at
	answers bool          // an answer under way may bring it sooner
	try     bool          // of what is held
	long    bool          // after the long pause
	free    bool          // nobody has to wait for the attempt
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
			t.at, t.others, t.unasked, t.answers = trusted.at, trusted.others, trusted.unasked, trusted.answers
		}
		t.try = trusted.try
	}
	return t
}

// send notes an attempt.
func (l *Ledger) send(now time.Time, a *account, r Request, scheme string, t turn) Attempt {
	l.keep(now, a)
	p := &place{at: now}
	sent := Attempt{
		Key: a.key, Scheme: scheme, Target: r.Target, Trusted: a.trusts(scheme), account: a,
		place: p, mark: l.refusals, paced: !t.free, challenged: r.Challenged,
	}
	if t.try {
		a.hold.claim(now, l.holds(), p)
	}
	if t.former {
		a.retries.claim(now, l.retryPauses(), p)
	}
	if t.long {
		a.long = p
	}
	p.sent = sent
	a.underWay = append(a.underWay, p)
	l.note(a)
	return sent
}

// Report takes in the answer to an attempt, and says how its account stood and
// how it stands.
func (l *Ledger) Report(now time.Time, sent Attempt, e Evidence) (was, is State) {
	a := l.reported(now, sent)
	l.keep(now, a)
	l.expire(now, sent.Key.User)
	was = l.state(now, a)
	a.leaves(sent.place)
	if e.Verdict == Refused || (e.Verdict == Unclear || e.Verdict == UnclearTarget) && !a.suspect() {
		a.last = e // where one was refused that is why it is held
	}
	trusted := a.trusts(sent.Scheme)
	switch {
	case sent.expired() && e.Verdict != Passed && e.Verdict != Refused:
	case e.Verdict == Passed:
		a.passes(now, sent, trusted)
	case e.Verdict == NotSent:
		a.givesBack(now, sent)
	case e.Verdict == Refused && trusted && a.denies(now, sent.Target):
		a.denials++
	default:
		if e.Verdict == Refused {
			l.refusals++
			a.refusal = l.refusals
		}
		l.count(now, a, sent, e)
		if e.Verdict == Refused {
			l.pairRefused(now, a, sent, was)
		}
	}
	l.note(a)
	a.publish()
	return was, l.state(now, a)
}

// count takes in what is no pass.
func (l *Ledger) count(now time.Time, a *account, sent Attempt, e Evidence) {
	trusted := a.trusts(sent.Scheme)
	if !trusted {
		a.countUntried(now, sent, e)
	}
	if trusted || a.suspect() {
		a.countTrusted(now, l.holds(), sent, e)
	}
}

// Free gives the place of an attempt to others, as its own answer will take as long as
// its body: a 100 (Continue) came, so that the proxy has let it pass the first check.
// The attempt is still to be reported, and counts then. But some proxies say so before
// they look at the credentials: while nothing has passed the attempt counts, for a
// minute, among those that there may be at once.
func (l *Ledger) Free(now time.Time, sent Attempt) {
	l.expire(now, sent.Key.User)
	sent.place.freed = true
	if sent.account.trusts(sent.Scheme) {
		sent.account.leaves(sent.place)
	}
}

// Repeat reports whether an attempt may be made once more in its place, for a fresh
// challenge, after it was made so many times. By a scheme that never passed it counts
// as another one, and not after it has counted already. Its time begins anew, since there was an answer.
func (l *Ledger) Repeat(now time.Time, sent Attempt, made int) bool {
	l.expire(now, sent.Key.User)
	sent.place.at = now
	if sent.Trusted || sent.account.trusts(sent.Scheme) {
		return true
	}
	others := 0
	for _, p := range sent.account.underWay {
		if p != sent.place && p.holds() {
			others += 1 + p.more
		}
	}
	s := sent.account.sum()
	may := !sent.expired() && made+others+s.refused < mostUntried && made+others+s.refused+s.unclear < mostAtAll
	if may {
		sent.place.more++
	}
	return may
}

// Forget forgets all refusals: an account was unlocked.
func (l *Ledger) Forget(now time.Time) {
	for _, a := range l.accounts {
		l.expireAt(now, a)
		a.forget()
		l.note(a)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// instant returns at or now, whichever is later, or the zero Time for never.
func instant(now, at time.Time) time.Time {
	if at.Sub(now) >= forever/2 {
		return time.Time{}
	}
	return later(at, now)
}
