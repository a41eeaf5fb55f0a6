package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
)

// Config says how a proxy is reached.
type Config struct {
	Base *http.Transport // for dialing, timeouts, limits, and what is said in a CONNECT
	URL  *url.URL        // of the proxy, http or https, without userinfo; functions of Base get copies
	Name string          // the proxy's URL for people
	TLS  *tls.Config     // for an https:// proxy; see TLSConfig

	Traffic Traffic // is told what goes over the connections

	// Opened and Closed are called for each connection, but those of which no bytes are
	// counted. Nil: not.
	Opened, Closed func()

	MaxIdle int // how many authenticated connections are kept for an owner

	// Again returns a function for one request or connection. It decides whether another
	// attempt follows a failure that has done no harm, and waits before. Nil: never.
	Again func() func(ctx context.Context, err error) bool
}

// A Proxy makes the carriers for one proxy, and has the connections for the requests that
// it forwards.
type Proxy struct {
	config  Config
	url     *url.URL // with the host in ASCII
	traffic *countedTraffic
	forward *http.Transport // for requests on any connection
	pinned  *http.Transport // makes the connections of pools
	pools   pools

	sessions sessions
}

// NewProxy returns a Proxy without connections.
func NewProxy(c Config) *Proxy {
	p := &Proxy{config: c, traffic: &countedTraffic{Traffic: c.Traffic, closed: c.Closed}}
	p.url = p.shownURL()
	if host, err := hostname.ASCIIHost(p.url); err == nil {
		p.url.Host = host
	}
	p.forward = p.forwardTransport()
	p.pinned = p.pinnedTransport()
	p.pools.config = poolConfig{
		Transport: p.pinned, URL: p.url,
		MaxConns: c.Base.MaxConnsPerHost, MaxIdle: c.MaxIdle, IdleTimeout: c.Base.IdleConnTimeout,
	}
	return p
}

// shownURL returns the proxy's URL, new each time since others get to hold it.
func (p *Proxy) shownURL() *url.URL {
	u := *p.config.URL
	return &u
}

// forwardTransport is for requests that the proxy forwards: net/http sends them in
// absolute form, and pools the connections.
func (p *Proxy) forwardTransport() *http.Transport {
	f := p.config.Base.Clone()
	f.Proxy = http.ProxyURL(p.url)
	f.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := p.dialAgain(ctx, nil)
		if err != nil {
			return nil, err
		}
		return newWire(conn), nil
	}
	// net/http has to see the *tls.Conn itself, or there is no Response.TLS.
	f.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dialAgain(ctx, nil) }
	f.Dial, f.DialTLS = nil, nil //lint:ignore SA1019 Base's own are behind Dial
	// The proxy is spoken to in HTTP/1.1.
	f.ForceAttemptHTTP2 = false
	f.Protocols = nil
	f.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if f.ExpectContinueTimeout == 0 {
		f.ExpectContinueTimeout = time.Second // for a body that is held
	}
	return f
}

// pinnedTransport makes single connections, for pools: as for forwarding, with a wire
// below each.
func (p *Proxy) pinnedTransport() *http.Transport {
	t := p.forwardTransport()
	// An https:// proxy looks like an http:// one from here, whose connections
	// happen to be TLS: what is below a pool is not net/http's to know.
	t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.url.Host})
	// The pool sees to these. (net/http would count connections down that it
	// has not counted up.)
	t.DisableKeepAlives, t.MaxConnsPerHost, t.MaxIdleConnsPerHost = false, 0, 0
	t.DialTLSContext = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := p.dialAgain(ctx, wireOf(ctx).owner)
		if err != nil {
			return nil, err
		}
		return filled(ctx, conn), nil
	}
	return t
}

// Dial reaches the proxy: TCP as Base dials, then TLS for an https:// proxy, which resumes an
// earlier session of the same owner. The bytes of a raw connection are not counted. The error
// is a *Fault.
func (p *Proxy) Dial(ctx context.Context, owner any, raw bool) (net.Conn, error) {
	if p.url.Scheme != "https" {
		return p.dialTCP(ctx, raw)
	}
	config, offers := p.sessions.of(owner, p.config.TLS, p.url.Hostname())
	conn, err := p.dialTLS(ctx, config, raw)
	if err != nil && offers && failsToResume(ctx, err) {
		// There is TLS that ends a handshake by which a session is offered, and takes others.
		if anew, err := p.DialAnew(Untraced(ctx), raw); err == nil {
			p.sessions.stop()
			return anew, nil
		}
	}
	return conn, err
}

// failsToResume reports whether a handshake may have failed for the session that it offered.
func failsToResume(ctx context.Context, err error) bool {
	fault, ok := err.(*Fault)
	return ok && fault.Doing == handshaking && ctx.Err() == nil && !TimedOut(err) && !errors.As(err, new(*tls.CertificateVerificationError))
}

// DialAnew is Dial without a session, so that the proxy shows its certificate.
func (p *Proxy) DialAnew(ctx context.Context, raw bool) (net.Conn, error) {
	if p.url.Scheme != "https" {
		return p.dialTCP(ctx, raw)
	}
	config := tlsConfigFor(p.config.TLS, p.url.Hostname())
	config.ClientSessionCache = nil
	return p.dialTLS(ctx, config, raw)
}

func (p *Proxy) dialTCP(ctx context.Context, raw bool) (net.Conn, error) {
	conn, err := Dial(ctx, p.config.Base, "tcp", hostname.OfURL(p.url))
	if err != nil {
		return nil, &Fault{Kind: Unreachable, Proxy: p.config.Name, Doing: "connecting", Err: err}
	}
	if raw {
		return conn, nil
	}
	if p.config.Opened != nil {
		p.config.Opened()
	}
	return &meter{Conn: conn, traffic: p.traffic, secure: p.url.Scheme == "https"}, nil
}

func (p *Proxy) dialTLS(ctx context.Context, config *tls.Config, raw bool) (net.Conn, error) {
	conn, err := p.dialTCP(ctx, raw)
	if err != nil {
		return nil, err
	}
	client := tls.Client(conn, config)
	if err := handshake(ctx, client, p.config.Base.TLSHandshakeTimeout); err != nil {
		conn.Close()
		return nil, &Fault{Kind: Unreachable, Proxy: p.config.Name, Doing: handshaking, Err: printable.Error(err)}
	}
	return client, nil
}

// dialAgain is Dial with repetitions, for connections on which nothing but requests to
// be forwarded will travel.
func (p *Proxy) dialAgain(ctx context.Context, owner any) (net.Conn, error) {
	ctx, stop := EndWithMarked(ctx)
	defer stop()
	again := repetitions{begin: p.config.Again}
	for {
		conn, err := p.Dial(ctx, owner, false)
		if err == nil || !again.after(ctx, err) {
			return conn, err
		}
	}
}

// repetitions are those of one message or connection, by Config.Again.
type repetitions struct {
	begin func() func(ctx context.Context, err error) bool
	again func(ctx context.Context, err error) bool // nil: there was no failure yet
}

// after reports whether there is another attempt after err.
func (r *repetitions) after(ctx context.Context, err error) bool {
	if r.again == nil && r.begin != nil {
		r.again = r.begin()
	}
	return r.again != nil && r.again(ctx, err)
}

// Retire closes the idle connections of an owner that is out of use, keeps no others from
// then on, and forgets the owner's TLS session.
func (p *Proxy) Retire(owner any) {
	p.pools.retire(owner)
	p.sessions.forget(owner)
}

// denied notes that a connection of an owner has ended with a 407. If its TLS session was
// resumed, the next connection begins a new one: the proxy may have another certificate by
// now, to which credentials have to be bound.
func (p *Proxy) denied(owner any, state *tls.ConnectionState) {
	if state != nil && state.DidResume {
		p.sessions.forget(owner)
	}
}

// CloseIdleOf closes the idle connections that an owner has authenticated.
func (p *Proxy) CloseIdleOf(owner any) { p.pools.closeIdleOf(owner) }

// CloseIdleConnections closes all idle connections.
func (p *Proxy) CloseIdleConnections() {
	p.forward.CloseIdleConnections()
	p.pools.closeIdle()
}
