package carrier

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// HasBody reports whether req has a body.
func HasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// IsStream reports whether req has a body that can be read only once.
func IsStream(req *http.Request) bool { return HasBody(req) && req.GetBody == nil }

// A heldBody is a request body that can be read only once, for a leg that may
// end before the proxy asks for it. net/http reads and closes it, perhaps after
// the leg has ended; the caller's body is closed once, when nothing needs it.
// newHeldBody and newLastBody make one.
type heldBody struct {
	body    io.ReadCloser
	begun   atomic.Bool // a read was made, or tried
	failed  atomic.Bool // a read has failed
	taken   atomic.Bool // another leg has the body now
	closing sync.Mutex
	closed  bool // by net/http
	last    bool // no other leg will need it
}

var errBodyTaken = errors.New("proxyauth: the leg has ended")

// newHeldBody returns body for a leg that others may follow. Finish must be called
// when none will.
func newHeldBody(body io.ReadCloser) *heldBody { return &heldBody{body: body} }

// newLastBody returns body for the last leg.
func newLastBody(body io.ReadCloser) *heldBody { return &heldBody{body: body, last: true} }

// Begun reports whether a read was made, or tried.
func (b *heldBody) Begun() bool { return b.begun.Load() }

// Failed reports whether a read has failed.
func (b *heldBody) Failed() bool { return b.failed.Load() }

// Read is called by net/http.
func (b *heldBody) Read(p []byte) (int, error) {
	// The order matters: either this read sees that the body was taken, or
	// Take sees that a read has begun.
	b.begun.Store(true)
	if b.taken.Load() {
		return 0, errBodyTaken
	}
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		b.failed.Store(true)
	}
	return n, err
}

// Take ends the leg's claim on the body and reports whether it is still whole.
func (b *heldBody) Take() (whole bool) {
	b.taken.Store(true)
	return !b.begun.Load()
}

// Close is called by net/http. It closes the body only when no leg will follow.
func (b *heldBody) Close() error {
	b.closing.Lock()
	first := !b.closed
	b.closed = true
	last := b.last
	b.closing.Unlock()
	if first && last {
		return b.body.Close()
	}
	return nil
}

// Finish says that no leg will follow.
func (b *heldBody) Finish() {
	b.closing.Lock()
	closed := b.closed && !b.last
	b.last = true
	b.closing.Unlock()
	if closed {
		b.body.Close()
	}
}
