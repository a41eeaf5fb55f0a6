package proxytest

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// body is the body of a request as the client sends it. It asks for it when
// first read, and counts it.
type body struct {
	x *exchange

	mu    sync.Mutex // the transport may still read when the answer is done
	r     io.Reader
	err   error
	onEOF func()
}

func (b *body) Read(buf []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	b.x.sendInterim(http.StatusContinue, nil)
	n, err := b.r.Read(buf)
	p := b.x.c.p
	p.mu.Lock()
	b.x.leg.BodyBytes += int64(n)
	p.record.counts.BodyBytes += int64(n)
	p.mu.Unlock()
	b.err = err
	if err == io.EOF && b.onEOF != nil {
		b.onEOF()
	}
	return n, err
}

// Close does nothing: what a transport leaves unread is read by drain.
func (b *body) Close() error { return nil }

// whenRead calls f at the end of the body.
func (b *body) whenRead(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF {
		f()
		return
	}
	b.onEOF = f
}

// stop ends the reading of the body, once its connection has been closed.
func (b *body) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = net.ErrClosed
	}
}

// drain reads the rest of the body and reports whether all of it came.
func (b *body) drain() bool {
	if _, err := io.CopyN(io.Discard, b, maxDrain); err != io.EOF {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// readBody reads the body of a request that gets no answer, unless the client
// waits to be asked for it.
func (x *exchange) readBody() {
	if x.body != nil && !x.expects.Load() {
		x.body.drain()
	}
}
