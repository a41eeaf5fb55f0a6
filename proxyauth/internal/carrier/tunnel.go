package carrier

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"
)

// connectTimeout bounds one CONNECT and its answer, as in net/http: dialing
// there does not end with the request that asked for it.
const connectTimeout = time.Minute

// maxConnectHeader bounds what a proxy may answer to CONNECT, if Base does not.
const maxConnectHeader = 256 << 10

// A Tunnel is a CONNECT under way. Until Conn is called, the caller closes it.
type Tunnel struct {
	proxy *Proxy
	req   *http.Request
	dials *Dials
	raw   bool // the connection's bytes are not counted

	line   *line // of the last leg; nil: none
	opened bool  // the next leg goes on line, too
	owner  any   // of line, if it was opened
	denied bool  // the last answer was a 407
	took   Connection
	losses losses
}

// Tunnel returns the carrier of a CONNECT to addr, host:port. The bytes of a raw connection
// are not counted. Of the trace of ctx only dials, which may be nil, are told.
func (p *Proxy) Tunnel(ctx context.Context, addr string, raw bool, dials *Dials) *Tunnel {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr}
	return &Tunnel{proxy: p, req: req.WithContext(Untraced(ctx)), dials: dials, raw: raw, losses: p.traffic.losses()}
}

// TunnelOn is Tunnel with a first leg on a connection to the proxy that is open already.
func (p *Proxy) TunnelOn(ctx context.Context, conn net.Conn, addr string) *Tunnel {
	t := p.Tunnel(ctx, addr, true, nil)
	t.line, t.opened = &line{conn: conn}, true
	return t
}

// Request returns the CONNECT.
func (t *Tunnel) Request() *http.Request { return t.req }

// Open opens the connection that becomes the tunnel. None is authenticated before.
func (t *Tunnel) Open(owner any, want Wanted) (*Connection, error) {
	if want == Authenticated {
		return nil, nil
	}
	if err := t.dial(owner); err != nil {
		return nil, err
	}
	t.opened, t.owner, t.took = true, owner, Connection{}
	if secure, ok := t.line.conn.(*tls.Conn); ok && t.proxy.url.Scheme == "https" {
		state := secure.ConnectionState()
		t.took.TLS = &state
	}
	return &t.took, nil
}

// Send asks for the tunnel. Without Open it does so on a new connection each time:
// after refusing one CONNECT some proxies answer 400 to the next, or never, or have
// closed the connection without saying so.
func (t *Tunnel) Send(leg Leg) (Reply, error) {
	if !t.opened {
		if err := t.dial(leg.Owner); err != nil {
			return Reply{}, err
		}
	}
	header, err := t.header()
	if err != nil {
		return Reply{}, &Fault{Kind: Own, Err: err}
	}
	t.req.Header = header
	setAuthorization(t.req, leg)
	resp, err := t.ask(leg)
	if err != nil {
		t.Drop()
		return Reply{}, err
	}
	t.denied = resp.StatusCode == http.StatusProxyAuthRequired
	if hook := t.proxy.config.Base.OnProxyConnectResponse; hook != nil && !t.denied {
		if err := hook(t.req.Context(), t.proxy.shownURL(), t.req, resp); err != nil {
			t.Drop()
			return Reply{}, &Fault{Kind: Own, Err: err, Left: unreachable(err) == nil}
		}
	}
	return t.losses.reply(resp, leg), nil
}

// dial opens a new connection of an owner in place of the last.
func (t *Tunnel) dial(owner any) error {
	t.Drop()
	t.line = nil
	conn, err := t.proxy.Dial(t.dials.context(t.req.Context()), owner, t.raw)
	if err == nil {
		t.dials.connected()
		t.line = &line{conn: conn}
	}
	return err
}

// header returns what the user set for CONNECT, and what HTTP/1.0 proxies need.
func (t *Tunnel) header() (http.Header, error) {
	header := t.proxy.config.Base.ProxyConnectHeader
	if get := t.proxy.config.Base.GetProxyConnectHeader; get != nil {
		var err error
		if header, err = get(t.req.Context(), t.proxy.shownURL(), t.req.Host); err != nil {
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

// ask writes the CONNECT and reads the answer. The error is a *Fault.
func (t *Tunnel) ask(leg Leg) (*http.Response, error) {
	if t.line.spoiled() {
		return nil, &Fault{Kind: Died, Err: ErrSurplus}
	}
	ctx, cancel := context.WithTimeout(t.req.Context(), connectTimeout)
	defer cancel()
	max := t.proxy.config.Base.MaxResponseHeaderBytes
	if max <= 0 {
		max = maxConnectHeader
	}
	var resp *http.Response
	var err error
	if leg.Late != nil {
		resp, err = t.askOn(ctx, max, leg)
	} else {
		l := t.line
		stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
		resp, err = l.ask(t.req, max)
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		return resp, nil
	}
	fault := &Fault{Kind: Broken, Proxy: t.proxy.config.Name, Doing: "CONNECT " + t.req.Host, Err: err, Pending: t.line == nil}
	switch {
	case ctx.Err() != nil:
		fault.Err = context.Cause(ctx)
	case connectionLost(err):
		fault.Kind = Lost
	}
	fault.Left = unreachable(fault.Err) == nil
	return nil, fault
}

// askOn asks, and goes on when ctx has ended, until connectTimeout: the answer is for
// leg.Late then, and t has no connection any more.
func (t *Tunnel) askOn(ctx context.Context, max int64, leg Leg) (*http.Response, error) {
	type answer struct {
		resp *http.Response
		err  error
	}
	l, req, losses := t.line, t.req, t.losses
	answers, gaveUp := make(chan answer), make(chan struct{})
	l.conn.SetDeadline(time.Now().Add(connectTimeout))
	go func() {
		resp, err := l.ask(req, max)
		select {
		case answers <- answer{resp, err}:
		case <-gaveUp:
			if err != nil {
				leg.Late(Reply{}, lateFault(err))
			} else {
				leg.Late(losses.reply(resp, leg), nil)
			}
			l.conn.Close()
		}
	}()
	select {
	case a := <-answers:
		l.conn.SetDeadline(time.Time{})
		return a.resp, a.err
	case <-ctx.Done():
		close(gaveUp)
		t.line = nil
		return nil, context.Cause(ctx)
	}
}

// lateFault is why there was no late answer. No request is told of it.
func lateFault(err error) *Fault {
	if connectionLost(err) {
		return &Fault{Kind: Lost, Err: err, Left: true}
	}
	return &Fault{Kind: Broken, Err: err, Left: true}
}

// Keep reads the denial to its end. HTTP/1.0 proxies promise to keep the connection by
// Proxy-Connection.
func (t *Tunnel) Keep(resp *http.Response) error {
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0
	old := !resp.ProtoAtLeast(1, 1) && httpguts.HeaderValuesContainsToken(resp.Header["Proxy-Connection"], "keep-alive")
	if !t.opened || !framed || resp.Close && !old || httpguts.HeaderValuesContainsToken(resp.Header["Proxy-Connection"], "close") {
		return ErrEnds
	}
	conn := t.line.conn
	ctx, cancel := context.WithTimeout(t.req.Context(), keepFor)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := t.line.drained(resp)
	if !stop() {
		return ErrEnds
	}
	return err
}

// HangUp closes the connection: a body that [http.ReadResponse] made cannot be
// closed while it is read.
func (t *Tunnel) HangUp(*http.Response) { t.Close() }

// Drop closes the connection.
func (t *Tunnel) Drop() {
	t.Close()
	if t.opened && t.denied {
		t.proxy.denied(t.owner, t.took.TLS)
	}
	t.opened, t.denied = false, false
}

// Close closes the connection, if there is one.
func (t *Tunnel) Close() {
	if t.line != nil {
		t.line.conn.Close()
	}
}

// Conn returns the connection, which is the caller's from now on. What the target sent
// together with the proxy's answer comes first.
func (t *Tunnel) Conn() net.Conn {
	l := t.line
	if n := l.in.Buffered(); n > 0 {
		early, _ := l.in.Peek(n)
		return newEarlyConn(l.conn, early)
	}
	return l.conn
}
