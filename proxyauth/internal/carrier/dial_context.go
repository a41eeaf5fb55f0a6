package carrier

import (
	"context"
	"errors"
	"net/http"
)

// ErrCanceled is the error of a request that Request.Cancel has ended.
var ErrCanceled = errors.New("proxyauth: request canceled")

// requestKey is the context key under which a dial finds the request that began
// it, where it is to end with that.
type requestKey struct{}

// Marked returns req so that a dial which it begins ends with it, by
// [EndWithMarked]. net/http goes on dialing after a request has ended, since the
// next may use the connection.
func Marked(req *http.Request) *http.Request {
	return req.WithContext(context.WithValue(req.Context(), requestKey{}, req))
}

// EndWithMarked returns the context for a dial that a request may have begun which
// [Marked] has returned. The caller calls stop.
func EndWithMarked(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	if req, ok := ctx.Value(requestKey{}).(*http.Request); ok {
		return EndWith(ctx, req)
	}
	return ctx, func() {}
}

// EndWith returns a context for dialing that ends with req as well: with its
// context, which may be another, or by Request.Cancel. The caller calls stop.
func EndWith(ctx context.Context, req *http.Request) (_ context.Context, stop context.CancelFunc) {
	forget := func() {}
	if end, ok := req.Context().Deadline(); ok { // by which a retry goes
		ctx, forget = context.WithDeadline(ctx, end)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(req.Context(), func() { cancel(context.Cause(req.Context())) })
	//lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
	if canceled := req.Cancel; canceled != nil {
		go func() {
			select {
			case <-canceled:
				cancel(ErrCanceled)
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() {
		detach()
		cancel(nil)
		forget()
	}
}
