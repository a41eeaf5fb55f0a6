package proxyauth

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// A meter is the TCP connection to a proxy, below TLS, where net/http uses it.
// It counts, for the Transport's counters and to know whether a request left.
type meter struct {
	net.Conn
	r           *route
	wrote, read atomic.Int64
	unanswered  atomic.Bool // a write began since the last read
}

func (m *meter) Write(p []byte) (int, error) {
	m.unanswered.Store(true)
	n, err := m.Conn.Write(p)
	m.sent(int64(n))
	return n, err
}

// ReadFrom keeps sendfile possible for bodies that are files.
func (m *meter) ReadFrom(r io.Reader) (int64, error) {
	m.unanswered.Store(true)
	n, err := io.Copy(m.Conn, r)
	m.sent(n)
	return n, err
}

func (m *meter) sent(n int64) {
	m.wrote.Add(n)
	m.r.t.counters.sent.Add(n)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.read.Add(int64(n))
	m.r.t.counters.received.Add(int64(n))
	switch {
	case n > 0:
		m.unanswered.Store(false)
	case errors.Is(err, net.ErrClosed):
	case m.unanswered.Load() || m.r.url.Scheme == "https": // TLS says goodbye before it ends; what was read may be half a record
		m.r.lost.Add(1)
	}
	return n, err
}

// NetConn returns the connection that Base dialed, as that of a *tls.Conn.
func (m *meter) NetConn() net.Conn { return m.Conn }

// CloseWrite ends one direction, as that of a *net.TCPConn.
func (m *meter) CloseWrite() error { return closeWrite(m.Conn) }

// meterOf returns the meter below a connection; nil if it has none.
func meterOf(conn net.Conn) *meter {
	if w, ok := conn.(*wire); ok {
		conn = w.Conn
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	m, _ := conn.(*meter)
	return m
}
