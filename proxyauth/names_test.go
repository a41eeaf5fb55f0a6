package proxyauth_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// dialedBy lets a proxy reach the origin o by any name.
func dialedBy(o *origin, asked *[]string) func(context.Context, string, string) (net.Conn, error) {
	var mu sync.Mutex
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		*asked = append(*asked, addr)
		mu.Unlock()
		var d net.Dialer
		return d.DialContext(ctx, network, o.HTTPS.Listener.Addr().String())
	}
}

// Names go over the wire as net/http writes them: IPv6 in brackets and without
// a zone, internationalized names in ASCII; the target of CONNECT, Host and
// what Digest signs are the same.
func TestNamesInConnect(t *testing.T) {
	o := newOrigin(t)
	for addr, want := range map[string]string{
		"origin.example:443":         "origin.example:443",
		"ORIGIN.example:443":         "ORIGIN.example:443",
		"[2001:db8::1]:22":           "[2001:db8::1]:22",
		"[fe80::1%eth0]:22":          "[fe80::1]:22",
		"192.0.2.1:1":                "192.0.2.1:1",
		"bücher.example:443":         "xn--bcher-kva.example:443",
		"BÜCHER.example:443":         "xn--bcher-kva.example:443",
		"пример.испытание:8443":      "xn--e1afmkfd.xn--80akhbyknj4f:8443",
		"xn--bcher-kva.example:443":  "xn--bcher-kva.example:443",
		"under_score.example:443":    "under_score.example:443",
		"trailing-dot.example.:4433": "trailing-dot.example.:4433",
	} {
		t.Run(addr, func(t *testing.T) {
			var asked []string
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r"}}, Users: alice, Dial: dialedBy(o, &asked)})
			tr := newTransport(t, p, o)
			conn, err := tr.DialContext(t.Context(), "tcp", addr)
			require.NoError(t, err)
			conn.Close()
			require.Equal(t, []string{want}, asked)
			for _, leg := range p.Transcript() {
				require.Equal(t, want, leg.Target)
				require.Equal(t, want, leg.Host)
			}
		})
	}
	p := newProxy(t, proxytest.Config{})
	for _, addr := range []string{"-ü-.example:443", "\u200dü.example:1"} {
		_, err := newTransport(t, p, o).DialContext(t.Context(), "tcp", addr)
		require.ErrorContains(t, err, "proxyauth: host name")
	}
	require.Zero(t, p.Counts().Connections)
}

// The same in URLs: net/http leaves the zone in what it dials, and does not find
// the HTTP/2 connection of an internationalized name in capitals again.
func TestNamesInURLs(t *testing.T) {
	o := newOrigin(t)
	for host, want := range map[string]string{
		"[fe80::1%25eth0]:8443": "[fe80::1]:8443", "BÜCHER.example": "xn--bcher-kva.example:443", "bücher.example:444": "xn--bcher-kva.example:444",
	} {
		for _, http2 := range []bool{true, false} {
			t.Run(fmt.Sprint(host, http2), func(t *testing.T) {
				var asked []string
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r"}}, Users: alice, Dial: dialedBy(o, &asked)})
				tr := newTransport(t, p, o)
				tr.Base.ForceAttemptHTTP2 = http2
				tr.Base.TLSClientConfig.ServerName = "example.com"
				for range 3 {
					requireOK(t, tr, "https://"+host+"/")
				}
				require.Equal(t, []string{want}, asked)
				req, err := http.NewRequest("GET", "https://"+host+"/", nil)
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				resp.Body.Close()
				require.Same(t, req, resp.Request)
			})
		}
	}
}

// A proxy with an internationalized name: it is dialed, named in its SPN and in
// errors by its ASCII form.
func TestNameOfProxy(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: alice})
	for _, host := range []string{"прокси.example", "xn--h1adldfi.example"} {
		tr := newTransport(t, p, o)
		var dialed []string
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialed = append(dialed, addr)
			var d net.Dialer
			return d.DialContext(ctx, network, p.URL.Host)
		}
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: host + ":3128"})
		for _, target := range o.ways() {
			requireOK(t, tr, target)
		}
		require.NotEmpty(t, dialed)
		for _, addr := range dialed {
			require.Equal(t, "xn--h1adldfi.example:3128", addr)
		}
		tr.Base.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("x") }
	}
}

// R20, R23: the name of the service is HTTP/ and the host of the proxy URL as it is
// written, whichever address that leads to.
func TestServiceIsNamedByURL(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{
		"NTLM": proxytest.NTLM{}, "Negotiate": proxytest.Negotiate{NTLM: &proxytest.NTLM{}},
	} {
		for _, host := range []string{"proxy.corp.example", "proxy", "прокси.example"} {
			t.Run(name+"/"+host, func(t *testing.T) {
				w := newWorld(t)
				p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				tr := w.newTransport(p)
				tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: host + ":3128"})
				tr.Base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return w.dial(ctx, network, p.URL.Host)
				}
				requireOK(t, tr, w.HTTP.URL)
				legs := p.Transcript()
				_, token, _ := strings.Cut(legs[len(legs)-1].Header.Get("Proxy-Authorization"), " ")
				message, err := base64.StdEncoding.DecodeString(token)
				require.NoError(t, err)
				want := map[bool]string{true: "xn--h1adldfi.example", false: host}[host == "прокси.example"]
				require.Contains(t, string(message), utf16le("HTTP/"+want))
			})
		}
	}
}

// utf16le returns the bytes of an ASCII text in UTF-16, as NTLM writes it.
func utf16le(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		b.Write([]byte{c, 0})
	}
	return b.String()
}

// With a Resolver the proxy gets an address, and the next one where it cannot
// reach that; TLS still verifies the name.
func TestResolver(t *testing.T) {
	o := newOrigin(t)
	var asked []string
	reach := dialedBy(o, &asked)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "192.0.2.1:443" {
			asked = append(asked, addr)
			return nil, errors.New("unreachable")
		}
		return reach(ctx, network, addr)
	}})
	tr := newTransport(t, p, o)
	tr.Resolver = &net.Resolver{PreferGo: true, Dial: dnsAnswering(t, [4]byte{192, 0, 2, 1}, [4]byte{192, 0, 2, 2})}
	requireOK(t, tr, "https://example.com/") // httptest's certificate has that name
	require.Contains(t, asked, "192.0.2.2:443")
	for _, leg := range p.Transcript() {
		require.Regexp(t, `^192\.0\.2\.[12]:443$`, leg.Target)
	}

	tr = newTransport(t, p, o)
	tr.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
	before := p.Counts().Requests
	_, _, err := fetch(tr, "https://example.com/")
	require.ErrorContains(t, err, "proxyauth: ")
	require.ErrorContains(t, err, "set Transport.Resolver to nil")
	require.Equal(t, before, p.Counts().Requests)

	asked = nil
	conn, err := newTransport(t, p, o).DialContext(t.Context(), "tcp", "name.example:1")
	require.NoError(t, err)
	conn.Close()
	require.Equal(t, []string{"name.example:1"}, asked, "unresolved by default")
}

// dnsAnswering dials a DNS server that answers every A question with these
// addresses, and has no others.
func dnsAnswering(t *testing.T, ips ...[4]byte) func(context.Context, string, string) (net.Conn, error) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	go func() {
		packet := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			end := 12
			for packet[end] != 0 {
				end += int(packet[end]) + 1
			}
			question := packet[12 : end+5]
			answer := binary.BigEndian.AppendUint16(nil, binary.BigEndian.Uint16(packet[:n]))
			count := 0
			if question[len(question)-3] == 1 { // A
				count = len(ips)
			}
			answer = append(answer, 0x81, 0x80, 0, 1, 0, byte(count), 0, 0, 0, 0)
			answer = append(answer, question...)
			for i := range count {
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				answer = append(answer, ips[i][:]...)
			}
			server.WriteTo(answer, from)
		}
	}()
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}
}
