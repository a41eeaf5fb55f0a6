package proxyauth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/proxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// What is not HTTP goes through DialContext. WebSocket, gRPC and SSH are in the
// tests of examples/, since their libraries are not in this module.

var _ proxy.ContextDialer = (*proxyauth.Transport)(nil)

// tunnelAuths are a request-bound and a connection-bound scheme, with the
// proxy's answers until the first tunnel is open, and each that follows.
var tunnelAuths = map[string]struct {
	auth        proxytest.Auth
	first, next []int
}{
	"Digest": {proxytest.Digest{Realm: "proxy test"}, []int{407, 200}, []int{200}},
	"NTLM":   {proxytest.NTLM{}, []int{407, 407, 200}, []int{407, 200}},
}

// serveTCP starts a TCP server, and ends it and its connections after the test.
func serveTCP(t testing.TB, conversation func(net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		accept(l, func(c net.Conn) {
			stop := context.AfterFunc(t.Context(), func() { c.Close() })
			defer stop()
			defer c.Close()
			conversation(c)
		})
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// tunnels returns what the proxy answered to CONNECT, which is all it got.
func tunnels(t testing.TB, p *proxytest.Proxy) (targets []string, statuses []int) {
	for _, leg := range p.Transcript() {
		require.Equal(t, "CONNECT", leg.Method)
		statuses = append(statuses, leg.Status)
		if leg.Status == 200 {
			require.Equal(t, "alice", leg.User)
			targets = append(targets, leg.Target)
		}
	}
	require.Zero(t, p.Refused("alice"))
	return targets, statuses
}

// SMTP with STARTTLS (RFC 3207): a protocol in which the server speaks first,
// and which becomes TLS on the way.
func TestSMTP(t *testing.T) {
	t.Parallel()
	o := newOrigin(t) // for its certificate
	mails := make(chan string, 2)
	addr := serveTCP(t, func(c net.Conn) { serveSMTP(c, o.HTTPS.TLS.Certificates, mails) })
	body := strings.Repeat("a line of the mail\r\n", 50_000)
	for name, a := range tunnelAuths {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{a.auth}, Users: alice, Dial: dialOnly(addr)})
			tr := newTransport(t, p, o)
			for range 2 {
				conn, err := tr.DialContext(t.Context(), "tcp", "example.com:587") // the proxy alone can resolve it
				require.NoError(t, err)
				defer conn.Close()
				c, err := smtp.NewClient(conn, "example.com")
				require.NoError(t, err)
				require.ErrorContains(t, c.Mail("alice@example.com"), "530")
				require.NoError(t, c.StartTLS(&tls.Config{RootCAs: o.rootCAs(), ServerName: "example.com"}))
				require.NoError(t, c.Mail("alice@example.com"))
				require.NoError(t, c.Rcpt("bob@example.com"))
				w, err := c.Data()
				require.NoError(t, err)
				_, err = io.WriteString(w, body)
				require.NoError(t, err)
				require.NoError(t, w.Close())
				require.NoError(t, c.Quit())
				require.Equal(t, strings.ReplaceAll(body, "\r\n", "\n"), <-mails)
			}
			targets, statuses := tunnels(t, p)
			require.Equal(t, []string{"example.com:587", "example.com:587"}, targets)
			require.Equal(t, slices.Concat(a.first, a.next), statuses)
		})
	}
}

func serveSMTP(c net.Conn, certificates []tls.Certificate, mails chan<- string) {
	text := textproto.NewConn(c)
	text.PrintfLine("220 example.com ESMTP")
	for secure := false; ; {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(line, " "); {
		case verb == "EHLO" && secure:
			text.PrintfLine("250 example.com")
		case verb == "EHLO":
			text.PrintfLine("250-example.com")
			text.PrintfLine("250 STARTTLS")
		case verb == "STARTTLS" && !secure:
			text.PrintfLine("220 go on")
			c = tls.Server(c, &tls.Config{Certificates: certificates})
			text, secure = textproto.NewConn(c), true
		case verb == "QUIT":
			text.PrintfLine("221 bye")
			return
		case !secure:
			text.PrintfLine("530 STARTTLS first")
		case verb == "DATA":
			text.PrintfLine("354 go on")
			mail, err := text.ReadDotBytes()
			if err != nil {
				return
			}
			mails <- string(mail)
			text.PrintfLine("250 taken")
		default:
			text.PrintfLine("250 ok")
		}
	}
}

// FTP: the control connection is a tunnel, and each file another.
func TestFTP(t *testing.T) {
	o := newOrigin(t)
	files := &ftpFiles{content: map[string][]byte{"down": bytes.Repeat([]byte("0123456789abcdef"), 1<<16)}}
	control := serveTCP(t, files.control)
	ctx := t.Context()
	for name, a := range tunnelAuths {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{a.auth}, Users: alice})
			tr := newTransport(t, p, o)
			conn, err := tr.DialContext(ctx, "tcp", control)
			require.NoError(t, err)
			c := textproto.NewConn(conn)
			defer c.Close()
			ask := func(code int, format string, args ...any) string {
				t.Helper()
				if format != "" {
					_, err := c.Cmd(format, args...)
					require.NoError(t, err)
				}
				_, message, err := c.ReadResponse(code)
				require.NoError(t, err)
				return message
			}
			ask(220, "")
			ask(331, "USER anonymous")
			ask(230, "PASS guest")

			// Downwards the server's end is the end of the file, upwards ours is.
			data := dialPASV(t, tr, ask(227, "PASV"))
			ask(150, "RETR down")
			got, err := io.ReadAll(data)
			require.NoError(t, err)
			require.True(t, bytes.Equal(files.content["down"], got), "%d bytes", len(got))
			data.Close()
			ask(226, "")

			data = dialPASV(t, tr, ask(227, "PASV"))
			ask(150, "STOR up")
			_, err = data.Write(got)
			require.NoError(t, err)
			require.NoError(t, data.Close())
			ask(226, "")
			require.True(t, bytes.Equal(got, files.get("up")))
			ask(221, "QUIT")

			targets, statuses := tunnels(t, p)
			require.Len(t, targets, 3)
			require.Equal(t, control, targets[0])
			require.Equal(t, slices.Concat(a.first, a.next, a.next), statuses)
		})
	}
}

// dialPASV connects to the address in the answer to PASV (RFC 959).
func dialPASV(t testing.TB, tr *watchedTransport, answer string) net.Conn {
	var a, b, c, d, high, low int
	_, err := fmt.Sscanf(answer[strings.IndexByte(answer, '('):], "(%d,%d,%d,%d,%d,%d)", &a, &b, &c, &d, &high, &low)
	require.NoError(t, err)
	conn, err := tr.DialContext(t.Context(), "tcp", fmt.Sprintf("%d.%d.%d.%d:%d", a, b, c, d, high<<8|low))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

type ftpFiles struct {
	mu      sync.Mutex
	content map[string][]byte
}

func (f *ftpFiles) get(name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content[name]
}

func (f *ftpFiles) control(c net.Conn) {
	text := textproto.NewConn(c)
	text.PrintfLine("220 ftp.example")
	var passive net.Listener
	defer func() {
		if passive != nil {
			passive.Close()
		}
	}()
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, name, _ := strings.Cut(line, " ")
		switch verb {
		case "USER":
			text.PrintfLine("331 password")
		case "PASS":
			text.PrintfLine("230 welcome")
		case "PASV":
			if passive, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
				return
			}
			port := passive.Addr().(*net.TCPAddr).Port
			text.PrintfLine("227 Entering Passive Mode (127,0,0,1,%d,%d)", port>>8, port&0xff)
		case "RETR", "STOR":
			data, err := passive.Accept()
			passive.Close()
			if err != nil {
				return
			}
			text.PrintfLine("150 go on")
			if verb == "RETR" {
				data.Write(f.get(name))
			} else {
				content, _ := io.ReadAll(data)
				f.mu.Lock()
				f.content[name] = content
				f.mu.Unlock()
			}
			data.Close()
			text.PrintfLine("226 done")
		case "QUIT":
			text.PrintfLine("221 bye")
			return
		default:
			text.PrintfLine("502 no")
		}
	}
}

// A tunnel behaves as the TCP connection that it is: by http:// proxies it is
// a *net.TCPConn, so that io.Copy splices; by https:// proxies a *tls.Conn;
// with early bytes of the target it still has deadlines and halves.
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

// Whatever Base dials is what DialContext returns, nothing around it.
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
