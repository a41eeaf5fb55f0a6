package proxyauth

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// forDialing returns req so that a dial which it begins ends with it: others
// wait for a CONNECT while it is not known how the proxy stands, and a retry would
// pause for nobody.
func (r *route) forDialing(req *http.Request) *http.Request {
	if r.t.retry == nil && r.standing.Load() != nil {
		return req
	}
	return carrier.Marked(req)
}

// dialProxyAgain reaches the proxy with retries, for connections on which nothing
// but requests to be forwarded will travel.
func (r *route) dialProxyAgain(ctx context.Context, trace *httptrace.ClientTrace) (net.Conn, error) {
	ctx, stop := carrier.EndWithMarked(ctx)
	defer stop()
	retrying := r.retrying()
	for {
		conn, err := r.dialer.Dial(ctx, trace, false)
		if err == nil || !retrying.again(ctx, err) {
			return conn, err
		}
	}
}
