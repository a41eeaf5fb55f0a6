package proxytest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// newListener accepts one connection and gives it to f.
func newListener(t *testing.T, f func(nc *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		f(nc.(*net.TCPConn))
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestTunnel(t *testing.T) {
	origin := httptest.NewTLSServer(echo(t))
	defer origin.Close()
	var addr string
	p := newProxy(t, Config{
		Auth: []Auth{Basic{}}, Users: users,
		Dial: func(ctx context.Context, network, a string) (net.Conn, error) {
			addr = network + " " + a
			return new(net.Dialer).DialContext(ctx, network, origin.Listener.Addr().String())
		},
	})
	tr := &http.Transport{Proxy: http.ProxyURL(p.URLFor("bob", "sesame")), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the certificate is not api.example's
	defer tr.CloseIdleConnections()
	_, body := get(t, &http.Client{Transport: tr}, "https://api.example/x")
	want(t, "body", body, "GET /x ")
	want(t, "dialled", addr, "tcp api.example:443")
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 1, Tunnels: 1})
	leg := p.Transcript()[0]
	want(t, "method", leg.Method, "CONNECT")
	want(t, "target", leg.Target, "api.example:443")
	want(t, "host", leg.Host, "api.example:443")
	want(t, "user", leg.User, "bob")
	want(t, "status", leg.Status, 200)
}

func TestTunnelHalfClose(t *testing.T) {
	addr := newListener(t, func(nc *net.TCPConn) {
		got, _ := io.ReadAll(nc) // to the client's end
		nc.Write(got)
	})
	p := newProxy(t, Config{Auth: []Auth{Basic{}}, Users: users})
	c := dialRaw(t, p)
	resp, _ := c.do("CONNECT " + addr + " HTTP/1.1")
	want(t, "status", resp.StatusCode, 407)
	c.write("CONNECT "+addr+" HTTP/1.1", "Proxy-Authorization: "+basicCredentials("bob", "sesame"), "", "early ")
	resp, _ = c.receive("CONNECT")
	want(t, "status", resp.StatusCode, 200)
	c.write("late")
	c.Conn.(*net.TCPConn).CloseWrite()
	back, err := io.ReadAll(c.br)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "echo", string(back), "early late")
	want(t, "connections", p.Counts().Connections, 1)
}

func TestTunnelOriginEnds(t *testing.T) {
	addr := newListener(t, func(nc *net.TCPConn) { io.WriteString(nc, "bye") })
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	c.do("CONNECT " + addr + " HTTP/1.1")
	back, err := io.ReadAll(c.br)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "last words", string(back), "bye")
}
