package hostname_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

func TestASCIIAndKey(t *testing.T) {
	for host, want := range map[string]struct{ ascii, key string }{
		"proxy.example":     {"proxy.example", "proxy.example"},
		"PROXY.Example":     {"PROXY.Example", "proxy.example"},
		"under_score.":      {"under_score.", "under_score."},
		"192.0.2.1":         {"192.0.2.1", "192.0.2.1"},
		"2001:DB8::1":       {"2001:DB8::1", "2001:db8::1"},
		"BÜCHER.example":    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
		"XN--bcher-kva":     {"XN--bcher-kva", "xn--bcher-kva"},
		"\x7f":              {"\x7f", "\x7f"},
		"-ü-.EXAMPLE":       {"", "-ü-.example"},
		"not UTF-8 \x80":    {"", "not utf-8 \ufffd"},
		"":                  {"", ""},
		"пример.испытание.": {"xn--e1afmkfd.xn--80akhbyknj4f.", "xn--e1afmkfd.xn--80akhbyknj4f."},
	} {
		ascii, err := hostname.ASCII(host)
		if want.ascii == "" && host != "" {
			require.ErrorContains(t, err, "proxyauth: host name ", host)
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, want.ascii, ascii)
		require.Equal(t, want.key, hostname.Key(host))
	}
}

func TestAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"origin.example:443":     "origin.example:443",
		"origin.example:https":   "origin.example:443",
		"origin.example:1":       "origin.example:1",
		"origin.example:65535":   "origin.example:65535",
		"192.0.2.1:22":           "192.0.2.1:22",
		"[2001:db8::1]:22":       "[2001:db8::1]:22",
		"[fe80::1%eth0]:22":      "[fe80::1]:22",
		"100%.example:22":        "100%.example:22", // no zone
		"bücher.example:443":     "xn--bcher-kva.example:443",
		"!~.example:443":         "!~.example:443",
		"origin.example":         "proxyauth: address to dial: address origin.example: missing port in address",
		":443":                   `proxyauth: address to dial: ":443" is not host:port`,
		"origin.example:":        `proxyauth: address to dial: "origin.example:" is not host:port`,
		"origin.example:0":       `proxyauth: address to dial: "origin.example:0" is not host:port`,
		"origin.example:65536":   `proxyauth: address to dial: "origin.example:65536" is not host:port`,
		"origin.example:no-port": `proxyauth: address to dial: "origin.example:no-port" is not host:port`,
		"-ü-.example:443":        `proxyauth: host name "-ü-.example": idna: invalid label "-ü-"`,
	} {
		got, err := hostname.Address(addr)
		if err != nil {
			require.Empty(t, got)
			got = err.Error()
		}
		require.Equal(t, want, got)
	}
	for _, c := range "\x00\r\n \x7f@/?#\\" { // none that could end a request line, or mean something in a URL
		_, err := hostname.Address("origin" + string(c) + ".example:443")
		require.ErrorContains(t, err, "is not host:port", "%q", c)
	}
}

func TestOfURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy.example":      "proxy.example:80",
		"https://proxy.example":     "proxy.example:443",
		"socks5://proxy.example":    "proxy.example:1080",
		"socks5h://proxy.example":   "proxy.example:1080",
		"http://proxy.example:3128": "proxy.example:3128",
		"https://[2001:db8::1]":     "[2001:db8::1]:443",
		"http://[2001:db8::1]:3128": "[2001:db8::1]:3128",
		"http://alice:x@proxy":      "proxy:80",
	} {
		u, err := url.Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, hostname.OfURL(u))
	}
}

// The host is that of the absolute form which net/http writes.
func TestOfRequest(t *testing.T) {
	for host, want := range map[string]string{
		"origin.example":      "origin.example",
		"ORIGIN.example:8080": "ORIGIN.example:8080",
		"bücher.example:8080": "xn--bcher-kva.example:8080",
		"[2001:db8::1]":       "[2001:db8::1]",
		"[2001:db8::1]:80":    "[2001:db8::1]:80",
		"[fe80::1%eth0]:80":   "[fe80::1]:80",
		"[fe80::1%25eth0]":    "[fe80::1]",
		"100%.example":        "100%.example",
	} {
		for _, req := range []*http.Request{
			{Method: "GET", URL: &url.URL{Scheme: "http", Host: host, Path: "/"}},
			{Method: "GET", URL: &url.URL{Scheme: "http", Host: "192.0.2.1", Path: "/"}, Host: host},
		} {
			require.Equal(t, want, hostname.OfRequest(req))
			var wire bytes.Buffer
			require.NoError(t, req.WriteProxy(&wire))
			line, err := bufio.NewReader(&wire).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "GET http://"+want+"/ HTTP/1.1\r\n", line)
		}
	}
	for _, host := range []string{"", "]origin", "[::1", "xn--ü.example"} { // net/http says what is wrong
		require.Equal(t, host, hostname.OfRequest(&http.Request{URL: &url.URL{}, Host: host}))
	}
}
