package memconn

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is how many bytes one direction of a connection holds. While it is full, Write
// blocks, as with TCP.
const bufferSize = 64 << 10

// A Conn is one end of a connection. It is safe for concurrent use.
type Conn struct {
	in, out       *stream
	local, remote Addr
}

// Pipe returns the two ends of a connection.
func Pipe(client, server Addr) (*Conn, *Conn) {
	up, down := newStream(), newStream()
	return &Conn{in: down, out: up, local: client, remote: server},
		&Conn{in: up, out: down, local: server, remote: client}
}

// An Addr is the address of one end, host:port.
type Addr string

func (a Addr) Network() string { return "tcp" } // for code that asks for TCP
func (a Addr) String() string  { return string(a) }

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.error("read", err)
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.error("write", err)
}

// error gives err the form in which package net returns it.
func (c *Conn) error(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if code, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, code)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends both directions. The other end reads what was written before, then io.EOF;
// its writes fail with EPIPE.
func (c *Conn) Close() error {
	c.out.change(func(s *stream) { s.ended, s.writeErr = true, net.ErrClosed })
	c.in.change(func(s *stream) {
		s.readErr = net.ErrClosed
		if s.writeErr == nil {
			s.writeErr = syscall.EPIPE
		}
	})
	return nil
}

// CloseWrite ends one direction: the other end reads io.EOF, and can still write.
func (c *Conn) CloseWrite() error {
	c.out.change(func(s *stream) {
		s.ended = true
		if s.writeErr == nil {
			s.writeErr = syscall.EPIPE
		}
	})
	return nil
}

// Break closes the connection so that the reads and writes of the other end fail with err
// at once; what was written before is lost. With syscall.ECONNRESET it is like a TCP reset.
func (c *Conn) Break(err error) {
	c.out.change(func(s *stream) {
		s.writeErr = net.ErrClosed
		if s.readErr == nil {
			s.readErr = err
		}
	})
	c.in.change(func(s *stream) {
		s.readErr = net.ErrClosed
		if s.writeErr == nil {
			s.writeErr = err
		}
	})
}

func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reading, t)
	return nil
}

func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writing, t)
	return nil
}

// A stream is one direction of a connection. Its reader and writer wait until a field
// below mu changes.
type stream struct {
	changed sync.Cond

	mu       sync.Mutex
	buf      bytes.Buffer
	ended    bool  // nothing follows what is in buf
	readErr  error // of reads, even if there is something in buf
	writeErr error // of writes
	reading  deadline
	writing  deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

// change calls f with the lock held, and wakes the reader and the writer.
func (s *stream) change(f func(*stream)) {
	s.mu.Lock()
	f(s)
	s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readErr != nil:
			return 0, s.readErr
		case s.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case s.buf.Len() > 0:
			n, _ := s.buf.Read(p)
			s.changed.Broadcast()
			return n, nil
		case len(p) == 0:
			return 0, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.writeErr != nil:
			return n, s.writeErr
		case s.writing.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		case s.buf.Len() < bufferSize:
			more := min(len(p)-n, bufferSize-s.buf.Len())
			s.buf.Write(p[n : n+more])
			n += more
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

// A deadline is the deadline of reads or of writes.
type deadline struct {
	passed bool
	timer  *time.Timer // nil: there is none, or it has passed
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.change(func(*stream) {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		left := time.Until(t)
		d.passed = !t.IsZero() && left <= 0
		if t.IsZero() || d.passed {
			return
		}
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			s.change(func(*stream) { d.passed = d.passed || d.timer == timer })
		})
		d.timer = timer
	})
}
