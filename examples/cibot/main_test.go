package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const wantOutput = `job: running
job: done
artifact: 25 %
artifact: 50 %
artifact: 75 %
artifact: 100 %
artifact: 1048576 bytes, SHA-256 is right
report: 95 bytes uploaded
`

var cut = regexp.MustCompile(`artifact: cut off, going on at byte \d+\n`)

// requireOutput compares what was printed. Where the cut was is open: some of
// what was under way is lost with a connection.
func requireOutput(t *testing.T, out *bytes.Buffer) {
	t.Helper()
	require.Len(t, cut.FindAllString(out.String(), -1), 1)
	require.Equal(t, wantOutput, cut.ReplaceAllString(out.String(), ""))
}

// As the command does it, whatever the environment says.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
	t.Setenv("PROXY_USER", "mallory")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "", "", "1"))
	requireOutput(t, &out)
}

// With a real API the proxy is the environment's, if no flag names one.
func TestEnvironment(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second/2) // less than the pause before another attempt
	defer cancel()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
	require.ErrorContains(t, run(ctx, io.Discard, "", "https://ci.example", "1"), "proxy http://127.0.0.1:9")
}

// What is not a URL may hold a password, which no error repeats.
func TestProxyIsNotShown(t *testing.T) {
	for _, proxy := range []string{
		"http://alice:1234%zz@127.0.0.1:1", "alice:1234@127.0.0.1:1", "http://alice:1234#5@127.0.0.1:1", "http://",
	} {
		err := run(t.Context(), io.Discard, proxy, "", "1")
		require.ErrorContains(t, err, "percent-encoded")
		require.NotContains(t, err.Error(), "1234")
	}
}

// Forwarded and tunnelled, through proxies that demand NTLM and Digest. The cut
// takes the connection with it, and the next one costs what a scheme needs.
func TestProxies(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, c := range map[string]struct {
		auth       proxytest.Auth
		challenges int
	}{
		"Digest": {proxytest.Digest{Realm: "corp"}, 1},
		"NTLM":   {proxytest.NTLM{}, 3},
	} {
		for way, start := range map[string]func(http.Handler) *httptest.Server{"forward": httptest.NewServer, "tunnel": httptest.NewTLSServer} {
			t.Run(name+"/"+way, func(t *testing.T) {
				api := newBuild()
				server := start(api)
				defer server.Close()
				p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{c.auth}, Users: map[string]string{"alice": "secret"}})
				defer p.Close()
				base := &http.Transport{Proxy: http.ProxyURL(p.URL), TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
				if way == "tunnel" {
					base.TLSClientConfig.RootCAs.AddCert(server.Certificate())
				}
				client := &http.Client{Transport: &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "secret")}}
				defer client.CloseIdleConnections()
				var out bytes.Buffer
				b := &bot{client: client, api: server.URL, every: time.Millisecond, out: &out}
				require.NoError(t, b.work(t.Context(), "1"))
				requireOutput(t, &out)

				require.Equal(t, 5, api.looks)
				require.Equal(t, 2, api.downloads)
				require.Regexp(t, `^job 1: 1048576 bytes, SHA-256 [0-9a-f]{64}\n$`, api.report)
				seen := p.Counts()
				require.Equal(t, c.challenges, seen.Challenges)
				if way == "forward" {
					require.EqualValues(t, len(api.report), seen.BodyBytes, "uploaded once")
					require.Equal(t, c.challenges+8, seen.Requests)
				} else {
					require.Equal(t, 2, seen.Tunnels)
				}
			})
		}
	}
}

// A job that ends badly, one that never ends, and an artifact that is not what
// the API says.
func TestWorkFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	var answer string
	api := http.NewServeMux()
	api.HandleFunc("/jobs/1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	api.HandleFunc("/artifacts/1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "other bytes") })
	server := httptest.NewServer(api)
	defer server.Close()
	b := &bot{client: server.Client(), api: server.URL, every: time.Millisecond, out: io.Discard}

	answer = `{"state": "failed"}`
	require.ErrorContains(t, b.work(t.Context(), "1"), `"failed"`)
	answer = `{"state": "done", "artifact": "artifacts/1", "sha256": "00"}`
	require.ErrorContains(t, b.work(t.Context(), "1"), "SHA-256")
	require.ErrorContains(t, b.work(t.Context(), "2"), "404")
	answer = `{"state": "running"}`
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.work(ctx, "1"), context.DeadlineExceeded)
}
