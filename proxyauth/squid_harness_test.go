//go:build realproxy

package proxyauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// squid is a running squid of the test's own.
type squid struct {
	*server
	port, tlsPort int
}

// squidEntry is a line of squid's access log.
//
// NTLM1 and NTLM3 are the client's two messages of an NTLM handshake. Of NTLM and
// Negotiate the user is known only after it, as DOMAIN\name in the domain's
// spelling; it stays that of the connection, whose further requests carry no
// credentials.
type squidEntry struct {
	Method     string
	URL        string // as squid got it; for a CONNECT host:port
	Status     int    // as sent to the client
	User       string // claimed user, also when refused; "" without credentials; see below
	AuthScheme string // "Basic", "Digest", "NTLM1", "NTLM3", "Negotiate", "other"; "" without credentials
}

// startSquid runs a squid until the end of the test. The schemes are "none" or
// the challenges in their order, such as "digest basic"; users maps names to
// passwords; env has the variables of testdata/squid/run, such as
// "NONCE_MAX_COUNT=5" or "AD_DIR="+samba.dir. Without the latter "ntlm" knows the
// password of the user that sorts first, and no more.
//
// squid takes 2 s to stop, so subtests had better share one.
func startSquid(t testing.TB, schemes string, users map[string]string, env ...string) *squid {
	t.Helper()
	requirePrograms(t, "squid-openssl and openssl", "squid", "openssl")
	s := &squid{}
	s.port, s.tlsPort = freePorts(t)
	s.server = startServer(t, "squid", "cache.log", users, env, strconv.Itoa(s.port), strconv.Itoa(s.tlsPort), schemes)
	s.wait(t, 10*time.Second, func() bool { return accepts(s.port) && accepts(s.tlsPort) })
	// Without one of its ports squid runs on, and another process has accepted.
	if output := s.output(); strings.Contains(output, "Cannot bind") {
		t.Fatalf("squid did not get its ports\n%s", output)
	}
	return s
}

// URL is the proxy without TLS.
func (s *squid) URL() *url.URL {
	return &url.URL{Scheme: "http", Host: fmt.Sprintf("localhost:%d", s.port)}
}

// TLSURL is the proxy with TLS; its certificate is in RootCAs.
func (s *squid) TLSURL() *url.URL {
	return &url.URL{Scheme: "https", Host: fmt.Sprintf("localhost:%d", s.tlsPort)}
}

// RootCAs returns a new pool that holds the certificate of the proxy, for
// localhost and 127.0.0.1.
func (s *squid) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(s.dir, "proxy.crt"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		panic(fmt.Sprintf("squid's certificate: %v", err)) // it served with it
	}
	return pool
}

// Log returns the requests so far. squid logs a request shortly after the
// client has the response, and a CONNECT when the tunnel has ended: see WaitLog.
func (s *squid) Log(t testing.TB) []squidEntry {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "access.log"))
	if !errors.Is(err, fs.ErrNotExist) { // no request yet
		require.NoError(t, err)
	}
	var entries []squidEntry
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break // squid is writing it
		}
		fields := strings.Fields(line)
		require.Len(t, fields, 5, "squid's log: %q", line)
		for i, field := range fields {
			if field == "-" {
				fields[i] = ""
			}
		}
		status, err := strconv.Atoi(fields[2])
		require.NoError(t, err, "squid's log: %q", line)
		user, err := url.PathUnescape(fields[3])
		require.NoError(t, err, "squid's log: %q", line)
		entries = append(entries, squidEntry{
			Method: fields[0], URL: fields[1], Status: status, User: user, AuthScheme: fields[4],
		})
	}
	return entries
}

// WaitLog returns the requests as soon as there are at least n.
func (s *squid) WaitLog(t testing.TB, n int) []squidEntry {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		entries := s.Log(t)
		if len(entries) >= n {
			return entries
		}
		if time.Now().After(deadline) {
			t.Fatalf("squid logged fewer than %d requests: %+v", n, entries)
		}
	}
}

// Attempts returns the requests so far that carried credentials.
func (s *squid) Attempts(t testing.TB) []squidEntry {
	t.Helper()
	var attempts []squidEntry
	for _, entry := range s.Log(t) {
		if entry.AuthScheme != "" {
			attempts = append(attempts, entry)
		}
	}
	return attempts
}

// TestSquidHarness shows with net/http alone that squid and its log are as the
// other tests take them to be.
func TestSquidHarness(t *testing.T) {
	const user, password = "jäsøn", "a b:ü "
	s := startSquid(t, "digest basic", map[string]string{user: password, "other": "x"})

	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	plain := httptest.NewServer(hello)
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(hello)
	t.Cleanup(secure.Close)
	roots := s.RootCAs()
	roots.AddCert(secure.Certificate())

	type access struct {
		name   string
		user   *url.Userinfo
		status int
		scheme string
	}
	accesses := []access{
		{"no credentials", nil, 407, ""},
		{"wrong password", url.UserPassword(user, "wrong"), 407, "Basic"},
		{"right password", url.UserPassword(user, password), 200, "Basic"},
	}
	logged := 0
	check := func(proxy url.URL, method, target string, a access) {
		t.Run(strings.Join([]string{proxy.Scheme, method, a.name}, " "), func(t *testing.T) {
			proxy.User = a.user
			status, challenges := get(t, &proxy, roots, target)
			require.Equal(t, a.status, status)
			if a.status == 407 {
				require.Len(t, challenges, 2)
				require.Regexp(t, `^Digest realm="proxy test", nonce="\w+", qop="auth", stale=false$`, challenges[0])
				require.Equal(t, `Basic realm="proxy test", charset="UTF-8"`, challenges[1])
			}

			want := squidEntry{Method: method, URL: target, Status: a.status, AuthScheme: a.scheme}
			if method == "CONNECT" {
				want.URL = secure.Listener.Addr().String()
			}
			if a.user != nil {
				want.User = user
			}
			logged++
			require.Equal(t, want, s.WaitLog(t, logged)[logged-1])
		})
	}
	for _, proxy := range []*url.URL{s.URL(), s.TLSURL()} {
		for _, a := range accesses {
			check(*proxy, "GET", plain.URL+"/", a)
			check(*proxy, "CONNECT", secure.URL+"/", a)
		}
	}
	require.Len(t, s.Log(t), 12)
	require.Len(t, s.Attempts(t), 8)
}

// get asks for the target by the proxy with net/http, on connections of its
// own, and returns the status, be it the proxy's or the target's, and the
// challenges.
func get(t *testing.T, proxy *url.URL, roots *x509.CertPool, target string) (status int, challenges []string) {
	t.Helper()
	transport := &http.Transport{
		Proxy:           http.ProxyURL(proxy),
		TLSClientConfig: &tls.Config{RootCAs: roots},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
			status, challenges = response.StatusCode, response.Header.Values("Proxy-Authenticate")
			return nil
		},
	}
	defer transport.CloseIdleConnections() // ends the tunnel, for the log
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	response, err := client.Get(target)
	if status == 407 { // of a CONNECT
		require.Error(t, err)
		return status, challenges
	}
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode == 200 {
		require.Equal(t, "hello", string(body))
	}
	return response.StatusCode, response.Header.Values("Proxy-Authenticate")
}
