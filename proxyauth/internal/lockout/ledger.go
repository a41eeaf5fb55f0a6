package lockout

import (
	"cmp"
	"slices"
	"time"
)

// A Ledger is the accounts of one Transport. It is not for concurrent use.
type Ledger struct {
	accounts
	refusals int // that counted so far, at any account
}

// NewLedger returns a Ledger that leaves refused credentials alone for the time long;
// zero is 31 minutes, less is for good.
func NewLedger(long time.Duration) *Ledger {
	return &Ledger{accounts: accounts{
		pauses: newPauses(long), byKey: map[Key]*account{}, byUser: map[string]user{}, refused: map[*account]struct{}{},
	}}
}

// Ask says what r is to do.
func (l *Ledger) Ask(now time.Time, r Request) Decision {
	u := l.user(now, r.Key.User)
	a := l.of(now, r.Key)
	a.asked(now, a.odd(r.Target))
	scheme, t := u.choose(now, a, r.Schemes, r.Target)
	late := scheme == "" || t.at.After(now)
	if end := now.Add(patience - r.Waited); late {
		waits := scheme != "" && now.Before(end) && (t.answers || t.at.Add(-t.others).Sub(now) <= soon)
		if f := u.instead(now, a, t, waits); f != nil && !r.NoFormer {
			return Decision{Answer: Former, Former: f.key}
		}
		if !waits {
			return Decision{Answer: Held, Until: instant(now, t.at), Last: *cmp.Or(t.because, &a.last)}
		}
		if !t.unasked.IsZero() {
			end = earliest(end, t.unasked)
		}
		t.at = earliest(t.at, end)
	}
	switch {
	case a.bare && !a.trusts(scheme) && !r.Challenged && !r.Unasked:
		return Decision{Answer: Bare}
	case late:
		return Decision{Answer: Wait, Until: t.at}
	}
	return Decision{Answer: Go, Attempt: l.send(now, a, r, scheme, t.former)}
}

// send notes an attempt.
func (l *Ledger) send(now time.Time, a *account, r Request, scheme string, former bool) Attempt {
	l.keep(now, a)
	p := &place{scheme: scheme, target: r.Target, at: now, made: 1, mark: l.refusals, challenged: r.Challenged}
	a.send(now, p, former)
	l.note(a)
	return Attempt{
		Key: a.key, Scheme: scheme, Target: r.Target, Trusted: a.trusts(scheme),
		account: a, mark: l.refusals, place: p,
	}
}

// Report takes in the answer to an attempt, and says how its account stood and how it
// stands.
func (l *Ledger) Report(now time.Time, sent Attempt, e Evidence) (was, is State) {
	a := l.reported(now, sent.account, sent.Scheme)
	u := l.user(now, sent.Key.User)
	was = u.state(now, a)
	p := sent.place
	if p == nil {
		p = &place{scheme: sent.Scheme, target: sent.Target, mark: sent.mark}
	}
	if a.fold(now, p, e, l.refusals+1) {
		l.refusals++
		u.refused(now, a, p.mark, was)
	}
	l.note(a)
	return was, u.state(now, a)
}

// Free gives the place of an attempt to others, since its answer will take as long as its
// body: a 100 (Continue) came. The attempt is still to be reported, and counts then. But
// some proxies send a 100 before they look at the credentials: while nothing has passed,
// the attempt counts for a minute among those that there may be at once.
func (l *Ledger) Free(now time.Time, sent Attempt) {
	l.user(now, sent.Key.User)
	sent.account.free(sent.place)
}

// Repeat reports whether an attempt may be made once more in its place, for a fresh
// challenge, after it was made so many times. By a scheme that never passed it counts as
// another attempt, and is not repeated after it has counted without an answer. Its time
// begins anew, since there was an answer.
func (l *Ledger) Repeat(now time.Time, sent Attempt, made int) bool {
	l.user(now, sent.Key.User)
	return sent.account.repeat(now, sent.place, made)
}

// Forget forgets all refusals: an account was unlocked.
func (l *Ledger) Forget(now time.Time) {
	for _, a := range l.byKey {
		a.expire(now)
		a.forget()
		l.note(a)
	}
}

// Rejected returns the pairs that may not be sent to a proxy now, by any scheme, since
// they were refused, the latest refused last. What is only suspect or unclear is not
// among them. It is called for each request, so it looks only at accounts with refusals.
func (l *Ledger) Rejected(now time.Time, proxy string) (pairs []Pair) {
	var rejected []*account
	for a := range l.refused {
		u := l.byUser[a.key.User]
		a.expire(now)
		switch rejects := u.state(now, a) == HeldOff && u.heldUntil(now, a).After(now); {
		case rejects && a.key.Proxy == proxy:
			rejected = append(rejected, a)
		case !rejects && a.over(now):
			delete(l.refused, a)
		}
	}
	slices.SortFunc(rejected, func(a, b *account) int { return cmp.Compare(a.refusal, b.refusal) })
	for _, a := range rejected {
		pairs = append(pairs, a.key.Pair)
	}
	return pairs
}

// Sent returns the pairs of a proxy's accounts.
func (l *Ledger) Sent(proxy string) (pairs []Pair) {
	for key := range l.byKey {
		if key.Proxy == proxy {
			pairs = append(pairs, key.Pair)
		}
	}
	return pairs
}

// Status describes the account of k.
func (l *Ledger) Status(now time.Time, k Key) Status {
	u := l.user(now, k.User)
	a := l.byKey[k]
	if a == nil {
		return Status{}
	}
	s := a.sum()
	n, _ := a.underWay.taken(time.Time{}, paced)
	st := Status{
		State: u.state(now, a), Passed: a.passed, UnderWay: n, Last: a.last,
		Refused: a.refused + s.refused, Unclear: s.unclear,
	}
	if st.State == HeldOff {
		st.Next = instant(now, u.heldUntil(now, a))
	}
	return st
}
