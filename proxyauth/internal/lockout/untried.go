package lockout

import (
	"slices"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

const (
	mostUntried = 2               // attempts, before the long pause
	secondAfter = 4 * time.Second // the second attempt, if the first is not answered
	mostAtOnce  = 4               // attempts that a load balancer's 503s can open the way for
	mostAtAll   = 4               // attempts before the long pause, if one was refused
	otherTarget = time.Second     // after a pause: how long an odd target leaves the first attempt to others
)

// The pauses after two unclear answers, three, and more.
var unclearPauses = [...]time.Duration{5 * time.Second, time.Minute}

const targetPause = 5 * time.Minute // after more, if the last was UnclearTarget

// untried is how an account stands with the schemes by which nothing has passed yet. The
// first promise goes first: they share two attempts, and what is refused or unclear by
// one counts for all.
type untried struct {
	tallies     map[string]tally // by scheme
	answered    time.Time        // when the last answer was read that a pause runs from
	aboutTarget bool             // the last unclear answer was UnclearTarget
	bare        bool             // the next request begins without credentials
	longs       int              // how many long pauses are over
	long        *place           // of the attempt after the last of them, until it is answered
	retries     pause            // what counts instead while a former pair passes
}

// A tally is the answers to a scheme that never passed.
type tally struct {
	refused, unclear, nothing int
	tried                     time.Time // when it was refused last, or had the attempt after a long pause
}

func (u *untried) sum() (s tally) {
	for _, t := range u.tallies {
		s.refused += t.refused
		s.unclear += t.unclear
		s.nothing += t.nothing
	}
	return s
}

// leastTried returns the scheme for the next attempt: one that was not refused, or the
// one that was longest ago. So the next scheme makes the second attempt, if there is one.
func (u *untried) leastTried(schemes []string) string {
	return slices.MinFunc(schemes, func(x, y string) int { return u.tallies[x].tried.Compare(u.tallies[y].tried) })
}

// turn returns the turn of a scheme, at an odd target or another; t is that after a pause.
func (u *untried) turn(now time.Time, t turn, underWay places, odd bool) turn {
	n, first := underWay.taken(now.Add(-unanswered), paced)
	all, firstOfAll := underWay.taken(now.Add(-unanswered), freed)
	s := u.sum()
	paused := !t.at.IsZero()
	switch room := min(mostUntried+s.nothing, mostAtOnce) - s.refused - s.unclear; {
	case !paused && all+s.refused+s.unclear >= mostAtOnce:
		t.at, t.answers = firstOfAll.Add(unanswered), true
	case n > 0 && (paused || n >= room):
		t.at, t.answers = first.Add(unanswered), true
	case n > s.nothing:
		t.at, t.answers = first.Add(secondAfter), true
	case paused && !t.former && odd:
		t.at, t.others = t.at.Add(otherTarget), otherTarget
	}
	t.answers = t.answers || t.former && all > n
	return t
}

// pause returns the turn after the last answer, which is zero if no pause follows; former
// says whether a former pair passes.
func (u *untried) pause(p *pauses, former bool) turn {
	s := u.sum()
	counted := s.refused + s.unclear
	switch {
	case former && s.refused > 0:
		return turn{at: u.retries.next, former: true}
	case u.usedUp():
		return turn{at: u.answered.Add(max(p.long, min(p.long<<min(u.longs, 8), longest)))}
	case counted < 2:
		return turn{}
	case counted < mostAtAll:
		return turn{at: u.answered.Add(unclearPauses[counted-2])}
	case u.aboutTarget:
		return turn{at: u.answered.Add(targetPause)}
	}
	return turn{at: u.answered.Add(p.window)}
}

// usedUp reports whether all attempts were made, so that the next is after a long pause.
func (u *untried) usedUp() bool {
	s := u.sum()
	return s.refused >= mostUntried || s.refused > 0 && s.refused+s.unclear >= mostAtAll
}

// count takes in an answer that is no pass.
func (u *untried) count(now time.Time, sent *place, e Evidence) {
	t := u.tallies[sent.scheme]
	switch e.Verdict {
	case verdict.Refused:
		t.refused += max(1, e.Legs)
	case verdict.Unclear, verdict.UnclearTarget:
		t.unclear += max(1, e.Legs)
		u.aboutTarget = e.Verdict == verdict.UnclearTarget
		u.bare = true
	case verdict.Nothing:
		if sent.challenged {
			t.nothing++
		}
		u.bare = true
	}
	long := sent == u.long
	if e.Verdict == verdict.Refused || long {
		t.tried = now
	}
	if e.Verdict != verdict.Nothing || long {
		u.answered = now
	}
	if long {
		u.longs++
		u.long = nil
	}
	if u.tallies == nil {
		u.tallies = map[string]tally{}
	}
	u.tallies[sent.scheme] = t
}

// pass takes in that a scheme has passed, which clears what is held against it.
func (u *untried) pass(scheme string) {
	delete(u.tallies, scheme)
	*u = untried{tallies: u.tallies, answered: u.answered, aboutTarget: u.aboutTarget}
}

func (u *untried) clear() { *u = untried{answered: u.answered} }
