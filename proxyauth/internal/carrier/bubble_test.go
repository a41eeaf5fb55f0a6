package carrier

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A bubble is a Proxy, the scripted proxy that it reaches, and what is written on the
// connections between them.
type bubble struct {
	*Proxy
	t      *testing.T
	server *scripted.Proxy

	mu    sync.Mutex
	conns []*tapped
	fails func(number int) error // of the connection with this number, from 1, when it is dialed
}

// A tapped connection keeps what is written on it.
type tapped struct {
	*memconn.Conn
	b       *bubble
	wrote   strings.Builder
	refuses error // what Write returns; nil: it writes
}

func (c *tapped) Write(p []byte) (int, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.refuses != nil {
		return 0, c.refuses
	}
	c.wrote.Write(p)
	return c.Conn.Write(p)
}

// inBubble runs f with a Proxy to one that answers by a script. set changes how it is
// reached.
func inBubble(t *testing.T, script scripted.Script, set func(*Config), f func(t *testing.T, b *bubble)) {
	t.Helper()
	bubbleBy(t, scripted.Config{Script: script}, set, f)
}

func bubbleBy(t *testing.T, config scripted.Config, set func(*Config), f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		b := &bubble{t: t}
		config.Listener = n.Listen("proxy.example:3128")
		b.server = scripted.New(config)
		defer b.server.Close()
		c := Config{
			Base: &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.fails != nil {
					if err := b.fails(len(b.conns) + 1); err != nil {
						b.conns = append(b.conns, nil)
						return nil, err
					}
				}
				conn, err := n.DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				tap := &tapped{Conn: conn.(*memconn.Conn), b: b}
				b.conns = append(b.conns, tap)
				return tap, nil
			}},
			URL: b.server.URL(), Name: b.server.URL().String(), TLS: TLSConfig(nil, nil), Traffic: &traffic{}, MaxIdle: 2,
		}
		if set != nil {
			set(&c)
		}
		b.Proxy = NewProxy(c)
		f(t, b)
		b.CloseIdleConnections()
		synctest.Wait()
	})
}

// wire returns what was written on the connection with this number, from 1, so far.
func (b *bubble) wire(number int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.ReplaceAll(b.conns[number-1].wrote.String(), "\r\n", "\n")
}

// connections returns how many were dialed so far.
func (b *bubble) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

// lines are a header on the wire.
func lines(lines ...string) string { return strings.Join(lines, "\n") + "\n\n" }

// request returns one for the origin, with a header that is short on the wire. A body
// can be read once.
func (b *bubble) request(method, body string) *http.Request {
	req := (&http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: "origin.example", Path: "/x"}, Host: "origin.example",
		Header: http.Header{"User-Agent": {"u"}},
	}).WithContext(b.t.Context())
	if body != "" {
		req.Body = io.NopCloser(strings.NewReader(body))
		req.ContentLength = int64(len(body))
	}
	return req
}

// again gives req a body that can be sent again.
func again(req *http.Request, body string) *http.Request {
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	return req
}

// send runs a leg that gets an answer.
func send(t *testing.T, c Carrier, leg Leg) Reply {
	t.Helper()
	reply, err := c.Send(leg)
	require.NoError(t, err)
	return reply
}

// fault runs a leg that gets none.
func fault(t *testing.T, c Carrier, leg Leg) *Fault {
	t.Helper()
	_, err := c.Send(leg)
	require.IsType(t, (*Fault)(nil), err)
	return err.(*Fault)
}

// took opens a connection.
func took(t *testing.T, c Carrier, owner any, want Wanted) *Connection {
	t.Helper()
	conn, err := c.Open(owner, want)
	require.NoError(t, err)
	return conn
}

// page reads the body of an answer to its end.
func page(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

var basic = []string{"Basic xyz"}
