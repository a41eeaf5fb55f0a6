package proxyauth

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// A turn is that of the one request which finds out what a proxy demands, by asking
// without credentials, while others wait for what it learns.
type turn struct {
	mu    sync.Mutex
	taken chan struct{} // closed when it ends; nil: nobody has it
}

// patience is how long a request waits for another one to find out. One that takes
// longer waits, mostly, for a slow origin, so the others ask themselves.
const patience = 2 * time.Second

// take gives the turn to req if nobody has it: l is not nil then, and must be ended.
// Otherwise take waits until the other request's turn has ended; late says that this took
// longer than patience.
func (t *turn) take(req *http.Request) (l *learning, late bool, err error) {
	t.mu.Lock()
	other := t.taken
	if other == nil {
		t.taken = make(chan struct{})
		defer t.mu.Unlock()
		return &learning{t}, false, nil
	}
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-other:
		return nil, false, nil
	case <-timer.C:
		return nil, true, nil
	case <-req.Context().Done():
		return nil, false, context.Cause(req.Context())
	case <-req.Cancel: //lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
		return nil, false, carrier.ErrCanceled
	}
}

// A learning is the turn of one request, until it is ended. Nil is none.
type learning struct{ turn *turn }

// end wakes those who wait: what the request has found out is known. It may be called
// more than once.
func (l *learning) end() {
	if l == nil || l.turn == nil {
		return
	}
	t := l.turn
	l.turn = nil
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken)
	t.taken = nil
}
