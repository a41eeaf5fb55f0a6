package carrier

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A forwardTrace calls the hooks of the caller's httptrace.ClientTrace for a request that is
// forwarded, as if it took one leg. The hooks for the connection and for what is written are
// called when that happens for the first time; those for an answer wait until it is known
// that the caller gets this answer. A message in place of the request (OPTIONS, or the
// request without its body) calls none. Nil calls none.
type forwardTrace struct {
	to     *httptrace.ClientTrace
	header http.Header // the caller's

	mu   sync.Mutex // guards what follows, and each legTrace
	told told
	leg  *legTrace // the last one; nil: none
}

// told has a flag for each hook that is called once for a request: it was.
type told struct{ gotConn, wroteHeaders, waits, wroteRequest, gotFirstByte bool }

// newForwardTrace returns req without its trace, and the forwardTrace for that.
func newForwardTrace(req *http.Request) (*http.Request, *forwardTrace) {
	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		return req, nil
	}
	return req.WithContext(Untraced(ctx)), &forwardTrace{to: trace, header: req.Header}
}

// opening returns req with the trace for a connection that is taken for its legs.
func (t *forwardTrace) opening(req *http.Request) *http.Request {
	if t == nil {
		return req
	}
	t.mu.Lock()
	l, hooks := &legTrace{of: t, before: t.told}, &httptrace.ClientTrace{}
	t.mu.Unlock()
	l.ofConnection(hooks)
	return req.WithContext(httptrace.WithClientTrace(req.Context(), hooks))
}

// sending returns out, the request of a leg, with its trace. If pooled is set, net/http takes
// a connection for it. If held is set, its body is held back.
func (t *forwardTrace) sending(out *http.Request, body verdict.Body, pooled, held bool) *http.Request {
	if t == nil {
		return out
	}
	l, hooks := t.next(), &httptrace.ClientTrace{}
	if pooled {
		l.ofConnection(hooks)
	}
	if body == verdict.Whole || body == verdict.Held {
		l.ofRequest(hooks, held)
		l.ofAnswer(hooks, held)
	}
	return out.WithContext(httptrace.WithClientTrace(out.Context(), hooks))
}

// next returns the trace for the next leg. The caller does not get the answer to the leg
// before, so the hooks for that are dropped.
func (t *forwardTrace) next() *legTrace {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leg != nil {
		t.leg.ended, t.leg.kept = true, nil
	}
	t.leg = &legTrace{of: t, before: t.told}
	return t.leg
}

// returned says that the caller gets the answer to the last leg, or its error.
func (t *forwardTrace) returned() {
	if t == nil {
		return
	}
	t.mu.Lock()
	l := t.leg
	t.mu.Unlock()
	if l != nil {
		l.release()
	}
}

// A legTrace is that of one leg, or of a connection that is opened for several.
type legTrace struct {
	of     *forwardTrace
	before told // by earlier legs

	// The lock of forwardTrace guards these.
	encrypted bool     // a TLS handshake has succeeded
	answered  bool     // an answer has begun
	certain   bool     // the caller gets that answer
	ended     bool     // another leg has followed
	kept      []func() // calls of hooks since the answer has begun, until that is certain
	late      bool     // GotFirstResponseByte came for 100 Continue, and comes no more
}

// ofConnection sets the hooks for taking a connection.
func (l *legTrace) ofConnection(hooks *httptrace.ClientTrace) {
	if l.before.gotConn {
		return
	}
	to := l.of.to
	hooks.GetConn = to.GetConn
	hooks.DNSStart, hooks.DNSDone = to.DNSStart, to.DNSDone
	hooks.ConnectStart, hooks.ConnectDone = to.ConnectStart, to.ConnectDone
	hooks.GotConn = func(info httptrace.GotConnInfo) {
		l.note(&l.of.told.gotConn)
		if w, ok := info.Conn.(*wire); ok {
			info.Conn = w.Conn
		}
		if m, ok := info.Conn.(*meter); ok {
			info.Conn = m.Conn
		}
		if to.GotConn != nil {
			to.GotConn(info)
		}
	}
	// Proxy.Dial calls these, and then net/http once more for the same handshake.
	hooks.TLSHandshakeStart = func() {
		if to.TLSHandshakeStart != nil && !l.isEncrypted() {
			to.TLSHandshakeStart()
		}
	}
	hooks.TLSHandshakeDone = func(state tls.ConnectionState, err error) {
		if l.isEncrypted() {
			return
		}
		if err == nil {
			l.note(&l.encrypted)
		}
		if to.TLSHandshakeDone != nil {
			to.TLSHandshakeDone(state, err)
		}
	}
}

// ofRequest sets the hooks for writing the request. If held is set, the fields by which its
// body is held back are this package's, unless the caller has set them.
func (l *legTrace) ofRequest(hooks *httptrace.ClientTrace, held bool) {
	to := l.of.to
	_, expects := l.of.header["Expect"]
	if !l.before.wroteHeaders {
		if to.WroteHeaderField != nil {
			hooks.WroteHeaderField = func(name string, values []string) {
				if values = l.shown(name, values, held); values != nil {
					to.WroteHeaderField(name, values)
				}
			}
		}
		hooks.WroteHeaders = func() {
			l.note(&l.of.told.wroteHeaders)
			if to.WroteHeaders != nil {
				to.WroteHeaders()
			}
		}
	}
	// These may be called after the answer has begun.
	if to.Wait100Continue != nil && (!held || expects) && !l.before.waits {
		hooks.Wait100Continue = func() {
			l.event(func() {
				l.note(&l.of.told.waits)
				to.Wait100Continue()
			})
		}
	}
	if to.WroteRequest != nil && !l.before.wroteRequest {
		hooks.WroteRequest = func(info httptrace.WroteRequestInfo) {
			l.event(func() {
				l.note(&l.of.told.wroteRequest)
				to.WroteRequest(info)
			})
		}
	}
}

// shown returns the values that WroteHeaderField gets; nil means that it is not called. Of
// credentials it gets the scheme. It gets Proxy-Connection, and the fields by which a body is
// held back, only if the caller has set them.
func (l *legTrace) shown(name string, values []string, held bool) []string {
	_, own := l.of.header[name]
	switch {
	case isAuthorization(name):
		shown := make([]string, len(values))
		for i, value := range values {
			if shown[i] = "REDACTED"; strings.Contains(value, " ") {
				shown[i] = value[:strings.Index(value, " ")+1] + shown[i]
			}
		}
		return shown
	case own:
		return values
	case name == "Proxy-Connection", held && name == "Expect", held && name == "Connection":
		return nil
	}
	return values
}

// ofAnswer sets the hooks for the answer.
func (l *legTrace) ofAnswer(hooks *httptrace.ClientTrace, held bool) {
	to := l.of.to
	_, expects := l.of.header["Expect"]
	own := held && !expects // 100 Continue is not for the caller
	hooks.GotFirstResponseByte = func() {
		l.note(&l.answered)
		l.event(l.gotFirstByte)
	}
	if own {
		hooks.Got100Continue = l.continued
	} else if to.Got100Continue != nil {
		hooks.Got100Continue = func() {
			l.release()
			to.Got100Continue()
		}
	}
	if to.Got1xxResponse != nil {
		hooks.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
			if own && code == http.StatusContinue {
				return nil
			}
			l.release()
			return to.Got1xxResponse(code, header)
		}
	}
	if to.PutIdleConn != nil {
		hooks.PutIdleConn = func(err error) { l.event(func() { to.PutIdleConn(err) }) }
	}
}

func (l *legTrace) gotFirstByte() {
	if to := l.of.to; to.GotFirstResponseByte != nil && !l.before.gotFirstByte {
		l.note(&l.of.told.gotFirstByte)
		to.GotFirstResponseByte()
	}
}

// continued says that the proxy asks for the body. What has begun was 100 Continue, and not
// the answer.
func (l *legTrace) continued() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.certain {
		l.answered, l.kept, l.late = false, nil, true
	}
}

// event calls a hook. Once an answer has begun, it waits until it is certain that the caller
// gets that answer.
func (l *legTrace) event(hook func()) {
	t := l.of
	t.mu.Lock()
	call := !l.ended && (l.certain || !l.answered)
	if !l.ended && !call {
		l.kept = append(l.kept, hook)
	}
	t.mu.Unlock()
	if call {
		hook()
	}
}

// release calls the hooks that were kept.
func (l *legTrace) release() {
	t := l.of
	for released := false; !released; {
		t.mu.Lock()
		kept := l.kept
		if l.late {
			kept = append([]func(){l.gotFirstByte}, kept...)
		}
		l.kept, l.late = nil, false
		released = len(kept) == 0
		l.certain = l.certain || released // not before, or a hook could overtake those that were kept
		t.mu.Unlock()
		for _, hook := range kept {
			hook()
		}
	}
}

// note sets a flag that the lock guards.
func (l *legTrace) note(flag *bool) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	*flag = true
}

func (l *legTrace) isEncrypted() bool {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	return l.encrypted
}
