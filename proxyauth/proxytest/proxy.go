// Package proxytest provides HTTP forward proxies for tests. It is to proxies
// what net/http/httptest is to servers: a [Proxy] listens on the loopback
// interface of the test's own process, forwards requests, opens tunnels
// (CONNECT), and demands and verifies credentials for real: it answers 407
// with Proxy-Authenticate until a request carries a Proxy-Authorization that
// is right (RFC 9110, section 11.7).
//
// What a proxy saw is kept in a transcript, what it did is counted, and a
// [Behaviour] makes it as awkward as the proxies met in the field. What goes
// wrong for a while is set while it runs: [Proxy.SetDirectoryDown],
// [Proxy.AnswerNext], [Proxy.Restart].
//
// The package is meant for tests only. It is strict on purpose: credentials
// which a lenient proxy would accept, but which break a rule of the RFCs, are
// answered 400 with a body that names the rule.
package proxytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Config says what a [Proxy] offers and how it behaves. The zero value is an
// open, well-behaved HTTP/1.1 proxy.
type Config struct {
	// Auth holds the schemes offered, in this order, each name at most once.
	// If it is empty no credentials are asked for, and any that come are
	// ignored (unless Behaviour.Challenges asks for some).
	Auth []Auth

	// Users maps the names of the users to their passwords. Names and
	// passwords are compared byte for byte; for domains in names see [NTLM] and
	// [Negotiate].
	// The map is copied; see [Proxy.SetUser] and [Proxy.RemoveUser].
	Users map[string]string

	// Realms are the targets that have schemes and users of their own. The
	// first that names a target counts; Auth and Users are for all others.
	Realms []Realm

	// Behaviour makes the proxy awkward.
	Behaviour Behaviour

	// Transport forwards the requests other than CONNECT. If it is nil the
	// proxy uses an http.Transport of its own, which never asks another
	// proxy, and which Close shuts. One that is given belongs to the caller,
	// who closes its idle connections.
	Transport http.RoundTripper

	// Dial opens the connections to origins, for CONNECT and, if Transport is
	// nil, for the other requests too. It lets a test send api.example:443 to
	// a local server. The network is always "tcp". It must return when the
	// context ends, or Close waits for it. If it is nil a net.Dialer is used.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Listener is where the proxy accepts connections, which need not be
	// sockets: with a listener in memory, and a Dial to match, a proxy can be
	// used in a bubble of testing/synctest. The proxy closes it. If it is nil
	// the proxy listens on a port of the system's choice on 127.0.0.1.
	Listener net.Listener
}

// A Proxy is a forward proxy listening on Config.Listener or on a port of the
// system's choice on 127.0.0.1. Its methods may be called by several goroutines
// at once.
type Proxy struct {
	// URL is the address of the proxy, "http://127.0.0.1:port" or, if it is
	// reached by TLS, "https://127.0.0.1:port", or that of Config.Listener; it
	// holds no credentials.
	URL *url.URL

	listener    net.Listener
	certificate *tls.Certificate // nil unless reached by TLS
	transport   http.RoundTripper
	idle        interface{ CloseIdleConnections() } // nil if the transport is the caller's
	dialer      func(ctx context.Context, network, addr string) (net.Conn, error)
	behaviour   Behaviour
	accounts    *accounts // of Config.Users

	ctx    context.Context // ends with the proxy
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the proxy

	mu                 sync.Mutex // guards all below
	closed             bool
	clients, upstreams map[net.Conn]struct{}
	accepted           int      // connections ever, which numbers them
	spaces             []*space // the last is that of Config.Auth
	record             record
	outage             outage
}

// New starts a proxy that is reached by plain TCP. The caller closes it. It
// panics, like httptest.NewServer, if it cannot listen, and if a scheme is
// given what there is not, such as an unknown algorithm.
func New(c Config) *Proxy { return start(c, nil) }

// NewTLS starts a proxy that is reached by TLS, with a certificate made for
// the occasion; see [Proxy.ClientTLSConfig]. It speaks HTTP/1.1 only. It is
// like [New] otherwise.
func NewTLS(c Config) *Proxy { return start(c, newCertificate()) }

func start(c Config, certificate *tls.Certificate) *Proxy {
	listener := c.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			panic("proxytest: " + err.Error())
		}
	}
	p := &Proxy{
		URL:         &url.URL{Scheme: "http", Host: listener.Addr().String()},
		listener:    listener,
		certificate: certificate,
		transport:   c.Transport,
		dialer:      c.Dial,
		behaviour:   c.Behaviour,
		clients:     make(map[net.Conn]struct{}),
		upstreams:   make(map[net.Conn]struct{}),
		accounts:    newAccounts(c.Users),
		record:      newRecord(),
	}
	p.spaces = p.realms(c)
	if certificate != nil {
		p.URL.Scheme = "https"
		p.listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{*certificate},
			NextProtos:   []string{"http/1.1"},
		})
	}
	if p.dialer == nil {
		p.dialer = new(net.Dialer).DialContext
	}
	if p.transport == nil {
		t := &http.Transport{
			DialContext:           p.dial,
			DisableCompression:    true, // what the client asked for, no more
			ExpectContinueTimeout: time.Second,
		}
		p.transport, p.idle = t, t
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p
}

// URLFor returns the proxy's URL with the credentials in it.
func (p *Proxy) URLFor(user, password string) *url.URL {
	u := *p.URL
	u.User = url.UserPassword(user, password)
	return &u
}

// Certificate returns the certificate the proxy presents. It is nil unless
// the proxy was started by [NewTLS].
func (p *Proxy) Certificate() *x509.Certificate {
	if p.certificate == nil {
		return nil
	}
	return p.certificate.Leaf
}

// ClientTLSConfig returns a new configuration that trusts the proxy's
// certificate, and nothing else. It is nil unless the proxy was started by
// [NewTLS].
func (p *Proxy) ClientTLSConfig() *tls.Config {
	if p.certificate == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(p.certificate.Leaf)
	return &tls.Config{RootCAs: pool}
}

// CloseClientConnections drops every connection of a client at once, tunnels
// included. The proxy goes on accepting new ones.
func (p *Proxy) CloseClientConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nc := range p.clients {
		abort(nc)
	}
}

// Close stops the proxy: it drops all its connections, to clients and to
// origins, whatever they are doing, and waits for its goroutines to end. A
// second call does nothing.
func (p *Proxy) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	if first {
		p.cancel()
		p.listener.Close()
		for nc := range p.clients {
			abort(nc)
		}
		for nc := range p.upstreams {
			nc.Close()
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
	if p.idle != nil {
		p.idle.CloseIdleConnections()
	}
}

// abort closes a connection without the words of parting of TLS, which would
// wait for a peer that does not read.
func abort(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	nc.Close()
}

func (p *Proxy) accept() {
	for {
		nc, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			abort(nc)
			return
		}
		p.accepted++
		p.record.counts.Connections++
		c := newConn(p, nc, p.accepted)
		p.clients[nc] = struct{}{}
		p.wg.Go(func() {
			c.serve()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.clients, nc)
		})
		p.mu.Unlock()
	}
}

// dial opens a connection to an origin, which Close will close.
func (p *Proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := p.dialer(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		nc.Close()
		return nil, net.ErrClosed
	}
	p.upstreams[nc] = struct{}{}
	return &upstream{nc, p}, nil
}

// upstream is a connection to an origin, known to the proxy until closed.
type upstream struct {
	net.Conn
	p *Proxy
}

func (u *upstream) Close() error {
	u.p.mu.Lock()
	delete(u.p.upstreams, u.Conn)
	u.p.mu.Unlock()
	return u.Conn.Close()
}

func (u *upstream) CloseWrite() error { return closeWrite(u.Conn) }
