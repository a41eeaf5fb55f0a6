package lockout

import (
	"cmp"
	"slices"
	"time"
)

// Rejected is asked for each request, so it looks at accounts alone that have a
// refusal which counts. There is mostly none.

// Rejected returns the pairs that may not be sent to a proxy now, by any scheme,
// since they were refused, the latest refused last. What is only suspect or
// unclear is not among them.
func (l *Ledger) Rejected(now time.Time, proxy string) []Pair {
	var accounts []*account
	for a := range l.refused {
		l.expireAt(now, a)
		switch rejected := l.state(now, a) == HeldOff && l.heldUntil(now, a).After(now); {
		case rejected && a.key.Proxy == proxy:
			accounts = append(accounts, a)
		case !rejected && l.over(now, a):
			delete(l.refused, a)
		}
	}
	slices.SortFunc(accounts, func(a, b *account) int { return cmp.Compare(a.refusal, b.refusal) })
	var pairs []Pair
	for _, a := range accounts {
		pairs = append(pairs, a.key.Pair)
	}
	return pairs
}

// note notes whether an account has a refusal, after it was changed.
func (l *Ledger) note(a *account) {
	if a.refused+a.sum().refused == 0 {
		delete(l.refused, a)
		return
	}
	l.refused[a] = struct{}{}
}

// over reports whether a refusal does not count any longer, until an attempt is
// made: all its pauses are over, with a former pair and without.
func (l *Ledger) over(now time.Time, a *account) bool {
	if len(a.proven) > 0 {
		return !a.hold.next.After(now)
	}
	return len(a.underWay) == 0 && !a.retries.next.After(now) && !l.pauseAlone(a).at.After(now)
}
