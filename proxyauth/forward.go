package proxyauth

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"time"
)

// forwardTransport is the way out for http:// URLs: net/http sends them to the
// proxy in absolute form and pools the connections.
func (r *route) forwardTransport() *http.Transport {
	f := r.t.base.Clone()
	// Without userinfo: net/http would make Basic of it, over any other header.
	f.Proxy = http.ProxyURL(r.url)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dialProxy(ctx, nil) }
	f.DialContext, f.DialTLSContext = dial, dial
	f.Dial, f.DialTLS = nil, nil //lint:ignore SA1019 Base's own are behind dialProxy
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
	f := &forwarding{r: r, req: req}
	resp, err := r.run(f)
	if f.held != nil {
		f.held.finish()
	}
	if err != nil {
		if f.legs == 0 {
			closeBody(req)
		}
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

// A forwarding is a request that the proxy forwards.
type forwarding struct {
	r     *route
	req   *http.Request
	out   http.Request // req as the last leg sent it
	legs  int
	held  *heldBody // of the last leg, if that was careful with a stream
	hurry bool      // the proxy does not know Expect
}

func (f *forwarding) request() *http.Request { return f.req }

// send sends the request to the proxy.
//
// A careful leg says Expect: 100-continue, so that the proxy can refuse before
// the body is sent. It also says Connection: close, for otherwise net/http
// sends the body after the refusal all the same, to keep the connection.
func (f *forwarding) send(authorization []string, careful bool) (*http.Response, error) {
	careful = careful && !f.hurry && len(f.req.Header["Expect"]) == 0
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
			out.Header[proxyAuthorization] = authorization
		}
		if careful {
			out.Header["Expect"] = []string{"100-continue"}
			out.Close = true
		}
	}
	resp, err := f.r.forward.RoundTrip(out)
	if err != nil {
		return nil, unwrapDial(err)
	}
	if careful && resp.StatusCode == http.StatusExpectationFailed {
		// RFC 9110 §10.1.1: repeat the request without it.
		resp.Body.Close()
		f.hurry = true
		return f.send(authorization, false)
	}
	return resp, nil
}

func (f *forwarding) hangUp(resp *http.Response) { resp.Body.Close() }

// body returns the body for the next leg.
func (f *forwarding) body(careful bool) (body io.ReadCloser, err error) {
	switch {
	case !hasBody(f.req):
		return f.req.Body, nil
	case f.legs == 0:
		body = f.req.Body
	case f.req.GetBody != nil:
		return f.req.GetBody()
	case f.held != nil && f.held.take():
		body = f.req.Body
		f.held = nil
	default:
		return nil, errBodyGone
	}
	if careful && f.req.GetBody == nil {
		f.held = &heldBody{body: body}
		return f.held, nil
	}
	return body, nil
}

// unwrapDial takes net/http's wrapping from an error about reaching the proxy,
// so that it reads the same on all ways out.
func unwrapDial(err error) error {
	var dial *proxyDialError
	if errors.As(err, &dial) {
		return dial
	}
	return err
}
