package carrier

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// untraced is a context without the httptrace.ClientTrace of the one below it.
type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	if trace, ok := v.(*httptrace.ClientTrace); ok && trace == httptrace.ContextClientTrace(c.Context) {
		return nil
	}
	return v
}

// Untraced returns ctx without its httptrace.ClientTrace, for what is sent, dialed and looked
// up beside the caller's request.
func Untraced(ctx context.Context) context.Context {
	if httptrace.ContextClientTrace(ctx) == nil {
		return ctx
	}
	// Package net keeps the hooks for dials under a key of its own. These replace them.
	silent := &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) {},
		DNSDone:      func(httptrace.DNSDoneInfo) {},
		ConnectStart: func(string, string) {},
		ConnectDone:  func(string, string, error) {},
	}
	return untraced{httptrace.WithClientTrace(untraced{ctx}, silent)}
}

// Tunneled returns req, which goes through a tunnel, with a httptrace.ClientTrace whose
// GetConn gets the proxy's address, as with net/http.
func Tunneled(req *http.Request, proxy *url.URL) *http.Request {
	trace := httptrace.ContextClientTrace(req.Context())
	if trace == nil || trace.GetConn == nil {
		return req
	}
	told := *trace
	told.GetConn = func(string) { trace.GetConn(hostname.OfURL(proxy)) }
	return req.WithContext(httptrace.WithClientTrace(Untraced(req.Context()), &told))
}

// Dials calls the hooks of the caller's httptrace.ClientTrace for the dials to the proxy on
// the way to a tunnel, until one succeeds. A later one, for another leg, calls none. Nil
// calls none.
type Dials struct {
	trace httptrace.ClientTrace
	done  atomic.Bool // a dial has succeeded
}

// DialsOf returns the Dials for the trace of ctx, nil if it has none. For a raw connection
// the hooks are those that a net.Dialer calls.
func DialsOf(ctx context.Context, raw bool) *Dials {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		return nil
	}
	d := &Dials{trace: *trace}
	if raw {
		d.trace = httptrace.ClientTrace{
			DNSStart: trace.DNSStart, DNSDone: trace.DNSDone, ConnectStart: trace.ConnectStart, ConnectDone: trace.ConnectDone,
		}
	}
	return d
}

// context returns the context for the next dial; ctx is without a trace.
func (d *Dials) context(ctx context.Context) context.Context {
	if d == nil || d.done.Load() {
		return ctx
	}
	trace := d.trace // a copy, since WithClientTrace changes it
	return httptrace.WithClientTrace(ctx, &trace)
}

// connected says that the last dial has succeeded.
func (d *Dials) connected() {
	if d != nil {
		d.done.Store(true)
	}
}
