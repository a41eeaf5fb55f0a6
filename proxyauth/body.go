package proxyauth

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// isStream reports whether req has a body that can be read only once.
func isStream(req *http.Request) bool { return hasBody(req) && req.GetBody == nil }

// A heldBody is a request body that can be read only once, for a leg that may
// end before the proxy asks for it. net/http reads and closes it, perhaps after
// the leg has ended; the caller's body is closed once, when nothing needs it.
type heldBody struct {
	body    io.ReadCloser
	begun   atomic.Bool // a read was made, or tried
	taken   atomic.Bool // another leg has the body now
	closing sync.Mutex
	closed  bool // by net/http
	last    bool // no other leg will need it
}

var errBodyTaken = errors.New("proxyauth: the leg has ended")

func (b *heldBody) Read(p []byte) (int, error) {
	// The order matters: either this read sees that the body was taken, or
	// take sees that a read has begun.
	b.begun.Store(true)
	if b.taken.Load() {
		return 0, errBodyTaken
	}
	return b.body.Read(p)
}

// take ends the leg's claim on the body and reports whether it is still whole.
func (b *heldBody) take() (whole bool) {
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

// finish says that no leg will follow.
func (b *heldBody) finish() {
	b.closing.Lock()
	closed := b.closed && !b.last
	b.last = true
	b.closing.Unlock()
	if closed {
		b.body.Close()
	}
}
