package proxyauth

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// A tunnelDialer is dialTunnel, which is handed to newRoute: a route does not depend on how
// requests are sent through it.
type tunnelDialer func(ctx context.Context, r *route, addr string, raw bool) (net.Conn, error)

// tunnelTransport returns the way out for https:// URLs: connections are tunnels, and
// all that follows (TLS, HTTP/2, pooling) is net/http's, as if there were no proxy.
func tunnelTransport(r *route, dial tunnelDialer) *http.Transport {
	t := r.base.Clone()
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		addr, err := hostname.Address(addr)
		if err != nil {
			return nil, err
		}
		return dial(ctx, r, addr, false)
	}
	t.Dial, t.DialTLS, t.DialTLSContext = nil, nil, nil //lint:ignore SA1019 they would go around the proxy
	if t.MaxIdleConnsPerHost == 0 {
		t.MaxIdleConnsPerHost = r.maxIdle() // a tunnel costs more than a connection
	}
	return t
}

// tunnels are a transport whose connections are tunnels of one identity, and which is
// replaced when the identity changes.
type tunnels struct {
	open func() *http.Transport // makes a transport without tunnels
	now  atomic.Pointer[http.Transport]

	mu     sync.Mutex
	former []*http.Transport // of other identities, with tunnels that may still be in use; last used last
}

// maxFormer bounds the memory of a route whose identity changes again and again.
const maxFormer = 16

// renew makes requests use new tunnels, since the open ones belong to another identity.
// Those in use stay as long as Base keeps idle connections, or until closeIdle: net/http
// does not close a busy HTTP/2 connection later on.
func (t *tunnels) renew() {
	old := t.now.Swap(t.open())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.former = append(t.former, old)
	if len(t.former) > maxFormer {
		t.former = slices.Delete(t.former, 0, 1)
	}
	for _, f := range t.former {
		f.CloseIdleConnections()
	}
}

func (t *tunnels) closeIdle() {
	t.now.Load().CloseIdleConnections()
	t.mu.Lock()
	former := slices.Clone(t.former)
	t.mu.Unlock()
	for _, f := range former {
		f.CloseIdleConnections()
	}
}
