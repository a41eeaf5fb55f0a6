package proxyauth_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// setEnv makes env all that the environment says about proxies.
func setEnv(t testing.TB, env map[string]string) {
	t.Helper()
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
		"USE_PROXY", "PROXY_USER", "PROXY_PASS", "PROXY_PASS_FILE", "REQUEST_METHOD",
	} {
		t.Setenv(name, "") // which puts it back after the test
		require.NoError(t, os.Unsetenv(name))
	}
	for name, value := range env {
		require.NoError(t, os.Setenv(name, value))
	}
}

// writeSecret writes a file that only its owner can read.
func writeSecret(t testing.TB, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// R31: the proxy for http:// and https://, as the environment was when the Transport
// was made. Package env has all the cases.
func TestFromEnvironmentProxies(t *testing.T) {
	for name, test := range map[string]struct {
		env                  map[string]string
		forHTTP, forHTTPS    string // for http://site.example and https://site.example
		target, targetGoesBy string
	}{
		"nothing":           {},
		"HTTP_PROXY":        {env: map[string]string{"HTTP_PROXY": "http://a:1"}, forHTTP: "http://a:1"},
		"https_proxy":       {env: map[string]string{"https_proxy": "https://a"}, forHTTPS: "https://a"},
		"ALL_PROXY":         {env: map[string]string{"ALL_PROXY": "socks5://a:1"}, forHTTP: "socks5://a:1", forHTTPS: "socks5://a:1"},
		"userinfo":          {env: map[string]string{"HTTP_PROXY": "http://CORP%5Calice:p%40ss%2Fw%25@a:1"}, forHTTP: "http://CORP%5Calice:p%40ss%2Fw%25@a:1"},
		"NO_PROXY":          {env: map[string]string{"ALL_PROXY": "http://a:1", "NO_PROXY": "x.example, example"}, target: "http://www.example", targetGoesBy: ""},
		"USE_PROXY=false":   {env: map[string]string{"USE_PROXY": "false", "ALL_PROXY": "http://a:1", "HTTP_PROXY": "broken://", "PROXY_PASS": "alone"}},
		"credentials alone": {env: map[string]string{"PROXY_USER": "alice", "PROXY_PASS": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, test.env)
			tr, err := proxyauth.FromEnvironment()
			require.NoError(t, err)
			require.Nil(t, tr.Base)
			require.Nil(t, tr.Credentials)
			setEnv(t, nil)
			by := func(target string) string {
				req, err := http.NewRequest("GET", target, nil)
				require.NoError(t, err)
				u, err := tr.Proxy(req)
				require.NoError(t, err)
				if u == nil {
					return ""
				}
				return u.String()
			}
			require.Equal(t, test.forHTTP, by("http://site.example/path"))
			require.Equal(t, test.forHTTPS, by("https://site.example"))
			if test.target != "" {
				require.Equal(t, test.targetGoesBy, by(test.target))
			}
		})
	}
}

func TestFromEnvironmentCGI(t *testing.T) {
	setEnv(t, map[string]string{"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil:1", "HTTPS_PROXY": "http://a:1"})
	tr, err := proxyauth.FromEnvironment()
	require.NoError(t, err)
	_, _, err = fetch(tr, "http://site.example/")
	require.ErrorContains(t, err, "proxyauth: refusing to use HTTP_PROXY")
	u, err := tr.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: "site.example"}})
	require.NoError(t, err)
	require.Equal(t, "http://a:1", u.String())
}

// R35: a broken value gives one clear line, without what is secret in it. Package env
// has all the cases.
func TestFromEnvironmentMistakes(t *testing.T) {
	const raw = `: a special character in the user name or password is not percent-encoded: write "@" as %40, "/" as %2F, "\" as %5C, ` +
		`"#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`
	const secret = "Zq7"
	empty := writeSecret(t, "\n")
	missing := empty + ".missing"
	type env = map[string]string
	for name, test := range map[string]struct {
		env  env
		want []string // lines without their "proxyauth: "
	}{
		"raw @":                   {env{"HTTP_PROXY": "http://alice:Zq7@Zq7@proxy:3128"}, []string{"HTTP_PROXY" + raw}},
		"NO_PROXY userinfo":       {env{"NO_PROXY": "http://alice:Zq7@b.example"}, []string{`NO_PROXY: entry 1 (not shown) can never match: write the host of the URL alone`}},
		"USE_PROXY":               {env{"USE_PROXY": "flase", "HTTP_PROXY": "://"}, []string{`USE_PROXY: "flase" is neither true nor false`}},
		"both passwords":          {env{"PROXY_USER": "alice", "PROXY_PASS": secret, "PROXY_PASS_FILE": missing}, []string{"PROXY_PASS and PROXY_PASS_FILE are both set: keep one"}},
		"PROXY_PASS_FILE missing": {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": missing}, []string{"PROXY_PASS_FILE: " + missing + ": no such file or directory"}},
		"PROXY_PASS_FILE empty":   {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": empty}, []string{"PROXY_PASS_FILE: " + empty + ": it is empty"}},
		"several": {env{"HTTP_PROXY": ":1", "https_proxy": "x://y", "NO_PROXY": "a b", "PROXY_PASS": secret}, []string{
			"HTTP_PROXY: it has no host: write http://host:port",
			`https_proxy: scheme "x" is not supported: use http, https, socks5 or socks5h`,
			`NO_PROXY: entry 1 "a b" can never match: separate entries by commas`,
			"PROXY_USER is not set, but PROXY_PASS is",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, test.env)
			tr, err := proxyauth.FromEnvironment()
			require.Nil(t, tr)
			require.EqualError(t, err, "proxyauth: "+strings.Join(test.want, "\nproxyauth: "))
			require.NotContains(t, err.Error(), secret)
		})
	}
}

// The credentials go over the wire, whichever way they are set. (The targets
// have names that only the proxy knows, since the environment's proxies are
// never used for loopback addresses.)
func TestFromEnvironmentCredentials(t *testing.T) {
	o := newOrigin(t)
	type env = map[string]string
	for name, test := range map[string]struct {
		userinfo string
		env      env
		want     string // user
	}{
		"PROXY_USER":              {"", env{"PROXY_USER": "alice", "PROXY_PASS": "open sesame"}, "alice"},
		"not percent-encoded":     {"", env{"PROXY_USER": `CORP\bob`, "PROXY_PASS": "p@ss:w/rd#%41"}, `CORP\bob`},
		"PROXY_PASS_FILE":         {"", env{"PROXY_USER": "alice", "PROXY_PASS_FILE": writeSecret(t, "open sesame\n")}, "alice"},
		"PROXY_PASS empty":        {"", env{"PROXY_USER": "alice", "PROXY_PASS": "", "PROXY_PASS_FILE": writeSecret(t, "open sesame\r\n")}, "alice"},
		"no password":             {"", env{"PROXY_USER": "nopass", "PROXY_PASS": ""}, "nopass"},
		"userinfo":                {"alice:open%20sesame@", nil, "alice"},
		"percent-encoded domain":  {"CORP%5Cbob:p%40ss%3Aw%2Frd%23%2541@", nil, `CORP\bob`},
		"userinfo and PROXY_USER": {"alice:open%20sesame@", env{"PROXY_USER": "nopass", "PROXY_PASS": "other"}, "alice"},
		"userinfo without a password and PROXY_PASS": {"nopass@", env{"PROXY_USER": "alice", "PROXY_PASS": "open sesame"}, "nopass"},
	} {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			p := start(proxytest.Config{
				Auth:  []proxytest.Auth{proxytest.Basic{Realm: "r"}},
				Users: map[string]string{"alice": "open sesame", `CORP\bob`: "p@ss:w/rd#%41", "nopass": ""},
				Dial:  dialOnly(o.HTTP.Listener.Addr().String()),
			})
			t.Cleanup(p.Close)
			t.Run(p.URL.Scheme+"/"+name, func(t *testing.T) {
				env := env{"ALL_PROXY": p.URL.Scheme + "://" + test.userinfo + p.URL.Host}
				for name, value := range test.env {
					env[name] = value
				}
				setEnv(t, env)
				tr, err := proxyauth.FromEnvironment()
				require.NoError(t, err)
				setEnv(t, nil)
				t.Cleanup(tr.CloseIdleConnections)
				tr.ProxyTLSClientConfig = p.ClientTLSConfig()
				requireOK(t, tr, "http://site.example/")
				c, err := tr.DialContext(context.Background(), "tcp", "site.example:80")
				require.NoError(t, err)
				c.Close()
				var users []string
				for _, leg := range p.Transcript() {
					users = append(users, leg.User)
				}
				require.Equal(t, []string{"", test.want, test.want}, users)
			})
		}
	}
}

// A program's own source takes the place of the environment's, as in the zero
// value.
func TestFromEnvironmentOwnCredentials(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Dial: dialOnly(o.HTTP.Listener.Addr().String())})
	setEnv(t, map[string]string{"HTTP_PROXY": p.URL.String(), "PROXY_USER": "nobody", "PROXY_PASS": "x"})
	tr, err := proxyauth.FromEnvironment()
	require.NoError(t, err)
	tr.Credentials = proxyauth.UserPassword("alice", "open sesame")
	t.Cleanup(tr.CloseIdleConnections)
	requireOK(t, tr, "http://site.example/")
	require.Zero(t, p.Attempts("nobody"))
}

// Two Transports of one process have the environments of their time.
func TestFromEnvironmentIsNotCached(t *testing.T) {
	o := newOrigin(t)
	for range 2 {
		p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Dial: dialOnly(o.HTTP.Listener.Addr().String())})
		setEnv(t, map[string]string{"http_proxy": p.URLFor("alice", "open sesame").String()})
		tr, err := proxyauth.FromEnvironment()
		require.NoError(t, err)
		t.Cleanup(tr.CloseIdleConnections)
		requireOK(t, tr, "http://site.example/")
		require.Equal(t, 1, p.Attempts("alice"))
	}
}

// The zero value and EnvironmentCredentials have the same rules for the
// credentials, when they are asked.
func TestZeroValueCredentials(t *testing.T) {
	o := newOrigin(t)
	for name, change := range map[string]func(*proxyauth.Transport){
		"nil":                    func(tr *proxyauth.Transport) { tr.Credentials = nil },
		"EnvironmentCredentials": func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.EnvironmentCredentials() },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r"}}, Users: alice})
			tr := newTransport(t, p, o)
			change(tr.Transport)
			setEnv(t, nil)
			_, _, err := fetch(tr, o.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrNoCredentials)

			setEnv(t, map[string]string{"PROXY_PASS": "open sesame"})
			_, _, err = fetch(tr, o.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
			require.ErrorContains(t, err, "failed: PROXY_USER is not set, but PROXY_PASS is")
			require.NotContains(t, err.Error(), "sesame")
			require.Empty(t, sent(p))

			path := writeSecret(t, "wrong")
			setEnv(t, map[string]string{"PROXY_USER": "alice", "PROXY_PASS_FILE": path})
			_, _, err = fetch(tr, o.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			require.NoError(t, os.WriteFile(path, []byte("open sesame"), 0o600))
			requireOK(t, tr, o.HTTP.URL)
			require.Equal(t, 1, p.Refused("alice"))
		})
	}
}
