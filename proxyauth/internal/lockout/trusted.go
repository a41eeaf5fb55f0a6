package lockout

import (
	"slices"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

const (
	atEase       = time.Minute            // for so long after a pass any number may be sent
	secondSoon   = 300 * time.Millisecond // after that: the second attempt
	thirdSoon    = 600 * time.Millisecond // the third, at a target that is not asked already
	slowOrigin   = 4 * time.Second        // an attempt without an answer by then mostly waits for an origin
	otherTargets = 10 * time.Second       // how long odd targets leave a try to others, if these ask

	recoveriesIn = 10 * time.Minute // three recoveries in this time: the proxy cannot make up its mind
	manyInARow   = 6                // and then so many refusals hold the account
)

// trusted is how an account stands with the schemes that have passed: the second
// promise. A refusal makes the account suspect, a second one holds it, or one target
// alone; a pass ends both.
type trusted struct {
	proven     []string     // the schemes
	passed     time.Time    // last
	mark       int          // the number of the last refusal that counted here: see place
	recoveries [3]time.Time // when a suspect account passed again, the last time first
	elsewhere  time.Time    // when a request to a target that is not odd asked last, of a held account
	suspicion
}

// suspicion is what was refused since the last pass.
type suspicion struct {
	first   string // the target of the first refusal
	begun   int    // the number of the first refusal
	refused int    // the first one, and those of attempts that were sent after it was read
	wide    bool   // the refusals were at more than one target
	hold    pause  // of the whole account if it is wide, or else of the first target alone
}

func (s *suspicion) suspect() bool { return s.refused > 0 }

func (s *suspicion) held() bool { return !s.hold.next.IsZero() }

// heldOff reports whether the whole account is held now.
func (s *suspicion) heldOff(now time.Time) bool { return s.held() && s.wide && now.Before(s.hold.next) }

// tries reports whether an attempt at the target is a try of what is held.
func (s *suspicion) tries(target string) bool { return s.held() && (s.wide || target == s.first) }

func (t *trusted) trusts(scheme string) bool { return slices.Contains(t.proven, scheme) }

// good reports whether the credentials passed a moment ago.
func (t *trusted) good(now time.Time) bool { return now.Before(t.passed.Add(atEase)) }

// turn returns the turn of a scheme that has passed. If the account is suspect the other
// schemes wait for it, too.
func (t *trusted) turn(now time.Time, underWay places, known *targets, target string) turn {
	n, first := underWay.taken(time.Time{}, paced) // if there is none, first is long ago
	switch {
	case t.tries(target):
		own := turn{at: t.hold.next, answers: underWay.since(t.mark)}
		if t.wide && known.odd(target) && now.Sub(t.elsewhere) < otherTargets {
			own.unasked = latest(own.at, t.elsewhere.Add(otherTargets))
			own.at, own.others = own.at.Add(otherTargets), otherTargets
		}
		return own
	case t.good(now) && known.waits(target):
		return turn{at: t.passed.Add(atEase), answers: len(underWay) > 0}
	case t.suspect():
		return turn{at: first.Add(slowOrigin)}
	case t.good(now):
		return turn{at: now}
	case n == 1:
		return turn{at: first.Add(secondSoon)}
	case n == 2 && !underWay.to(target):
		return turn{at: first.Add(thirdSoon)}
	}
	return turn{at: first.Add(slowOrigin)}
}

// asked notes that a request asks, to an odd target or another.
func (t *trusted) asked(now time.Time, odd bool) {
	if t.held() && t.wide && !odd {
		t.elsewhere = now
	}
}

// count takes in an answer that is no pass, to a scheme that has passed or of a suspect
// account. number is that of a refusal.
func (t *trusted) count(now time.Time, holds []time.Duration, sent *place, v verdict.Verdict, number int) {
	widens := false
	if v == verdict.Refused {
		t.mark = number
		switch {
		case !t.suspect():
			t.first, t.begun, t.refused = sent.target, number, 1
		case sent.mark >= t.begun:
			t.refused++
			widens = !t.wide && sent.target != t.first
			t.wide = t.wide || widens
		case sent.stage != unpaced && !t.held() && sent.target != t.first:
			// It was sent before the first refusal was read, so it is no second one. But
			// when that comes, at whatever target, the first target is not alone.
			t.wide = true
		}
	}
	switch {
	case sent == t.hold.try:
		t.hold.begin(now, holds)
	case t.refused >= t.enough(now) && (!t.held() || widens):
		t.hold = pause{}
		t.hold.begin(now, holds)
	}
}

// enough returns how many refusals hold the account.
func (t *trusted) enough(now time.Time) int {
	if third := t.recoveries[len(t.recoveries)-1]; !third.IsZero() && now.Sub(third) < recoveriesIn {
		return manyInARow
	}
	return 2
}

// pass takes in a pass, and reports whether it says anything. It does not if it was sent
// before the last refusal was read: its origin was slow.
func (t *trusted) pass(now time.Time, mark int) bool {
	if mark < t.mark {
		return false
	}
	if t.suspect() {
		t.recoveries = [...]time.Time{now, t.recoveries[0], t.recoveries[1]}
	}
	t.passed, t.suspicion = now, suspicion{}
	return true
}
