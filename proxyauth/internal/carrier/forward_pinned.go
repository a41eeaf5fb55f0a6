package carrier

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"golang.org/x/net/http/httpguts"
)

// Legs of forwarded requests on the connection that Open took.

func (f *Forward) sendPinned(leg Leg) (*http.Response, *Fault) {
	conn := f.conn
	out, body, fault := f.pinnedLeg(leg)
	if fault != nil {
		return nil, fault
	}
	out = f.trace.sending(out, leg.Body, false, leg.Body == verdict.Held && HasBody(f.req))
	if leg.Trial {
		out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{Got100Continue: leg.Continued}))
	}
	meter, reused := meterOf(conn.Wire.Conn), conn.Authenticated
	wrote, read := meter.wrote.Load(), meter.read.Load()
	resp, err := conn.Client.RoundTrip(out)
	if err == nil {
		conn.answered(resp)
		return resp, nil
	}
	err = writeError(out, err)
	left := meter.wrote.Load() != wrote
	died := conn.Client.Err() != nil
	nothing := !left && (body == nil || !body.Begun())
	if body != nil {
		body.Close() // net/http does not if the connection was dead
	}
	f.Drop()
	ctx := f.req.Context()
	if conn.Wire.isOver() && nothing && ctx.Err() == nil && repeatable(f.req, nothing) {
		return nil, &Fault{Kind: Died, Err: ErrSurplus}
	}
	mistaken, _ := mistake(err)
	if !mistaken && meter.read.Load() == read && ctx.Err() == nil && repeatable(f.req, nothing) &&
		(reused && died && !leg.Trial || nothing && f.again.after(ctx, &Fault{Kind: Lost, Err: err})) {
		return nil, &Fault{Kind: Died, Err: errDied, Left: left}
	}
	ownBody := body != nil && (body.Failed() || errors.Is(err, net.ErrClosed))
	return nil, f.fault(err, ownBody, left)
}

var errDied = errors.New("the connection had ended before")

// pinnedLeg returns the request of a leg on the pinned connection, and its body if that
// is the request's.
func (f *Forward) pinnedLeg(leg Leg) (out *http.Request, body *heldBody, fault *Fault) {
	conn := f.conn
	out = WithoutAuthorization(f.req)
	keepAlive := leg.Authorization != nil || HasBody(f.req) || conn.HTTP10
	ends := wantsClose(out)
	if keepAlive || ends {
		out = ownHeader(out)
	}
	if keepAlive {
		out.Header["Proxy-Connection"] = []string{"keep-alive"}
	}
	setAuthorization(out, leg)
	if ends { // not before the last leg, and then the pool does it
		out.Close = false
		maps.DeleteFunc(out.Header, func(name string, _ []string) bool { return strings.EqualFold(name, "Connection") })
		conn.Once = true
	}
	switch {
	case leg.Body == verdict.Probe:
		out = probe(out, leg)
	case !HasBody(f.req):
		// There is nothing to be held or withheld.
	case leg.Body == verdict.Withheld:
		withoutBody(out)
	default:
		raw, fault := f.body(leg.Body == verdict.Held)
		if fault != nil {
			return nil, nil, fault
		}
		if body = f.held; body == nil {
			body = newLastBody(raw)
		}
		out.Body = body
		if leg.Body == verdict.Held {
			expectContinue(out)
			conn.Once = true
		}
	}
	return out, body, nil
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
func repeatable(req *http.Request, nothingWritten bool) bool {
	if IsStream(req) {
		return false
	}
	if nothingWritten {
		return true
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xkey := req.Header["X-Idempotency-Key"]
	return key || xkey
}
