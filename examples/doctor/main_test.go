package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http/httpproxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

const (
	proxyAddr = "proxy.corp:3128"
	target    = "https://api.example.com/v1?key=hidden"
	password  = "open sesame"
)

// A setup is a machine's way to the target with something broken in it.
type setup struct {
	name string
	args []string          // of the program; nil: the target
	env  map[string]string // beside the usual: the proxy, alice and her password
	// start starts what listens at proxyAddr, or says why nothing does.
	start func(t *testing.T, n *network)
	// What must be in the last step: its name, words of the cause and of the
	// remedy.
	step          string
	cause, remedy []string
}

// A network has one address, that of the proxy, and an error for all others.
type network struct {
	addr string // where proxyAddr is
	err  error  // or why it is nowhere
	base *http.Transport
}

func (n *network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != proxyAddr {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	}
	if n.err != nil {
		return nil, n.err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, n.addr)
}

func (n *network) proxy(t *testing.T, p *proxytest.Proxy) {
	t.Cleanup(p.Close)
	n.addr = p.URL.Host
}

// answers starts something that answers every request in the same way.
func (n *network) answers(t *testing.T, status int, header ...string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, "<html>a page</html>")
	}))
	t.Cleanup(s.Close)
	n.addr = s.Listener.Addr().String()
}

// config is of a proxy that knows alice.
func config(auth ...proxytest.Auth) proxytest.Config {
	return proxytest.Config{Auth: auth, Users: map[string]string{"alice": password}}
}

var (
	basic  = proxytest.Basic{Realm: "corp"}
	digest = proxytest.Digest{Realm: "corp"}
)

var setups = []setup{
	{
		name: "no-proxy-set",
		env:  map[string]string{"HTTPS_PROXY": ""},
		step: "TCP", cause: []string{"api.example.com:443 cannot be reached"}, remedy: []string{"set HTTPS_PROXY", "HTTPS_PROXY is not set"},
	},
	{
		name: "wrong-variable",
		env:  map[string]string{"HTTPS_PROXY": "", "HTTP_PROXY": "http://" + proxyAddr},
		step: "TCP", cause: []string{"cannot be reached"}, remedy: []string{"set HTTPS_PROXY", "HTTP_PROXY is set, but HTTPS_PROXY is not"},
	},
	{
		name: "broken-variable",
		env:  map[string]string{"HTTPS_PROXY": "http://alice:open#sesame@" + proxyAddr},
		step: "proxy", cause: []string{"the value of HTTPS_PROXY is not a valid URL"}, remedy: []string{"correct the proxy URL", `"#" as %23`},
	},
	{
		name: "password-for-port",
		env:  map[string]string{"HTTPS_PROXY": "http://alice:1234#sesame@" + proxyAddr},
		step: "proxy", cause: []string{"the value of HTTPS_PROXY is not a valid URL"}, remedy: []string{"correct the proxy URL", `"#" as %23`},
	},
	{
		name: "percent-in-password",
		env:  map[string]string{"HTTPS_PROXY": "http://alice:open%sesame@" + proxyAddr},
		step: "TCP", cause: []string{"cannot be reached"}, remedy: []string{"the value of HTTPS_PROXY is not a valid URL", `"%" as %25`},
	},
	{
		name:  "two-passwords",
		env:   map[string]string{"PROXY_PASS_FILE": "/run/secrets/proxy"},
		start: func(t *testing.T, n *network) { n.proxy(t, proxytest.New(config(digest, basic))) },
		step:  "CONNECT", cause: []string{"PROXY_PASS and PROXY_PASS_FILE are both set: keep one"}, remedy: []string{"see to PROXY_USER and PROXY_PASS"},
	},
	{
		name: "name-unknown",
		start: func(_ *testing.T, n *network) {
			n.err = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "proxy.corp", IsNotFound: true}}
		},
		step: "name", cause: []string{"proxy.corp cannot be resolved", "no such host"}, remedy: []string{"check the name in the proxy URL"},
	},
	{
		name: "port-refused",
		start: func(_ *testing.T, n *network) {
			n.err = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		},
		step: "TCP", cause: []string{"proxy.corp:3128 cannot be reached", "refused"}, remedy: []string{"check the port in the proxy URL"},
	},
	{
		name:  "https-url-plain-port",
		env:   map[string]string{"HTTPS_PROXY": "https://" + proxyAddr},
		start: func(t *testing.T, n *network) { n.answers(t, http.StatusForbidden) },
		step:  "proxy's TLS", cause: []string{"does not speak TLS on this port"}, remedy: []string{"write the proxy URL with http://"},
	},
	{
		name:  "http-url-tls-port",
		start: func(t *testing.T, n *network) { n.proxy(t, proxytest.NewTLS(config(basic))) },
		step:  "answer", cause: []string{"speaks TLS on this port"}, remedy: []string{"write the proxy URL with https://"},
	},
	{
		name: "proxy-certificate-unknown",
		env:  map[string]string{"HTTPS_PROXY": "https://" + proxyAddr},
		start: func(t *testing.T, n *network) {
			l, _ := listenTLS(t, "Corp Root CA", "proxy.corp")
			n.addr = l
		},
		step: "proxy's TLS", cause: []string{"unknown authority", `issued by "Corp Root CA"`}, remedy: []string{"ProxyTLSClientConfig.RootCAs", "SSL_CERT_FILE"},
	},
	{
		name:  "no-credentials",
		env:   map[string]string{"PROXY_USER": "", "PROXY_PASS": ""},
		start: func(t *testing.T, n *network) { n.proxy(t, proxytest.New(config(digest, basic))) },
		step:  "CONNECT", cause: []string{"there are no credentials for it"}, remedy: []string{"PROXY_USER and PROXY_PASS"},
	},
	{
		name:  "wrong-password",
		env:   map[string]string{"PROXY_PASS": "not it: sesame"},
		start: func(t *testing.T, n *network) { n.proxy(t, proxytest.New(config(digest, basic))) },
		step:  "CONNECT", cause: []string{"rejected the credentials"}, remedy: []string{"check user name and password in PROXY_USER and PROXY_PASS"},
	},
	{
		name: "no-usable-scheme",
		args: []string{"-scheme", "digest", target},
		start: func(t *testing.T, n *network) {
			c := config(proxytest.NTLM{})
			c.Behaviour.Challenges = []string{`Bearer realm="corp"`}
			n.proxy(t, proxytest.New(c))
		},
		step: "CONNECT", cause: []string{"offers nothing that can be used", "NTLM: not among Transport.Schemes"}, remedy: []string{"allow one that it offers"},
	},
	{
		name:  "no-ticket",
		env:   map[string]string{"PROXY_USER": "", "PROXY_PASS": "", "KRB5_CONFIG": "testdata/krb5.conf", "KRB5CCNAME": "FILE:testdata/no-such-cache"},
		start: func(t *testing.T, n *network) { n.proxy(t, proxytest.New(config(proxytest.Negotiate{}))) },
		step:  "CONNECT", cause: []string{"no ticket for HTTP/proxy.corp"}, remedy: []string{"kinit", "KRB5_CLIENT_KTNAME"},
	},
	{
		name: "forbidden",
		start: func(t *testing.T, n *network) {
			c := config(basic)
			c.Behaviour.ConnectStatus = http.StatusForbidden
			n.proxy(t, proxytest.New(c))
		},
		step: "CONNECT", cause: []string{"its policy forbids the target", "or it refuses the credentials (Basic)"}, remedy: []string{"ask its administrators to allow the target"},
	},
	{
		name:  "forbidden-port",
		args:  []string{"db.example.com:5432"},
		start: func(t *testing.T, n *network) { n.answers(t, http.StatusForbidden) },
		step:  "CONNECT", cause: []string{"its policy forbids the target"}, remedy: []string{"many proxies open tunnels to port 443 only, and this is 5432"},
	},
	{
		name: "bad-gateway",
		start: func(t *testing.T, n *network) {
			c := config(basic)
			c.Behaviour.ConnectStatus = http.StatusBadGateway
			n.proxy(t, proxytest.New(c))
		},
		step: "CONNECT", cause: []string{"the proxy cannot reach the target"}, remedy: []string{"check the name and port"},
	},
	{
		name: "bad-gateway-forwarded",
		args: []string{"http://api.example.com/v1?key=hidden"},
		env:  map[string]string{"HTTP_PROXY": "http://" + proxyAddr, "HTTPS_PROXY": ""},
		start: func(t *testing.T, n *network) {
			n.answers(t, http.StatusGatewayTimeout, "X-Squid-Error", "ERR_DNS_FAIL 0")
		},
		step: "request", cause: []string{"504", "the proxy cannot reach the target"}, remedy: []string{"check the name and port"},
	},
	{
		name:  "captive-portal",
		start: func(t *testing.T, n *network) { n.answers(t, http.StatusNetworkAuthenticationRequired) },
		step:  "CONNECT", cause: []string{"captive portal"}, remedy: []string{"log in to the network with a browser"},
	},
	{
		name: "header-too-large",
		start: func(t *testing.T, n *network) {
			c := config(basic)
			c.Behaviour.ConnectStatus = http.StatusRequestHeaderFieldsTooLarge
			n.proxy(t, proxytest.New(c))
		},
		step: "CONNECT", cause: []string{"too large"}, remedy: []string{"higher limit"},
	},
	{
		name:  "no-proxy-at-all",
		start: func(t *testing.T, n *network) { n.answers(t, http.StatusMethodNotAllowed) },
		step:  "CONNECT", cause: []string{"a web server and no proxy"}, remedy: []string{"check host and port of the proxy URL"},
	},
	{
		name: "intercepted",
		start: func(t *testing.T, n *network) {
			interceptor, _ := listenTLS(t, "Corp Interception CA", "api.example.com")
			c := config(basic)
			c.Dial = dialTo(interceptor)
			n.proxy(t, proxytest.New(c))
		},
		step: "target's TLS", cause: []string{`issued by "Corp Interception CA"`, "the proxy seems to intercept TLS"}, remedy: []string{"RootCAs", "SSL_CERT_FILE"},
	},
}

// What the program prints for each set-up names the cause and the remedy, and no
// secret, in the form that the golden file shows.
func TestBrokenSetups(t *testing.T) {
	for _, s := range setups {
		t.Run(s.name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			t.Run("", func(t *testing.T) { s.test(t) }) // whose cleanup comes before VerifyNone
		})
	}
}

func (s setup) test(t *testing.T) {
	n := newNetwork(t)
	for name, value := range s.env {
		t.Setenv(name, value)
	}
	if s.start != nil {
		s.start(t, n)
	}
	args := s.args
	if args == nil {
		args = []string{target}
	}
	status, text := doctor(t, n, args...)
	require.Equal(t, 1, status)
	compare(t, s.name, text)

	var report struct {
		OK    bool
		Steps []struct {
			Name, Outcome, Remedy string
			Details               []string
		}
		Error string
	}
	status, asJSON := doctor(t, n, append([]string{"-json"}, args...)...)
	require.Equal(t, 1, status)
	require.NoError(t, json.Unmarshal([]byte(asJSON), &report))
	require.False(t, report.OK)
	require.NotEmpty(t, report.Error)
	last := report.Steps[len(report.Steps)-1]
	require.Equal(t, s.step, last.Name)
	require.Equal(t, "failed", last.Outcome)
	for _, words := range s.cause {
		require.Contains(t, strings.Join(last.Details, " "), words)
	}
	for _, words := range s.remedy {
		require.Contains(t, last.Remedy, words)
	}
	for _, detail := range append(last.Details, last.Remedy) { // it is all in the text, too
		require.Contains(t, oneLine(text), oneLine(address.ReplaceAllString(detail, shownAddr)))
	}
}

// A way that works: the report says so, and by what.
func TestWorks(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("", func(t *testing.T) {
		n := newNetwork(t)
		addr, roots := listenTLS(t, "Public CA", "api.example.com")
		n.base.TLSClientConfig.RootCAs = roots
		c := config(digest, basic)
		c.Dial = dialTo(addr)
		p := proxytest.New(c)
		n.proxy(t, p)
		status, text := doctor(t, n, target)
		require.Equal(t, 0, status, text)
		compare(t, "works", text)
		require.Equal(t, 1, p.Attempts("alice"))
	})
}

func TestUsage(t *testing.T) {
	defer goleak.VerifyNone(t)
	for want, args := range map[string][]string{
		"Usage: doctor":                        nil,
		"-scheme: \"magic\" is not negotiate":  {"-scheme", "magic", target},
		"-proxy is not a URL":                  {"-proxy", "http://alice:1#sesame@proxy.corp", target},
		"flag provided but not defined: -nope": {"-nope"},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 2, run(t.Context(), args, &stdout, &stderr, nil), args)
		require.Contains(t, stderr.String(), want)
		require.NotContains(t, stderr.String(), "sesame")
		require.Empty(t, stdout.String())
	}
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(t.Context(), []string{"-h"}, &stdout, &stderr, nil))
	require.Equal(t, 1, run(t.Context(), []string{"-proxy", "proxy.corp:3128", "api.example.com"}, &stdout, &stderr, nil))
	require.Contains(t, stdout.String(), "-> write it like https://api.example.com/")
}

// As for a program with proxyauth.FromEnvironment, which knows more variables
// than net/http, and takes no mistakes.
func TestEnvironment(t *testing.T) {
	defer goleak.VerifyNone(t)
	n := newNetwork(t)
	n.err = errors.New("nobody is there")
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("ALL_PROXY", "http://"+proxyAddr)
	_, text := doctor(t, n, target)
	require.Contains(t, text, "api.example.com directly")
	_, text = doctor(t, n, "-environment", target)
	require.Contains(t, text, "api.example.com through http://"+proxyAddr)
	t.Setenv("USE_PROXY", "no")
	_, text = doctor(t, n, "-environment", target)
	require.Contains(t, text, "api.example.com directly")

	t.Setenv("USE_PROXY", "")
	t.Setenv("ALL_PROXY", "http://alice:open%sesame@"+proxyAddr)
	t.Setenv("PROXY_PASS", "")
	os.Unsetenv("PROXY_PASS")
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"-environment", target}, &stdout, &stderr, n.base))
	require.Regexp(t, `^doctor: ALL_PROXY: .*\ndoctor: PROXY_USER .*\n$`, stderr.String())
	require.NotContains(t, stderr.String(), "sesame")
	require.Empty(t, stdout.String())
}

func TestDemo(t *testing.T) {
	defer goleak.VerifyNone(t)
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(t.Context(), []string{"-demo"}, &stdout, &stderr, nil))
	require.Contains(t, stdout.String(), "rejected the credentials")
	require.Contains(t, stdout.String(), "-> check user name and password in the proxy URL")
	require.Empty(t, stderr.String())
}

// doctor runs the program and returns what it prints, with addresses and dates
// that do not change.
func doctor(t *testing.T, n *network, args ...string) (status int, text string) {
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), args, &stdout, &stderr, n.base)
	require.Empty(t, stderr.String())
	text = stdout.String()
	for _, secret := range []string{"sesame", "hidden", "alice:", "1234"} {
		require.NotContains(t, text, secret)
	}
	text = address.ReplaceAllString(text, shownAddr)
	return status, date.ReplaceAllString(text, "2030-01-01")
}

// The lines are broken before that, so what varies in length must be at the end
// of a line that is not broken.
var (
	address = regexp.MustCompile(`127\.0\.0\.1(:\d+)?`)
	date    = regexp.MustCompile(`20\d\d-\d\d-\d\d`)
)

const shownAddr = "10.0.0.1"

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func compare(t *testing.T, name, text string) {
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, len(line), 100)
	}
}

// newNetwork sets the environment as it is on a machine that is well set up.
func newNetwork(t *testing.T) *network {
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "USE_PROXY",
		"PROXY_USER", "PROXY_PASS", "PROXY_PASS_FILE", "KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"REQUEST_METHOD",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTPS_PROXY", "http://"+proxyAddr)
	t.Setenv("PROXY_USER", "alice")
	t.Setenv("PROXY_PASS", password)
	n := &network{}
	n.base = &http.Transport{
		// As net/http does, which reads the environment once for the process.
		Proxy:           func(req *http.Request) (*url.URL, error) { return httpproxy.FromEnvironment().ProxyFunc()(req.URL) },
		DialContext:     n.DialContext,
		TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()},
	}
	return n
}

func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}

// listenTLS starts a server for a host, with a certificate of a new CA.
func listenTLS(t *testing.T, ca, host string) (addr string, roots *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	issue := func(template, parent *x509.Certificate) *x509.Certificate {
		template.SerialNumber = big.NewInt(1)
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return cert
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: ca}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root = issue(root, root)
	leaf := issue(&x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}}, root)

	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, root.Raw}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(root)
	return s.Listener.Addr().String(), roots
}
