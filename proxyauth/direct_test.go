package proxyauth_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R31, R35: a nil proxy URL leads direct; a proxy URL that cannot be used is an
// error without its password.
func TestDirectAndUnsupported(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Proxy = func(req *http.Request) (*url.URL, error) {
		switch req.URL.Path {
		case "/direct":
			return nil, nil
		case "/ftp":
			return url.Parse("ftp://user:hush@proxy")
		case "/nohost":
			return url.Parse("http://user:hush@")
		case "/cut":
			return url.Parse("http://alice:1234#hush@proxy")
		case "/error":
			return nil, errVault
		case "/malformed":
			return url.Parse("http://user:hush@proxy:" + req.URL.Path[1:])
		}
		return p.URL, nil
	}
	requireOK(t, tr, o.HTTP.URL+"/direct")
	requireOK(t, tr, o.HTTPS.URL+"/direct")
	require.Zero(t, p.Counts().Requests)
	for path, text := range map[string]string{"/ftp": "ftp", "/nohost": "no host", "/malformed": "percent-encoded", "/cut": "percent-encoded"} {
		_, _, err := fetch(tr, o.HTTP.URL+path)
		require.ErrorContains(t, err, "proxyauth: ")
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "hush")
		require.NotContains(t, err.Error(), "1234")
	}
	_, _, err := fetch(tr, o.HTTP.URL+"/error")
	require.ErrorIs(t, err, errVault)

	_, err = tr.RoundTrip(&http.Request{})
	require.Error(t, err)
	_, _, err = fetch(tr, "gopher://x")
	require.ErrorContains(t, err, "unsupported protocol scheme")
	_, _, err = fetch(tr, "http://")
	require.Error(t, err)
}

// R35: the error of a Proxy function that looks something up is its own, and shows
// no password.
func TestProxyFunctionFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tr := &proxyauth.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://wpad.example/wpad.dat", nil)
		require.NoError(t, err)
		_, err = http.DefaultClient.Do(req)
		return nil, err
	}}
	_, _, err := fetch(tr, "http://origin.example/")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "wpad.example")

	// An @ in its text may stand behind a password: what it is can be told only.
	mine := errors.New("no proxy for alice:1234@proxy")
	tr = &proxyauth.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, mine }}
	_, _, err = fetch(tr, "http://origin.example/")
	require.ErrorIs(t, err, mine)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "1234")
}

// R31: without a proxy the zone of an address counts.
func TestZoneWithoutProxy(t *testing.T) {
	dialed := ""
	tr := &proxyauth.Transport{Base: &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		dialed = addr
		return nil, net.ErrClosed
	}}}
	tr.DialContext(t.Context(), "tcp", "[fe80::1%eth0]:22")
	require.Equal(t, "[fe80::1%eth0]:22", dialed)
}

// serveSOCKS is the least of a SOCKS5 server (RFC 1928, RFC 1929) for one user.
func serveSOCKS(user, password string, dial dialFunc, c net.Conn) {
	defer c.Close()
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	read(int(read(2)[1]))
	c.Write([]byte{5, 2})
	read(1)
	gotUser := string(read(int(read(1)[0])))
	gotPassword := string(read(int(read(1)[0])))
	if gotUser != user || gotPassword != password {
		c.Write([]byte{1, 1})
		return
	}
	c.Write([]byte{1, 0})
	var host string
	switch read(4)[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	target, err := dial(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(read(2)))))
	if err != nil {
		return
	}
	defer target.Close()
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { io.Copy(target, c); target.(interface{ CloseWrite() error }).CloseWrite() }()
	io.Copy(c, target)
}

// R31: socks5:// proxies keep working as net/http has them, and dial too.
func TestSOCKS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go accept(l, func(c net.Conn) { serveSOCKS("alice", "open sesame", new(net.Dialer).DialContext, c) })
	o := newOrigin(t)
	for _, scheme := range []string{"socks5", "socks5h"} {
		u := &url.URL{Scheme: scheme, Host: l.Addr().String(), User: url.UserPassword("alice", "open sesame")}
		base := o.HTTPS.Client().Transport.(*http.Transport).Clone()
		tr := watched(t, &proxyauth.Transport{Base: base, Proxy: http.ProxyURL(u)}, func() []string { return nil })
		for _, target := range o.ways() {
			requireOK(t, tr, target)
		}
		c, err := tr.DialContext(context.Background(), "tcp", o.HTTP.Listener.Addr().String())
		require.NoError(t, err)
		require.IsType(t, &net.TCPConn{}, c) // half-close and splice
		c.Close()
	}
	require.Empty(t, o.proxyFields())
}
