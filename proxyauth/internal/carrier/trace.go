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
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// Untraced returns ctx without its httptrace.ClientTrace: for what is sent, dialed and
// looked up beside the caller's request.
func Untraced(ctx context.Context) context.Context {
	if httptrace.ContextClientTrace(ctx) == nil {
		return ctx
	}
	// Package net has the hooks for dials under a key of its own. These take their place.
	silent := &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) {},
		DNSDone:      func(httptrace.DNSDoneInfo) {},
		ConnectStart: func(string, string) {},
		ConnectDone:  func(string, string, error) {},
	}
	return untraced{httptrace.WithClientTrace(untraced{ctx}, silent)}
}

// Tunneled returns req so that its httptrace.ClientTrace is told of the proxy, as by
// net/http, where that waits for a connection through a tunnel.
func Tunneled(req *http.Request, proxy *url.URL) *http.Request {
	trace := httptrace.ContextClientTrace(req.Context())
	if trace == nil || trace.GetConn == nil {
		return req
	}
	told := *trace
	told.GetConn = func(string) { trace.GetConn(hostname.OfURL(proxy)) }
	return req.WithContext(httptrace.WithClientTrace(Untraced(req.Context()), &told))
}

// Dials are the connections on which a tunnel is asked for, as far as the caller's
// httptrace.ClientTrace is told of them: until one has come about. What follows is known
// to this package alone. Nil tells nothing.
type Dials struct {
	trace httptrace.ClientTrace
	done  atomic.Bool
}

// DialsOf returns the Dials for the trace of ctx; nil: it has none. Whoever gets a raw
// connection is told what a net.Dialer tells.
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
	trace := d.trace
	return httptrace.WithClientTrace(ctx, &trace)
}

// connected says that the last dial has come about.
func (d *Dials) connected() {
	if d != nil {
		d.done.Store(true)
	}
}
