package proxyauth_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R27: what a user sets for CONNECT goes there, and nothing of the request does.
func TestConnectRequest(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Base.ProxyConnectHeader = http.Header{"User-Agent": {"mine/1"}, "X-Token": {"for the proxy"}}
	var hooked []int
	tr.Base.OnProxyConnectResponse = func(_ context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
		hooked = append(hooked, resp.StatusCode)
		require.Equal(t, p.URL.Host, u.Host)
		return nil
	}
	req, err := http.NewRequest("GET", o.HTTPS.URL, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer for the origin")
	req.Header.Set("Cookie", "a=b")
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, []int{200}, hooked)
	for _, leg := range p.Transcript() {
		require.Equal(t, "CONNECT", leg.Method)
		require.Equal(t, o.HTTPS.Listener.Addr().String(), leg.Host)
		require.Equal(t, "mine/1", leg.Header.Get("User-Agent"))
		require.Equal(t, "for the proxy", leg.Header.Get("X-Token"))
		require.Equal(t, "keep-alive", leg.Header.Get("Proxy-Connection"))
		require.Empty(t, leg.Header.Get("Authorization"))
		require.Empty(t, leg.Header.Get("Cookie"))
	}

	tr = newTransport(t, p, o)
	tr.Base.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, errVault }
	_, _, err = fetch(tr, o.HTTPS.URL)
	require.ErrorIs(t, err, errVault)

	tr = newTransport(t, p, o)
	tr.Base.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { return errVault }
	_, _, err = fetch(tr, o.HTTPS.URL)
	require.ErrorIs(t, err, errVault)
}

func TestHTTP2OriginThroughTunnel(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	_, body, err := fetch(tr, o.HTTPS.URL)
	require.NoError(t, err)
	require.Contains(t, body, "HTTP/2.0")
}

// R27: a tunnel behaves as the TCP connection that it is: by http:// proxies it is
// a *net.TCPConn, so that io.Copy splices; by https:// proxies a *tls.Conn; with
// early bytes of the target it still has deadlines and halves.
func TestTunnelConn(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	accepted := make(chan *net.TCPConn)
	addr := serveTCP(t, func(c net.Conn) {
		done := make(chan struct{})
		context.AfterFunc(t.Context(), func() { close(done) })
		select {
		case accepted <- c.(*net.TCPConn):
			<-done // the test has it
		case <-done:
		}
	})
	for name, a := range tunnelAuths {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			for _, early := range []string{"", "early"} {
				p := start(proxytest.Config{Auth: []proxytest.Auth{a.auth}, Users: alice, Behaviour: proxytest.Behaviour{EarlyBytes: []byte(early)}})
				t.Cleanup(p.Close)
				tr := newTransport(t, p, o)
				dial := func(t *testing.T) (near net.Conn, far *net.TCPConn) {
					ctx, cancel := context.WithCancel(t.Context())
					near, err := tr.DialContext(ctx, "tcp", addr)
					require.NoError(t, err)
					cancel() // is about dialing, as with net.Dialer
					t.Cleanup(func() { near.Close() })
					far = <-accepted
					t.Cleanup(func() { far.Close() })
					requireBytes(t, near, early)
					return near, far
				}
				t.Run(strings.TrimSpace(name+" "+p.URL.Scheme+" "+early), func(t *testing.T) {
					t.Run("type", func(t *testing.T) {
						near, _ := dial(t)
						switch {
						case early != "":
							require.NotNil(t, near.LocalAddr())
							require.Equal(t, p.URL.Host, near.RemoteAddr().String())
						case p.URL.Scheme == "http":
							require.IsType(t, &net.TCPConn{}, near)
						default:
							require.IsType(t, &tls.Conn{}, near)
						}
					})
					t.Run("deadlines", func(t *testing.T) {
						near, far := dial(t)
						read := make(chan error)
						go func() {
							_, err := near.Read(make([]byte, 1))
							read <- err
						}()
						require.NoError(t, near.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
						require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
						require.NoError(t, near.SetReadDeadline(time.Time{}))
						if p.URL.Scheme == "http" { // for good with TLS: crypto/tls says so
							require.NoError(t, near.SetWriteDeadline(time.Unix(1, 0)))
							_, err := near.Write([]byte("late"))
							require.ErrorIs(t, err, os.ErrDeadlineExceeded)
							require.NoError(t, near.SetDeadline(time.Time{}))
						}
						requirePass(t, near, far, "there")
						requirePass(t, far, near, "and back")
					})
					t.Run("halves", func(t *testing.T) {
						near, far := dial(t)
						require.NoError(t, near.(interface{ CloseWrite() error }).CloseWrite())
						requireEnd(t, far)
						requirePass(t, far, near, "downwards still")
						require.NoError(t, far.CloseWrite())
						requireEnd(t, near)

						near, far = dial(t)
						require.NoError(t, far.CloseWrite())
						requireEnd(t, near)
						requirePass(t, near, far, "upwards still")
						require.NoError(t, near.(interface{ CloseWrite() error }).CloseWrite())
						requireEnd(t, far)
					})
					t.Run("copy", func(t *testing.T) { // as a relay does, both ways at once
						near, far := dial(t)
						client, relayed := tcpPair(t)
						var wg sync.WaitGroup
						defer wg.Wait()
						defer client.Close()
						wg.Go(func() { io.Copy(near, relayed); near.(interface{ CloseWrite() error }).CloseWrite() })
						wg.Go(func() { io.Copy(relayed, near); relayed.CloseWrite() })
						sent := strings.Repeat("0123456789abcdef", 1<<16)
						wg.Go(func() { io.WriteString(client, sent); client.CloseWrite() })
						wg.Go(func() { io.Copy(far, far); far.CloseWrite() }) // the target echoes
						got, err := io.ReadAll(client)
						require.NoError(t, err)
						require.True(t, sent == string(got), "%d bytes", len(got))
					})
				})
			}
		}
	}
}

// R27: whatever Base dials is what DialContext returns, nothing around it.
func TestTunnelIsBaseConn(t *testing.T) {
	type wrapped struct{ net.Conn }
	addr := serveTCP(t, func(c net.Conn) { io.Copy(c, c) })
	for _, a := range tunnelAuths {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{a.auth}, Users: alice})
		var last net.Conn
		tr := &proxyauth.Transport{
			Proxy: http.ProxyURL(p.URLFor("alice", "open sesame")),
			Base: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				var d net.Dialer
				c, err := d.DialContext(ctx, network, addr)
				last = &wrapped{c}
				return last, err
			}},
		}
		conn, err := tr.DialContext(t.Context(), "tcp", addr)
		require.NoError(t, err)
		require.Same(t, last, conn)
		require.NoError(t, conn.Close())
	}
}

func requireBytes(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func requirePass(t testing.TB, from io.Writer, to io.Reader, text string) {
	t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	requireBytes(t, to, text)
}

func requireEnd(t testing.TB, r io.Reader) {
	t.Helper()
	n, err := r.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)
}

// tcpPair returns the ends of a TCP connection.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	taken, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { dialed.Close(); taken.Close() })
	return dialed.(*net.TCPConn), taken.(*net.TCPConn)
}
