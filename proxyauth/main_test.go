package proxyauth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func TestMain(m *testing.M) {
	// No ticket of whoever runs the tests.
	os.Setenv("KRB5CCNAME", "FILE:/nonexistent")
	os.Unsetenv("KRB5_CLIENT_KTNAME")
	debug.SetGCPercent(400) // nearly all that tests allocate is short-lived
	goleak.VerifyTestMain(silent{m})
}

// silent runs tests that fail if anything is printed to the standard log meanwhile (R44).
type silent struct{ m *testing.M }

func (s silent) Run() (code int) {
	heard := new(heardLog)
	log.SetOutput(heard)
	code = s.m.Run()
	if n := heard.lines.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: %d lines in the standard log\n", n)
		code = max(code, 1)
	}
	return code
}

// A heardLog passes on what is printed to the standard log.
type heardLog struct{ lines atomic.Int64 }

func (h *heardLog) Write(line []byte) (int, error) {
	// The servers of tests tell of their own side in this way.
	if !bytes.Contains(line, []byte(" http: TLS handshake error from ")) {
		h.lines.Add(1)
	}
	return os.Stderr.Write(line)
}

// An origin is a server behind the proxy, http and https (HTTP/2 too), that
// echoes bodies and notes what it must never see.
type origin struct {
	HTTP, HTTPS *httptest.Server

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	handler  http.HandlerFunc    // nil: echo
	drain    func(*http.Request) // nil: bodies are kept
}

// newOrigin starts one on sockets; see newWorld for those in memory.
func newOrigin(t testing.TB) *origin {
	o := &origin{}
	o.HTTP = httptest.NewServer(o)
	o.HTTPS = httptest.NewUnstartedServer(o)
	o.startTLS()
	t.Cleanup(o.HTTP.Close)
	t.Cleanup(o.HTTPS.Close)
	return o
}

func (o *origin) startTLS() {
	o.HTTPS.EnableHTTP2 = true
	o.HTTPS.TLS = &tls.Config{Certificates: []tls.Certificate{originCertificate()}}
	o.HTTPS.StartTLS()
}

// originCertificate is that of all origins, for the names of httptest's own. With
// its key of ECDSA a handshake costs a small part of that with RSA.
var originCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Acme Co"}},
		NotBefore:             time.Unix(0, 0), // a bubble's clock begins in 2000
		NotAfter:              time.Date(2084, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"example.com"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func (o *origin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body []byte
	if o.drain != nil {
		o.drain(req)
	} else {
		body, _ = io.ReadAll(req.Body)
	}
	o.mu.Lock()
	o.requests = append(o.requests, req)
	o.bodies = append(o.bodies, string(body))
	handler := o.handler
	o.mu.Unlock()
	if handler != nil {
		handler(w, req)
		return
	}
	io.WriteString(w, "origin "+req.Proto+" "+string(body))
}

// proxyFields returns the proxy's fields that reached the origin: never any.
func (o *origin) proxyFields() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []string
	for _, req := range o.requests {
		for name := range req.Header {
			if strings.HasPrefix(strings.ToLower(name), "proxy-") {
				found = append(found, name)
			}
		}
	}
	return found
}

func (o *origin) rootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(o.HTTPS.Certificate())
	return pool
}

// newProxy starts a proxytest proxy, closed after the test.
func newProxy(t testing.TB, c proxytest.Config) *proxytest.Proxy {
	p := proxytest.New(c)
	t.Cleanup(p.Close)
	return p
}

var alice = map[string]string{"alice": "open sesame"}

func digestAndBasic() []proxytest.Auth {
	return []proxytest.Auth{proxytest.Digest{Realm: "proxy test"}, proxytest.Basic{Realm: "proxy test"}}
}

// newTransport returns a Transport for tests: through p, as alice, trusting o, and
// watched for secrets.
func newTransport(t testing.TB, p *proxytest.Proxy, o *origin) *watchedTransport {
	return watched(t, newTransportOf(p, o), func() []string { return authorizations(p) })
}

// newTransportOf is newTransport for many: the caller closes its connections.
func newTransportOf(p *proxytest.Proxy, o *origin) *proxyauth.Transport {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{RootCAs: o.rootCAs()}
	base.Proxy = http.ProxyURL(p.URL)
	if cert := p.Certificate(); cert != nil {
		base.TLSClientConfig.RootCAs.AddCert(cert)
	}
	return &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "open sesame")}
}

// fetch makes a GET and returns status and body.
func fetch(rt http.RoundTripper, url string) (int, string, error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func requireOK(t testing.TB, rt http.RoundTripper, url string) {
	t.Helper()
	status, body, err := fetch(rt, url)
	require.NoError(t, err)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, "origin")
}

// allRejected makes n requests at once, each of which must end in ErrRejected.
func allRejected(t testing.TB, n int, rt http.RoundTripper, url string) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, _, err := fetch(rt, url)
			assert.ErrorIs(t, err, proxyauth.ErrRejected)
		})
	}
	wg.Wait()
}

// ways are the two ways through a proxy, by the origin's URL.
func (o *origin) ways() map[string]string {
	return map[string]string{"forward": o.HTTP.URL + "/f?q=1", "tunnel": o.HTTPS.URL + "/t"}
}

// dialOnly sends any address to one.
func dialOnly(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}

// relayTLS starts a man in the middle: he ends TLS with a certificate of his
// own and passes all on to p by TLS.
func relayTLS(t testing.TB, p *proxytest.Proxy) (addr string, cert *x509.Certificate) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{originCertificate()}})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go accept(l, func(c net.Conn) {
		defer c.Close()
		target, err := tls.Dial("tcp", p.URL.Host, p.ClientTLSConfig())
		if err != nil {
			return
		}
		defer target.Close()
		go func() { io.Copy(target, c); target.CloseWrite() }()
		io.Copy(c, target)
	})
	return l.Addr().String(), originCertificate().Leaf
}
