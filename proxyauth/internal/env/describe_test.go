package env_test

import (
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// asNetHTTP and asFromEnvironment are the two ways to read the environment.
func asNetHTTP(testing.TB) *env.Proxies { return env.NetHTTPProxies() }

func asFromEnvironment(t testing.TB) *env.Proxies {
	v, err := env.ReadProxies()
	require.NoError(t, err)
	return &v
}

// R35: which variables are set is told without what is secret in them.
func TestDescribe(t *testing.T) {
	keytab := writeSecret(t, "")
	missing := filepath.Join(filepath.Dir(keytab), "missing")
	for name, test := range map[string]struct {
		read  func(testing.TB) *env.Proxies
		env   vars
		want  []string
		wrong bool
	}{
		"nothing": {asNetHTTP, nil, nil, false},
		"proxies": {asNetHTTP, vars{"HTTP_PROXY": "http://alice:Zq7@a:1", "https_proxy": "b:2", "no_proxy": ".corp"},
			[]string{"HTTP_PROXY=http://a:1 (and user name and password, not shown)", "https_proxy=http://b:2", "no_proxy=.corp"}, false},
		"both cases": {asNetHTTP, vars{"HTTP_PROXY": "http://a:1", "http_proxy": "http://a:1"},
			[]string{"HTTP_PROXY=http://a:1", "http_proxy=http://a:1"}, false},
		"they differ": {asNetHTTP, vars{"NO_PROXY": "a", "no_proxy": "b"},
			[]string{"NO_PROXY=a", "no_proxy=b", "NO_PROXY and no_proxy differ, and programs disagree which of them counts"}, true},
		"an @ in NO_PROXY": {asNetHTTP, vars{"NO_PROXY": "alice:Zq7@b"},
			[]string{"NO_PROXY=(not shown: there is an @ in it)", "NO_PROXY: entry 1 (not shown) can never match: its port is not a number from 1 to 65535"}, true},
		"ALL_PROXY, which net/http does not read": {asNetHTTP, vars{"all_proxy": "http://a:1"}, []string{"all_proxy=http://a:1, which only FromEnvironment reads"}, false},
		"ALL_PROXY":                  {asFromEnvironment, vars{"ALL_PROXY": "http://a:1"}, []string{"ALL_PROXY=http://a:1"}, false},
		"ALL_PROXY is switched off":  {asFromEnvironment, vars{"ALL_PROXY": "http://a:1", "USE_PROXY": "no"}, []string{"ALL_PROXY=http://a:1", "USE_PROXY=no"}, false},
		"USE_PROXY":                  {asFromEnvironment, vars{"USE_PROXY": "1"}, []string{"USE_PROXY=1"}, false},
		"USE_PROXY without a reader": {asNetHTTP, vars{"USE_PROXY": "no"}, []string{"USE_PROXY=no, which only FromEnvironment reads"}, true},
		"credentials": {asNetHTTP, vars{"PROXY_USER": "alice", "PROXY_PASS": "Zq7", "PROXY_PASS_FILE": "/x"},
			[]string{"PROXY_USER is set", "PROXY_PASS is set", "PROXY_PASS_FILE=/x"}, false},
		"files": {asNetHTTP, vars{"KRB5CCNAME": "KCM:", "KRB5_CONFIG": missing, "KRB5_CLIENT_KTNAME": "FILE:" + keytab, "SSL_CERT_FILE": keytab, "SSL_CERT_DIR": missing},
			[]string{"KRB5CCNAME=KCM:", "KRB5_CONFIG=" + missing, "KRB5_CLIENT_KTNAME=FILE:" + keytab, "SSL_CERT_FILE=" + keytab, "SSL_CERT_DIR=" + missing}, false},
		"no keytab":       {asNetHTTP, vars{"KRB5_CLIENT_KTNAME": "FILE:" + missing}, []string{"KRB5_CLIENT_KTNAME=FILE:" + missing + ", which cannot be read"}, true},
		"no certificates": {asNetHTTP, vars{"SSL_CERT_FILE": missing}, []string{"SSL_CERT_FILE=" + missing + ", which cannot be read"}, true},
		"a mistake":       {asNetHTTP, vars{"HTTP_PROXY": "://Zq7@b"}, []string{"HTTP_PROXY=(not a valid URL, and not shown)", `HTTP_PROXY: scheme "" is not supported: use http, https, socks5 or socks5h`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			test.env.set(t)
			details, wrong := test.read(t).Describe()
			require.Equal(t, test.want, details)
			require.Equal(t, test.wrong, wrong)
		})
	}
}

// R35: of a proxy's URL only what is surely not the password is shown.
func TestShowProxy(t *testing.T) {
	for value, want := range map[string]string{
		"http://a:1":               "http://a:1",
		"a:1":                      "http://a:1",
		"SOCKS5://a/x?y#z":         "socks5://a",
		"http://alice:Zq7@a:1":     "http://a:1 (and user name and password, not shown)",
		"alice@a:1":                "http://a:1 (and user name and password, not shown)",
		"http://alice:Zq7/Zq7@a:1": "",
		"http://alice:1/Zq7@a:1":   "",
		"http://alice:1?Zq7@a:1":   "",
		"http://alice:1#Zq7@a:1":   "",
		"http://alice:%zz@a:1":     "",
		"http://:1":                "",
		"":                         "",
	} {
		shown, valid := env.ShowProxy(value)
		require.Equal(t, want != "", valid, value)
		if want == "" {
			want = "(not a valid URL, and not shown)"
		}
		require.Equal(t, want, shown)
	}
}

// Why a target has no proxy, and what to do.
func TestWhyNone(t *testing.T) {
	const set, https = "set HTTP_PROXY, or Transport.Proxy", "https://api.example.com"
	for name, test := range map[string]struct {
		read        func(testing.TB) *env.Proxies
		env         vars
		target      string
		why, remedy string
	}{
		"nothing":               {asNetHTTP, nil, "http://a.example", "HTTP_PROXY is not set", set},
		"nothing for https":     {asNetHTTP, nil, https, "HTTPS_PROXY is not set", "set HTTPS_PROXY, or Transport.Proxy"},
		"the other one":         {asNetHTTP, vars{"http_proxy": "http://p:1"}, https, "HTTP_PROXY is set, but HTTPS_PROXY is not, and that one counts for https:// targets", "set HTTPS_PROXY, or Transport.Proxy"},
		"the other way":         {asFromEnvironment, vars{"HTTPS_PROXY": "http://p:1"}, "http://a.example", "HTTPS_PROXY is set, but HTTP_PROXY is not, and that one counts for http:// targets", set},
		"ALL_PROXY is not read": {asNetHTTP, vars{"all_proxy": "http://p:1"}, "http://a.example", "ALL_PROXY is set, but net/http does not read it", set + ", or use FromEnvironment"},
		"switched off":          {asFromEnvironment, vars{"USE_PROXY": "no", "HTTPS_PROXY": "http://p:1"}, https, "USE_PROXY=no switches proxies off", "unset USE_PROXY"},
		"no URL":                {asNetHTTP, vars{"https_proxy": "http://alice:p%zzhush@p:1"}, https, "the value of https_proxy is not a valid URL, and net/http passes over it", env.CorrectURL},
		"localhost":             {asNetHTTP, vars{"HTTPS_PROXY": "http://p:1"}, "https://LOCALHOST:1", "the environment's proxy is never used for localhost and loopback addresses (a rule of net/http)", "name the host otherwise, or set Transport.Proxy"},
		"loopback":              {asNetHTTP, vars{"HTTPS_PROXY": "http://p:1"}, "https://[::1]", "the environment's proxy is never used for localhost and loopback addresses (a rule of net/http)", "name the host otherwise, or set Transport.Proxy"},
		"excluded":              {asNetHTTP, vars{"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, https, "NO_PROXY excludes api.example.com", "change NO_PROXY"},
		"excluded address":      {asNetHTTP, vars{"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3:1", "NO_PROXY excludes 10.1.2.3", "change NO_PROXY"},
		"in small letters":      {asFromEnvironment, vars{"ALL_PROXY": "http://p:1", "NO_PROXY": "x", "no_proxy": "api.example.com"}, https, "no_proxy excludes api.example.com", "change no_proxy"},
		"not by the environment": {asNetHTTP, vars{"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x"}, https,
			"Transport.Proxy (or Base.Proxy) gives none, though the environment has one", "look into that function; net/http reads the environment once for the process"},
		"a CGI program": {asNetHTTP, vars{"HTTP_PROXY": "http://p:1", "NO_PROXY": "x", "REQUEST_METHOD": "GET"}, "http://a.example",
			"Transport.Proxy (or Base.Proxy) gives none, though the environment has one", "look into that function; net/http reads the environment once for the process"},
		"no proxy for ftp": {asNetHTTP, vars{"HTTP_PROXY": "http://p:1", "NO_PROXY": ""}, "ftp://a.example",
			"Transport.Proxy (or Base.Proxy) gives none, though the environment has one", "look into that function; net/http reads the environment once for the process"},
	} {
		t.Run(name, func(t *testing.T) {
			test.env.set(t)
			target, err := url.Parse(test.target)
			require.NoError(t, err)
			why, remedy := test.read(t).WhyNone(target)
			require.Equal(t, test.why, why)
			require.Equal(t, test.remedy, remedy)
		})
	}
}
