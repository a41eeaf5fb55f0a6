package carrier

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// Traffic is told what goes over the connections to a proxy. It is called by many
// goroutines at once.
type Traffic interface {
	Sent(n int64)     // bytes
	Received(n int64) // bytes
	Lost()            // a connection ended where an answer may have been due
}

// A Meter is the TCP connection to a proxy, below TLS, where net/http uses it.
// It counts, for [Traffic] and to know whether a request left.
type Meter struct {
	net.Conn
	traffic     Traffic
	secure      bool // TLS is on it
	wrote, read atomic.Int64
	unanswered  atomic.Bool // a write began since the last read
}

// Wrote returns how many bytes were written so far.
func (m *Meter) Wrote() int64 { return m.wrote.Load() }

// WasRead returns how many bytes were read so far.
func (m *Meter) WasRead() int64 { return m.read.Load() }

func (m *Meter) Write(p []byte) (int, error) {
	m.unanswered.Store(true)
	n, err := m.Conn.Write(p)
	m.sent(int64(n))
	return n, err
}

// ReadFrom keeps sendfile possible for bodies that are files.
func (m *Meter) ReadFrom(r io.Reader) (int64, error) {
	m.unanswered.Store(true)
	n, err := io.Copy(m.Conn, r)
	m.sent(n)
	return n, err
}

func (m *Meter) sent(n int64) {
	m.wrote.Add(n)
	m.traffic.Sent(n)
}

func (m *Meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.read.Add(int64(n))
	m.traffic.Received(int64(n))
	switch {
	case n > 0:
		m.unanswered.Store(false)
	case errors.Is(err, net.ErrClosed):
	case m.unanswered.Load() || m.secure: // TLS says goodbye before it ends; what was read may be half a record
		m.traffic.Lost()
	}
	return n, err
}

// NetConn returns the connection that Dialer.Base dialed, as that of a *tls.Conn.
func (m *Meter) NetConn() net.Conn { return m.Conn }

// CloseWrite ends one direction, as that of a *net.TCPConn.
func (m *Meter) CloseWrite() error { return closeWrite(m.Conn) }

// MeterOf returns the meter below a connection; nil if it has none.
func MeterOf(conn net.Conn) *Meter {
	if w, ok := conn.(*Wire); ok {
		conn = w.Conn
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	m, _ := conn.(*Meter)
	return m
}
