package negotiate

import (
	"context"
	"errors"
)

// BeforeLogin sets a function that is asked before each login by password: an AS
// exchange with [Options].Password is an attempt at the account, and too many with
// a wrong password lock it. Call BeforeLogin before the first [Client.Ticket]. If f is
// nil, as at first, no function is asked.
//
// f is called when Ticket needs a login, right before a KDC is asked, once for all
// callers who wait for that ticket. It is not called for tickets that are kept or in a
// ticket cache, nor for a keytab. f may block until the login may go on; that takes
// nothing from the four seconds in which a KDC has to answer. ctx has the values of the
// context of the Ticket call that came first, but not its end: ctx ends when the last
// waiting caller has given up, or f returns.
//
// If f returns an error, no KDC is asked. All waiting callers get an [*Error] that wraps
// the error of f and has its text, without a Remedy, and is neither Rejected nor Barred.
// Later calls of Ticket call f again.
//
// Otherwise after, which may be nil, is called exactly once with the error in which the
// login ended, before Ticket returns, and even if nobody waits any more. The error is
// nil if there was a ticket-granting ticket, whatever becomes of the ticket for the
// service. It is an [*Error] that is Rejected if the password is wrong. Other errors say
// nothing about the password: no KDC answered, the clocks differ, the user is Barred, or
// all callers gave up while f was asked, so that no KDC was.
//
// With a function f, the Client does not keep a refusal of the password for later calls
// of Ticket: f decides when the password is tried again. Other failures are returned for
// 5 seconds without calling f.
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
