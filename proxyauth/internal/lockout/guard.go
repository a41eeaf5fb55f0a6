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

	refused atomic.Bool // there is a refusal that may count

	attempts, refusals, unclear atomic.Int64
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
	known atomic.Pointer[account] // the ledger's, when an attempt was last made
}

// Account returns the account of k.
func (g *Guard) Account(k Key) *Account { return &Account{guard: g, key: k} }

// Key returns what the account is of.
func (a *Account) Key() Key { return a.key }

// Ask says what r is to do, whose Key need not be set. It does not wait: where the
// answer is Wait, nothing tells the caller of reports that come before Until.
func (a *Account) Ask(r Request) Decision {
	if d, ok := a.goes(&r); ok {
		return d
	}
	a.guard.mu.Lock()
	defer a.guard.unlock()
	return a.ask(r)
}

// Wait is Ask, but for the answer Wait: then it waits and asks again. waited is
// Request.Waited for the next time. The error is the cause of ctx, which ends it.
func (a *Account) Wait(ctx context.Context, r Request) (d Decision, waited time.Duration, err error) {
	if d, ok := a.goes(&r); ok {
		return d, r.Waited, nil
	}
	for ctx.Err() == nil {
		d, changed := a.enter(r)
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
		a.guard.leave(a.key.User, changed)
	}
	return Decision{}, r.Waited, context.Cause(ctx)
}

// goes lets r go, where that needs nobody's leave. It neither locks nor allocates.
func (a *Account) goes(r *Request) (Decision, bool) {
	known := a.known.Load()
	if known == nil || len(r.Schemes) != 1 {
		return Decision{}, false
	}
	f := known.freely.Load()
	if !f.lets(time.Now(), r.Schemes[0], r.Target) {
		return Decision{}, false
	}
	return Decision{Answer: Go, Attempt: Attempt{
		Key: a.key, Scheme: r.Schemes[0], Target: r.Target, Trusted: true, account: known, mark: f.mark,
	}}, true
}

// ask asks the ledger. The lock is held.
func (a *Account) ask(r Request) Decision {
	r.Key = a.key
	d := a.guard.ledger.Ask(time.Now(), r)
	if d.Answer == Go {
		a.known.Store(d.Attempt.account)
	}
	return d
}

// enter asks, and enters r among those who wait, if it must.
func (a *Account) enter(r Request) (d Decision, changed chan struct{}) {
	g := a.guard
	g.mu.Lock()
	defer g.unlock()
	if d = a.ask(r); d.Answer != Wait {
		return d, nil
	}
	w := g.waiting[a.key.User]
	if w == nil {
		w = &waiting{changed: make(chan struct{})}
		g.waiting[a.key.User] = w
	}
	w.n++
	return d, w.changed
}

func (g *Guard) unlock() {
	g.refused.Store(len(g.ledger.refused) > 0)
	g.mu.Unlock()
}

// leave is called by those who do not wait any longer.
func (g *Guard) leave(user string, changed chan struct{}) {
	g.mu.Lock()
	defer g.unlock()
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
		g.attempts.Add(int64(max(1, e.Legs)))
	}
	if f := sent.account.freely.Load(); sent.place == nil && (e.Verdict == Nothing || e.Verdict == NotSent) ||
		e.Verdict == Passed && f.knows(time.Now(), sent) {
		return Trusted, Trusted
	}
	g.mu.Lock()
	defer g.unlock()
	was, is = g.ledger.Report(time.Now(), sent, e)
	if matters(sent, e, was, is) {
		g.wake(sent.Key.User)
	}
	return was, is
}

// matters reports whether a report can bring anybody's turn sooner. To wake all who
// wait would cost much for reports about attempts of which the ledger did not know:
// they come by the hundred when a password ends.
func matters(sent Attempt, e Evidence, was, is State) bool {
	return sent.place != nil || e.Verdict == Passed || was != is
}

// Free gives the place of an attempt to others: see [Ledger.Free].
func (g *Guard) Free(sent Attempt) {
	if sent.place == nil {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	g.ledger.Free(time.Now(), sent)
	g.wake(sent.Key.User)
}

// Repeat reports whether an attempt may be made once more in its place: see
// [Ledger.Repeat].
func (g *Guard) Repeat(sent Attempt, made int) bool {
	if sent.place == nil {
		return true
	}
	g.mu.Lock()
	defer g.unlock()
	return g.ledger.Repeat(time.Now(), sent, made)
}

// Forget forgets all refusals: an account was unlocked.
func (g *Guard) Forget() {
	g.mu.Lock()
	defer g.unlock()
	g.ledger.Forget(time.Now())
	for user := range g.waiting {
		g.wake(user)
	}
}

// Status describes the account.
func (a *Account) Status() Status {
	a.guard.mu.Lock()
	defer a.guard.unlock()
	return a.guard.ledger.Status(time.Now(), a.key)
}

// Rejected returns the pairs that may not be sent to a proxy now, by any scheme,
// since they were refused, the latest refused last. While there are none for any
// proxy it neither locks nor allocates.
func (g *Guard) Rejected(proxy string) []Pair {
	if !g.refused.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.unlock()
	return g.ledger.Rejected(time.Now(), proxy)
}

// Sent returns the pairs that a proxy has been sent, as far as is known still, in no
// order.
func (g *Guard) Sent(proxy string) []Pair {
	g.mu.Lock()
	defer g.unlock()
	return g.ledger.Sent(proxy)
}

// Counts is what a Guard has seen.
type Counts struct {
	Attempts int64 // that were reported, and not as NotSent; each leg by itself
	Refusals int64 // of these
	Unclear  int64 // of these, UnclearTarget as well
}

// Counts returns what was seen so far.
func (g *Guard) Counts() Counts {
	return Counts{g.attempts.Load(), g.refusals.Load(), g.unclear.Load()}
}
