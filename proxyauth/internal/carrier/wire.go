package carrier

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// A wire is the connection to a proxy as net/http sees it. It hands up the answers to
// requests, and nothing else: bytes that follow an answer, or that come before a request,
// end the connection. net/http would print them to the standard log, or take them for the
// answer to the next request.
//
// It also keeps an answer that net/http would lose (see [wire.hold]), drops the content of
// a 407 to HEAD, and lets net/http keep a connection to an HTTP/1.0 proxy, which says
// Proxy-Connection: keep-alive where net/http reads Connection.
type wire struct {
	net.Conn
	owner      any    // for whom it is dialed
	translates bool   // headers of HTTP/1.0
	ahead      []byte // what was read already; of the reader

	mu       sync.Mutex
	changed  sync.Cond // by the reader and by Close
	framing  framing
	asked    question
	answered bool // the answer to the last request has begun
	dropping bool // the framing is that of content which is not handed up
	dropped  int  // so much of it
	over     bool // bytes have come that are no answer
	deaf     bool // nothing more can be read
	closed   bool
}

// A question is what was written and not answered yet.
type question uint8

const (
	nothing  question = iota
	anything          // not known to be a request
	request
	headRequest
)

func newWire(conn net.Conn) *wire {
	w := new(wire)
	w.fill(conn)
	return w
}

func (w *wire) fill(conn net.Conn) { w.Conn, w.changed.L = conn, &w.mu }

// wireKey is the context key under which a dial finds the wire to fill.
type wireKey struct{}

// withWire returns a context for a dial that is to fill w.
func withWire(ctx context.Context, w *wire) context.Context {
	return context.WithValue(ctx, wireKey{}, w)
}

// wireOf returns the wire that withWire has put into ctx.
func wireOf(ctx context.Context) *wire { return ctx.Value(wireKey{}).(*wire) }

// filled returns the wire of ctx with conn below it.
func filled(ctx context.Context, conn net.Conn) *wire {
	w := wireOf(ctx)
	w.fill(conn)
	return w
}

// errOver is the end of a connection that may be used no more. Of the request that
// meets it nothing was written, so that net/http sends it on another one.
var errOver = errors.New("the proxy has sent what nobody asked for")

func (w *wire) Write(p []byte) (int, error) {
	if !w.asks(p) {
		return 0, errOver
	}
	n, err := w.Conn.Write(p)
	if err != nil {
		w.hold(err)
	}
	return n, err
}

// ReadFrom keeps sendfile possible for bodies that are files.
func (w *wire) ReadFrom(r io.Reader) (int64, error) {
	w.asks(nil)
	n, err := io.Copy(w.Conn, r)
	if err != nil {
		w.hold(err)
	}
	return n, err
}

// asks notes what is about to be written. It returns false if that begins a request to
// which there can be no answer.
func (w *wire) asks(p []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked >= request {
		return true // it goes on
	}
	switch q := questionOf(p); {
	case q >= request && w.over:
		return false
	case q >= request:
		w.asked, w.answered = q, false
	case !w.answered:
		w.asked = anything
	}
	return true
}

// questionOf returns what begins with p. What is not known to be a request goes on with a
// body whose answer has begun already.
func questionOf(p []byte) question {
	method, rest, _ := bytes.Cut(p, []byte(" "))
	if !bytes.HasPrefix(rest, []byte("http://")) { // as requests are that go to a proxy (RFC 9112 §3.2.2), or most of them
		if line, _, _ := bytes.Cut(rest, []byte("\r\n")); !bytes.HasSuffix(line, []byte(" HTTP/1.1")) {
			return anything
		}
	}
	if string(method) == http.MethodHead {
		return headRequest
	}
	return request
}

// holdFor is how long the reader has to see an answer after a write has failed.
const holdFor = time.Second

// hold is called after a write has failed. A proxy that refuses a request while its body
// is still under way may close the connection behind the answer. net/http reads while it
// writes, and gives up an answer that it has not read when writing fails. So the failure
// is not told before the answer was read, or until it is known that there is none: once
// an answer has begun, the connection's end is waited for, which comes behind it.
func (w *wire) hold(err error) {
	if code := syscall.Errno(0); !errors.As(err, &code) {
		return // the failure is the body's, or w is closed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	late := false
	limit := time.AfterFunc(holdFor, func() {
		w.mu.Lock()
		late = true
		w.mu.Unlock()
		w.changed.Broadcast()
	})
	defer limit.Stop()
	for !w.closed && (w.answered || !w.deaf && !late) {
		w.changed.Wait()
	}
}

// Close ends the connection.
func (w *wire) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.changed.Broadcast()
	return w.Conn.Close()
}

// NetConn returns the connection that was dialed, as that of a *tls.Conn.
func (w *wire) NetConn() net.Conn {
	if m := meterOf(w.Conn); m != nil {
		return m.NetConn()
	}
	return w.Conn
}

// CloseWrite ends one direction, after 101 Switching Protocols.
func (w *wire) CloseWrite() error { return closeWrite(w.Conn) }

// isOver reports whether bytes have come that are no answer.
func (w *wire) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

func (w *wire) Read(p []byte) (int, error) {
	for !w.isOver() {
		n, err := w.receive(p)
		if n == 0 {
			if err != nil {
				w.mu.Lock()
				w.deaf = true
				w.mu.Unlock()
				w.changed.Broadcast()
			}
			return 0, err
		}
		n, over := w.take(p[:n])
		if over {
			return n, io.EOF // which tells net/http not to use the connection again
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// take follows what was read. It returns how much of it is to be handed up, and whether
// the connection has ended with that.
func (w *wire) take(b []byte) (n int, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n < len(b) && !w.over {
		if w.framing.at == between {
			w.next(b[n:])
			continue
		}
		k := w.framing.read(b[n:])
		if !w.dropping {
			n += k
			continue
		}
		b = append(b[:n], b[n+k:]...)
		w.dropped += k
		w.over = w.dropped > maxKeep || w.framing.at == unknown
	}
	return n, w.over
}

// next finds out what begins with b, behind an answer or before the first.
func (w *wire) next(b []byte) {
	f := &w.framing
	if f.head && f.status == http.StatusProxyAuthRequired && !w.dropping && !begins(b, "HTTP/") {
		// A 407 to HEAD has no content (RFC 9110 §9.3.2), and yet proxies send the
		// page, whose length they name. Without one the connection ends with it.
		if at, left := f.framed(); at == content || at == chunkSize && bytes.IndexByte([]byte("0123456789abcdefABCDEF"), b[0]) >= 0 {
			f.at, f.left, w.dropping, w.dropped = at, left, true, 0
			return
		}
	}
	w.dropping = false
	switch w.asked {
	case nothing:
		w.over = true
		return
	case anything:
		f.at = unknown
	default:
		f.begin(w.asked == headRequest)
	}
	w.asked, w.answered = nothing, true
	w.changed.Broadcast()
}

// receive reads from ahead or from the connection, and translates.
func (w *wire) receive(p []byte) (int, error) {
	if len(w.ahead) == 0 {
		n, err := w.Conn.Read(p)
		if n == 0 || !w.translates || !begins(p[:n], "HTTP/1.0 ") || !w.atAnswer() {
			return n, err
		}
		if err := w.readHeader(p[:n]); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.ahead)
	w.ahead = w.ahead[n:]
	return n, nil
}

// atAnswer reports whether an answer begins with the next byte.
func (w *wire) atAnswer() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.framing.at == between && w.asked >= request
}

// begins reports whether b begins with the text, or is the beginning of it.
func begins(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// headerEnd returns where the last line of a header ends, 0 if b does not reach so
// far. A line may end without a carriage return (RFC 9112 §2.2).
func headerEnd(b []byte) int {
	for i, c := range b {
		if rest := b[i+1:]; c == '\n' && (bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n"))) {
			return i + 1
		}
	}
	return 0
}

// maxHeader10 is how much of an HTTP/1.0 header is searched.
const maxHeader10 = 64 << 10

// readHeader reads the header of which begin is the beginning, and translates.
func (w *wire) readHeader(begin []byte) error {
	header := bytes.Clone(begin)
	more := make([]byte, 4096)
	end := headerEnd(header)
	for end == 0 && len(header) < maxHeader10 && begins(header, "HTTP/1.0 ") {
		n, err := w.Conn.Read(more)
		from := max(len(header)-len("\n\r"), 0) // what is before has been searched
		header = append(header, more[:n]...)
		if end = headerEnd(header[from:]); end > 0 {
			end += from
		}
		if err != nil && end == 0 {
			return err
		}
	}
	if begins(header, "HTTP/1.0 ") {
		field := []byte("\nproxy-connection:")
		for i := range end {
			if bytes.EqualFold(header[i:min(i+len(field), end)], field) {
				header = append(header[:i+1:i+1], header[i+len("\nproxy-"):]...)
				break
			}
		}
	}
	w.ahead = header
	return nil
}
