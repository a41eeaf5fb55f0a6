package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const wantOutput = "health: SERVING\nservice: grpc.health.v1.Health\nservice: grpc.reflection.v1.ServerReflection\n"

// As the command does it, whatever the environment says.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
	t.Setenv("PROXY_USER", "mallory")
	var out bytes.Buffer
	require.NoError(t, run(&out, "", ""))
	require.Equal(t, wantOutput, out.String())
}

// With a real server the proxy is the environment's, if no flag names one.
func TestEnvironment(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
	require.ErrorContains(t, run(io.Discard, "", "grpc.example:443"), "proxy http://127.0.0.1:9")
}

// R35: what is not a URL may hold a password, which no error repeats.
func TestProxyIsNotShown(t *testing.T) {
	for _, proxy := range []string{
		"http://alice:1234%zz@127.0.0.1:1", "alice:1234@127.0.0.1:1", "http://alice:1234#5@127.0.0.1:1", "http://",
	} {
		err := run(io.Discard, proxy, "")
		require.ErrorContains(t, err, "percent-encoded")
		require.NotContains(t, err.Error(), "1234")
	}
}

// R16, R17, R27: through proxies that demand NTLM and Digest, to a name that only
// the proxy can resolve. Two clients have a tunnel each.
func TestProxies(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := newServer()
	defer server.Close()

	for name, c := range map[string]struct {
		auth     proxytest.Auth
		statuses []int
	}{
		"Digest": {proxytest.Digest{Realm: "corp"}, []int{407, 200, 200}},
		"NTLM":   {proxytest.NTLM{}, []int{407, 407, 200, 407, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxytest.New(proxytest.Config{
				Auth: []proxytest.Auth{c.auth}, Users: map[string]string{"alice": "secret"},
				Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, network, server.Listener.Addr().String())
				},
			})
			defer p.Close()
			transport := &proxyauth.Transport{Proxy: http.ProxyURL(p.URL), Credentials: proxyauth.UserPassword("alice", "secret")}
			for range 2 {
				conn, err := dial(transport, "example.com:443", trustIn(server)) // a name in the certificate
				require.NoError(t, err)
				defer conn.Close()
				for range 2 {
					var out bytes.Buffer
					require.NoError(t, talk(t.Context(), &out, conn))
					require.Equal(t, wantOutput, out.String())
				}
			}

			var statuses []int
			for _, leg := range p.Transcript() {
				require.Equal(t, "CONNECT", leg.Method)
				require.Equal(t, "example.com:443", leg.Target)
				statuses = append(statuses, leg.Status)
			}
			require.Equal(t, c.statuses, statuses)
			require.Equal(t, 2, p.Counts().Tunnels)
			require.Zero(t, p.Refused("alice"))
		})
	}
}

// R8: gRPC connects again and again, but a wrong password is sent twice. Its errors
// have the text of ours and do not unwrap.
func TestWrongPassword(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "corp"}}, Users: map[string]string{"alice": "secret"}})
	defer p.Close()
	transport := &proxyauth.Transport{Proxy: http.ProxyURL(p.URL), Credentials: proxyauth.UserPassword("alice", "wrong")}
	for range 3 {
		conn, err := dial(transport, "example.com:443", nil)
		require.NoError(t, err)
		_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, "rejected the credentials")
		require.NoError(t, conn.Close())
	}
	require.Equal(t, 2, p.Attempts("alice"))
}
