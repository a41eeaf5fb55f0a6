package lockout

import (
	"slices"
	"time"
)

// Schemes that have passed: the second promise. A refusal makes the account
// suspect, a second one holds it, or its target alone; a pass ends both.

const (
	atEase       = time.Minute            // for so long after a pass any number may be sent
	secondSoon   = 300 * time.Millisecond // after that: the second attempt
	thirdSoon    = 600 * time.Millisecond // the third, at a target where none is under way
	slowOrigin   = 4 * time.Second        // who has no answer by then waits, mostly, for an origin
	otherTargets = 10 * time.Second       // how long targets that were odd leave a try to others, if these ask

	recoveriesIn = 10 * time.Minute // three recoveries in this time: the proxy cannot make up its mind
	manyInARow   = 6                // and then so many refusals hold the account
)

func (a *account) suspect() bool { return a.refused > 0 }

// held reports whether the account is held, or the target a.first alone.
func (a *account) held() bool { return !a.hold.next.IsZero() }

// heldOff reports whether all of the account is held now.
func (a *account) heldOff(now time.Time) bool {
	return a.held() && a.wide && now.Before(a.hold.next)
}

// holds returns the pauses of what is held.
func (l *Ledger) holds() []time.Duration {
	if l.long == forever {
		return []time.Duration{forever}
	}
	const most = 8 * time.Minute
	return []time.Duration{20 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, most, max(most, l.long)}
}

// turnTrusted returns the turn of a scheme that has passed.
func (l *Ledger) turnTrusted(now time.Time, a *account, target string) turn {
	n, oldest := a.places(time.Time{}) // oldest is long ago, where there is none
	t := turn{at: now}
	atEaseUntil := a.passed.Add(atEase)
	switch {
	case a.held() && (a.wide || target == a.first):
		t.at, t.try, t.answers = a.hold.next, true, a.decides()
		if a.wide && a.odd(target) && now.Sub(a.elsewhere) < otherTargets {
			t.unasked = later(t.at, a.elsewhere.Add(otherTargets))
			t.at, t.others = t.at.Add(otherTargets), otherTargets
		}
	case a.denies(now, target) && a.denials >= patientDenials:
		t.at, t.answers = atEaseUntil, len(a.underWay) > 0
	case a.suspect():
		t.at = oldest.Add(slowOrigin)
	case now.Before(atEaseUntil):
		t.free = true
	case n == 1:
		t.at = oldest.Add(secondSoon)
	case n == 2 && !a.asks(target):
		t.at = oldest.Add(thirdSoon)
	default:
		t.at = oldest.Add(slowOrigin)
	}
	return t
}

// decides reports whether an answer under way can end a hold.
func (a *account) decides() bool {
	for _, p := range a.underWay {
		if p.sent.mark >= a.mark {
			return true
		}
	}
	return false
}

// asks reports whether an attempt at the target is under way.
func (a *account) asks(target string) bool {
	return slices.ContainsFunc(a.underWay, func(p *place) bool { return p.holds() && p.sent.Target == target })
}

// countTrusted takes in what is no pass, by a scheme that has passed, or of an account
// that is suspect.
func (a *account) countTrusted(now time.Time, steps []time.Duration, sent Attempt, e Evidence) {
	widens := false
	switch e.Verdict {
	case Refused:
		a.refusedAt.add(sent.Target)
		a.mark = a.refusal
		switch {
		case !a.suspect():
			a.first, a.begun, a.refused = sent.Target, a.mark, 1
		case sent.mark >= a.begun:
			a.refused++
			widens = !a.wide && sent.Target != a.first
			a.wide = a.wide || widens
		case sent.paced && !a.held() && sent.Target != a.first:
			// Sent before the first refusal was read, it is no second one. But when
			// that comes, at whatever target, the first target is not alone.
			a.wide = true
		}
	case Unclear, UnclearTarget:
		a.unclearAt.add(sent.Target)
	}
	switch {
	case sent.is(a.hold.try):
		a.hold.begin(now, steps)
	case a.refused >= a.enough(now) && (!a.held() || widens):
		a.hold = pause{}
		a.hold.begin(now, steps)
	}
}

// enough returns how many refusals hold the account.
func (a *account) enough(now time.Time) int {
	if third := a.recoveries[len(a.recoveries)-1]; !third.IsZero() && now.Sub(third) < recoveriesIn {
		return manyInARow
	}
	return 2
}
