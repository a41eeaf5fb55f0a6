package env_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// R35: what is wrong with the URL of a proxy is told without its password.
func TestCheckProxy(t *testing.T) {
	const (
		form     = "it is not of the form http://host:port"
		noHost   = "it has no host: write http://host:port"
		port     = "its port is not a number from 1 to 65535"
		oneProxy = "its host has a character that no name has: write one proxy, http://host:port"
		raw      = `a special character in the user name or password is not percent-encoded: write "@" as %40, "/" as %2F, "\" as %5C, ` +
			`"#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`
	)
	for value, want := range map[string]string{
		"http://alice:Zq7@Zq7@proxy:3128":  raw,
		"http://alice@CORP:Zq7@proxy:3128": raw,
		"http://alice:Zq7#Zq7@proxy:3128":  raw,
		"http://alice:Zq7/Zq7@proxy:3128":  raw,
		"http://alice:Zq7?Zq7@proxy:3128":  raw,
		`http://CORP\alice:Zq7@proxy`:      raw,
		"http://alice:Zq7 Zq7@proxy":       raw,
		"alice:Zq7://Zq7@proxy":            raw,
		"http://alice:Zq7ü@proxy":          raw,
		"http://${USER}:Zq7@proxy":         raw,
		"http://alice:Zq7%Zq7@proxy":       `a "%" in the user name or password is not followed by two hexadecimal digits: write "%" itself as %25`,
		"http://alice:Zq7%@proxy":          `a "%" in the user name or password is not followed by two hexadecimal digits: write "%" itself as %25`,
		"http://alice:Zq7%0A@proxy":        "the user name or password has a line break or another control character",
		"http://:Zq7@proxy":                `it has no user name before the "@"`,
		"http://@proxy":                    `it has no user name before the "@"`,
		"http://a:3128,http://b:3128":      oneProxy,
		"http://$(PROXY_HOST):3128":        "a variable in it was not expanded: write http://host:port",
		"http://proxy:Zq7":                 port,
		"http://alice:Zq7@proxy:":          port,
		"http://[::1]:0":                   port,
		"proxy:65536":                      port,
		"htp://alice:Zq7@proxy":            `scheme "htp" is not supported: use http, https, socks5 or socks5h`,
		"socks4://proxy":                   `scheme "socks4" is not supported: use http, https, socks5 or socks5h`,
		"://proxy":                         `scheme "" is not supported: use http, https, socks5 or socks5h`,
		"http://":                          noHost,
		":3128":                            noHost,
		"http://alice:Zq7@":                noHost,
		"http:/proxy:3128":                 form,
		"http//proxy:3128":                 form,
		"http=proxy:3128;https=proxy:3128": "it has the form of the settings of Windows: write http://host:port",
		"http://proxy;3128":                oneProxy,
		"http://proxy,other:3128":          oneProxy,
		"http://-ü-.example:3128":          "its host is not a name",
		`http:\\proxy:3128`:                form,
		"http://pro xy:3128":               form,
		"http://[::1:3128":                 form,
		"http://::1:3128":                  "its host has colons: write an IPv6 address in brackets, http://[::1]:3128",
		"http://proxy/proxy.pac":           "something follows on the host: write http://host:port (the address of a PAC file is not that of a proxy)",
		"http://proxy:1?Zq7":               "something follows on the host: write http://host:port (the address of a PAC file is not that of a proxy)",
		`"http://proxy:3128"`:              "it is in quotation marks: remove them",
		"http://alice:Zq7@proxy:3128\r\n":  "it begins or ends with white space",
		" ":                                "it begins or ends with white space",
		":1":                               noHost,
		"http:///proxy":                    noHost,
		"/":                                noHost,
		"http://proxy:1/@":                 raw,
		"alice:Zq7#@proxy":                 raw,
		"'http://proxy'":                   "it is in quotation marks: remove them",
		"HTTPS=proxy:3128":                 "it has the form of the settings of Windows: write http://host:port",
		"SOCKS5:/proxy":                    form,
		"http:3128":                        form,
		"http://[::1]x":                    port,
		"http://al\x00ice@p":               raw,
		"http://pro<xy":                    oneProxy,
		"http://alice:%7Fx@proxy":          "the user name or password has a line break or another control character",
	} {
		err := env.CheckProxy(value)
		require.EqualError(t, err, want, value)
		require.NotContains(t, err.Error(), "Zq7")
	}
	for _, value := range []string{
		"", "proxy", "proxy.corp:3128", "under_score:1", "proxy:65535", "127.0.0.1:3128", "[::1]", "[::1]:3128", "http://proxy", "HTTP://proxy/",
		"https://proxy:1", "socks5://proxy", "socks5h://proxy", "http://bücher.example", "http://alice@proxy", "http://alice:@proxy",
		"http://CORP%5Calice:p%40ss%2Fw%25@proxy:1", "alice:p$ss@proxy:1", "httpproxy:1", "https-proxy.corp/",
	} {
		require.NoError(t, env.CheckProxy(value), value)
	}
}
