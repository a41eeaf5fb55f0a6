package carrier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
)

// traffic counts what it is told.
type traffic struct{ sent, received atomic.Int64 }

func (c *traffic) Sent(n int64)     { c.sent.Add(n) }
func (c *traffic) Received(n int64) { c.received.Add(n) }

// A TCP connection is dialed as the Transport says.
func TestDial(t *testing.T) {
	conn, _ := net.Pipe()
	var asked []string
	dial := func(_ context.Context, network, addr string) (net.Conn, error) {
		asked = append(asked, network+" "+addr)
		return conn, nil
	}
	old := func(network, addr string) (net.Conn, error) { return dial(nil, "old "+network, addr) }
	for want, base := range map[string]*http.Transport{
		"tcp proxy.example:1":     {DialContext: dial, Dial: old},
		"old tcp proxy.example:1": {Dial: old},
	} {
		asked = nil
		got, err := Dial(t.Context(), base, "tcp", "proxy.example:1")
		require.NoError(t, err)
		require.Same(t, conn, got)
		require.Equal(t, []string{want}, asked)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	got, err := Dial(t.Context(), &http.Transport{}, "tcp", l.Addr().String())
	require.NoError(t, err)
	defer got.Close()
	require.Equal(t, l.Addr().String(), got.RemoteAddr().String())
}

// dialer returns one for a proxy that does f with each connection.
func dialer(t testing.TB, proxy string, f func(net.Conn)) *Proxy {
	t.Helper()
	u, err := url.Parse(proxy)
	require.NoError(t, err)
	var n memconn.Network
	l := n.Listen("proxy.example:3128")
	t.Cleanup(func() { l.Close() })
	serve(l, f)
	return NewProxy(Config{
		Base: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp", network)
			return n.DialContext(ctx, network, addr)
		}},
		URL: u, Name: proxy, TLS: TLSConfig(nil, nil), Traffic: &traffic{},
	})
}

func echo(c net.Conn) { io.Copy(c, c) }

// overTLS serves f over TLS.
func overTLS(config *tls.Config, f func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) { f(tls.Server(c, config)) }
}

// What goes over a connection is counted, below TLS, unless it is raw.
func TestDialer(t *testing.T) {
	server, client := certified(t, nil)
	for _, proxy := range []string{"http://proxy.example:3128", "https://proxy.example:3128"} {
		for _, raw := range []bool{false, true} {
			f := echo
			if proxy[4] == 's' {
				f = overTLS(server, echo)
			}
			d := dialer(t, proxy, f)
			d.config.TLS = TLSConfig(client, nil)
			conn, err := d.Dial(t.Context(), nil, raw)
			require.NoError(t, err)
			io.WriteString(conn, "hello")
			answer := make([]byte, 5)
			_, err = io.ReadFull(conn, answer)
			require.NoError(t, err)
			require.Equal(t, "hello", string(answer))

			count, meter := d.traffic.Traffic.(*traffic), meterOf(conn)
			require.Equal(t, raw, meter == nil)
			secure, isTLS := conn.(*tls.Conn)
			require.Equal(t, proxy[4] == 's', isTLS)
			switch {
			case isTLS:
				require.Equal(t, "proxy.example", secure.ConnectionState().ServerName)
				require.Equal(t, d.config.TLS.ServerName, "", "it is a copy that has the name")
			}
			if raw {
				require.Zero(t, count.sent.Load()+count.received.Load())
			} else {
				require.Equal(t, meter.wrote.Load(), count.sent.Load())
				require.Equal(t, meter.read.Load(), count.received.Load())
				require.Equal(t, isTLS, meter.wrote.Load() > 5 && meter.read.Load() > 5)
				_, isMem := meter.NetConn().(*memconn.Conn)
				require.True(t, isMem)
			}
			conn.Close()
		}
	}
}

// The name that is verified is the host of the URL, or the one that the settings have.
func TestDialerServerName(t *testing.T) {
	server, client := certified(t, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} })
	d := dialer(t, "https://proxy.example:3128", overTLS(server, echo))
	d.config.TLS = TLSConfig(client, nil)
	_, err := d.Dial(t.Context(), nil, false)
	require.ErrorContains(t, err, "valid for other.example, not proxy.example")
	d.config.TLS.ServerName = "other.example"
	d.sessions.forget(nil)
	conn, err := d.Dial(t.Context(), nil, false)
	require.NoError(t, err)
	conn.Close()
}

// A handshake takes no longer than the Transport and the context allow, and leaves no
// connection behind.
func TestDialerTimeout(t *testing.T) {
	for _, test := range []struct{ limit, patience, want time.Duration }{
		{10 * time.Second, time.Hour, 10 * time.Second},
		{0, time.Hour, time.Hour},
		{time.Hour, time.Minute, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			var left time.Duration
			begin := time.Now()
			d := dialer(t, "https://proxy.example:3128", func(c net.Conn) {
				io.Copy(io.Discard, c)
				left = time.Since(begin)
			})
			d.config.Base.TLSHandshakeTimeout = test.limit
			ctx, cancel := context.WithTimeout(t.Context(), test.patience)
			defer cancel()
			_, err := d.Dial(ctx, nil, false)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout())
			require.EqualError(t, err, "proxyauth: proxy https://proxy.example:3128: TLS handshake: context deadline exceeded: "+
				"perhaps it does not speak TLS on this port, and its URL begins with http://")
			require.Equal(t, test.want, time.Since(begin))
			synctest.Wait()
			require.Equal(t, test.want, left)
		})
	}
}

// httptrace is told of the proxy's TLS handshake.
func TestDialerTrace(t *testing.T) {
	server, client := certified(t, nil)
	for _, own := range []*tls.Config{client, nil} {
		d := dialer(t, "https://proxy.example:3128", overTLS(server, echo))
		d.config.TLS = TLSConfig(own, nil)
		var started int
		var state tls.ConnectionState
		var failed error
		conn, err := d.Dial(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			TLSHandshakeStart: func() { started++ },
			TLSHandshakeDone:  func(s tls.ConnectionState, err error) { state, failed = s, err },
		}), nil, false)
		require.Equal(t, 1, started)
		require.Equal(t, own != nil, state.HandshakeComplete)
		require.ErrorIs(t, err, failed)
		if own != nil {
			require.NoError(t, err)
			conn.Close()
		}
		if conn, err = d.Dial(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{}), nil, false); err == nil {
			conn.Close()
		}
	}
}

// An error says what could not be done with which proxy, and what to do.
func TestDialerErrors(t *testing.T) {
	const (
		connecting = "proxyauth: proxy https://proxy.example:3128: connecting: "
		handshake  = "proxyauth: proxy https://proxy.example:3128: TLS handshake: "
	)
	certificate := func(change func(*x509.Certificate), trusted bool) func(t *testing.T) *Proxy {
		return func(t *testing.T) *Proxy {
			server, client := certified(t, change)
			d := dialer(t, "https://proxy.example:3128", overTLS(server, echo))
			if trusted {
				d.config.TLS = TLSConfig(client, nil)
			}
			return d
		}
	}
	says := func(text string) func(t *testing.T) *Proxy {
		return func(t *testing.T) *Proxy {
			return dialer(t, "https://proxy.example:3128", func(c net.Conn) {
				c.Read(make([]byte, 5000))
				io.WriteString(c, text)
			})
		}
	}
	fails := func(err error) func(t *testing.T) *Proxy {
		return func(t *testing.T) *Proxy {
			d := dialer(t, "https://proxy.example:3128", echo)
			d.config.Base.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, err }
			return d
		}
	}
	for name, test := range map[string]struct {
		dialer func(t *testing.T) *Proxy
		text   string
		remedy string
	}{
		"refused": {fails(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}), connecting + "dial tcp: connection refused", ": check the port in the proxy URL"},
		"no name": {fails(&net.DNSError{Err: "no such host", Name: "proxy.example", IsNotFound: true}), connecting + "lookup proxy.example: no such host", ": check the name in the proxy URL"},
		"no DNS":  {fails(&net.DNSError{Err: "server misbehaving", Name: "proxy.example"}), connecting + "lookup proxy.example: server misbehaving", ""},
		"timeout": {fails(context.DeadlineExceeded), connecting + "context deadline exceeded", ""},
		"EOF":     {fails(io.EOF), connecting + "EOF", ""},
		"earlier hop": {fails(errors.New("proxyauth: proxy http://first:1: no")),
			"proxyauth: proxy http://first:1: no (on the way to proxy https://proxy.example:3128)", ""},

		"untrusted": {certificate(nil, false), handshake + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
			": trust its CA by Transport.ProxyTLSClientConfig.RootCAs, or on Linux by SSL_CERT_FILE"},
		"other name": {certificate(func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} }, true),
			handshake + "tls: failed to verify certificate: x509: certificate is valid for a.example, not proxy.example", ": write the proxy URL with a name that its certificate has"},
		"an address": {certificate(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{{192, 0, 2, 1}} }, true),
			handshake + "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match proxy.example", ": write the proxy URL with a name that its certificate has"},
		"name and address": {certificate(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"a.example"}, []net.IP{{192, 0, 2, 1}} }, true),
			handshake + "tls: failed to verify certificate: x509: certificate is valid for a.example, not proxy.example", ": write the proxy URL with a name that its certificate has"},
		"common name alone": {certificate(func(c *x509.Certificate) { c.DNSNames = nil }, true),
			handshake + "tls: failed to verify certificate: x509: certificate relies on legacy Common Name field, use SANs instead",
			": no name can match, since its certificate has none beside the common name: ask its administrators for one with a subjectAltName"},
		"expired": {certificate(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, true),
			handshake + "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: ", ": check this machine's clock, or tell the proxy's administrators that its certificate has expired"},
		"for mail alone": {certificate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, true),
			handshake + "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage", ""},

		"bad certificate": {says("\x15\x03\x03\x00\x02\x02\x2a"), handshake + "remote error: tls: bad certificate", ": it wants a client certificate: set Transport.ProxyTLSClientConfig.Certificates"},
		"no certificate":  {says("\x15\x03\x03\x00\x02\x02\x74"), handshake + "remote error: tls: certificate required", ": it wants a client certificate: set Transport.ProxyTLSClientConfig.Certificates"},
		"alert": {says("\x15\x03\x03\x00\x02\x02\x28"), handshake + "remote error: tls: handshake failure",
			": perhaps it wants a client certificate (Transport.ProxyTLSClientConfig.Certificates), or other TLS versions or ciphers"},
		"another alert": {says("\x15\x03\x03\x00\x02\x02\x50"), handshake + "remote error: tls: internal error", ""},
		"HTTP":          {says("HTTP/1.1 400 Bad Request\r\n\r\n"), handshake + "tls: first record does not look like a TLS handshake", ": it does not speak TLS on this port: write the proxy URL with http://"},
		"SSH":           {says("SSH-2.0-OpenSSH\r\n"), handshake + "tls: first record does not look like a TLS handshake", ": it speaks neither TLS nor HTTP on this port: check host and port of the proxy URL"},
		"hangs up":      {says(""), handshake + "EOF", ": perhaps it does not speak TLS on this port, and its URL begins with http://"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.dialer(t).Dial(t.Context(), nil, false)
			require.ErrorContains(t, err, test.text)
			var dial *Fault
			require.ErrorAs(t, err, &dial)
			require.Equal(t, test.remedy, dial.Remedy())
			if name == "expired" { // the text names the time
				require.Regexp(t, regexp.QuoteMeta(test.text)+".*"+regexp.QuoteMeta(test.remedy)+"$", err.Error())
			} else {
				require.Equal(t, test.text+test.remedy, err.Error())
			}

			// It is the same behind what net/http makes of it.
			var op *net.OpError
			require.True(t, errors.As(err, &op) && op.Op == "proxyconnect" || name == "refused")
			require.Same(t, dial, unreachable(&url.Error{Op: "Get", Err: err}))
		})
	}
	require.Nil(t, unreachable(io.EOF))
}

// The settings of TLS to a proxy are one's own, or what of those for origins is not
// about one origin.
func TestTLSConfig(t *testing.T) {
	full := func() *tls.Config {
		return &tls.Config{
			ServerName: "x", MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{}}, RootCAs: x509.NewCertPool(), NextProtos: []string{"h2"},
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil },
			ClientSessionCache:   tls.NewLRUClientSessionCache(1), EncryptedClientHelloConfigList: []byte("x"),
		}
	}
	own, origins := full(), full()
	got := TLSConfig(own, origins)
	require.Equal(t, []string{"http/1.1"}, got.NextProtos)
	require.Equal(t, "x", got.ServerName)
	require.Len(t, got.Certificates, 1)
	require.NotNil(t, got.GetClientCertificate)
	require.Same(t, own.RootCAs, got.RootCAs)

	got = TLSConfig(nil, origins)
	require.Equal(t, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: origins.RootCAs, NextProtos: []string{"http/1.1"}}, got)
	require.Equal(t, &tls.Config{NextProtos: []string{"http/1.1"}}, TLSConfig(nil, nil))
	for _, c := range []*tls.Config{own, origins} {
		require.Equal(t, "x", c.ServerName)
		require.Equal(t, []string{"h2"}, c.NextProtos)
	}
}
