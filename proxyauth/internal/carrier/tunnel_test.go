package carrier

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

const connectLine = "CONNECT origin.example:443 HTTP/1.1"

// Each leg without Open is on a connection of its own. The tunnel begins with what came
// together with the answer.
func TestTunnel(t *testing.T) {
	inBubble(t, scripted.InTurn(scripted.Page(407, "no"), scripted.PassWith("early")), nil, func(t *testing.T, b *bubble) {
		tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
		require.Equal(t, "CONNECT", tunnel.Request().Method)
		first := send(t, tunnel, Leg{})
		require.Equal(t, 407, first.StatusCode)
		require.False(t, first.Twice)
		require.Same(t, tunnel.Request(), first.Request)
		require.Equal(t, ErrEnds, tunnel.Keep(first.Response), "nothing was opened")
		require.Equal(t, 200, send(t, tunnel, Leg{Authorization: basic}).StatusCode)
		require.Equal(t, basic, Authorization(tunnel.Request().Header))

		require.Equal(t, 2, b.connections())
		require.Equal(t, lines(connectLine, "Host: origin.example:443", "Proxy-Connection: keep-alive"), strings.Replace(b.wire(1), "User-Agent: Go-http-client/1.1\n", "", 1))
		require.Contains(t, b.wire(2), "\nProxy-Authorization: Basic xyz\n")
		_, err := b.conns[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)

		conn := tunnel.Conn()
		require.IsType(t, (*earlyConn)(nil), conn)
		io.WriteString(conn, "hello")
		require.NoError(t, conn.(*earlyConn).CloseWrite())
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "early", string(got))
		require.True(t, strings.HasSuffix(b.wire(2), "\n\nhello"))
		count := b.traffic.Traffic.(*traffic)
		require.NotZero(t, count.sent.Load())
		conn.Close()
	})
}

// A raw tunnel is the connection itself, and is not counted.
func TestTunnelRaw(t *testing.T) {
	inBubble(t, scripted.Always(scripted.PassWith("")), nil, func(t *testing.T, b *bubble) {
		tunnel := b.Tunnel(t.Context(), "origin.example:443", true, nil)
		send(t, tunnel, Leg{})
		require.Same(t, b.conns[0], tunnel.Conn())
		require.Zero(t, b.traffic.Traffic.(*traffic).sent.Load())
		tunnel.Close()
	})
}

// All legs after Open are on its connection. An authenticated one there is never.
func TestTunnelOpen(t *testing.T) {
	inBubble(t, scripted.InTurn(scripted.Page(407, "no"), scripted.Page(407, "no")), nil, func(t *testing.T, b *bubble) {
		tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
		require.Nil(t, took(t, tunnel, nil, Authenticated))
		require.Zero(t, b.connections())
		require.Equal(t, &Connection{}, took(t, tunnel, nil, AnyConnection))
		for range 3 {
			reply := send(t, tunnel, Leg{Authorization: basic})
			require.NoError(t, tunnel.Keep(reply.Response))
		}
		require.Equal(t, 1, b.connections())
		require.Equal(t, &Connection{}, took(t, tunnel, nil, NewConnection))
		require.Equal(t, 2, b.connections())
		send(t, tunnel, Leg{})
		tunnel.Drop()
		_, err := b.conns[1].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		send(t, tunnel, Leg{})
		require.Equal(t, 3, b.connections())
		tunnel.HangUp(nil)
		_, err = b.conns[2].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		b.Tunnel(t.Context(), "origin.example:443", false, nil).Close() // of nothing
	})
}

// By TLS the state of the connection is known.
func TestTunnelOpenTLS(t *testing.T) {
	server, client := certified(t, nil)
	now := time.Now() // and not in the bubble
	client.Time = func() time.Time { return now }
	bubbleBy(t, scripted.Config{TLS: server, Script: scripted.Always(scripted.Page(407, ""))}, func(c *Config) {
		c.TLS = TLSConfig(client, nil)
	}, func(t *testing.T, b *bubble) {
		var done []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			done = append(done, s.ServerName)
		}})
		tunnel := b.Tunnel(ctx, "origin.example:443", false, DialsOf(ctx, false))
		conn := took(t, tunnel, nil, AnyConnection)
		require.Equal(t, "proxy.example", conn.TLS.ServerName)
		require.Equal(t, []string{"proxy.example"}, done)
		send(t, tunnel, Leg{})
		tunnel.Close()
	})
	// A Base that dials TLS itself says nothing about an http:// proxy.
	inBubble(t, scripted.Always(scripted.HangUp()), func(c *Config) {
		dial := c.Base.DialContext
		c.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return tls.Client(conn, client), err
		}
	}, func(t *testing.T, b *bubble) {
		tunnel := b.Tunnel(t.Context(), "origin.example:443", true, nil)
		require.Nil(t, took(t, tunnel, nil, AnyConnection).TLS)
		tunnel.Close()
	})
}

// Which denials leave the connection good for another leg.
func TestTunnelKeep(t *testing.T) {
	for answer, want := range map[string]bool{
		"HTTP/1.1 407 No\nContent-Length: 2\n\nno":                                                        true,
		"HTTP/1.1 407 No\nContent-Length: 0\n\n":                                                          true,
		"HTTP/1.1 407 No\nTransfer-Encoding: chunked\n\n2\nno\n0\n\n":                                     true,
		"HTTP/1.1 407 No\n\nno":                                                                           false,
		"HTTP/1.1 407 No\nContent-Length: 2\nConnection: close\n\nno":                                     false,
		"HTTP/1.1 407 No\nContent-Length: 2\nConnection: close\nProxy-Connection: keep-alive\n\nno":       false,
		"HTTP/1.1 407 No\nContent-Length: 2\nProxy-Connection: close\n\nno":                               false,
		"HTTP/1.0 407 No\nContent-Length: 2\n\nno":                                                        false,
		"HTTP/1.0 407 No\nContent-Length: 2\nProxy-Connection: keep-alive\n\nno":                          true,
		"HTTP/1.0 407 No\nContent-Length: 2\nConnection: keep-alive\n\nno":                                true,
		"HTTP/1.0 407 No\nProxy-Connection: keep-alive\n\nno":                                             false,
		"HTTP/1.1 407 No\nContent-Length: 3\n\nno":                                                        false, // it ends early
		"HTTP/1.1 407 No\nContent-Length: " + "1048575" + "\n\n" + strings.Repeat("x", 1<<20-1):           true,
		"HTTP/1.1 407 No\nContent-Length: " + "1048576" + "\n\n" + strings.Repeat("x", 1<<20):             false,
		"HTTP/1.0 407 No\nContent-Length: 2\nProxy-Connection: keep-alive\nProxy-Connection: close\n\nno": false,
	} {
		answer = strings.ReplaceAll(answer, "\n", "\r\n")
		then := scripted.Always(scripted.Raw(answer).Then(scripted.HangUp()))
		if want {
			then = scripted.Always(scripted.Raw(answer))
		}
		inBubble(t, then, nil, func(t *testing.T, b *bubble) {
			tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
			took(t, tunnel, nil, AnyConnection)
			reply := send(t, tunnel, Leg{})
			require.Equal(t, want, tunnel.Keep(reply.Response) == nil, "%.100q", answer)
			if want {
				send(t, tunnel, Leg{})
			}
			tunnel.Close()
		})
	}
}

// A denial that trickles is read for so long, and no longer than its caller waits.
func TestTunnelKeepTrickle(t *testing.T) {
	for _, test := range []struct {
		patience, comes, took time.Duration
		want                  bool
	}{
		{time.Hour, keepFor - 1, keepFor - 1, true},
		{time.Hour, keepFor + 1, keepFor, false},
		{time.Second, 2 * time.Second, time.Second, false},
	} {
		late := scripted.Raw("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\n").Then(scripted.After(test.comes, scripted.Raw("no")))
		inBubble(t, scripted.Always(late), nil, func(t *testing.T, b *bubble) {
			ctx, cancel := context.WithTimeout(t.Context(), test.patience)
			defer cancel()
			tunnel := b.Tunnel(ctx, "origin.example:443", false, nil)
			took(t, tunnel, nil, AnyConnection)
			reply := send(t, tunnel, Leg{})
			begin := time.Now()
			require.Equal(t, test.want, tunnel.Keep(reply.Response) == nil)
			require.Equal(t, test.took, time.Since(begin))
			if test.want {
				time.Sleep(time.Minute)
				send(t, tunnel, Leg{})
			}
			tunnel.Close()
		})
	}
}

// The header for CONNECT is the user's, and not changed.
func TestTunnelHeader(t *testing.T) {
	no := errors.New("no header")
	for name, test := range map[string]struct {
		set  func(*http.Transport, *bubble)
		want []string
	}{
		"of a map": {func(base *http.Transport, _ *bubble) {
			base.ProxyConnectHeader = http.Header{"A": {"b"}, "User-Agent": {"u"}, "proxy-authorization": {"mine"}}
		}, []string{"User-Agent: u", "A: b", "Proxy-Authorization: Basic xyz", "Proxy-Connection: keep-alive"}},
		"of a function": {func(base *http.Transport, b *bubble) {
			base.ProxyConnectHeader = http.Header{"A": {"not asked"}}
			base.GetProxyConnectHeader = func(ctx context.Context, proxy *url.URL, target string) (http.Header, error) {
				require.Equal(b.t, "http://Proxy.example:3128", proxy.String())
				proxy.Host = "is mine"
				require.Equal(b.t, "origin.example:443", target)
				return http.Header{"User-Agent": {"u"}, "Proxy-Connection": {"x"}}, ctx.Err()
			}
		}, []string{"User-Agent: u", "Proxy-Authorization: Basic xyz", "Proxy-Connection: x"}},
		"none": {func(base *http.Transport, b *bubble) {
			base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, nil }
		}, []string{"User-Agent: Go-http-client/1.1", "Proxy-Authorization: Basic xyz", "Proxy-Connection: keep-alive"}},
		"failed": {func(base *http.Transport, b *bubble) {
			base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return http.Header{}, no }
		}, nil},
	} {
		inBubble(t, scripted.Always(scripted.Page(407, "")), func(c *Config) {
			c.URL.Host = "Proxy.example:3128"
		}, func(t *testing.T, b *bubble) {
			dial := b.config.Base.DialContext
			b.config.Base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dial(ctx, network, "proxy.example:3128")
			}
			test.set(b.config.Base, b)
			before := b.config.Base.ProxyConnectHeader.Clone()
			tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
			if test.want == nil {
				require.Equal(t, &Fault{Kind: Own, Err: no}, fault(t, tunnel, Leg{}), name)
				require.Empty(t, b.wire(1))
			} else {
				for range 2 {
					send(t, tunnel, Leg{Authorization: basic})
				}
				require.Equal(t, lines(append([]string{connectLine, "Host: origin.example:443"}, test.want...)...), b.wire(2), name)
			}
			require.Equal(t, before, b.config.Base.ProxyConnectHeader)
			tunnel.Close()
		})
	}
}

// A function of the user decides about each answer but a denial.
func TestTunnelAnswerHook(t *testing.T) {
	no := errors.New("not with me")
	var asked []int
	inBubble(t, scripted.InTurn(scripted.Page(407, ""), scripted.Page(200, ""), scripted.Page(502, "")), func(c *Config) {
		c.Base.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
			require.Equal(t, "http://proxy.example:3128", proxy.String())
			require.Equal(t, "origin.example:443", req.Host)
			asked = append(asked, resp.StatusCode)
			if resp.StatusCode == 502 {
				return no
			}
			return nil
		}
	}, func(t *testing.T, b *bubble) {
		tunnel := b.Tunnel(t.Context(), "origin.example:443", false, nil)
		send(t, tunnel, Leg{})
		send(t, tunnel, Leg{})
		require.Equal(t, &Fault{Kind: Own, Err: no, Left: true}, fault(t, tunnel, Leg{}))
		require.Equal(t, []int{200, 502}, asked)
		_, err := b.conns[2].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)

		far := &Fault{Kind: Unreachable, Err: io.EOF}
		b.config.Base.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { return far }
		require.Equal(t, &Fault{Kind: Own, Err: far}, fault(t, tunnel, Leg{}))
	})
}

func (answered) Write(p []byte) (int, error) { synctest.Wait(); return len(p), nil }
func (answered) Read(p []byte) (int, error) {
	return copy(p, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), nil
}
func (answered) SetDeadline(t time.Time) error { return nil }
func (answered) Close() error                  { return nil }

// A connection that is lost may be that of a leg, if the answer is a denial of what it
// carried.
func TestTwice(t *testing.T) {
	for _, start := range []func(*bubble) Carrier{
		func(b *bubble) Carrier { return b.Tunnel(b.t.Context(), "origin.example:443", false, nil) },
		func(b *bubble) Carrier { return b.Forward(b.request("GET", "")) },
	} {
		denied := scripted.Page(407, "")
		inBubble(t, scripted.InTurn(denied, denied, denied, denied, scripted.Page(502, ""), denied), nil, func(t *testing.T, b *bubble) {
			b.traffic.lost.Add(1) // before
			c := start(b)
			twice := func(authorization []string) bool {
				reply := send(t, c, Leg{Authorization: authorization})
				reply.Body.Close()
				return reply.Twice
			}
			require.False(t, twice(basic))
			b.traffic.lost.Add(1)
			require.False(t, twice(nil), "nothing was denied")
			require.True(t, twice(basic))
			require.False(t, twice(basic))
			b.traffic.lost.Add(1)
			require.False(t, twice(basic), "another answer")
			require.True(t, twice(basic))
			require.EqualValues(t, 3, b.traffic.lost.Load())
			c.HangUp(&http.Response{Body: http.NoBody})
		})
	}
}

// The first leg goes on a connection that is open.
func TestTunnelOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memconn.Pipe("a:1", "b:1")
		p := NewProxy(Config{Base: &http.Transport{}, URL: &url.URL{Scheme: "http", Host: "proxy.example:3128"}, Name: "p"})
		go func() {
			req, err := http.ReadRequest(bufio.NewReader(far))
			require.NoError(t, err)
			require.Equal(t, "origin.example:443", req.Host)
			io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\n")
		}()
		tunnel := p.TunnelOn(t.Context(), near, "origin.example:443")
		require.Equal(t, 200, send(t, tunnel, Leg{}).StatusCode)
		require.Same(t, near, tunnel.Conn())
		tunnel.Close()
	})
}
