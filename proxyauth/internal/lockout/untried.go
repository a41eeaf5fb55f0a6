package lockout

import (
	"slices"
	"time"
)

// Schemes by which nothing has passed yet: the first promise goes first. They
// share two attempts, and what is refused or unclear by one counts for all.

const (
	mostUntried = 2               // attempts, before the long pause
	secondAfter = 4 * time.Second // the second attempt, where the first is not answered
	mostAtOnce  = 4               // attempts that a load balancer's 503s can open the way for
	mostAtAll   = 4               // attempts before the long pause, where one was refused
	longest     = 4 * time.Hour   // pause
	otherTarget = time.Second     // after a pause: how long a target that was odd leaves the first attempt to others
)

// The pauses after two unclear answers, three, and more.
var unclearPauses = [...]time.Duration{5 * time.Second, time.Minute}

const targetPause = 5 * time.Minute // after more, if the last was UnclearTarget

// A tally is what answers to a scheme that never passed were.
type tally struct {
	scheme                    string
	refused, unclear, nothing int
	tried                     time.Time // when it was refused last, or had the attempt after a long pause
}

func (a *account) tally(scheme string) *tally {
	i := slices.IndexFunc(a.tallies, func(t tally) bool { return t.scheme == scheme })
	if i < 0 {
		a.tallies = append(a.tallies, tally{scheme: scheme})
		i = len(a.tallies) - 1
	}
	return &a.tallies[i]
}

func (a *account) sum() (s tally) {
	for _, t := range a.tallies {
		s.refused += t.refused
		s.unclear += t.unclear
		s.nothing += t.nothing
	}
	return s
}

// leastTried returns the scheme for the next attempt: one that was not refused,
// or longest ago. So a second attempt is made by the next scheme, if there is one.
func (a *account) leastTried(schemes []string) string {
	return slices.MinFunc(schemes, func(x, y string) int { return a.triedAt(x).Compare(a.triedAt(y)) })
}

func (a *account) triedAt(scheme string) time.Time {
	for _, t := range a.tallies {
		if t.scheme == scheme {
			return t.tried
		}
	}
	return time.Time{}
}

// countUntried takes in what is no pass, by a scheme that never passed.
func (a *account) countUntried(now time.Time, sent Attempt, e Evidence) {
	t := a.tally(sent.Scheme)
	switch e.Verdict {
	case Refused:
		t.refused += max(1, e.Legs)
		a.refusedAt.add(sent.Target)
	case Unclear, UnclearTarget:
		t.unclear += max(1, e.Legs)
		a.aboutTarget = e.Verdict == UnclearTarget
		a.unclearAt.add(sent.Target)
		a.bare = true
	case Nothing:
		if sent.challenged {
			t.nothing++
		}
		a.bare = true
	}
	long := sent.is(a.long)
	if e.Verdict == Refused || long {
		t.tried = now
	}
	if e.Verdict != Nothing || long {
		a.answered = now
	}
	if long {
		a.longs++
		a.long = nil
	}
}

// turnUntried returns the turn of a scheme that never passed.
func (l *Ledger) turnUntried(now time.Time, a *account, target string) turn {
	n, oldest := a.places(now.Add(-unanswered))
	all, first := a.unanswered(now.Add(-unanswered))
	s := a.sum()
	t := l.pauseUntried(now, a)
	switch room := min(mostUntried+s.nothing, mostAtOnce) - s.refused - s.unclear; {
	case all > n && all+s.refused+s.unclear >= mostAtOnce && t.at.IsZero():
		t.at, t.answers = first.Add(unanswered), true
	case n > 0 && (!t.at.IsZero() || n >= room):
		t.at, t.answers = oldest.Add(unanswered), true
	case n > s.nothing:
		t.at, t.answers = oldest.Add(secondAfter), true
	case !t.at.IsZero() && !t.former && a.odd(target):
		t.at, t.others = t.at.Add(otherTarget), otherTarget
	}
	t.answers = t.answers || t.former && all > n
	return t
}

// pauseUntried returns when the pause after the last answer ends, if there is
// one.
func (l *Ledger) pauseUntried(now time.Time, a *account) turn {
	if a.sum().refused > 0 && l.former(now, a) != nil {
		return turn{at: a.retries.next, former: true}
	}
	return l.pauseAlone(a)
}

// pauseAlone is pauseUntried for an account without a former pair.
func (l *Ledger) pauseAlone(a *account) turn {
	s := a.sum()
	counted := s.refused + s.unclear
	switch {
	case s.refused >= mostUntried, s.refused > 0 && counted >= mostAtAll:
		long := max(l.long, min(l.long<<min(a.longs, 8), longest))
		return turn{at: a.answered.Add(long), long: true}
	case counted < 2:
		return turn{}
	case counted < mostAtAll:
		return turn{at: a.answered.Add(unclearPauses[counted-2])}
	case a.aboutTarget:
		return turn{at: a.answered.Add(targetPause)}
	}
	return turn{at: a.answered.Add(l.window)}
}
