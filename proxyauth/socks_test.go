package proxyauth_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

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

// socks5:// proxies keep working as net/http has them, and dial too.
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
