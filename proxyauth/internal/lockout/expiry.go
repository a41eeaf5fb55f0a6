package lockout

import (
	"slices"
	"time"
)

// Attempts without an end: forwarded requests to a target that is dead, or answers
// when it has news. While nothing has passed they would keep others from trying.

// unanswered is how long an attempt by a scheme that never passed may have no
// answer, before it counts as UnclearTarget.
const unanswered = time.Minute

// expire counts the attempts with a user name that have had no answer for too long. It
// comes before all that is read or changed of that user's accounts.
func (l *Ledger) expire(now time.Time, user string) {
	for _, a := range l.users[user] {
		l.expireAt(now, a)
	}
}

// expireAt is expire for one account. Each attempt counts from its own minute
// on, whenever somebody asks.
func (l *Ledger) expireAt(now time.Time, a *account) {
	for last := now.Add(-unanswered); ; {
		i := slices.IndexFunc(a.underWay, func(p *place) bool {
			return !p.at.After(last) && !a.trusts(p.sent.Scheme)
		})
		if i < 0 {
			return
		}
		p := a.underWay[i]
		a.leaves(p)
		if p.freed {
			continue
		}
		p.expired = true
		a.last = Evidence{Verdict: UnclearTarget}
		l.count(p.at.Add(unanswered), a, p.sent, Evidence{Verdict: UnclearTarget, Legs: 1 + p.more})
		l.note(a)
		a.publish()
	}
}

// expired reports whether an attempt has counted already.
func (sent Attempt) expired() bool { return sent.place != nil && sent.place.expired }
