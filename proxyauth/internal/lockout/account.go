package lockout

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// An account is what is known of the credentials of a Key.
type account struct {
	key      Key
	pauses   *pauses
	used     time.Time // when a request last asked or reported
	underWay places
	last     Evidence // the last answer that was Refused or unclear
	refusal  int      // the number of its last refusal, among those of all accounts
	untried
	trusted
	targets
	freely atomic.Pointer[freely]
}

// send notes an attempt; former says whether requests go on with a former pair meanwhile.
func (a *account) send(now time.Time, sent *place, former bool) {
	trusts := a.trusts(sent.scheme)
	if !trusts || a.suspect() || !a.good(now) {
		sent.stage = paced
	}
	if a.tries(sent.target) {
		a.hold.claim(now, a.pauses.holds, sent)
	}
	switch {
	case former:
		a.retries.claim(now, a.pauses.retries, sent)
	case !trusts && a.usedUp():
		a.long = sent
	}
	a.underWay = append(a.underWay, sent)
}

// repeat reports whether an attempt may be made once more in its place, and notes that.
func (a *account) repeat(now time.Time, sent *place, made int) bool {
	sent.at = now
	if a.trusts(sent.scheme) {
		return true
	}
	s := a.sum()
	refused := made + a.underWay.beside(sent) + s.refused // if those under way will be
	may := sent.stage != expired && refused < mostUntried && refused+s.unclear < mostAtAll
	if may {
		sent.made++
	}
	return may
}

// free gives the place of an attempt to others.
func (a *account) free(sent *place) {
	if sent.stage == paced {
		sent.stage = freed
	}
	if a.trusts(sent.scheme) {
		a.underWay.remove(sent)
	}
}

// expire counts attempts by schemes that never passed and have had no answer for too
// long, each from its own minute on.
func (a *account) expire(now time.Time) {
	for last := now.Add(-unanswered); ; {
		i := slices.IndexFunc(a.underWay, func(p *place) bool { return !p.at.After(last) && !a.trusts(p.scheme) })
		if i < 0 {
			return
		}
		p := a.underWay[i]
		a.underWay.remove(p)
		if p.stage == freed {
			continue
		}
		p.stage = expired
		a.last = Evidence{Verdict: verdict.UnclearTarget}
		a.count(p.at.Add(unanswered), p, Evidence{Verdict: verdict.UnclearTarget, Legs: p.made})
		a.publish()
	}
}

// fold takes in the answer to an attempt, and reports whether it is a refusal that counts.
// If so it gets the number.
func (a *account) fold(now time.Time, sent *place, e Evidence, number int) (counts bool) {
	a.underWay.remove(sent)
	unclear := e.Verdict == verdict.Unclear || e.Verdict == verdict.UnclearTarget
	if e.Verdict == verdict.Refused || unclear && !a.suspect() {
		a.last = e // a suspect account is held because it was refused
	}
	switch {
	case e.Verdict == verdict.Passed:
		a.prove(sent.scheme)
		if a.trusted.pass(now, sent.mark) {
			a.targets.pass(sent.target)
		}
	case e.Verdict == verdict.Refused && a.trusts(sent.scheme) && a.denied.has(sent.target) && a.good(now):
		a.denials++
	case e.Verdict == verdict.Refused:
		a.refusal = number
		a.count(now, sent, e)
		counts = true
	case sent.stage == expired:
	case e.Verdict == verdict.NotSent:
		a.hold.giveBack(now, sent)
		a.retries.giveBack(now, sent)
	default:
		a.count(now, sent, e)
	}
	a.publish()
	return counts
}

// count takes in an answer that is no pass.
func (a *account) count(now time.Time, sent *place, e Evidence) {
	trusts := a.trusts(sent.scheme)
	if !trusts {
		a.untried.count(now, sent, e)
	}
	if trusts || a.suspect() {
		a.trusted.count(now, a.pauses.holds, sent, e.Verdict, a.refusal)
	}
	a.targets.note(sent.target, e.Verdict)
}

// prove notes that a scheme has passed.
func (a *account) prove(scheme string) {
	if !a.trusts(scheme) {
		a.proven = append(slices.Clip(a.proven), scheme)
		a.untried.pass(scheme)
	}
}

// attempts returns how many attempts of an account that never passed count for its rivals,
// as the directory may still count them.
func (a *account) attempts(now time.Time) int {
	n, _ := a.underWay.taken(time.Time{}, paced)
	if s := a.sum(); a.recent(now) {
		n += s.refused + s.unclear
	}
	return n
}

func (a *account) recent(now time.Time) bool { return now.Sub(a.answered) < a.pauses.window }

// over reports whether refusals cease to count until an attempt is made. If nothing has
// passed all pauses must be over, those beside a former pair and those without one.
func (a *account) over(now time.Time) bool {
	return len(a.underWay) == 0 &&
		(len(a.proven) > 0 || !a.retries.next.After(now) && !a.untried.pause(a.pauses, false).at.After(now))
}

// forget forgets what is held against the account.
func (a *account) forget() {
	a.last, a.suspicion = Evidence{}, suspicion{}
	a.untried.clear()
	a.targets.clear()
	a.publish()
}

// publish lets requests use a clean account without asking.
func (a *account) publish() {
	if a.suspect() || a.denials > 0 || len(a.unclearAt) > 0 {
		a.freely.Store(nil)
		return
	}
	a.freely.Store(&freely{proven: a.proven, denied: slices.Clone(a.denied), passed: a.passed, mark: a.mark})
}

// worth says how much is lost if the account is forgotten: least if it was not used for
// long, then if it is good, unclear, or refused, and most while attempts are under way.
func (a *account) worth(now time.Time) int {
	a.expire(now)
	s := a.sum()
	switch {
	case len(a.underWay) > 0:
		return 4
	case now.Sub(a.used) > max(longest, a.pauses.long):
		return 0
	case a.suspect() || s.refused > 0:
		return 3
	case s.unclear+s.nothing > 0:
		return 2
	}
	return 1
}

// freely is how a clean account is used without asking the ledger. It does not change,
// and is read without the guard's lock. On nil the ledger is to be asked.
type freely struct {
	proven []string
	denied list
	passed time.Time // last
	mark   int       // of attempts: see place
}

// lets reports whether an attempt may be made without asking.
func (f *freely) lets(now time.Time, scheme, target string) bool {
	return f != nil && now.Before(f.passed.Add(atEase)) && slices.Contains(f.proven, scheme) && !f.denied.has(target)
}

// knows reports whether a pass is nothing new.
func (f *freely) knows(now time.Time, target string, mark int) bool {
	return f != nil && now.Before(f.passed.Add(atEase/60)) && mark >= f.mark && !f.denied.has(target)
}
