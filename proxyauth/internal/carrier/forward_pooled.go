package carrier

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// Legs of forwarded requests on any connection of net/http's pool.

func (f *Forward) sendPooled(leg Leg) (*http.Response, *Fault) {
	out, fault := f.pooledLeg(leg)
	if fault != nil {
		return nil, fault
	}
	out = f.trace.sending(out, leg.Body, true, f.holds(leg))
	var once *writtenOnce
	if leg.Trial {
		once = new(writtenOnce)
		out = once.trace(out, leg.Continued)
	}
	var resp *http.Response
	var err error
	if leg.Body == verdict.Probe {
		resp, err = f.proxy.forward.RoundTrip(Marked(out))
	} else {
		resp, err = f.roundTrip(out, once)
	}
	if err != nil {
		if once != nil && once.twice.Load() {
			return nil, &Fault{Kind: Lost, Proxy: f.proxy.config.Name, Err: errNoAnswer, Left: true}
		}
		err = writeError(out, err)
		ownBody := HasBody(out) && (f.held == nil || f.held.Failed() || errors.Is(err, net.ErrClosed))
		return nil, f.fault(err, ownBody, once == nil || once.wrote.Load())
	}
	asked := len(f.req.Header["Expect"]) > 0 // by the caller, whose business the answer is
	if f.holds(leg) && !asked && resp.StatusCode == http.StatusExpectationFailed {
		// RFC 9110 §10.1.1: repeat the request without it.
		if f.req.GetBody == nil && f.held.Begun() {
			return resp, nil // to the whole request
		}
		resp.Body.Close()
		f.noExpect = true
		return nil, &Fault{Kind: NoExpect, Err: errNoExpect, Left: true}
	}
	return resp, nil
}

// holds reports whether the body is held back in a leg.
func (f *Forward) holds(leg Leg) bool {
	return leg.Body == verdict.Held && HasBody(f.req) && !f.noExpect
}

// pooledLeg returns the request of a leg.
func (f *Forward) pooledLeg(leg Leg) (*http.Request, *Fault) {
	switch {
	case leg.Body == verdict.Probe:
		return probe(f.req, leg), nil
	case leg.Body == verdict.Withheld && HasBody(f.req):
		out := ownHeader(f.req)
		withoutBody(out)
		setAuthorization(out, leg)
		return out, nil
	}
	hold := f.holds(leg)
	body, fault := f.body(hold)
	if fault != nil {
		return nil, fault
	}
	out := &f.out
	if out.URL != nil {
		out = new(http.Request) // net/http may still be busy with the other
	}
	*out = *f.req
	out.Body = body
	if leg.Authorization != nil || hold {
		out.Header = maps.Clone(f.req.Header)
		setAuthorization(out, leg)
	}
	if hold {
		expectContinue(out)
	}
	return out, nil
}

var (
	errNoAnswer = errors.New("the proxy closed the connection without an answer")
	errNoExpect = errors.New("the proxy does not know Expect")
)

// A writtenOnce sees to it that net/http writes a leg no more than once: credentials of
// which nothing is known are an attempt each time. By itself net/http sends a request
// again whose connection was idle before and ends without an answer.
type writtenOnce struct {
	wrote atomic.Bool // the header has left
	twice atomic.Bool // net/http was about to write it again
}

// trace returns out so that it is watched.
func (w *writtenOnce) trace(out *http.Request, continued func()) *http.Request {
	return out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if w.wrote.Load() {
				w.twice.Store(true)
				info.Conn.Close()
			}
		},
		WroteHeaders:   func() { w.wrote.Store(true) },
		Got100Continue: continued,
	}))
}

// roundTrip sends out, and once more where Config.Again allows that: when its
// connection is lost before anything of it left.
func (f *Forward) roundTrip(out *http.Request, once *writtenOnce) (*http.Response, error) {
	if f.proxy.config.Again == nil {
		return f.proxy.forward.RoundTrip(out)
	}
	var m *meter
	var wrote int64
	var unwritten atomic.Pointer[error] // why the request could not be written
	ctx := httptrace.WithClientTrace(Marked(out).Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			m = meterOf(info.Conn)
			wrote = m.wrote.Load()
			unwritten.Store(nil)
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err != nil {
				unwritten.Store(&info.Err)
			}
		},
	})
	var body *heldBody // nil: there is none, or it can be read only once
	if HasBody(out) && out.GetBody != nil {
		body = newLastBody(out.Body)
		out.Body = body
	}
	for {
		resp, err := f.proxy.forward.RoundTrip(out.WithContext(ctx))
		if err == nil || m == nil || m.wrote.Load() != wrote || once != nil && once.twice.Load() || IsStream(out) {
			return resp, err
		}
		if why := unwritten.Load(); why != nil && errors.Is(err, net.ErrClosed) {
			err = *why // for which net/http has closed the connection, and has noticed that first
		}
		mistaken, _ := mistake(err)
		if mistaken || body != nil && body.Failed() || !f.again.after(ctx, &Fault{Kind: Lost, Err: err}) {
			return nil, err
		}
		if once != nil {
			once.wrote.Store(false) // to a buffer alone
		}
		if body != nil {
			again, err := out.GetBody()
			if err != nil {
				return nil, err
			}
			body = newLastBody(again)
			out.Body = body
		}
	}
}
