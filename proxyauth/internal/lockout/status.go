package lockout

import "time"

// Status describes the account of k.
func (l *Ledger) Status(now time.Time, k Key) Status {
	l.expire(now, k.User)
	a := l.accounts[k]
	if a == nil {
		return Status{}
	}
	s := a.sum()
	n, _ := a.places(time.Time{})
	st := Status{
		State: l.state(now, a), Passed: a.passed, UnderWay: n, Last: a.last,
		Refused: a.refused + s.refused, Unclear: s.unclear,
	}
	if st.State == HeldOff {
		st.Next = instant(now, l.heldUntil(now, a))
	}
	return st
}

func (l *Ledger) state(now time.Time, a *account) State {
	switch {
	case len(a.proven) == 0 && !l.heldUntil(now, a).After(now):
		return New
	case len(a.proven) == 0, a.held() && a.wide:
		return HeldOff
	case a.suspect():
		return Suspect
	}
	return Trusted
}

// heldUntil returns when an account that is held off is tried again, the zero
// Time where it is not.
func (l *Ledger) heldUntil(now time.Time, a *account) time.Time {
	if len(a.proven) > 0 {
		return a.hold.next
	}
	return l.pauseUntried(now, a).at
}

// Sent returns the pairs of a proxy's accounts.
func (l *Ledger) Sent(proxy string) (pairs []Pair) {
	for key := range l.accounts {
		if key.Proxy == proxy {
			pairs = append(pairs, key.Pair)
		}
	}
	return pairs
}
