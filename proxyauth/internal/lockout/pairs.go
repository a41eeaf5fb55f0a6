package lockout

import "time"

// Several pairs of one user name, and one pair at several proxies: what the
// directory counts together.

const (
	formerLasts = time.Hour // since it passed
	mostPairs   = 2         // of a user name that never passed, in the time of a long pause
	mostProxies = 4         // attempts with what never passed at any proxy
)

// retryPauses returns the pauses of a pair that was refused, while a former one passes.
func (l *Ledger) retryPauses() []time.Duration {
	if l.long == forever {
		return []time.Duration{forever}
	}
	return []time.Duration{20 * time.Second, 2 * time.Minute, max(2*time.Minute, l.long)}
}

// former returns the account of the same user at the same proxy that passed
// last, by another password, or nil. The proxy may not have heard of the new
// one yet.
func (l *Ledger) former(now time.Time, a *account) (former *account) {
	for _, b := range l.users[a.key.User] {
		if b != a && b.key.Proxy == a.key.Proxy && now.Sub(b.passed) < formerLasts &&
			(former == nil || b.passed.After(former.passed)) {
			former = b
		}
	}
	return former
}

// instead returns the account with which a request goes on that cannot have its turn
// at a, or nil.
func (l *Ledger) instead(now time.Time, a *account, t turn, waits bool) *account {
	if waits && !t.former || len(a.proven) > 0 && !a.heldOff(now) {
		return nil
	}
	if former := l.former(now, a); former != nil && !former.heldOff(now) {
		return former
	}
	return nil
}

// pairRefused takes in a refusal of a, which stood as was says before it.
func (l *Ledger) pairRefused(now time.Time, a *account, sent Attempt, was State) {
	if len(a.proven) == 0 {
		a.retries.begin(now, l.retryPauses())
		if f := l.former(now, a); f != nil && f.suspect() && sent.mark < f.mark && a.sum().refused < mostAtAll {
			a.retries.next = now // it was sent before the former one was refused, and may be right now
		}
	}
	if was != Trusted || !a.suspect() {
		return
	}
	for _, b := range l.users[a.key.User] { // which may be the right one now
		if b.key.Proxy == a.key.Proxy && len(b.proven) == 0 && b.sum().refused < mostAtAll {
			b.retries.next = now
		}
	}
}

// rivals are accounts whose attempts count together.
type rivals struct {
	accounts, attempts int
	underWay           bool
	first              time.Time // of the attempts under way
	oldest             *account  // whose last answer ceases to count first
}

func (r *rivals) add(now time.Time, window time.Duration, b *account) {
	n := b.attempts(now, window)
	if n == 0 {
		return
	}
	r.accounts++
	r.attempts += n
	if places, first := b.places(time.Time{}); places > 0 && (!r.underWay || first.Before(r.first)) {
		r.underWay, r.first = true, first
	}
	if b.recent(now, window) && (r.oldest == nil || b.answered.Before(r.oldest.answered)) {
		r.oldest = b
	}
}

func (r *rivals) turn(window time.Duration) turn {
	if r.oldest == nil {
		return turn{at: r.first.Add(unanswered), answers: true}
	}
	return turn{at: r.oldest.answered.Add(window), answers: r.underWay, because: r.oldest}
}

// turnOfPairs returns the turn of an account by what was tried with the same
// user name or pair; the zero turn, if that does not matter.
func (l *Ledger) turnOfPairs(now time.Time, a *account) turn {
	var own, names, proxies rivals // names: of the user here; proxies: the pair elsewhere, and here
	own.add(now, l.window, a)
	for _, b := range l.users[a.key.User] {
		switch {
		case b.key.Pair == a.key.Pair && len(b.proven) > 0:
			return turn{} // it is good
		case b.key.Pair == a.key.Pair:
			proxies.add(now, l.window, b)
		case b.key.Proxy == a.key.Proxy && len(b.proven) == 0:
			names.add(now, l.window, b)
		}
	}
	switch {
	case own.accounts == 0 && names.accounts >= mostPairs:
		return names.turn(l.window)
	case proxies.attempts > own.attempts && proxies.attempts >= mostProxies:
		return proxies.turn(l.window)
	}
	return turn{}
}

// attempts returns how many attempts of an account that never passed count for
// others, for as long as the directory may count them.
func (a *account) attempts(now time.Time, window time.Duration) int {
	n, _ := a.places(time.Time{})
	if s := a.sum(); a.recent(now, window) {
		n += s.refused + s.unclear
	}
	return n
}

func (a *account) recent(now time.Time, window time.Duration) bool {
	return now.Sub(a.answered) < window
}
