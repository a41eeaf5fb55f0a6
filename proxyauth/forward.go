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
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
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
	r        *route
	req      *http.Request
	out      http.Request // req as the last leg sent it
	legs     int
	held     *carrier.HeldBody // of the last leg, if that was careful with a stream
	retry    retrying
	noExpect bool            // the proxy does not know Expect
	conn     *carrier.Pinned // for a connection-bound scheme

	watch   func()      // called when the proxy answers 100 to the next leg; nil: its credentials have passed before, or there are none
	watched bool        // there was such a function for the last leg,
	wrote   atomic.Bool // and the header of that has left
	twice   atomic.Bool // net/http was about to write it again
}

func (f *forwarding) request() *http.Request { return f.req }

// send sends the request to the proxy.
func (f *forwarding) send(authorization []string, careful bool) (*http.Response, error) {
	careful = careful && !f.noExpect
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
	if f.watched = f.watch != nil; f.watched {
		out = f.once(out)
	}
	resp, err := f.roundTrip(out)
	if err != nil && f.twice.Load() {
		err = &carrier.LegError{Proxy: f.r.name, Err: &carrier.LostError{Err: errors.New("the proxy closed the connection without an answer")}}
	}
	if err != nil {
		return nil, f.named(err)
	}
	if careful && !asked && resp.StatusCode == http.StatusExpectationFailed {
		// RFC 9110 §10.1.1: repeat the request without it.
		if f.req.GetBody == nil && (f.held == nil || f.held.Begun()) {
			return resp, nil // to the whole request
		}
		resp.Body.Close()
		f.noExpect = true
		return nil, errNoExpect // with another nonce count
	}
	return resp, nil
}

// once returns out so that net/http writes it no more than once: credentials of which
// nothing is known are an attempt each time. By itself net/http sends a request again
// whose connection was idle before and ends without an answer.
func (f *forwarding) once(out *http.Request) *http.Request {
	continued := f.watch
	f.watch = nil
	f.wrote.Store(false)
	return out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if f.wrote.Load() {
				f.twice.Store(true)
				info.Conn.Close()
			}
		},
		WroteHeaders:   func() { f.wrote.Store(true) },
		Got100Continue: continued,
	}))
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
	ctx := httptrace.WithClientTrace(f.r.forDialing(out).Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		m = carrier.MeterOf(info.Conn)
		wrote = m.Wrote()
	}})
	for {
		resp, err := f.r.forward.RoundTrip(out.WithContext(ctx))
		if err == nil || m == nil || m.Wrote() != wrote || f.twice.Load() || carrier.IsStream(out) || !f.retry.again(ctx, &carrier.LostError{Err: err}) {
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

// tries lets the next leg find out whether its header leaves.
func (f *forwarding) tries(continued func(), _ func(*http.Response, error)) {
	f.watch, f.watched = continued, true
	f.wrote.Store(false)
}

func (f *forwarding) left() (left, pending bool) { return !f.watched || f.wrote.Load(), false }

func (f *forwarding) refusal(*http.Response) *ConnectError { return nil }

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
