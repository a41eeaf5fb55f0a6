package lockout

import (
	"slices"
	"time"
)

// unanswered is how long an attempt by a scheme that never passed may have no answer
// before it counts as UnclearTarget. A forwarded request to a dead target, or to one
// that answers when it has news, may never end, and would keep all others from trying.
const unanswered = time.Minute

// A place is taken by an attempt until its answer is reported.
type place struct {
	scheme, target string
	at             time.Time // when it was sent, or last repeated
	made           int       // how often it was sent
	mark           int       // the number of the last refusal, of any account, that was read before
	challenged     bool      // the request had got a 407 of its own
	stage          stage
}

// A stage says whether others may have to wait for the answer to an attempt.
type stage int

const (
	unpaced stage = iota // they need not: it was sent when any number of attempts may be
	expired              // they need not: it has counted without an answer
	freed                // they have its place: see Ledger.Free
	paced                // they may have to
)

// places are those of the attempts under way.
type places []*place

func (ps *places) remove(p *place) {
	*ps = slices.DeleteFunc(*ps, func(other *place) bool { return other == p })
}

// taken returns how many attempts sent after a time others may have to wait for, and when
// the first of them was sent. If least is freed, it counts freed ones as well.
func (ps places) taken(after time.Time, least stage) (n int, first time.Time) {
	for _, p := range ps {
		if p.at.After(after) && p.stage >= least {
			if n == 0 || p.at.Before(first) {
				first = p.at
			}
			n += p.made
		}
	}
	return n, first
}

// beside returns how many attempts there are besides p.
func (ps places) beside(p *place) (n int) {
	for _, other := range ps {
		if other != p && other.stage >= freed {
			n += other.made
		}
	}
	return n
}

// to reports whether one is at the target.
func (ps places) to(target string) bool {
	return slices.ContainsFunc(ps, func(p *place) bool { return p.stage >= freed && p.target == target })
}

// since reports whether one was sent after the refusal with a number was read.
func (ps places) since(mark int) bool {
	return slices.ContainsFunc(ps, func(p *place) bool { return p.mark >= mark })
}
