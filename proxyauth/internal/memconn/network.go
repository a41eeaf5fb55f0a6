// Package memconn is a network in memory, for tests. Its connections have buffers and
// deadlines, can be closed in one direction, and can fail with a chosen error. It has no
// goroutines of its own. A goroutine that waits in it is durably blocked in the sense of
// testing/synctest, so that time in a bubble goes on.
package memconn

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// A Network finds listeners by their addresses. The zero value has no listeners.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*Listener
	ports     int // how many ports were given out
}

// Listen returns a listener at host:port, or at a free port if port is 0. It panics if the
// address is in use or malformed.
func (n *Network) Listen(addr string) *Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic("memconn: " + err.Error())
	}
	if port == "0" {
		addr = net.JoinHostPort(host, n.port())
	}
	if n.listeners[addr] != nil {
		panic("memconn: address in use: " + addr)
	}
	if n.listeners == nil {
		n.listeners = make(map[string]*Listener)
	}
	l := &Listener{n: n, addr: Addr(addr), queue: make(chan *Conn), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l
}

// DialContext connects to the listener at addr. If there is none, the connection is
// refused. It can be used as http.Transport.DialContext.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, dialError(Addr(addr), refused)
	}
	return l.DialContext(ctx, network, addr)
}

var refused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// port returns a free port, of five digits. n.mu is held.
func (n *Network) port() string {
	n.ports++
	return fmt.Sprint(9999 + n.ports)
}

func dialError(to Addr, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: err}
}

// A Listener is a net.Listener of a Network.
type Listener struct {
	n      *Network
	addr   Addr
	queue  chan *Conn
	once   sync.Once
	closed chan struct{}
}

// Accept waits for the next connection, which is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
}

// Close ends Accept. Connections that were accepted stay open.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.n.mu.Lock()
		delete(l.n.listeners, string(l.addr))
		l.n.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *Listener) Addr() net.Addr { return l.addr }

// DialContext connects to the listener, whatever the address. It returns a *Conn once the
// listener has accepted the connection.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	l.n.mu.Lock()
	local := Addr("127.0.0.1:" + l.n.port())
	l.n.mu.Unlock()
	client, server := Pipe(local, l.addr)
	select {
	case l.queue <- server:
		return client, nil
	case <-l.closed:
		return nil, dialError(l.addr, refused)
	case <-ctx.Done():
		return nil, dialError(l.addr, ctx.Err())
	}
}
