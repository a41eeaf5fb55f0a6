package proxyauth

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"golang.org/x/net/http/httpguts"
)

// Forwarded requests by a connection-bound scheme: all legs of a handshake run on one
// connection, which is pinned to the request meanwhile.

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

// pin takes a connection from the pool.
func (f *forwarding) pin(p *plan, want wanted) (to peer, authenticated, ok bool, err error) {
	f.unpin()
	get := p.pool.Get
	switch want {
	case authenticatedOnly:
		get = p.pool.GetIdle
	case newOnly:
		get = p.pool.GetNew
	}
	conn, err := get(f.req)
	if err != nil || conn == nil {
		return peer{}, false, false, err
	}
	f.conn = conn
	return peer{f.r.url.Hostname(), conn.TLS}, conn.Authenticated, true, nil
}

func (f *forwarding) unpin() {
	if f.conn != nil {
		f.conn.Close()
		f.conn = nil
	}
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
	meter, reused, tries := carrier.MeterOf(conn.Wire.Conn), conn.Authenticated, f.watch != nil
	if tries {
		out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{Got100Continue: f.watch}))
		f.watch = nil
	}
	wrote, read := meter.Wrote(), meter.WasRead()
	resp, err := conn.Client.RoundTrip(out)
	f.watched = true
	f.wrote.Store(meter.Wrote() != wrote)
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
		(reused && died && !tries || nothing && f.retry.again(f.req.Context(), &carrier.LostError{Err: err})) {
		return nil, errReconnect
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
