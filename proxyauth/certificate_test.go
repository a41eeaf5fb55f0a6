package proxyauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	numbers "math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A certificate of an unknown issuer through a tunnel: the error names the
// issuer and says how to trust it; a proxy's own certificate is another matter.
func TestIntercepted(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Base.TLSClientConfig = nil
	_, err := (&http.Client{Transport: tr}).Get(o.HTTPS.URL)
	var intercepted *proxyauth.InterceptionError
	require.ErrorAs(t, err, &intercepted)
	require.Equal(t, p.URL.String(), intercepted.Proxy)
	require.Equal(t, o.HTTPS.Listener.Addr().String(), intercepted.Target)
	require.Equal(t, "O=Acme Co", intercepted.Issuer)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	for _, want := range []string{"O=Acme Co", "RootCAs", "SSL_CERT_FILE", "seems to intercept TLS", p.URL.String()} {
		require.ErrorContains(t, err, want)
	}
	require.Empty(t, o.requests)

	// Without a proxy nobody intercepts.
	tr = newTransport(t, p, o)
	tr.Base.TLSClientConfig = nil
	tr.Base.Proxy = nil
	_, _, err = fetch(tr, o.HTTPS.URL)
	require.NotErrorAs(t, err, &intercepted)
	require.ErrorAs(t, err, &unknown)

	// Another fault of the certificate is what it is.
	tr = newTransport(t, p, o)
	tr.Base.TLSClientConfig.ServerName = "other.example"
	_, _, err = fetch(tr, o.HTTPS.URL)
	require.NotErrorAs(t, err, &intercepted)
	require.ErrorContains(t, err, "other.example")
}

// A proxy that wants a certificate of the client gets that of ProxyTLSClientConfig,
// and not the one that is for origins; without it the error says so, by TLS 1.3
// with the first answer.
func TestClientCertificates(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{})
	defer p.Close()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var shown atomic.Pointer[string]
		addr := requireCertificate(t, p, version, &shown)
		for way, target := range o.ways() {
			tr := newTransport(t, p, o)
			tr.Base.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: addr})
			tr.Base.TLSClientConfig.Certificates = o.HTTPS.TLS.Certificates // for origins
			_, _, err := fetch(tr, target)
			require.ErrorContains(t, err, "wants a client certificate", way)
			require.ErrorContains(t, err, "Transport.ProxyTLSClientConfig.Certificates", way)
			require.True(t, strings.HasPrefix(err.Error(), "proxyauth: proxy https://"+addr), err.Error())

			tr = newTransport(t, p, o)
			tr.Base.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: addr})
			tr.ProxyTLSClientConfig = &tls.Config{RootCAs: o.rootCAs(), Certificates: o.HTTPS.TLS.Certificates} // the origin's is everyone's
			requireOK(t, tr, target)
			require.NotNil(t, shown.Load())
		}
	}
}

// requireCertificate starts a listener before p that wants a certificate of who
// comes, and notes whose it was.
func requireCertificate(t *testing.T, p *proxytest.Proxy, version uint16, shown *atomic.Pointer[string]) (addr string) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{originCertificate()}, MaxVersion: version, ClientAuth: tls.RequireAnyClientCert,
	})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go accept(l, func(c net.Conn) {
		defer c.Close()
		secure := c.(*tls.Conn)
		if secure.Handshake() != nil {
			return
		}
		name := secure.ConnectionState().PeerCertificates[0].Subject.String()
		shown.Store(&name)
		target, err := tls.Dial("tcp", p.URL.Host, p.ClientTLSConfig())
		if err != nil {
			return
		}
		defer target.Close()
		go func() { io.Copy(target, c); target.CloseWrite() }()
		io.Copy(c, target)
	})
	return l.Addr().String()
}

// What is wrong with the way to the proxy, and what to do.
func TestProxyDialRemedies(t *testing.T) {
	o := newOrigin(t)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	hangsUp := scripted.New(scripted.Config{Listener: socket}) // on what is no request
	t.Cleanup(hangsUp.Close)
	secure := proxytest.NewTLS(proxytest.Config{})
	t.Cleanup(secure.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	for name, test := range map[string]struct{ proxy, want string }{
		"unknown CA":     {secure.URL.String(), "ProxyTLSClientConfig.RootCAs, or on Linux by SSL_CERT_FILE"},
		"no TLS there":   {"https://" + o.HTTP.Listener.Addr().String(), "write the proxy URL with http://"},
		"no HTTP there":  {"https://" + hangsUp.URL().Host, "perhaps it does not speak TLS on this port"},
		"nobody listens": {"http://" + closed.Addr().String(), "check the port in the proxy URL"},
	} {
		t.Run(name, func(t *testing.T) {
			hops, err := proxyauth.Chain(test.proxy)
			require.NoError(t, err)
			for _, target := range o.ways() {
				_, _, err = fetch(hops[0], target)
				require.ErrorContains(t, err, "proxyauth: proxy "+test.proxy)
				require.ErrorContains(t, err, test.want)
			}
		})
	}
}

// SSL_CERT_FILE is read once in a process, so this test runs itself in another.
func TestSSLCertFile(t *testing.T) {
	if target := os.Getenv("TEST_SSL_CERT_FILE_TARGET"); target != "" {
		hops, err := proxyauth.Chain(os.Getenv("TEST_SSL_CERT_FILE_PROXY"))
		require.NoError(t, err)
		defer hops[0].CloseIdleConnections()
		requireOK(t, hops[0], target)
		return
	}
	if runtime.GOOS != "linux" {
		return // it is read elsewhere too, but not on Windows and macOS
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "origin") }))
	defer server.Close()
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	again := exec.Command(os.Args[0], "-test.run=^TestSSLCertFile$", "-test.v")
	again.Env = append(os.Environ(), "SSL_CERT_FILE="+file,
		"TEST_SSL_CERT_FILE_TARGET="+server.URL, "TEST_SSL_CERT_FILE_PROXY="+p.URLFor("alice", "open sesame").String())
	out, err := again.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, 1, p.Counts().Tunnels)
}

// An image made from scratch has no roots, and no proxy to suspect.
func TestNoRoots(t *testing.T) {
	if target := os.Getenv("TEST_NO_ROOTS_TARGET"); target != "" {
		hops, err := proxyauth.Chain(os.Getenv("TEST_NO_ROOTS_PROXY"))
		require.NoError(t, err)
		defer hops[0].CloseIdleConnections()
		_, _, err = fetch(hops[0], target)
		require.ErrorAs(t, err, new(*proxyauth.InterceptionError))
		require.ErrorContains(t, err, "this machine has no CA certificates. Install the package ca-certificates")
		require.NotContains(t, err.Error(), "intercept")
		return
	}
	if runtime.GOOS != "linux" {
		return // where the system verifies
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	p := newProxy(t, proxytest.Config{Users: alice})
	none := filepath.Join(t.TempDir(), "none")
	again := exec.Command(os.Args[0], "-test.run=^TestNoRoots$", "-test.v")
	again.Env = append(os.Environ(), "SSL_CERT_FILE="+none, "SSL_CERT_DIR="+none,
		"TEST_NO_ROOTS_TARGET="+server.URL, "TEST_NO_ROOTS_PROXY="+p.URL.String())
	out, err := again.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, 1, p.Counts().Tunnels)
}

// The session caches of origins and proxies are apart: a proxy must not be able
// to resume an origin's session, or the other way round.
func TestSessionCachesApart(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{Auth: digestAndBasic(), Users: alice})
	t.Cleanup(p.Close)
	tr := newTransport(t, p, o)
	cache := &spyCache{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	tr.Base.TLSClientConfig.ClientSessionCache = cache
	for _, target := range o.ways() {
		requireOK(t, tr, target)
	}
	require.NotEmpty(t, cache.keys)
	for _, key := range cache.keys {
		require.Equal(t, o.HTTPS.Listener.Addr().(*net.TCPAddr).IP.String(), key, "of the origin's TLS alone")
	}
	require.Len(t, cache.keys, 1)
}

type spyCache struct {
	tls.ClientSessionCache
	keys []string
}

func (c *spyCache) Get(key string) (*tls.ClientSessionState, bool) {
	c.keys = append(c.keys, key)
	return c.ClientSessionCache.Get(key)
}

// A certificate with a common name alone matches no name (RFC 9110 §4.3.4).
func TestProxyCertificateWithoutNames(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: numbers.NewInt(1), Subject: pkix.Name{CommonName: "proxy.corp"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	require.NoError(t, err)
	defer l.Close()
	go accept(l, func(c net.Conn) {
		c.(*tls.Conn).Handshake()
		c.Close()
	})
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	tr := &proxyauth.Transport{
		Base:                 &http.Transport{DialContext: dialOnly(l.Addr().String())},
		Proxy:                http.ProxyURL(&url.URL{Scheme: "https", Host: "proxy.corp"}),
		ProxyTLSClientConfig: &tls.Config{RootCAs: roots},
	}
	_, err = tr.DialContext(t.Context(), "tcp", "target:443")
	require.ErrorContains(t, err, "subjectAltName")
}

// The proxy's TLS has settings of its own.
func TestProxyTLS(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{Auth: digestAndBasic(), Users: alice})
	t.Cleanup(p.Close)

	tr := newTransport(t, p, o)
	tr.Base.TLSClientConfig.RootCAs = o.rootCAs() // not the proxy's
	_, _, err := fetch(tr, o.HTTP.URL)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	require.True(t, strings.HasPrefix(err.Error(), "proxyauth: proxy https://"), err.Error())
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "proxyconnect", op.Op)

	tr = newTransport(t, p, o)
	tr.Base.TLSClientConfig.RootCAs = o.rootCAs()
	tr.Base.TLSClientConfig.ServerName = "example.com" // httptest's name: the origin's alone
	tr.ProxyTLSClientConfig = p.ClientTLSConfig()
	for _, url := range o.ways() {
		requireOK(t, tr, url)
	}
}
