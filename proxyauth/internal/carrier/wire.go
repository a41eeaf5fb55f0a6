package carrier

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
)

// A wire is the network connection below a pinned one. It lets net/http keep a
// connection to an HTTP/1.0 proxy, which says Proxy-Connection: keep-alive where
// net/http reads Connection.
type wire struct {
	net.Conn
	fresh  atomic.Bool // a response may begin with the next byte
	raw    atomic.Bool // no response will: another protocol has begun
	header []byte      // a response's header that was read ahead

	owner any // for whom it is dialed
}

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
	w.Conn = conn
	return w
}

func (w *wire) Write(p []byte) (int, error) {
	w.fresh.Store(true)
	return w.Conn.Write(p)
}

// ReadFrom keeps sendfile possible for bodies that are files.
func (w *wire) ReadFrom(r io.Reader) (int64, error) {
	w.fresh.Store(true)
	return io.Copy(w.Conn, r)
}

// CloseWrite ends one direction, after 101 Switching Protocols.
func (w *wire) CloseWrite() error { return closeWrite(w.Conn) }

func (w *wire) Read(p []byte) (int, error) {
	if len(w.header) == 0 {
		n, err := w.Conn.Read(p)
		if n == 0 || w.raw.Load() || !w.fresh.Swap(false) || !begins(p[:n], "HTTP/1.0 ") {
			return n, err
		}
		if err := w.readHeader(p[:n]); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.header)
	w.header = w.header[n:]
	return n, nil
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
	w.header = header
	return nil
}
