package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// As the command does it, whatever the environment says.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
	t.Setenv("PROXY_USER", "mallory")
	var out bytes.Buffer
	require.NoError(t, run(&out, "", "", "uptime"))
	require.Equal(t, "the server runs \"uptime\"\n", out.String())
}

// With a real server the proxy is the environment's, if no flag names one.
func TestEnvironment(t *testing.T) {
	defer goleak.VerifyNone(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home) // Windows
	require.NoError(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".ssh", "known_hosts"), nil, 0o600))
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
	require.ErrorContains(t, run(io.Discard, "", "ssh.example:22", "uptime"), "proxy http://127.0.0.1:9")
}

// A server has keys of several kinds, and one of them is known.
func TestKnownHosts(t *testing.T) {
	defer goleak.VerifyNone(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	s, err := newServer(other)
	require.NoError(t, err)
	defer s.Close()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home) // Windows
	t.Setenv("SSH_USER", user)
	t.Setenv("SSH_PASS", password)
	require.ErrorContains(t, run(io.Discard, "", s.Addr(), "uptime"), "connect once with ssh")

	require.NoError(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	file := filepath.Join(home, ".ssh", "known_hosts")
	for _, known := range []ssh.PublicKey{s.hostKey, other.PublicKey()} {
		line := knownhosts.Line([]string{knownhosts.Normalize(s.Addr())}, known)
		require.NoError(t, os.WriteFile(file, []byte(line+"\n"), 0o600))
		require.NoError(t, run(io.Discard, "", s.Addr(), "uptime"), known.Type())
	}
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, run(io.Discard, "", s.Addr(), "uptime"), "key is unknown")
}

// R35: what is not a URL may hold a password, which no error repeats.
func TestProxyIsNotShown(t *testing.T) {
	for _, proxy := range []string{
		"http://alice:1234%zz@127.0.0.1:1", "alice:1234@127.0.0.1:1", "http://alice:1234#5@127.0.0.1:1", "http://",
	} {
		err := run(io.Discard, proxy, "", "uptime")
		require.ErrorContains(t, err, "percent-encoded")
		require.NotContains(t, err.Error(), "1234")
	}
}

// R16, R17, R27: commands, and bytes both ways through a forwarded port, through
// proxies that demand NTLM and Digest. Each connection is one tunnel.
func TestProxies(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, err := newServer()
	require.NoError(t, err)
	defer s.Close()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer echo.Close()
	go serveEcho(echo)

	for name, c := range map[string]struct {
		auth     proxytest.Auth
		statuses []int
	}{
		"Digest": {proxytest.Digest{Realm: "corp"}, []int{407, 200, 200}},
		"NTLM":   {proxytest.NTLM{}, []int{407, 407, 200, 407, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{c.auth}, Users: map[string]string{"alice": "secret"}})
			defer p.Close()
			transport := &proxyauth.Transport{Proxy: http.ProxyURL(p.URL), Credentials: proxyauth.UserPassword("alice", "secret")}
			for range 2 {
				client, err := dial(t.Context(), transport, s.Addr(), s.ClientConfig())
				require.NoError(t, err)
				defer client.Close()
				for _, command := range []string{"one", "two"} {
					session, err := client.NewSession()
					require.NoError(t, err)
					out, err := session.Output(command)
					require.NoError(t, err)
					require.Equal(t, "the server runs \""+command+"\"\n", string(out))
				}

				port, err := client.Dial("tcp", echo.Addr().String())
				require.NoError(t, err)
				sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
				written := make(chan error, 1)
				go func() {
					_, err := port.Write(sent)
					port.(interface{ CloseWrite() error }).CloseWrite()
					written <- err
				}()
				got, err := io.ReadAll(port)
				require.NoError(t, err)
				require.NoError(t, <-written)
				require.True(t, bytes.Equal(sent, got), "%d bytes came back", len(got))
				port.Close() // io.EOF, since both sides have closed it
			}

			var statuses []int
			for _, leg := range p.Transcript() {
				require.Equal(t, "CONNECT", leg.Method)
				require.Equal(t, s.Addr(), leg.Target)
				statuses = append(statuses, leg.Status)
			}
			require.Equal(t, c.statuses, statuses)
			require.Equal(t, 2, p.Counts().Tunnels)
			require.Zero(t, p.Refused("alice"))
		})
	}
}

// A server that never says a word.
func TestHandshakeEndsWithContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	s, err := newServer()
	require.NoError(t, err)
	defer s.Close()
	p := proxytest.New(proxytest.Config{})
	defer p.Close()
	transport := &proxyauth.Transport{Proxy: http.ProxyURL(p.URL)}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = dial(ctx, transport, silent.Addr().String(), s.ClientConfig())
	require.Error(t, err)
	require.Error(t, ctx.Err())
}

// serveEcho sends back what comes, until its end.
func serveEcho(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}
