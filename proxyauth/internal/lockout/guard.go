package lockout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A Guard is a Ledger for many goroutines, with a clock and waiting. It starts no
// goroutine, and holds no lock while a request waits.
type Guard struct {
	mu      sync.Mutex
	ledger  *Ledger
	waiting map[string]*waiting // by user name

	refused atomic.Bool // the ledger has refusals that may count

	attempts, refusals, unclear atomic.Int64
}

// waiting is the requests that wait for a report about a user name.
type waiting struct {
	n       int
	changed chan struct{} // closed by the report
}

// NewGuard returns a Guard with a ledger for rejectedFor: see [NewLedger].
func NewGuard(rejectedFor time.Duration) *Guard {
	return &Guard{ledger: NewLedger(rejectedFor), waiting: map[string]*waiting{}}
}

// An Account asks a Guard about the account of a Key. Several may ask about one key.
type Account struct {
	guard *Guard
	key   Key
	known atomic.Pointer[account] // of the ledger, as of the last attempt
}

// Account returns the account of k.
func (g *Guard) Account(k Key) *Account { return &Account{guard: g, key: k} }

// Key returns the key of the account.
func (a *Account) Key() Key { return a.key }

// Ask says what r is to do, whose Key need not be set. It does not wait: if the answer
// is Wait the caller is not told of reports that come before Until.
func (a *Account) Ask(r Request) Decision {
	if d, ok := a.goes(&r); ok {
		return d
	}
	a.guard.mu.Lock()
	defer a.guard.unlock()
	return a.ask(r)
}

// Wait is Ask, but instead of answering Wait it waits and asks again. waited is
// Request.Waited for the next time. If ctx ends, the error is its cause.
func (a *Account) Wait(ctx context.Context, r Request) (d Decision, waited time.Duration, err error) {
	if d, ok := a.goes(&r); ok {
		return d, r.Waited, nil
	}
	for ctx.Err() == nil {
		d, w := a.enter(r)
		if d.Answer != Wait {
			return d, r.Waited, nil
		}
		since := time.Now()
		timer := time.NewTimer(time.Until(d.Until))
		select {
		case <-w.changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		r.Waited += time.Since(since)
		a.guard.leave(a.key.User, w)
	}
	return Decision{}, r.Waited, context.Cause(ctx)
}

// goes answers Go if the ledger need not be asked. It neither locks nor allocates.
func (a *Account) goes(r *Request) (Decision, bool) {
	if known := a.known.Load(); known != nil && len(r.Schemes) == 1 {
		if f := known.freely.Load(); f.lets(time.Now(), r.Schemes[0], r.Target) {
			return Decision{Answer: Go, Attempt: Attempt{
				Key: a.key, Scheme: r.Schemes[0], Target: r.Target, Trusted: true, account: known, mark: f.mark,
			}}, true
		}
	}
	return Decision{}, false
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

// enter asks, and if r is to wait enters it among the requests that do.
func (a *Account) enter(r Request) (d Decision, w *waiting) {
	g := a.guard
	g.mu.Lock()
	defer g.unlock()
	if d = a.ask(r); d.Answer != Wait {
		return d, nil
	}
	if w = g.waiting[a.key.User]; w == nil {
		w = &waiting{changed: make(chan struct{})}
		g.waiting[a.key.User] = w
	}
	w.n++
	return d, w
}

func (g *Guard) unlock() {
	g.refused.Store(len(g.ledger.refused) > 0)
	g.mu.Unlock()
}

// leave takes out a request that does not wait any longer.
func (g *Guard) leave(user string, w *waiting) {
	g.mu.Lock()
	defer g.unlock()
	if w.n--; w.n == 0 && g.waiting[user] == w {
		delete(g.waiting, user)
	}
}

// wake lets all requests that wait for a user name ask again. The lock is held.
func (g *Guard) wake(user string) {
	if w := g.waiting[user]; w != nil {
		close(w.changed)
		delete(g.waiting, user)
	}
}

// Report takes in the answer to an attempt, and says how its account stood and how it
// stands.
func (g *Guard) Report(sent Attempt, e Evidence) (was, is State) {
	switch e.Verdict {
	case verdict.Refused:
		g.refusals.Add(1)
	case verdict.Unclear, verdict.UnclearTarget:
		g.unclear.Add(1)
	}
	if e.Verdict != verdict.NotSent {
		g.attempts.Add(int64(max(1, e.Legs)))
	}
	if sent.needless(time.Now(), e.Verdict) {
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

// matters reports whether a report can bring a turn sooner. Reports about attempts that
// were sent without asking the ledger come by the hundred when a password ends, and to
// wake all waiting requests for each would cost much.
func matters(sent Attempt, e Evidence, was, is State) bool {
	return sent.place != nil || e.Verdict == verdict.Passed || was != is
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

// Rejected returns the pairs that may not be sent to a proxy now: see [Ledger.Rejected].
// While no refusal counts, at any proxy, it neither locks nor allocates.
func (g *Guard) Rejected(proxy string) []Pair {
	if !g.refused.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.unlock()
	return g.ledger.Rejected(time.Now(), proxy)
}

// Sent returns the pairs that were sent to a proxy, as far as the ledger remembers, in no
// order.
func (g *Guard) Sent(proxy string) []Pair {
	g.mu.Lock()
	defer g.unlock()
	return g.ledger.Sent(proxy)
}

// Counts are the reports that a Guard has got.
type Counts struct {
	Attempts int64 // each leg by itself, without those that were NotSent
	Refusals int64
	Unclear  int64 // or UnclearTarget
}

// Counts returns the reports so far.
func (g *Guard) Counts() Counts {
	return Counts{g.attempts.Load(), g.refusals.Load(), g.unclear.Load()}
}
