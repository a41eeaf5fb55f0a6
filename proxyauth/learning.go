package proxyauth

import (
	"context"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// A learning is the turn of the one request that finds out what a proxy demands, by
// asking without credentials, while others wait for what it learns.
type learning struct{ done chan struct{} }

// patience is how long a request waits for another one to find out. One that takes
// longer waits, mostly, for a slow origin, so the others ask themselves.
const patience = 2 * time.Second

// learnFirst makes the request the one that finds out, if there is none. Otherwise it
// waits for the other, and returns nil; late says that this took too long.
func (r *route) learnFirst(ctx context.Context, req *http.Request) (l *learning, late bool, err error) {
	r.mu.Lock()
	other := r.learner
	if other == nil {
		r.learner = &learning{make(chan struct{})}
		defer r.mu.Unlock()
		return r.learner, false, nil
	}
	r.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-other.done:
		return nil, false, nil
	case <-timer.C:
		return nil, true, nil
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	case <-req.Cancel: //lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
		return nil, false, carrier.ErrCanceled
	}
}

// tellsOthers ends the turn of x, if it has one, and wakes those who wait: what it has
// found out is known.
func (x *exchange) tellsOthers() {
	l := x.learning
	if l == nil {
		return
	}
	x.learning = nil
	x.r.mu.Lock()
	defer x.r.mu.Unlock()
	x.r.learner = nil
	close(l.done)
}
