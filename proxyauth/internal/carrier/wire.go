package carrier

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
)

// A Wire is the network connection below a pinned one. It lets net/http keep a
// connection to an HTTP/1.0 proxy, which says Proxy-Connection: keep-alive where
// net/http reads Connection.
type Wire struct {
	net.Conn
	fresh  atomic.Bool // a response may begin with the next byte
	raw    atomic.Bool // no response will: another protocol has begun
	header []byte      // a response's header that was read ahead
}

// wireKey is the context key under which a dial finds the wire to fill.
type wireKey struct{}

// withWire returns a context for a dial that is to fill w, by [Filled].
func withWire(ctx context.Context, w *Wire) context.Context {
	return context.WithValue(ctx, wireKey{}, w)
}

// Filled returns the wire that withWire has put into ctx, with conn below it.
func Filled(ctx context.Context, conn net.Conn) *Wire {
	w := ctx.Value(wireKey{}).(*Wire)
	w.Conn = conn
	return w
}

// Raw says that no more responses will come: another protocol has begun.
func (w *Wire) Raw() { w.raw.Store(true) }

func (w *Wire) Write(p []byte) (int, error) {
	w.fresh.Store(true)
	return w.Conn.Write(p)
}

// ReadFrom keeps sendfile possible for bodies that are files.
func (w *Wire) ReadFrom(r io.Reader) (int64, error) {
	w.fresh.Store(true)
	return io.Copy(w.Conn, r)
}

// CloseWrite ends one direction, after 101 Switching Protocols.
func (w *Wire) CloseWrite() error { return closeWrite(w.Conn) }

func (w *Wire) Read(p []byte) (int, error) {
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

// headerEnd returns where the last line of a header ends, or -1. A line may end
// without a carriage return (RFC 9112 §2.2).
func headerEnd(b []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return -1
		}
		end += i + 1
		if bytes.HasPrefix(b[end:], []byte("\n")) || bytes.HasPrefix(b[end:], []byte("\r\n")) {
			return end
		}
	}
}

// maxHeader10 is how much of an HTTP/1.0 header is searched.
const maxHeader10 = 64 << 10

// readHeader reads the header of which begin is the beginning, and translates.
func (w *Wire) readHeader(begin []byte) error {
	header := bytes.Clone(begin)
	more := make([]byte, 4096)
	end := headerEnd(header)
	for end < 0 && len(header) < maxHeader10 && begins(header, "HTTP/1.0 ") {
		n, err := w.Conn.Read(more)
		header = append(header, more[:n]...)
		end = headerEnd(header)
		if err != nil && end < 0 {
			return err
		}
	}
	const field = "\nproxy-connection:"
	if end > 0 && begins(header, "HTTP/1.0 ") {
		if i := indexFold(header[:end], field); i >= 0 {
			header = append(header[:i+1:i+1], header[i+len("\nproxy-"):]...)
		}
	}
	w.header = header
	return nil
}

// indexFold is bytes.Index without regard to the case of ASCII letters, by the
// octets as they are: what is not UTF-8 has no case, and no other length either.
func indexFold(b []byte, lower string) int {
next:
	for i := 0; i+len(lower) <= len(b); i++ {
		for j := range len(lower) {
			c := b[i+j]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != lower[j] {
				continue next
			}
		}
		return i
	}
	return -1
}
