package lockout

import "time"

const (
	formerLasts = time.Hour // since it passed
	mostPairs   = 2         // of a user name that never passed, in the time of a long pause
	mostProxies = 4         // attempts with a pair that never passed at any proxy
)

// A user is the accounts of one user name: its pairs, each at several proxies.
type user []*account

// former returns the account of the same user at the same proxy that passed last, by
// another password, or nil. The proxy may not have heard of the new password yet.
func (u user) former(now time.Time, a *account) (former *account) {
	for _, b := range u {
		if b != a && b.key.Proxy == a.key.Proxy && now.Sub(b.passed) < formerLasts &&
			(former == nil || b.passed.After(former.passed)) {
			former = b
		}
	}
	return former
}

// instead returns the account with which a request goes on whose turn at a is not now, or
// nil if there is none.
func (u user) instead(now time.Time, a *account, t turn, waits bool) *account {
	former := u.former(now, a)
	if former == nil || former.heldOff(now) || waits && !t.former || len(a.proven) > 0 && !a.heldOff(now) {
		return nil
	}
	return former
}

// choose returns the scheme for the next attempt, and its turn. If there is no scheme, the
// turn is that of other requests.
func (u user) choose(now time.Time, a *account, schemes []string, target string) (string, turn) {
	if len(schemes) == 0 {
		return "", turn{at: u.heldUntil(now, a)}
	}
	scheme := a.leastTried(schemes)
	t := u.turn(now, a, scheme, target)
	for _, other := range schemes { // what has passed does not wait for what has not
		if t.at.After(now) && !a.trusts(scheme) && a.trusts(other) {
			scheme, t = other, u.turn(now, a, other, target)
		}
	}
	return scheme, t
}

// turn returns the turn of a scheme at a target. Two promises hold at once, so if several
// rules apply the latest turn counts.
func (u user) turn(now time.Time, a *account, scheme, target string) turn {
	trusted := a.trusted.turn(now, a.underWay, &a.targets, target)
	if a.trusts(scheme) {
		return trusted
	}
	t := a.untried.pause(a.pauses, u.former(now, a) != nil)
	t = a.untried.turn(now, t, a.underWay, a.odd(target))
	if pairs := u.turnOfPairs(now, a); pairs.at.After(t.at) {
		t = pairs
	}
	if a.suspect() && trusted.at.After(t.at) {
		trusted.former, trusted.because = t.former, t.because
		return trusted
	}
	return t
}

// heldUntil returns when an account that is held off is tried again, the zero Time if it
// is not held off.
func (u user) heldUntil(now time.Time, a *account) time.Time {
	if len(a.proven) > 0 {
		return a.hold.next
	}
	return a.untried.pause(a.pauses, u.former(now, a) != nil).at
}

func (u user) state(now time.Time, a *account) State {
	switch {
	case len(a.proven) == 0 && !u.heldUntil(now, a).After(now):
		return New
	case len(a.proven) == 0, a.held() && a.wide:
		return HeldOff
	case a.suspect():
		return Suspect
	}
	return Trusted
}

// refused takes in that an attempt with a mark was refused at a, which stood as was says.
// This changes when a pair that never passed is tried again beside a former one.
func (u user) refused(now time.Time, a *account, mark int, was State) {
	if len(a.proven) == 0 {
		a.retries.begin(now, a.pauses.retries)
		if f := u.former(now, a); f != nil && f.suspect() && mark < f.mark && a.sum().refused < mostAtAll {
			a.retries.next = now // it was sent before the former one was refused, and may be right now
		}
	}
	for _, b := range u { // which may be the right one now
		if was == Trusted && a.suspect() &&
			b.key.Proxy == a.key.Proxy && len(b.proven) == 0 && b.sum().refused < mostAtAll {
			b.retries.next = now
		}
	}
}

// rivals are accounts of one user whose attempts the directory counts together: those of
// several pairs at one proxy, or of one pair at several proxies.
type rivals struct {
	accounts, attempts int
	first              time.Time // of the attempts under way; zero: there is none
	oldest             *account  // whose last answer ceases to count first
}

func (r *rivals) add(now time.Time, a *account) {
	n := a.attempts(now)
	if n == 0 {
		return
	}
	r.accounts++
	r.attempts += n
	if taken, first := a.underWay.taken(time.Time{}, paced); taken > 0 && (r.first.IsZero() || first.Before(r.first)) {
		r.first = first
	}
	if a.recent(now) && (r.oldest == nil || a.answered.Before(r.oldest.answered)) {
		r.oldest = a
	}
}

// turn returns when one more attempt may be made.
func (r *rivals) turn() turn {
	if r.oldest == nil {
		return turn{at: r.first.Add(unanswered), answers: true}
	}
	return turn{at: r.oldest.answered.Add(r.oldest.pauses.window), answers: !r.first.IsZero(), because: &r.oldest.last}
}

// turnOfPairs returns the turn of an account by what was tried with the same user name or
// pair, or the zero turn if that does not matter.
func (u user) turnOfPairs(now time.Time, a *account) turn {
	var names, proxies rivals // other pairs here; this pair at all proxies
	for _, b := range u {
		switch {
		case b.key.Pair == a.key.Pair && len(b.proven) > 0:
			return turn{} // it is good
		case b.key.Pair == a.key.Pair:
			proxies.add(now, b)
		case b.key.Proxy == a.key.Proxy && len(b.proven) == 0:
			names.add(now, b)
		}
	}
	switch own := a.attempts(now); {
	case own == 0 && names.accounts >= mostPairs:
		return names.turn()
	case proxies.attempts > own && proxies.attempts >= mostProxies:
		return proxies.turn()
	}
	return turn{}
}
