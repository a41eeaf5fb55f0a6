package carrier

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// A Forward is a request that the proxy forwards. The caller calls Finish or Abort.
type Forward struct {
	proxy *Proxy
	given *http.Request
	req   *http.Request // given, without its trace
	trace *forwardTrace
	out   http.Request // req as the first leg sends it
	sent  bool         // the body has gone to net/http
	held  *heldBody    // of the last leg, if that was held back and can be read only once
	again repetitions

	noExpect bool    // the proxy does not know Expect
	conn     *pinned // what Open took; nil: nothing
	took     Connection
	losses   losses
}

// Forward returns the carrier of a request that the proxy is to forward.
func (p *Proxy) Forward(req *http.Request) *Forward {
	f := &Forward{proxy: p, given: req, again: repetitions{begin: p.config.Again}, losses: p.traffic.losses()}
	f.req, f.trace = newForwardTrace(req)
	return f
}

// Request returns the request as it was given, without its httptrace.ClientTrace.
func (f *Forward) Request() *http.Request { return f.req }

// Open takes a connection from the pool of an owner.
func (f *Forward) Open(owner any, want Wanted) (*Connection, error) {
	f.Drop()
	pool, req := f.proxy.pools.of(owner), f.trace.opening(f.req)
	var conn *pinned
	var err error
	switch want {
	case AnyConnection:
		conn, err = pool.Get(req)
	case Authenticated:
		conn = pool.GetIdle(req)
	case NewConnection:
		conn, err = pool.GetNew(req)
	}
	if err != nil {
		if fault := unreachable(err); fault != nil {
			return nil, fault
		}
		if errors.Is(err, errRetired) {
			return nil, &Fault{Kind: Moved, Err: err}
		}
		return nil, &Fault{Kind: Own, Err: err}
	}
	if conn == nil {
		return nil, nil
	}
	f.conn, f.took = conn, Connection{TLS: conn.TLS, Authenticated: conn.Authenticated}
	return &f.took, nil
}

// Drop closes the connection that Open took.
func (f *Forward) Drop() {
	if f.conn != nil {
		if f.conn.denied {
			f.proxy.denied(f.conn.pool.owner, f.conn.TLS)
		}
		f.conn.Close()
		f.conn = nil
	}
}

// Send sends the request.
func (f *Forward) Send(leg Leg) (Reply, error) {
	send := f.sendPooled
	if f.conn != nil {
		send = f.sendPinned
	}
	resp, fault := send(leg)
	if fault == nil && resp.StatusCode < 100 {
		resp.Body.Close()
		f.Drop()
		fault = &Fault{Kind: Broken, Proxy: f.proxy.config.Name, Err: malformedStatus(resp), Left: true}
	}
	if fault != nil {
		return Reply{}, fault
	}
	return f.losses.reply(resp, leg), nil
}

// HangUp closes the answer's body.
func (f *Forward) HangUp(resp *http.Response) { resp.Body.Close() }

// Keep reads an answer to its end.
func (f *Forward) Keep(resp *http.Response) error {
	if f.conn == nil || resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.Request.Method != http.MethodHead {
		return ErrEnds // without a length it ends with the connection
	}
	Drain(f.req.Context(), resp, f.HangUp, keepFor, maxKeep)
	switch {
	case f.conn.Wire.isOver():
		return ErrSurplus
	case f.conn.Client.Err() != nil || f.conn.Client.Available() == 0:
		return ErrEnds
	}
	return nil
}

// Finish says that resp is the answer, which the caller gets.
func (f *Forward) Finish(resp *http.Response) {
	f.letGo()
	f.trace.returned()
	resp.Request = f.given
	if f.conn != nil {
		resp.TLS = f.conn.TLS
		f.conn.Finish()
		f.conn = nil
	}
}

// Abort says that there is no answer. It closes the request's body.
func (f *Forward) Abort() {
	f.letGo()
	f.trace.returned()
	f.Drop()
	if !f.sent && f.req.Body != nil {
		f.req.Body.Close()
	}
}

// letGo says that no leg needs a body that is held.
func (f *Forward) letGo() {
	if f.held != nil {
		f.held.Finish()
	}
}

// body returns the body for the next leg.
func (f *Forward) body(hold bool) (body io.ReadCloser, fault *Fault) {
	switch {
	case !HasBody(f.req):
		return f.req.Body, nil
	case !f.sent:
		body, f.sent = f.req.Body, true
	case f.req.GetBody != nil:
		body, err := f.req.GetBody()
		if err != nil {
			return nil, &Fault{Kind: Own, Err: err}
		}
		return body, nil
	case f.held != nil && f.held.Take():
		body = f.req.Body
		f.held = nil
	default:
		return nil, &Fault{Kind: BodyGone, Err: errBodyGone}
	}
	if hold && f.req.GetBody == nil {
		f.held = newHeldBody(body)
		return f.held, nil
	}
	return body, nil
}

var errBodyGone = errors.New("the body cannot be sent once more")

// probe returns an OPTIONS in place of req, for were it the request without its body, a
// proxy that asks for nothing after all would pass on an empty POST. (It has no
// Max-Forwards: squid answers 501 to that before it looks at the credentials.)
func probe(req *http.Request, leg Leg) *http.Request {
	out := *req
	out.Method = http.MethodOptions
	withoutBody(&out)
	out.Header = http.Header{"Proxy-Connection": {"keep-alive"}}
	if agent, ok := req.Header["User-Agent"]; ok {
		out.Header["User-Agent"] = agent
	}
	setAuthorization(&out, leg)
	return &out
}

// setAuthorization gives out, which has a header of its own, the values of a leg.
func setAuthorization(out *http.Request, leg Leg) {
	if leg.Authorization != nil {
		SetAuthorization(out.Header, leg.Authorization)
	}
}

func withoutBody(out *http.Request) {
	out.Body, out.GetBody, out.ContentLength, out.TransferEncoding, out.Trailer = nil, nil, 0, nil, nil
}

// expectContinue lets the proxy refuse before the body is sent. It also says
// Connection: close, for otherwise net/http sends the body after the refusal all
// the same, to keep the connection.
func expectContinue(out *http.Request) {
	out.Header["Expect"] = []string{"100-continue"}
	out.Close = true
	out.ProtoMajor, out.ProtoMinor = 1, 1 // without which net/http does not wait
	if out.ContentLength <= 0 && len(out.TransferEncoding) == 0 {
		// Else net/http reads ahead, for a GET or DELETE, whether there is a
		// body at all.
		out.TransferEncoding = []string{"chunked"}
	}
}

// fault returns net/http's error as a fault: with the name of the proxy, if it is about
// the connection to that; an error of the request, its body or its context stays as it
// is. ownBody says that it may be the error of a body that the caller reads from a
// connection, left that something of the leg may have reached the proxy.
func (f *Forward) fault(err error, ownBody, left bool) *Fault {
	if fault := unreachable(err); fault != nil {
		return fault
	}
	kind := Own
	switch mistaken, wrote := mistake(err); {
	case mistaken:
		left = left && wrote
	case f.req.Context().Err() == nil:
		kind = kindOf(err, ownBody)
	}
	fault := &Fault{Kind: kind, Err: err, Left: left}
	if kind != Own {
		fault.Proxy = f.proxy.config.Name
	}
	if kind == Lost && left && !repeatable(f.req, false) {
		fault.Cure = cureSilentClose
	}
	return fault
}

// cureSilentClose is for a request that is not repeated by the rules of net/http.
const cureSilentClose = "if it closes idle connections without saying so, set Base.IdleConnTimeout below its limit, or Base.DisableKeepAlives; " +
	"what may be repeated (Request.GetBody, and the header Idempotency-Key) is repeated"

// kindOf returns what an error of net/http is about.
func kindOf(err error, ownBody bool) Kind {
	ended := connectionLost(err)
	if ended && !ownBody || errors.Is(err, errOver) {
		return Lost
	}
	text := err.Error()
	switch {
	case err == io.EOF: // which is no error of a body
		return Lost
	case errors.Is(err, net.ErrClosed): // by net/http, since it cannot write the body
		return Own
	case strings.HasPrefix(text, "http: server closed idle connection"):
		return Lost
	case !hasAnyPrefix(text, connectionBroken, "net/http: Transport failed to read from server",
		"net/http: timeout awaiting response headers", "net/http: server response headers exceeded"):
		return Own
	case ended:
		return Lost
	}
	return Broken
}

// connectionBroken is the beginning of net/http's error for a request of which something was
// written.
const connectionBroken = "net/http: HTTP/1.x transport connection broken"

// mistake reports whether err is net/http's about a request that cannot be written as it is,
// and whether a part of it was written by then. It says nothing about the proxy, though
// net/http ends the connection for it.
func mistake(err error) (mistaken, wrote bool) {
	wrote = strings.HasPrefix(err.Error(), connectionBroken)
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return hasAnyPrefix(err.Error(),
		"http: ContentLength=", "http: Request.ContentLength=", "invalid Trailer key ",
		"http: invalid Host header", "http: no Host in request URL", "http: Request.Write on Request with no Host",
		"net/http: can't write control character in Request.URL",
		"net/http: invalid header ", "net/http: invalid trailer ", "net/http: invalid method ",
		"http: invalid header ", "http: invalid trailer ", "http: invalid method ", // of http.ClientConn
	), wrote
}

// writeError returns what net/http cannot write of out, where its error err is that the
// connection was closed: net/http closes it for that, and may notice the end first.
func writeError(out *http.Request, err error) error {
	if !errors.Is(err, net.ErrClosed) {
		return err
	}
	dry := out.WithContext(context.Background()) // without hooks
	if HasBody(out) {
		withoutBody(dry)
	}
	if unwritable := dry.WriteProxy(io.Discard); unwritable != nil {
		return unwritable
	}
	return err
}

func hasAnyPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// ownHeader returns a copy of req with a header of its own.
func ownHeader(req *http.Request) *http.Request {
	out := *req
	out.Header = maps.Clone(req.Header)
	return &out
}
