package negotiate

import (
	"context"
	"errors"
)

// BeforeLogin sets a function that is asked before each login by password: an AS
// exchange with [Options].Password is an attempt at the account, and too many with
// a wrong one lock it. Set it before the first [Client.Ticket]. With nil, as at first,
// nobody is asked.
//
// f is called when Ticket needs a login, right before a KDC is asked, once for all
// who wait for that ticket: not for tickets that are kept or in a ticket cache, nor
// for a keytab. It may block, until it is the login's turn; that takes nothing from
// the four seconds in which a KDC has to answer. Its ctx has the values of the
// context of the Ticket call that came first, but not its end: it ends when the last
// caller who waits has given up, or f returns.
//
// If f fails no KDC is asked. All who wait get an [*Error] that wraps what f
// returned and says it in these words, with no Remedy of its own, neither Rejected
// nor Barred. Who calls Ticket later has f asked again.
//
// Otherwise after, which may be nil, is called exactly once with how the login ended,
// before Ticket returns the same, and also if nobody waits for it any more: with nil
// if there was a ticket-granting ticket, whatever becomes of the ticket for the
// service; with an [*Error] that is Rejected if the password is wrong. Other errors
// say nothing of the password: no KDC answered, the clocks differ, the user is
// Barred, or all gave up while f was asked, and then no KDC was.
//
// It is f then that says when a refused password is tried again: the refusal is
// told to those who wait, and is not kept for later calls of Ticket. Other failures
// stand for 5 seconds, in which f is not asked.
func (c *Client) BeforeLogin(f func(ctx context.Context) (after func(error), err error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beforeLogin = f
}

// errAlone is why there is no login: nobody would use it, and a wrong password
// would be tried in vain.
var errAlone = errors.New("negotiate: nobody waits for the ticket any more")

// awaitTurn asks the function of BeforeLogin; after is nil if there is none. If err
// is nil after must be called.
func (c *Client) awaitTurn(ctx context.Context, spn string, a *asking) (after func(error), err error) {
	c.mu.Lock()
	f := c.beforeLogin
	if f == nil {
		c.mu.Unlock()
		return nil, nil
	}
	if a.waiting == 0 || !a.patience.Stop() {
		c.abandon(spn, a)
		c.mu.Unlock()
		return nil, errAlone
	}
	ctx, a.giveUp = context.WithCancelCause(ctx)
	c.mu.Unlock()

	after, err = f(ctx)
	if after == nil {
		after = func(error) {}
	}
	c.mu.Lock()
	alone := ctx.Err() != nil
	a.giveUp(nil)
	a.giveUp = nil
	if !alone {
		a.patience.Reset(patience)
	}
	c.mu.Unlock()
	if alone && err == nil {
		after(errAlone)
		err = errAlone
	}
	return after, err
}

// notSent is the Error of a login that did not take place.
func notSent(err error, spn string) error {
	return &Error{SPN: spn, Cause: err.Error(), err: err}
}
