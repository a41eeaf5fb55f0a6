package proxyauth

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
	"golang.org/x/net/http/httpguts"
)

// tunnelTransport is the way out for https:// URLs: connections are tunnels,
// and all that follows (TLS, HTTP/2, pooling) is net/http's, as if there were
// no proxy.
func (r *route) tunnelTransport() *http.Transport {
	t := r.t.base.Clone()
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		addr, err := hostname.Address(addr)
		if err != nil {
			return nil, err
		}
		return r.dialTunnel(ctx, addr, false)
	}
	t.Dial, t.DialTLS, t.DialTLSContext = nil, nil, nil //lint:ignore SA1019 they would go around the proxy
	if t.MaxIdleConnsPerHost == 0 {
		t.MaxIdleConnsPerHost = r.t.maxIdle() // a tunnel costs more than a connection
	}
	return t
}

// connectTimeout bounds one CONNECT and its answer, as in net/http: dialing
// there does not end with the request that asked for it.
const connectTimeout = time.Minute

// dialTunnel returns a connection to addr through the proxy; a raw one is not
// metered.
func (r *route) dialTunnel(ctx context.Context, addr string, raw bool) (net.Conn, error) {
	ctx, stop := carrier.EndWithMarked(ctx)
	defer stop()
	retrying := r.retrying()
	for {
		conn, err := r.connectByName(ctx, addr, raw)
		if err == nil || !retrying.again(ctx, err) {
			return conn, err
		}
	}
}

// connectByName asks the proxy for a tunnel to addr, by its name or, where the
// Transport has a Resolver, by one address of it after the other.
func (r *route) connectByName(ctx context.Context, addr string, raw bool) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(addr)
	if r.t.resolver == nil || net.ParseIP(host) != nil {
		return r.connect(ctx, addr, raw)
	}
	ips, err := r.t.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("proxyauth: %w (set Transport.Resolver to nil to leave names to the proxy)", err)
	}
	for _, ip := range ips {
		var conn net.Conn
		conn, err = r.connect(ctx, net.JoinHostPort(ip.Unmap().String(), port), raw)
		var unreachable *ConnectError
		if err == nil || !errors.As(err, &unreachable) || !unreachable.temporary() {
			return conn, err
		}
	}
	return nil, err
}

// connect asks the proxy for a tunnel.
func (r *route) connect(ctx context.Context, addr string, raw bool) (net.Conn, error) {
	c := &connecting{r: r, raw: raw}
	c.req = (&http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: addr},
		Host:   addr,
	}).WithContext(ctx)
	resp, err := r.run(c)
	if err != nil {
		c.close()
		return nil, err
	}
	if resp.StatusCode/100 == 2 { // RFC 9110 §9.3.6: any 2xx
		r.t.counters.tunnels.Add(1)
		return c.tunnel(), nil
	}
	refused := c.refusal(resp)
	c.close()
	return nil, refused
}

// refusal is the error about an answer that opens no tunnel.
func (c *connecting) refusal(resp *http.Response) *ConnectError {
	if c.refused != nil || resp.StatusCode/100 == 2 {
		return c.refused
	}
	d := denial{resp: resp, hangUp: c.hangUp}
	d.sent.Add(secretsIn(c.sent)...)
	c.refused = &ConnectError{
		Proxy: c.r.name, Target: c.req.Host, StatusCode: resp.StatusCode, Status: d.sent.StrikeString(resp.Status),
		Header: d.safeHeader(), Body: d.safePage(c.req),
	}
	if c.authorization != nil {
		c.refused.Tried, _, _ = strings.Cut(c.authorization[0], " ")
	}
	return c.refused
}

// A connecting is a CONNECT under way.
type connecting struct {
	r   *route
	req *http.Request
	raw bool // the connection is not metered

	refused *ConnectError // made once, since it takes the proxy's page

	late    func(*http.Response, error) // takes in the answer to the next leg if the caller has given up; nil: nobody does
	pending bool                        // the caller gave up the last leg, whose answer is taken in when it comes

	// The last leg:
	line          *line
	authorization []string
	asked         bool // it may have left

	sent []string // values of Proxy-Authorization in all legs
}

func (c *connecting) request() *http.Request { return c.req }

func (c *connecting) close() {
	if c.line != nil {
		c.line.conn.Close()
	}
}

func (c *connecting) tries(_ func(), late func(*http.Response, error)) { c.late = late }

func (c *connecting) left() (left, pending bool) { return c.asked, c.pending }

// hangUp closes the connection: a body that [http.ReadResponse] made cannot be
// closed while it is read.
func (c *connecting) hangUp(*http.Response) { c.close() }

// maxConnectHeader bounds what a proxy may answer to CONNECT, if Base does not.
const maxConnectHeader = 256 << 10

// send asks for the tunnel, on a new connection each time: after refusing one
// CONNECT some proxies answer 400 to the next, or never, or have closed the
// connection without saying so.
func (c *connecting) send(authorization []string, _ bool) (*http.Response, error) {
	if err := c.dial(); err != nil {
		return nil, err
	}
	return c.leg(authorization)
}

// probe is for bodies, and a CONNECT has none.
func (c *connecting) probe() (*http.Response, error) { return c.send(nil, false) }

// dial opens a new connection in place of the last.
func (c *connecting) dial() (err error) {
	c.close()
	c.line = nil
	ctx := c.req.Context()
	conn, err := c.r.dialer.Dial(ctx, httptrace.ContextClientTrace(ctx), c.raw)
	if err == nil {
		c.line = &line{conn: conn}
	}
	return err
}

// leg asks for the tunnel on the connection.
func (c *connecting) leg(authorization []string) (*http.Response, error) {
	c.asked = false
	ctx := c.req.Context()
	header, err := c.header(ctx)
	if err != nil {
		return nil, err
	}
	c.authorization = authorization
	if authorization != nil {
		setAuthorization(header, authorization)
	}
	c.sent = append(c.sent, authorizationIn(header)...)
	c.req.Header = header

	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	resp, err := c.ask(ctx)
	if err != nil {
		c.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if carrier.ConnectionLost(err) {
			err = &carrier.LostError{Err: err}
		}
		return nil, &carrier.LegError{Proxy: c.r.name, Request: "CONNECT " + c.req.Host, Err: err}
	}
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return resp, nil
	}
	if hook := c.r.t.base.OnProxyConnectResponse; hook != nil {
		if err := hook(c.req.Context(), c.r.proxyURL(), c.req, resp); err != nil {
			c.close()
			return nil, err
		}
	}
	return resp, nil
}

// ask writes the CONNECT and reads the answer. With c.late it goes on when ctx has
// ended, until connectTimeout; c has lost its connection to that then.
func (c *connecting) ask(ctx context.Context) (*http.Response, error) {
	l, late, max := c.line, c.late, c.r.t.base.MaxResponseHeaderBytes
	c.late, c.pending, c.asked = nil, false, true
	if max <= 0 {
		max = maxConnectHeader
	}
	if late == nil {
		stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
		resp, err := l.ask(c.req, max)
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		return resp, err
	}
	type answer struct {
		resp *http.Response
		err  error
	}
	answers, gaveUp := make(chan answer), make(chan struct{})
	l.conn.SetDeadline(time.Now().Add(connectTimeout))
	go func() {
		resp, err := l.ask(c.req, max)
		select {
		case answers <- answer{resp, err}:
		case <-gaveUp:
			late(resp, err)
			l.conn.Close()
		}
	}()
	select {
	case a := <-answers:
		l.conn.SetDeadline(time.Time{})
		return a.resp, a.err
	case <-ctx.Done():
		close(gaveUp)
		c.line, c.pending = nil, true
		return nil, context.Cause(ctx)
	}
}

// pin opens the connection that becomes the tunnel. None is authenticated before.
func (c *connecting) pin(_ *plan, want wanted) (to peer, authenticated, ok bool, err error) {
	if want == authenticatedOnly {
		return peer{}, false, false, nil
	}
	if err := c.dial(); err != nil {
		return peer{}, false, false, err
	}
	to = peer{host: c.r.url.Hostname()}
	if secure, ok := c.line.conn.(*tls.Conn); ok && c.r.url.Scheme == "https" {
		state := secure.ConnectionState()
		to.tls = &state
	}
	return to, false, true, nil
}

func (c *connecting) unpin() { c.close() }

func (c *connecting) sendPinned(authorization []string, _ part) (*http.Response, error) {
	return c.leg(authorization)
}

// keep reads the denial to its end. HTTP/1.0 proxies promise to keep the
// connection by Proxy-Connection.
func (c *connecting) keep(resp *http.Response) bool {
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0
	old := !resp.ProtoAtLeast(1, 1) && httpguts.HeaderValuesContainsToken(resp.Header["Proxy-Connection"], "keep-alive")
	if !framed || resp.Close && !old || httpguts.HeaderValuesContainsToken(resp.Header["Proxy-Connection"], "close") {
		return false
	}
	conn := c.line.conn
	ctx, cancel := context.WithTimeout(c.req.Context(), keepFor)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxKeep))
	return stop() && err == nil && n < maxKeep
}

// header returns what the user set for CONNECT, and what HTTP/1.0 proxies need.
func (c *connecting) header(ctx context.Context) (http.Header, error) {
	header := c.r.t.base.ProxyConnectHeader
	if get := c.r.t.base.GetProxyConnectHeader; get != nil {
		var err error
		if header, err = get(ctx, c.r.proxyURL(), c.req.Host); err != nil {
			return nil, err
		}
	}
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if len(header["Proxy-Connection"]) == 0 {
		header["Proxy-Connection"] = []string{"keep-alive"}
	}
	return header, nil
}

// A line is a connection on which a proxy is asked for a tunnel.
type line struct {
	conn  net.Conn
	in    *bufio.Reader
	limit *io.LimitedReader // below in
}

// ask writes the CONNECT and reads the header of the answer, up to max bytes.
func (l *line) ask(req *http.Request, max int64) (*http.Response, error) {
	if err := req.Write(l.conn); err != nil {
		return nil, err
	}
	if l.in == nil {
		l.limit = &io.LimitedReader{R: l.conn}
		l.in = bufio.NewReader(l.limit)
	}
	l.limit.N = max
	for {
		resp, err := carrier.ReadConnectAnswer(l.in, req)
		switch {
		case err != nil && l.limit.N <= 0:
			return nil, fmt.Errorf("the answer's header is longer than %d bytes", max)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("the proxy closed the connection without an answer: %w", err)
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the proxy answered 101 Switching Protocols")
		case resp.StatusCode >= 200:
			l.limit.N = 1 << 62
			return resp, nil
		}
		// 1xx, all of them within max bytes
	}
}

// tunnel returns the connection, which is the caller's from now on. What the
// target sent together with the proxy's answer comes first.
func (c *connecting) tunnel() net.Conn {
	l := c.line
	if n := l.in.Buffered(); n > 0 {
		early, _ := l.in.Peek(n)
		return carrier.NewEarlyConn(l.conn, early)
	}
	return l.conn
}
