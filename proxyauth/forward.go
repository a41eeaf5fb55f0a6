package proxyauth

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"golang.org/x/net/http/httpguts"
)

// forwardTransport is the way out for http:// URLs: net/http sends them to the
// proxy in absolute form and pools the connections.
func (r *route) forwardTransport() *http.Transport {
	f := r.t.base.Clone()
	// Without userinfo: net/http would make Basic of it, over any other header.
	f.Proxy = http.ProxyURL(r.url)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dialProxyAgain(ctx, nil) }
	f.DialContext, f.DialTLSContext = dial, dial
	f.Dial, f.DialTLS = nil, nil //lint:ignore SA1019 Base's own are behind r.dialer
	// The proxy is spoken to in HTTP/1.1.
	f.ForceAttemptHTTP2 = false
	f.Protocols = nil
	f.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if f.ExpectContinueTimeout == 0 {
		f.ExpectContinueTimeout = time.Second // see forwarding.send
	}
	return f
}

// pinnedTransport makes single connections, for the pools of connection-bound
// schemes: as for forwarding, with a wire below each.
func (r *route) pinnedTransport() *http.Transport {
	p := r.forwardTransport()
	// An https:// proxy looks like an http:// one from here, whose connections
	// happen to be TLS: what is below a pool is not net/http's to know.
	p.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.url.Host})
	// The pool sees to these. (net/http would count connections down that it
	// has not counted up.)
	p.DisableKeepAlives, p.MaxConnsPerHost, p.MaxIdleConnsPerHost = false, 0, 0
	p.DialTLSContext = nil
	p.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := r.dialProxyAgain(ctx, httptrace.ContextClientTrace(ctx))
		if err != nil {
			return nil, err
		}
		return carrier.Filled(ctx, conn), nil
	}
	return p
}

func (r *route) roundTripForward(req *http.Request) (*http.Response, error) {
	f := &forwarding{r: r, req: req, retry: r.retrying()}
	resp, err := r.run(f)
	if f.held != nil {
		f.held.Finish()
	}
	if err != nil {
		f.unpin()
		if f.legs == 0 {
			closeBody(req)
		}
		return nil, err
	}
	resp.Request = req
	if f.conn != nil {
		resp.TLS = f.conn.TLS
		f.conn.Finish()
	}
	return resp, nil
}

// A forwarding is a request that the proxy forwards.
type forwarding struct {
	r     *route
	req   *http.Request
	out   http.Request // req as the last leg sent it
	legs  int
	held  *carrier.HeldBody // of the last leg, if that was careful with a stream
	retry retrying
	hurry bool            // the proxy does not know Expect
	conn  *carrier.Pinned // for a connection-bound scheme
}

func (f *forwarding) request() *http.Request { return f.req }

// send sends the request to the proxy.
func (f *forwarding) send(authorization []string, careful bool) (*http.Response, error) {
	careful = careful && !f.hurry
	asked := len(f.req.Header["Expect"]) > 0 // by the caller, whose business the answer is
	body, err := f.body(careful)
	if err != nil {
		return nil, err
	}
	f.legs++
	out := &f.out
	if f.legs > 1 {
		out = new(http.Request) // net/http may still be busy with the other
	}
	*out = *f.req
	out.Body = body
	if authorization != nil || careful {
		out.Header = maps.Clone(f.req.Header)
		if authorization != nil {
			setAuthorization(out.Header, authorization)
		}
		if careful {
			expectContinue(out)
		}
	}
	resp, err := f.roundTrip(out)
	if err != nil {
		return nil, f.named(err)
	}
	if careful && !asked && resp.StatusCode == http.StatusExpectationFailed {
		// RFC 9110 §10.1.1: repeat the request without it.
		if f.req.GetBody == nil && (f.held == nil || f.held.Begun()) {
			return resp, nil // to the whole request
		}
		resp.Body.Close()
		f.hurry = true
		return nil, errHurry // with another nonce count
	}
	return resp, nil
}

// expectContinue lets the proxy refuse before the body is sent. It also says
// Connection: close, for otherwise net/http sends the body after the refusal all
// the same, to keep the connection.
func expectContinue(out *http.Request) {
	out.Header["Expect"] = []string{"100-continue"}
	out.Close = true
	if out.ContentLength <= 0 && len(out.TransferEncoding) == 0 {
		// Else net/http reads ahead, for a GET or DELETE, whether there is a
		// body at all.
		out.ContentLength, out.TransferEncoding = -1, []string{"chunked"}
	}
}

// roundTrip sends out, and once more where Transport.Retry allows that: when its
// connection is lost before anything of it left.
func (f *forwarding) roundTrip(out *http.Request) (*http.Response, error) {
	if f.r.t.retry == nil {
		return f.r.forward.RoundTrip(out)
	}
	var m *carrier.Meter
	var wrote int64
	ctx := httptrace.WithClientTrace(f.r.forDialing(f.req).Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		m = carrier.MeterOf(info.Conn)
		wrote = m.Wrote()
	}})
	for {
		resp, err := f.r.forward.RoundTrip(out.WithContext(ctx))
		if err == nil || m == nil || m.Wrote() != wrote || carrier.IsStream(out) || !f.retry.again(ctx, &carrier.LostError{Err: err}) {
			return resp, err
		}
		if carrier.HasBody(out) {
			var err error
			if out.Body, err = out.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// pin takes a connection from the pool.
func (f *forwarding) pin(st *standing) (peer, bool, error) {
	f.unpin()
	conn, err := st.pool.Get(f.req)
	if err != nil {
		return peer{}, false, err
	}
	f.conn = conn
	return peer{f.r.url.Hostname(), conn.TLS}, conn.Authenticated, nil
}

func (f *forwarding) unpin() {
	if f.conn != nil {
		f.conn.Close()
		f.conn = nil
	}
}

// options makes out the probe: an OPTIONS, for were it the request without its
// body, a proxy that asks for nothing after all would pass on an empty POST. (It
// has no Max-Forwards: squid answers 501 to that before it looks at the
// credentials.)
func (f *forwarding) options(out *http.Request) {
	out.Method, out.Body, out.GetBody, out.ContentLength = http.MethodOptions, nil, nil, 0
	out.TransferEncoding, out.Trailer = nil, nil
	out.Header = http.Header{"Proxy-Connection": {"keep-alive"}}
	if agent, ok := f.req.Header["User-Agent"]; ok {
		out.Header["User-Agent"] = agent
	}
}

func (f *forwarding) probe() (*http.Response, error) {
	out := *f.req
	f.options(&out)
	resp, err := f.r.forward.RoundTrip(f.r.forDialing(&out))
	if err != nil {
		err = f.named(err)
	}
	return resp, err
}

// sendPinned runs a leg on the pinned connection.
func (f *forwarding) sendPinned(authorization []string, what part) (*http.Response, error) {
	conn := f.conn
	out := withoutProxyAuthorization(f.req)
	var body *carrier.HeldBody
	if authorization != nil || carrier.HasBody(f.req) || conn.HTTP10 {
		clone := *out
		out = &clone
		out.Header = maps.Clone(out.Header)
		out.Header["Proxy-Connection"] = []string{"keep-alive"}
		if authorization != nil {
			setAuthorization(out.Header, authorization)
		}
	}
	if wantsClose(out) { // not before the last leg, and then the pool does it
		if out == f.req {
			clone := *out
			out = &clone
			out.Header = maps.Clone(out.Header)
		}
		out.Close = false
		maps.DeleteFunc(out.Header, func(name string, _ []string) bool { return strings.EqualFold(name, "Connection") })
		conn.Once = true
	}
	switch {
	case what == probing:
		f.options(out)
		out.Header[proxyAuthorization] = authorization
	case what == bodyless:
		out.Body, out.GetBody, out.ContentLength, out.TransferEncoding, out.Trailer = nil, nil, 0, nil, nil
	case carrier.HasBody(f.req):
		raw, err := f.body(what == held)
		if err != nil {
			return nil, err
		}
		if body = f.held; body == nil {
			body = carrier.NewLastBody(raw)
		}
		out.Body = body
		f.legs++
		if what == held {
			expectContinue(out)
			conn.Once = true
		}
	default:
		f.legs++
	}
	meter, reused := carrier.MeterOf(conn.Wire.Conn), conn.Authenticated
	wrote, read := meter.Wrote(), meter.WasRead()
	resp, err := conn.Client.RoundTrip(out)
	if err == nil {
		conn.HTTP10 = !resp.ProtoAtLeast(1, 1)
		if resp.StatusCode == http.StatusSwitchingProtocols {
			conn.Wire.Raw()
		}
		// Without a challenge it is an origin's: see refuses.
		conn.Authenticated = resp.StatusCode != http.StatusProxyAuthRequired || reused && len(resp.Header["Proxy-Authenticate"]) == 0
		return resp, nil
	}
	died := conn.Client.Err() != nil
	nothing := meter.Wrote() == wrote && (body == nil || !body.Begun())
	if body != nil {
		body.Close() // net/http does not if the connection was dead
	}
	f.unpin()
	if meter.WasRead() == read && f.req.Context().Err() == nil && f.repeatable(nothing) &&
		(reused && died || nothing && f.retry.again(f.req.Context(), &carrier.LostError{Err: err})) {
		return nil, errDied
	}
	return nil, f.named(err)
}

func wantsClose(req *http.Request) bool {
	if req.Close {
		return true
	}
	for name, values := range req.Header {
		if strings.EqualFold(name, "Connection") && httpguts.HeaderValuesContainsToken(values, "close") {
			return true
		}
	}
	return false
}

// repeatable reports whether the request can be sent again after it failed on a
// connection that was idle before, by the rule of net/http.
func (f *forwarding) repeatable(nothingWritten bool) bool {
	if carrier.IsStream(f.req) {
		return false
	}
	if nothingWritten {
		return true
	}
	switch f.req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := f.req.Header["Idempotency-Key"]
	_, xkey := f.req.Header["X-Idempotency-Key"]
	return key || xkey
}

func (f *forwarding) keep(resp *http.Response) bool {
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.Request.Method != http.MethodHead {
		return false // it ends with the connection
	}
	d := denial{resp: resp, hangUp: f.hangUp}
	d.drainWithin(f.req.Context(), keepFor, maxKeep)
	return f.conn.Client.Err() == nil && f.conn.Client.Available() > 0
}

func (f *forwarding) hangUp(resp *http.Response) { resp.Body.Close() }

// body returns the body for the next leg.
func (f *forwarding) body(careful bool) (body io.ReadCloser, err error) {
	switch {
	case !carrier.HasBody(f.req):
		return f.req.Body, nil
	case f.legs == 0:
		body = f.req.Body
	case f.req.GetBody != nil:
		return f.req.GetBody()
	case f.held != nil && f.held.Take():
		body = f.req.Body
		f.held = nil
	default:
		return nil, errBodyGone
	}
	if careful && f.req.GetBody == nil {
		f.held = carrier.NewHeldBody(body)
		return f.held, nil
	}
	return body, nil
}

// named returns net/http's error with the name of the proxy, if it is about the
// connection to that; an error of the request, its body or its context stays as
// it is.
func (f *forwarding) named(err error) error {
	var dial *carrier.DialError
	if errors.As(err, &dial) || f.req.Context().Err() != nil {
		return carrier.UnwrapDial(err)
	}
	text := err.Error()
	about := !carrier.HasBody(f.req) && carrier.ConnectionLost(err)
	for _, words := range []string{
		"net/http: HTTP/1.x transport connection broken", "net/http: Transport failed to read from server",
		"net/http: timeout awaiting response headers", "net/http: server response headers exceeded", "http: server closed idle connection",
	} {
		about = about || strings.HasPrefix(text, words)
	}
	if !about {
		return err
	}
	return &carrier.LegError{Proxy: f.r.name, Err: err}
}
