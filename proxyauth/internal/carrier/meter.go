package carrier

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// Traffic is told what goes over the connections to a proxy. It is called by many
// goroutines at once.
type Traffic interface {
	Sent(n int64)     // bytes
	Received(n int64) // bytes
}

// countedTraffic also counts the connections that ended where an answer may have been due.
type countedTraffic struct {
	Traffic
	lost   atomic.Uint64
	closed func() // is called for each connection that is closed; nil: not
}

// A meter is the TCP connection to a proxy, below TLS, where net/http uses it. It counts
// bytes for [Traffic], and to know whether a request has left.
type meter struct {
	net.Conn
	traffic     *countedTraffic
	secure      bool // TLS is on it
	wrote, read atomic.Int64
	unanswered  atomic.Bool // a write began since the last read
	closed      atomic.Bool
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
	m.traffic.Sent(n)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.read.Add(int64(n))
	m.traffic.Received(int64(n))
	switch {
	case n > 0:
		m.unanswered.Store(false)
	case errors.Is(err, net.ErrClosed):
	case m.unanswered.Load() || m.secure: // TLS says goodbye before it ends; what was read may be half a record
		m.traffic.lost.Add(1)
	}
	return n, err
}

func (m *meter) Close() error {
	err := m.Conn.Close()
	if !m.closed.Swap(true) && m.traffic.closed != nil {
		m.traffic.closed()
	}
	return err
}

// NetConn returns the connection that was dialed, as that of a *tls.Conn.
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

// Counted returns conn so that closed is called when it is closed, once.
func Counted(conn net.Conn, closed func()) net.Conn { return &counted{Conn: conn, closed: closed} }

// A counted connection tells when it is closed.
type counted struct {
	net.Conn
	closed func()
	ended  atomic.Bool
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	if !c.ended.Swap(true) {
		c.closed()
	}
	return err
}

// ReadFrom keeps sendfile possible for bodies that are files.
func (c *counted) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite ends one direction, as that of a *net.TCPConn.
func (c *counted) CloseWrite() error { return closeWrite(c.Conn) }

// NetConn returns the connection itself.
func (c *counted) NetConn() net.Conn { return c.Conn }

// losses finds out whether connections to a proxy were lost while a message was under way.
type losses struct {
	traffic *countedTraffic
	seen    uint64 // of traffic.lost
}

func (t *countedTraffic) losses() losses { return losses{t, t.lost.Load()} }

// reply returns the answer to a leg. For a denial it says whether a connection was lost
// since the last one: perhaps that of the leg, which net/http has written again then.
func (l *losses) reply(resp *http.Response, leg Leg) Reply {
	reply := Reply{Response: resp}
	if resp.StatusCode == http.StatusProxyAuthRequired && leg.Authorization != nil {
		lost := l.traffic.lost.Load()
		reply.Twice = lost != l.seen
		l.seen = lost
	}
	return reply
}
