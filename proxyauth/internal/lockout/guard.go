package lockout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Guard is a Ledger for many goroutines, with a clock and waiting. It starts
// none of its own, and holds no lock while anybody waits.
type Guard struct {
	mu      sync.Mutex
	ledger  *Ledger
	waiting map[string]*waiting // by user name

	attempts, refusals, unclear, unsent atomic.Int64
}

// waiting is those who wait for a report about a user name.
type waiting struct {
	n       int
	changed chan struct{} // closed by the report
}

// NewGuard returns a Guard; rejectedFor is as NewLedger has it.
func NewGuard(rejectedFor time.Duration) *Guard {
	return &Guard{ledger: NewLedger(rejectedFor), waiting: map[string]*waiting{}}
}

// An Account is a Key's account at a Guard. There can be several of one key.
type Account struct {
	guard *Guard
	key   Key
	known atomic.Pointer[account]
}

// Account returns the account of k.
func (g *Guard) Account(k Key) *Account { return &Account{guard: g, key: k} }

// Key returns what the account is of.
func (a *Account) Key() Key { return a.key }

// Wait says what r, whose Key is set here, is to do; it never says Wait. waited
// is Request.Waited for the next time. The error is the context's cause.
func (a *Account) Wait(ctx context.Context, r Request) (d Decision, waited time.Duration, err error) {
	if known := a.known.Load(); known != nil && len(r.Schemes) == 1 {
		if f := known.freely.Load(); f.lets(time.Now(), r.Schemes[0], r.Target) {
			return Decision{Answer: Go, Attempt: Attempt{
				Key: a.key, Scheme: r.Schemes[0], Target: r.Target, account: known, mark: f.mark,
			}}, r.Waited, nil
		}
	}
	r.Key = a.key
	for ctx.Err() == nil {
		d, changed := a.ask(r)
		if d.Answer != Wait {
			return d, r.Waited, nil
		}
		since := time.Now()
		timer := time.NewTimer(time.Until(d.Until))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		r.Waited += time.Since(since)
		a.guard.leave(r.Key.User, changed)
	}
	return Decision{}, r.Waited, context.Cause(ctx)
}

// ask asks the ledger, and enters those who wait if r must.
func (a *Account) ask(r Request) (d Decision, changed chan struct{}) {
	g := a.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	d = g.ledger.Ask(time.Now(), r)
	switch d.Answer {
	case Go:
		a.known.Store(d.Attempt.account)
	case Held:
		g.unsent.Add(1)
	case Wait:
		w := g.waiting[r.Key.User]
		if w == nil {
			w = &waiting{changed: make(chan struct{})}
			g.waiting[r.Key.User] = w
		}
		w.n++
		changed = w.changed
	}
	return d, changed
}

// leave is called by those who do not wait any longer.
func (g *Guard) leave(user string, changed chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.waiting[user]; w != nil && w.changed == changed {
		if w.n--; w.n == 0 {
			delete(g.waiting, user)
		}
	}
}

// wake lets all who wait for a user name ask again. The lock is held.
func (g *Guard) wake(user string) {
	if w := g.waiting[user]; w != nil {
		close(w.changed)
		delete(g.waiting, user)
	}
}

// Report takes in the answer to an attempt, and says how its account stood and
// how it stands.
func (g *Guard) Report(sent Attempt, e Evidence) (was, is State) {
	switch e.Verdict {
	case Refused:
		g.refusals.Add(1)
	case Unclear, UnclearTarget:
		g.unclear.Add(1)
	}
	if e.Verdict != NotSent {
		g.attempts.Add(1)
	}
	if f := sent.account.freely.Load(); sent.id == 0 && (e.Verdict == Nothing || e.Verdict == NotSent) ||
		e.Verdict == Passed && f.knows(time.Now(), sent) {
		return Trusted, Trusted
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	was, is = g.ledger.Report(time.Now(), sent, e)
	if matters(sent, e, was, is) {
		g.wake(sent.Key.User)
	}
	return was, is
}

// matters reports whether a report can bring anybody's turn sooner. Those about
// attempts of which the ledger did not know come by the hundred when a password
// ends.
func matters(sent Attempt, e Evidence, was, is State) bool {
	return sent.id != 0 || e.Verdict == Passed || was != is
}

// Forget forgets all refusals: an account was unlocked.
func (g *Guard) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ledger.Forget()
	for user := range g.waiting {
		g.wake(user)
	}
}

// Status describes the account.
func (a *Account) Status() Status {
	a.guard.mu.Lock()
	defer a.guard.mu.Unlock()
	return a.guard.ledger.Status(time.Now(), a.key)
}

// Rejected returns the pairs that may not be sent to a proxy now, by any scheme,
// since they were refused.
func (g *Guard) Rejected(proxy string) []Pair {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ledger.Rejected(time.Now(), proxy)
}

// Counts is what a Guard has seen.
type Counts struct {
	Attempts int64 // that were answered
	Refusals int64 // of these
	Unclear  int64 // the same
	Unsent   int64 // requests that were held
}

// Counts returns what was seen so far.
func (g *Guard) Counts() Counts {
	return Counts{g.attempts.Load(), g.refusals.Load(), g.unclear.Load(), g.unsent.Load()}
}
