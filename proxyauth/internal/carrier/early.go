package carrier

import (
	"errors"
	"io"
	"net"
)

// An earlyConn is a tunnel some of whose bytes were read already.
type earlyConn struct {
	net.Conn
	early []byte
}

// newEarlyConn returns conn behind the early bytes, of which a copy is made.
func newEarlyConn(conn net.Conn, early []byte) *earlyConn {
	return &earlyConn{Conn: conn, early: append([]byte(nil), early...)}
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// WriteTo and ReadFrom let io.Copy splice what follows the early bytes.
func (c *earlyConn) WriteTo(w io.Writer) (n int64, err error) {
	if len(c.early) > 0 {
		early, err := w.Write(c.early)
		c.early = c.early[early:]
		if n = int64(early); err != nil {
			return n, err
		}
	}
	more, err := io.Copy(w, c.Conn)
	return n + more, err
}

func (c *earlyConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite ends one direction, as that of a *net.TCPConn and a *tls.Conn.
func (c *earlyConn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends one direction of conn, if it can.
func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
