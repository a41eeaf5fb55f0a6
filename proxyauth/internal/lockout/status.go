package lockout

import "time"

// Status describes the account of k.
func (l *Ledger) Status(now time.Time, k Key) Status {
	a := l.accounts[k]
	if a == nil {
		return Status{}
	}
	s := a.sum()
	n, _ := a.places()
	st := Status{
		State: l.state(now, a), Passed: a.passed, UnderWay: n, Last: a.last,
		Refused: a.refused + s.refused, Unclear: s.unclear,
	}
	if st.State == HeldOff {
		st.Next = instant(now, l.heldUntil(now, a))
	}
	return st
}

// Rejected returns the pairs that may not be sent to a proxy now, by any scheme,
// since they were refused. What is only suspect or unclear is not among them.
func (l *Ledger) Rejected(now time.Time, proxy string) (pairs []Pair) {
	for _, a := range l.accounts {
		if a.key.Proxy == proxy && l.state(now, a) == HeldOff && a.refused+a.sum().refused > 0 && l.heldUntil(now, a).After(now) {
			pairs = append(pairs, a.key.Pair)
		}
	}
	return pairs
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
