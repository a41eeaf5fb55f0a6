// Package scripted provides a proxy for tests that gives each request exactly the answer
// that a script says, such as answers that no well-behaved proxy gives. The proxy of
// package proxytest verifies credentials instead.
package scripted

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Script says how to answer a request. It is called by one goroutine for each
// connection, and may wait.
type Script func(req *http.Request) Answer

// Config is how a proxy is reached and what it does.
type Config struct {
	// Listener is where the proxy listens; Proxy.Close closes it.
	// [memconn.Network] has listeners in memory.
	//
	// [memconn.Network]: https://pkg.go.dev/github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn#Network
	Listener net.Listener

	// TLS makes it an https:// proxy; nil: an http:// proxy.
	TLS *tls.Config

	// Script says how requests are answered.
	Script Script

	// Dial connects to the origins, for [Pass]. It must return when the
	// context ends.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// KeepBodies leaves the bodies of requests to the script. Otherwise each
	// is read to its end before the script is asked, unless the request has
	// an Expect field.
	KeepBodies bool

	// IdleTimeout is how long the proxy waits for the next request, or for the
	// bytes that [Receive] reads, before it closes the connection. Zero means no
	// limit.
	IdleTimeout time.Duration
}

// A Proxy answers requests by a script.
type Proxy struct {
	config Config
	ctx    context.Context // ends with the proxy
	cancel context.CancelFunc
	wg     sync.WaitGroup // of all its goroutines

	mu       sync.Mutex
	open     map[net.Conn]struct{}
	conns    int // accepted so far
	requests []*http.Request
	on       []int // for each of requests, the number of its connection

	flooded atomic.Int64
}

// New starts a proxy. The caller closes it.
func New(c Config) *Proxy {
	p := &Proxy{config: c, open: make(map[net.Conn]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p
}

// URL returns the address of the proxy.
func (p *Proxy) URL() *url.URL {
	u := &url.URL{Scheme: "http", Host: p.config.Listener.Addr().String()}
	if p.config.TLS != nil {
		u.Scheme = "https"
	}
	return u
}

// Requests returns all requests so far, in the order in which the script was asked about
// them.
func (p *Proxy) Requests() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// RequestsOn returns, for each of Requests, the number of its connection, from 1.
func (p *Proxy) RequestsOn() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.on)
}

// Authorizations returns the values of Proxy-Authorization in all requests.
func (p *Proxy) Authorizations() (values []string) {
	for _, req := range p.Requests() {
		values = append(values, req.Header["Proxy-Authorization"]...)
	}
	return values
}

// Connections returns how many connections were accepted.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

// Flooded returns how many bytes of [Endless] answers were sent.
func (p *Proxy) Flooded() int64 { return p.flooded.Load() }

// Close closes the listener and all connections, and waits for the goroutines of the proxy
// to end. A script that blocks must have been released before.
func (p *Proxy) Close() {
	p.config.Listener.Close()
	p.mu.Lock()
	p.cancel()
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.config.Listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns++
		number := p.conns
		p.mu.Unlock()
		if !p.opened(c) {
			return
		}
		p.wg.Go(func() {
			defer p.closed(c)
			p.serve(c, number)
		})
	}
}

// opened notes a connection that is to be closed with the proxy. If the proxy has ended,
// it closes the connection and returns false.
func (p *Proxy) opened(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		c.Close()
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) closed(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// serve answers the requests of a connection. The caller closes raw, so that there is no
// close_notify over TLS, as when a proxy dies.
func (p *Proxy) serve(raw net.Conn, number int) {
	x := &exchange{p: p, raw: raw, conn: raw}
	if p.config.TLS != nil {
		x.conn = tls.Server(raw, p.config.TLS)
	}
	x.in = bufio.NewReader(x.conn)
	for {
		x.limit()
		var err error
		if x.req, err = http.ReadRequest(x.in); err != nil {
			return
		}
		raw.SetReadDeadline(time.Time{})
		if x.req.Header.Get("Expect") == "" && !p.config.KeepBodies {
			io.Copy(io.Discard, x.req.Body)
		}
		p.mu.Lock()
		p.requests, p.on = append(p.requests, x.req), append(p.on, number)
		p.mu.Unlock()
		if !p.config.Script(x.req)(x) {
			return
		}
	}
}
