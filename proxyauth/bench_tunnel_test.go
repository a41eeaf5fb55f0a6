package proxyauth_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A tunnelCase is a client that opens a tunnel through an https:// proxy for each request.
type tunnelCase struct {
	name   string
	client func(base *http.Transport) http.RoundTripper

	rt      http.RoundTripper
	bytes   atomic.Int64
	times   []float64 // in nanoseconds
	mallocs uint64
}

// tunnelCases are net/http as most programs use it, and with a cache of TLS sessions, which
// it shares between proxies and origins unless it is told otherwise, beside a Transport
// without resumption and with it.
func tunnelCases() []*tunnelCase {
	bare := func(cache tls.ClientSessionCache) func(*http.Transport) http.RoundTripper {
		return func(base *http.Transport) http.RoundTripper {
			base.TLSClientConfig.ClientSessionCache = cache
			return base
		}
	}
	ours := func(disabled bool) func(*http.Transport) http.RoundTripper {
		return func(base *http.Transport) http.RoundTripper {
			return &proxyauth.Transport{
				Base: base, Credentials: proxyauth.UserPassword("alice", "open sesame"), Schemes: []proxyauth.Scheme{proxyauth.Basic()},
				ProxyTLSClientConfig: &tls.Config{InsecureSkipVerify: true, SessionTicketsDisabled: disabled},
			}
		}
	}
	return []*tunnelCase{
		{name: "net/http", client: bare(nil)},
		{name: "net/http-cache", client: bare(proxyOnly{tls.NewLRUClientSessionCache(0)})},
		{name: "Transport-full", client: ours(true)},
		{name: "Transport", client: ours(false)},
	}
}

// proxyOnly keeps the sessions with a proxy on 127.0.0.1, and none with origins.
type proxyOnly struct{ tls.ClientSessionCache }

func (c proxyOnly) Get(name string) (*tls.ClientSessionState, bool) {
	if name != "127.0.0.1" {
		return nil, false
	}
	return c.ClientSessionCache.Get(name)
}

// A tunnelConn counts bytes for a tunnelCase.
type tunnelConn struct {
	net.Conn
	to *tunnelCase
}

func (c tunnelConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.bytes.Add(int64(n))
	return n, err
}

func (c tunnelConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.to.bytes.Add(int64(n))
	return n, err
}

// serveTunnel is a proxy and an origin in one, for one request.
func serveTunnel(c net.Conn, proxy, origin *tls.Config) {
	defer func() { c.Close() }()
	for _, stage := range []struct {
		config *tls.Config
		answer string
	}{{proxy, "HTTP/1.1 200 OK\r\n\r\n"}, {origin, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}} {
		c = tls.Server(c, stage.config)
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		io.WriteString(c, stage.answer)
	}
}

// rsaCertificate is one as most proxies have.
func rsaCertificate(b *testing.B) tls.Certificate {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	template := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"proxy.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(b, err)
	return tls.Certificate{Certificate: [][]byte{der, der}, PrivateKey: key} // with one of an authority
}

// BenchmarkTunnel gives the time, bytes and allocations of a request on a new tunnel
// through an https:// proxy, where a Transport resumes the TLS session. That of the origin
// is always new. The clients take turns; a ratio is that of the medians, to net/http. The
// allocations are those of client, proxy and origin.
//
//	go test -run '^$' -bench Tunnel -benchtime 1000x ./proxyauth
func BenchmarkTunnel(b *testing.B) {
	b.Run("ECDSA", func(b *testing.B) { benchmarkTunnel(b, originCertificate()) })
	b.Run("RSA", func(b *testing.B) { benchmarkTunnel(b, rsaCertificate(b)) })
}

func benchmarkTunnel(b *testing.B, certificate tls.Certificate) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	config := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	ofProxy, ofOrigin := config(certificate), config(originCertificate())
	go accept(l, func(c net.Conn) { serveTunnel(c, ofProxy, ofOrigin) })
	proxy := &url.URL{Scheme: "https", Host: l.Addr().String(), User: url.UserPassword("alice", "open sesame")}
	cases := tunnelCases()
	for _, c := range cases {
		c.rt = c.client(&http.Transport{
			Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, network, addr)
				return tunnelConn{conn, c}, err
			},
		})
		c.request(b) // the first handshake is a full one
		c.bytes.Store(0)
	}
	n := 0
	for b.Loop() {
		for i := range cases {
			cases[(n+i)%len(cases)].measure(b)
		}
		n++
	}
	for _, c := range cases {
		slices.Sort(c.times)
		median := c.times[len(c.times)/2]
		b.ReportMetric(median, c.name+"-ns")
		if c != cases[0] {
			b.ReportMetric(median/cases[0].times[n/2], c.name+"-ratio")
		}
		b.ReportMetric(float64(c.bytes.Load())/float64(n), c.name+"-bytes")
		b.ReportMetric(float64(c.mallocs)/float64(n), c.name+"-allocs")
	}
	b.ReportMetric(0, "ns/op")
}

func (c *tunnelCase) request(b *testing.B) {
	req, err := http.NewRequest("GET", "https://origin.test/", nil)
	require.NoError(b, err)
	resp, err := c.rt.RoundTrip(req)
	require.NoError(b, err)
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func (c *tunnelCase) measure(b *testing.B) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	c.request(b)
	c.times = append(c.times, float64(time.Since(begin)))
	runtime.ReadMemStats(&after)
	c.mallocs += after.Mallocs - before.Mallocs
}
