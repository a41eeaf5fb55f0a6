package proxyauth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"

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

// R27: SMTP with STARTTLS (RFC 3207): a protocol in which the server speaks first,
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

// R27: FTP: the control connection is a tunnel, and each file another.
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
