package env_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpproxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

type vars map[string]string

// set makes v all that the environment says.
func (v vars) set(t testing.TB) {
	t.Helper()
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
		"USE_PROXY", "PROXY_USER", "PROXY_PASS", "PROXY_PASS_FILE", "REQUEST_METHOD", "NETRC",
		"KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "SSL_CERT_FILE", "SSL_CERT_DIR",
	} {
		t.Setenv(name, "") // which puts it back after the test
		require.NoError(t, os.Unsetenv(name))
	}
	for name, value := range v {
		require.NoError(t, os.Setenv(name, value))
	}
}

// by returns the proxy for a URL, "" where there is none.
func by(t testing.TB, v *env.Proxies, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	proxy, err := v.ProxyFunc()(u)
	require.NoError(t, err)
	if proxy == nil {
		return ""
	}
	return proxy.String()
}

// R31: the proxy for http:// and https:// by each variable, alone and in conflict.
func TestReadProxies(t *testing.T) {
	for name, test := range map[string]struct {
		env                  vars
		forHTTP, forHTTPS    string // for http://site.example and https://site.example
		target, targetGoesBy string
	}{
		"nothing":                {},
		"HTTP_PROXY":             {env: vars{"HTTP_PROXY": "http://a:1"}, forHTTP: "http://a:1"},
		"http_proxy":             {env: vars{"http_proxy": "http://a:1"}, forHTTP: "http://a:1"},
		"HTTPS_PROXY":            {env: vars{"HTTPS_PROXY": "http://a:1"}, forHTTPS: "http://a:1"},
		"https_proxy":            {env: vars{"https_proxy": "https://a"}, forHTTPS: "https://a"},
		"ALL_PROXY":              {env: vars{"ALL_PROXY": "socks5://a:1"}, forHTTP: "socks5://a:1", forHTTPS: "socks5://a:1"},
		"all_proxy":              {env: vars{"all_proxy": "socks5h://a:1"}, forHTTP: "socks5h://a:1", forHTTPS: "socks5h://a:1"},
		"both":                   {env: vars{"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:2"}, forHTTP: "http://a:1", forHTTPS: "http://b:2"},
		"the rest to ALL_PROXY":  {env: vars{"HTTP_PROXY": "http://a:1", "ALL_PROXY": "http://b:2"}, forHTTP: "http://a:1", forHTTPS: "http://b:2"},
		"nothing to ALL_PROXY":   {env: vars{"HTTP_PROXY": "http://a:1", "https_proxy": "http://a:1", "ALL_PROXY": "socks4://b"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"empty is unset":         {env: vars{"http_proxy": "", "HTTP_PROXY": "http://a:1", "https_proxy": "", "all_proxy": "", "no_proxy": ""}, forHTTP: "http://a:1"},
		"lower case first":       {env: vars{"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2", "HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, forHTTP: "http://b:2", forHTTPS: "http://b:2"},
		"lower ALL_PROXY first":  {env: vars{"ALL_PROXY": "http://a:1", "all_proxy": "http://b:2"}, forHTTP: "http://b:2", forHTTPS: "http://b:2"},
		"not ALL_PROXY over a":   {env: vars{"HTTP_PROXY": "http://a:1", "all_proxy": "http://b:2", "HTTPS_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"host:port":              {env: vars{"HTTP_PROXY": "proxy.corp:3128", "HTTPS_PROXY": "proxy"}, forHTTP: "http://proxy.corp:3128", forHTTPS: "http://proxy"},
		"IP address":             {env: vars{"HTTP_PROXY": "127.0.0.1:3128", "HTTPS_PROXY": "[::1]:3128"}, forHTTP: "http://127.0.0.1:3128", forHTTPS: "http://[::1]:3128"},
		"scheme in upper case":   {env: vars{"HTTP_PROXY": "HTTP://a:1/"}, forHTTP: "http://a:1/"},
		"userinfo":               {env: vars{"HTTP_PROXY": "http://CORP%5Calice:p%40ss%2Fw%25@a:1"}, forHTTP: "http://CORP%5Calice:p%40ss%2Fw%25@a:1"},
		"userinfo, no scheme":    {env: vars{"HTTP_PROXY": "alice:p$ss@a:1"}, forHTTP: "http://alice:p$ss@a:1"},
		"user name alone":        {env: vars{"HTTP_PROXY": "http://alice@a:1"}, forHTTP: "http://alice@a:1"},
		"NO_PROXY":               {env: vars{"ALL_PROXY": "http://a:1", "NO_PROXY": "x.example, example"}, target: "http://www.example", targetGoesBy: ""},
		"no_proxy":               {env: vars{"ALL_PROXY": "http://a:1", "no_proxy": "10.0.0.0/8,"}, target: "http://10.1.2.3", targetGoesBy: "", forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"NO_PROXY in conflict":   {env: vars{"ALL_PROXY": "http://a:1", "NO_PROXY": "*", "no_proxy": "other.example"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"NO_PROXY with a port":   {env: vars{"ALL_PROXY": "http://a:1", "NO_PROXY": "site.example:443,[2001:db8::1]:80,192.0.2.1:80"}, forHTTP: "http://a:1", target: "http://192.0.2.1", targetGoesBy: ""},
		"NO_PROXY of all":        {env: vars{"ALL_PROXY": "http://a:1", "NO_PROXY": "x y, *"}},
		"localhost":              {env: vars{"HTTP_PROXY": "http://a:1"}, forHTTP: "http://a:1", target: "http://localhost:80", targetGoesBy: ""},
		"below the domain":       {env: vars{"HTTP_PROXY": "http://a:1", "NO_PROXY": ".example,*.example"}, target: "http://example", targetGoesBy: "http://a:1"},
		"USE_PROXY=false":        {env: vars{"USE_PROXY": "false", "ALL_PROXY": "http://a:1", "HTTP_PROXY": "broken://"}},
		"USE_PROXY=No":           {env: vars{"USE_PROXY": "No", "ALL_PROXY": "http://a:1"}},
		"USE_PROXY=OFF":          {env: vars{"USE_PROXY": "OFF", "ALL_PROXY": "http://a:1"}},
		"USE_PROXY=0":            {env: vars{"USE_PROXY": "0", "ALL_PROXY": "http://a:1"}},
		"USE_PROXY=True":         {env: vars{"USE_PROXY": "True", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"USE_PROXY=yes":          {env: vars{"USE_PROXY": "yes", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"USE_PROXY=on":           {env: vars{"USE_PROXY": "on", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"USE_PROXY=1":            {env: vars{"USE_PROXY": "1", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"CGI without HTTP_PROXY": {env: vars{"REQUEST_METHOD": "GET", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
	} {
		t.Run(name, func(t *testing.T) {
			test.env.set(t)
			v, err := env.ReadProxies()
			require.NoError(t, err)
			vars{}.set(t) // it was read
			require.Equal(t, test.forHTTP, by(t, &v, "http://site.example/path"))
			require.Equal(t, test.forHTTPS, by(t, &v, "https://site.example"))
			if test.target != "" {
				require.Equal(t, test.targetGoesBy, by(t, &v, test.target))
			}
			require.Empty(t, v.Mistakes())
		})
	}
	vars{"USE_PROXY": "flase", "HTTP_PROXY": "://"}.set(t)
	_, err := env.ReadProxies()
	require.EqualError(t, err, `proxyauth: USE_PROXY: "flase" is neither true nor false`)
}

// Which of two cases counts is httpproxy's to say, and, as net/http does it, the
// other one (http.ProxyFromEnvironment reads the environment only once).
func TestLikeHTTPProxy(t *testing.T) {
	values := vars{"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2", "HTTPS_PROXY": "http://c:3", "https_proxy": "http://d:4", "NO_PROXY": "x.example", "no_proxy": "y.example"}
	names := []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
	for set := range 1 << len(names) {
		some, swapped := vars{}, vars{}
		for i, name := range names {
			if set&(1<<i) != 0 {
				some[name], swapped[names[i^1]] = values[name], values[name]
			}
		}
		proxies := func() [2]*env.Proxies {
			some.set(t)
			v, err := env.ReadProxies()
			require.NoError(t, err)
			swapped.set(t)
			return [2]*env.Proxies{&v, env.NetHTTPProxies()}
		}()
		some.set(t)
		proxyFor := httpproxy.FromEnvironment().ProxyFunc()
		for _, target := range []string{"http://x.example", "https://x.example", "http://y.example", "https://y.example", "ftp://z.example"} {
			u, err := url.Parse(target)
			require.NoError(t, err)
			want, err := proxyFor(u)
			require.NoError(t, err)
			for _, v := range proxies {
				got, err := v.ProxyFunc()(u)
				require.NoError(t, err)
				require.Equal(t, want, got, "%v %s", some, target)
			}
		}
	}
}

// In a CGI program HTTP_PROXY may be a field of a request; ALL_PROXY may not.
func TestCGI(t *testing.T) {
	target := &url.URL{Scheme: "http", Host: "site.example"}
	vars{"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil:1", "HTTPS_PROXY": "http://a:1"}.set(t)
	v, err := env.ReadProxies()
	require.NoError(t, err)
	for _, v := range []*env.Proxies{&v, env.NetHTTPProxies()} {
		_, err := v.ProxyFunc()(target)
		require.ErrorContains(t, err, "refusing to use HTTP_PROXY")
		require.Equal(t, "http://a:1", by(t, v, "https://site.example"))
	}
}

func TestFor(t *testing.T) {
	vars{"http_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}.set(t)
	v, err := env.ReadProxies()
	require.NoError(t, err)
	require.Equal(t, env.Variable{Name: "http_proxy", Value: "http://a:1"}, v.For("http"))
	require.Equal(t, env.Variable{Name: "HTTPS_PROXY", Value: "http://b:2"}, v.For("https"))
	vars{}.set(t)
	require.Equal(t, env.Variable{Name: "http_proxy"}, env.NetHTTPProxies().For("http"))
}

// mistakes returns what is wrong with the variables, without the beginning that is
// common to all.
func mistakes(t testing.TB, begin string) (texts []string) {
	v, err := env.ReadProxies()
	require.NoError(t, err)
	for _, err := range v.Mistakes() {
		text, ok := strings.CutPrefix(err.Error(), "proxyauth: "+begin)
		require.True(t, ok, err)
		texts = append(texts, text)
	}
	return texts
}

// R35: each mistake is told once, by the name of the variable.
func TestMistakes(t *testing.T) {
	const noHost, scheme = "it has no host: write http://host:port", `scheme "x" is not supported: use http, https, socks5 or socks5h`
	for _, test := range []struct {
		env  vars
		want []string
	}{
		{vars{}, nil},
		{vars{"HTTP_PROXY": ":1"}, []string{"HTTP_PROXY: " + noHost}},
		{vars{"https_proxy": ":1"}, []string{"https_proxy: " + noHost}},
		{vars{"ALL_PROXY": ":1"}, []string{"ALL_PROXY: " + noHost}},
		{vars{"HTTP_PROXY": ":1", "HTTPS_PROXY": ":1"}, []string{"HTTP_PROXY: " + noHost, "HTTPS_PROXY: " + noHost}},
		{vars{"HTTP_PROXY": ":1", "https_proxy": "x://y", "NO_PROXY": "a b"}, []string{
			"HTTP_PROXY: " + noHost, "https_proxy: " + scheme, `NO_PROXY: entry 1 "a b" can never match: separate entries by commas`}},
	} {
		test.env.set(t)
		require.Equal(t, test.want, mistakes(t, ""))
	}
}
