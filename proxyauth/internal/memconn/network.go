// Package memconn is a network in memory, for tests: connections with a buffer,
// deadlines, half-closing and a chosen error, and listeners to make them by. It
// has no goroutines of its own, and whoever waits in it is durably blocked in the
// sense of testing/synctest, so that time in a bubble goes on.
package memconn

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// A Network is where listeners are found by their addresses. Its zero value has
// none.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*Listener
	ports     int // how many were given
}

// Listen returns a listener at host:port, or at a port that is free where that is
// 0. It panics if the address is in use or malformed.
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

// DialContext connects to the listener at addr. Where there is none the
// connection is refused. It fits http.Transport.DialContext.
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

// port returns one that is free, always of five digits. n.mu is held.
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

// Accept waits for the next connection. It is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
}

// Close ends Accept. Connections that were accepted stay.
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

// DialContext connects to the listener, whatever the address. It returns a *Conn
// once that is accepted.
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
