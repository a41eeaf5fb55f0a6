package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const wantOutput = "5 bytes there and back\n1048576 bytes there and back\nclosed by both sides\n"

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
	require.ErrorContains(t, run(io.Discard, "", "wss://echo.example/"), "proxy http://127.0.0.1:9")
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

// R16, R17, R27, R30: ws:// and wss:// through proxies that demand NTLM and
// Digest. The legs tell that ws:// was forwarded, wss:// and a client that dials
// went through a tunnel, and that a second connection costs no 407 with Digest.
func TestProxies(t *testing.T) {
	defer goleak.VerifyNone(t)
	plain := httptest.NewServer(http.HandlerFunc(serve))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(serve))
	secure.EnableHTTP2 = true // which is not for WebSocket
	secure.StartTLS()
	defer secure.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(secure.Certificate())

	for _, c := range []struct {
		name     string
		auth     proxytest.Auth
		statuses []int // of both connections, with 0 for the last of each
	}{
		{"Digest", proxytest.Digest{Realm: "corp"}, []int{407, 0, 0}},
		{"NTLM", proxytest.NTLM{}, []int{407, 407, 0, 407, 0}},
	} {
		for _, way := range []string{"ws", "wss", "ws, dialed"} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{c.auth}, Users: map[string]string{"alice": "secret"}})
				defer p.Close()
				base := http.DefaultTransport.(*http.Transport).Clone()
				base.Proxy = http.ProxyURL(p.URL)
				base.TLSClientConfig = &tls.Config{RootCAs: trusted}
				transport := &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "secret")}
				defer transport.CloseIdleConnections()

				target, method, status := "ws"+plain.URL[len("http"):], "CONNECT", 200
				var client http.RoundTripper = transport
				switch way {
				case "ws":
					method, status = "GET", 101
				case "wss":
					target = "wss" + secure.URL[len("https"):]
				case "ws, dialed":
					client = &http.Transport{DialContext: transport.DialContext}
				}
				for range 2 {
					var out bytes.Buffer
					require.NoError(t, echo(t.Context(), &out, client, target))
					require.Equal(t, wantOutput, out.String())
				}

				want := slices.Clone(c.statuses)
				for i, s := range want {
					if s == 0 {
						want[i] = status
					}
				}
				var statuses []int
				for _, leg := range p.Transcript() {
					require.Equal(t, method, leg.Method)
					statuses = append(statuses, leg.Status)
					if leg.Status == status {
						require.Equal(t, "alice", leg.User)
					}
				}
				require.Equal(t, want, statuses)
				require.Zero(t, p.Refused("alice"))
			})
		}
	}
}
