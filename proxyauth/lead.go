package proxyauth

import (
	"context"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// A lead is the turn of the one request that finds out how a route stands,
// while others wait for what it learns. Credentials of which it is not known
// whether they are right, or no longer, are only sent under a lead: a thousand
// goroutines must not try one wrong password a thousand times.
type lead struct {
	patience time.Duration // how long others wait for it once it has shown credentials
	done     chan struct{} // closed when it is known how the route stands, or by release
	err      *AuthError    // set before done is closed: ends those who waited, too

	// Of route.mu:
	since time.Time // when it began, or showed credentials
	shown bool      // it has
	over  bool
}

// How long a request waits for another one to find out. One that takes longer
// waits, mostly, for a slow origin, which means that it got through. Where it has
// shown no credentials the others then go on without, too. Else one of them takes
// over, which is another attempt at the account; so for that one the rest have
// twice the patience. Where credentials have passed before, all of the others go on
// with them. (Some proxies take 3 seconds to refuse a wrong password, to
// hold up who guesses.)
const (
	patience      = 2 * time.Second
	shownPatience = 4 * time.Second
)

// A purpose is what a request enters a route for.
type purpose int

const (
	toBegin  purpose = iota // it may go without credentials, to be asked for them
	toAnswer                // it has been asked
	toShow                  // it has a connection of a scheme that is bound to it, and no other will do
)

// enter returns how to send req: by the standing of its route, or with the lead
// to find out, or to prove the standing again; or neither, to begin without
// credentials. Where the proxy is known to refuse, the error says so at once. A
// connection-bound scheme may find a connection that needs no credentials, and so
// no lead until it is to show them.
func (r *route) enter(req *http.Request, why purpose) (*standing, *lead, error) {
	for {
		st := r.standing.Load()
		if st != nil && st.refusal == nil && (st.certain() || st.bound != nil && why != toShow) {
			return st, nil, nil
		}
		if st != nil && st.refusal != nil {
			if !r.mayTryAgain(req.Context(), st) {
				return nil, nil, st.refusal.again(req)
			}
			r.standing.CompareAndSwap(st, nil)
			continue
		}
		if ctx := req.Context(); ctx.Err() != nil {
			return nil, nil, context.Cause(ctx) // it must not lead
		}
		r.mu.Lock()
		if r.standing.Load() != st {
			r.mu.Unlock()
			continue
		}
		other := r.learner
		if other == nil {
			l := newLead(shownPatience)
			r.learner = l
			r.mu.Unlock()
			return st, l, nil
		}
		since, shown := other.since, other.shown
		r.mu.Unlock()

		limit := other.patience
		if st == nil && !shown {
			limit = patience
		}
		ended, err := other.wait(req, limit-time.Since(since))
		switch {
		case err != nil:
			return nil, nil, err
		case ended && other.err != nil:
			return nil, nil, other.err.again(req)
		case ended, r.standing.Load() != st: // it is known now
		case st != nil:
			return st, nil, nil
		case !shown && r.hasShown(other): // and is waited for anew
		case !shown && why == toBegin:
			return nil, nil, nil
		default:
			if l := r.takeOver(other); l != nil {
				return nil, l, nil
			}
		}
	}
}

func newLead(patience time.Duration) *lead {
	return &lead{since: time.Now(), patience: patience, done: make(chan struct{})}
}

// wait returns when the lead has ended or the time is over, or with the error of
// req when that ends before.
func (l *lead) wait(req *http.Request, limit time.Duration) (ended bool, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.done:
		return true, nil
	case <-req.Context().Done():
		return false, context.Cause(req.Context())
	case <-req.Cancel: //lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
		return false, carrier.ErrCanceled
	case <-timer.C:
		return false, nil
	}
}

// shows notes that credentials go out under l, which may be nil.
func (r *route) shows(l *lead) {
	if l == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !l.shown {
		l.shown, l.since = true, time.Now()
	}
}

func (r *route) hasShown(l *lead) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.shown
}

// takeOver returns the lead in place of other, or nil if that has ended or was
// taken over already.
func (r *route) takeOver(other *lead) *lead {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.learner != other {
		return nil
	}
	l := newLead(other.patience)
	if other.shown {
		l.patience *= 2
	}
	r.learner = l
	return l
}

// release ends a lead; l may be nil. Waiting requests go on by the standing, or
// one of them leads next. They end as well if the leader found out that none
// can pass, and not for a reason of its own.
func (r *route) release(l *lead, err error) {
	if l == nil {
		return
	}
	e, ok := err.(*AuthError)
	if ok && (e.cause != nil || e.Err != ErrRejected && e.Err != ErrNoCredentials) {
		e = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLead(l, e)
}

// endLead wakes those who wait for l, once. r.mu is held.
func (r *route) endLead(l *lead, err *AuthError) {
	if r.learner == l {
		r.learner = nil
	}
	if !l.over {
		l.over, l.err = true, err
		close(l.done)
	}
}
