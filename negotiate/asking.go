package negotiate

import (
	"context"
	"errors"
	"time"
)

// asking is a question to the KDC that all who have it wait for together.
type asking struct {
	done   chan struct{}
	ticket *Ticket
	err    error

	late     chan struct{} // closed when they have waited for long enough
	patience *time.Timer   // closes it; stopped while no KDC's answer is waited for

	// The Client's lock is for these.
	waiting int                     // how many there are
	giveUp  context.CancelCauseFunc // while the function of BeforeLogin is at it
	ended   time.Time
	stands  time.Duration // how long a failure is that of those who ask next
}

// patience is how long an answer is waited for. gokrb5 gives each KDC five
// seconds, and the proxy may offer something else.
const patience = 4 * time.Second

var errSilent = errors.New("no communication with a KDC within " + patience.String())

func newAsking() *asking {
	a := &asking{done: make(chan struct{}), late: make(chan struct{})}
	a.patience = time.AfterFunc(patience, func() { close(a.late) })
	return a
}

// over reports whether it has failed so long ago that it is asked again.
func (a *asking) over() bool {
	return !a.ended.IsZero() && time.Since(a.ended) > a.stands
}

// ask ends by itself: gokrb5 gives each KDC five seconds, and the function of
// BeforeLogin is told when nobody waits.
func (c *Client) ask(ctx context.Context, spn string, a *asking) {
	var stands time.Duration
	a.ticket, stands, a.err = c.obtain(ctx, spn, a)
	c.mu.Lock()
	a.patience.Stop()
	a.ended, a.stands = time.Now(), stands
	if c.asking[spn] == a { // and not of files that have changed meanwhile
		if a.err == nil {
			c.tickets[spn] = a.ticket
		}
		if stands == 0 {
			delete(c.asking, spn)
		}
	}
	c.mu.Unlock()
	close(a.done)
}

// leave is for each who does not wait any longer. An answer of a KDC that is under
// way serves those who come later, but nobody's turn to log in is waited for.
func (c *Client) leave(spn string, a *asking) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.waiting--
	if a.waiting == 0 && a.giveUp != nil {
		c.abandon(spn, a)
		a.giveUp(errAlone)
	}
}

// abandon has those who come from now on ask anew. The lock is held.
func (c *Client) abandon(spn string, a *asking) {
	if c.asking[spn] == a {
		delete(c.asking, spn)
	}
}

const (
	// failFor is how long a failure stands for those who ask next: a KDC that is
	// down takes seconds each time.
	failFor = 5 * time.Second

	// refusedFor is how long it stands if it was an attempt at the account.
	// Directories count those of 30 minutes together.
	refusedFor = 31 * time.Minute
)

// standsFor returns how long a failure is that of those who ask next. guarded: who has set
// BeforeLogin decides when the password is tried again, and not the Client.
func standsFor(err error, guarded bool) time.Duration {
	var e *Error
	switch {
	case !errors.As(err, &e), guarded && e.Rejected:
		return 0
	case !guarded && (e.Rejected || e.Barred):
		return refusedFor
	}
	return failFor
}
