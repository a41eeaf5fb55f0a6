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
	"golang.org/x/net/http/httpproxy"

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

// R31: the proxy for http:// and https:// by each variable, alone and in conflict.
func TestFromEnvironmentProxies(t *testing.T) {
	for name, test := range map[string]struct {
		env                  map[string]string
		forHTTP, forHTTPS    string // for http://site.example and https://site.example
		target, targetGoesBy string
	}{
		"nothing":                {},
		"HTTP_PROXY":             {env: map[string]string{"HTTP_PROXY": "http://a:1"}, forHTTP: "http://a:1"},
		"http_proxy":             {env: map[string]string{"http_proxy": "http://a:1"}, forHTTP: "http://a:1"},
		"HTTPS_PROXY":            {env: map[string]string{"HTTPS_PROXY": "http://a:1"}, forHTTPS: "http://a:1"},
		"https_proxy":            {env: map[string]string{"https_proxy": "https://a"}, forHTTPS: "https://a"},
		"ALL_PROXY":              {env: map[string]string{"ALL_PROXY": "socks5://a:1"}, forHTTP: "socks5://a:1", forHTTPS: "socks5://a:1"},
		"all_proxy":              {env: map[string]string{"all_proxy": "socks5h://a:1"}, forHTTP: "socks5h://a:1", forHTTPS: "socks5h://a:1"},
		"both":                   {env: map[string]string{"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:2"}, forHTTP: "http://a:1", forHTTPS: "http://b:2"},
		"the rest to ALL_PROXY":  {env: map[string]string{"HTTP_PROXY": "http://a:1", "ALL_PROXY": "http://b:2"}, forHTTP: "http://a:1", forHTTPS: "http://b:2"},
		"nothing to ALL_PROXY":   {env: map[string]string{"HTTP_PROXY": "http://a:1", "https_proxy": "http://a:1", "ALL_PROXY": "socks4://b"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"empty is unset":         {env: map[string]string{"http_proxy": "", "HTTP_PROXY": "http://a:1", "https_proxy": "", "all_proxy": "", "no_proxy": ""}, forHTTP: "http://a:1"},
		"lower case first":       {env: map[string]string{"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2", "HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, forHTTP: "http://b:2", forHTTPS: "http://b:2"},
		"lower ALL_PROXY first":  {env: map[string]string{"ALL_PROXY": "http://a:1", "all_proxy": "http://b:2"}, forHTTP: "http://b:2", forHTTPS: "http://b:2"},
		"not ALL_PROXY over a":   {env: map[string]string{"HTTP_PROXY": "http://a:1", "all_proxy": "http://b:2", "HTTPS_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"host:port":              {env: map[string]string{"HTTP_PROXY": "proxy.corp:3128", "HTTPS_PROXY": "proxy"}, forHTTP: "http://proxy.corp:3128", forHTTPS: "http://proxy"},
		"IP address":             {env: map[string]string{"HTTP_PROXY": "127.0.0.1:3128", "HTTPS_PROXY": "[::1]:3128"}, forHTTP: "http://127.0.0.1:3128", forHTTPS: "http://[::1]:3128"},
		"scheme in upper case":   {env: map[string]string{"HTTP_PROXY": "HTTP://a:1/"}, forHTTP: "http://a:1/"},
		"userinfo":               {env: map[string]string{"HTTP_PROXY": "http://CORP%5Calice:p%40ss%2Fw%25@a:1"}, forHTTP: "http://CORP%5Calice:p%40ss%2Fw%25@a:1"},
		"userinfo, no scheme":    {env: map[string]string{"HTTP_PROXY": "alice:p$ss@a:1"}, forHTTP: "http://alice:p$ss@a:1"},
		"user name alone":        {env: map[string]string{"HTTP_PROXY": "http://alice@a:1"}, forHTTP: "http://alice@a:1"},
		"NO_PROXY":               {env: map[string]string{"ALL_PROXY": "http://a:1", "NO_PROXY": "x.example, example"}, target: "http://www.example", targetGoesBy: ""},
		"no_proxy":               {env: map[string]string{"ALL_PROXY": "http://a:1", "no_proxy": "10.0.0.0/8,"}, target: "http://10.1.2.3", targetGoesBy: "", forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"NO_PROXY in conflict":   {env: map[string]string{"ALL_PROXY": "http://a:1", "NO_PROXY": "*", "no_proxy": "other.example"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"NO_PROXY with a port":   {env: map[string]string{"ALL_PROXY": "http://a:1", "NO_PROXY": "site.example:443,[2001:db8::1]:80,192.0.2.1:80"}, forHTTP: "http://a:1", target: "http://192.0.2.1", targetGoesBy: ""},
		"NO_PROXY of all":        {env: map[string]string{"ALL_PROXY": "http://a:1", "NO_PROXY": "x y, *"}},
		"localhost":              {env: map[string]string{"HTTP_PROXY": "http://a:1"}, forHTTP: "http://a:1", target: "http://localhost:80", targetGoesBy: ""},
		"below the domain":       {env: map[string]string{"HTTP_PROXY": "http://a:1", "NO_PROXY": ".example,*.example"}, target: "http://example", targetGoesBy: "http://a:1"},
		"USE_PROXY=false":        {env: map[string]string{"USE_PROXY": "false", "ALL_PROXY": "http://a:1", "HTTP_PROXY": "broken://", "PROXY_PASS": "alone"}},
		"USE_PROXY=No":           {env: map[string]string{"USE_PROXY": "No", "ALL_PROXY": "http://a:1"}},
		"USE_PROXY=OFF":          {env: map[string]string{"USE_PROXY": "OFF", "ALL_PROXY": "http://a:1"}},
		"USE_PROXY=0":            {env: map[string]string{"USE_PROXY": "0", "ALL_PROXY": "http://a:1"}},
		"USE_PROXY=True":         {env: map[string]string{"USE_PROXY": "True", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"USE_PROXY=yes":          {env: map[string]string{"USE_PROXY": "yes", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"USE_PROXY=on":           {env: map[string]string{"USE_PROXY": "on", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"USE_PROXY=1":            {env: map[string]string{"USE_PROXY": "1", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"CGI without HTTP_PROXY": {env: map[string]string{"REQUEST_METHOD": "GET", "ALL_PROXY": "http://a:1"}, forHTTP: "http://a:1", forHTTPS: "http://a:1"},
		"credentials alone":      {env: map[string]string{"PROXY_USER": "alice", "PROXY_PASS": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, test.env)
			tr, err := proxyauth.FromEnvironment()
			require.NoError(t, err)
			require.Nil(t, tr.Base)
			require.Nil(t, tr.Credentials)
			setEnv(t, nil) // it was read when the Transport was made
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

// Which of two cases counts is httpproxy's to say.
func TestFromEnvironmentLikeHTTPProxy(t *testing.T) {
	values := map[string]string{"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2", "HTTPS_PROXY": "http://c:3", "https_proxy": "http://d:4", "NO_PROXY": "x.example", "no_proxy": "y.example"}
	names := []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
	for set := range 1 << len(names) {
		env := make(map[string]string)
		for i, name := range names {
			if set&(1<<i) != 0 {
				env[name] = values[name]
			}
		}
		setEnv(t, env)
		tr, err := proxyauth.FromEnvironment()
		require.NoError(t, err)
		proxyFor := httpproxy.FromEnvironment().ProxyFunc()
		for _, target := range []string{"http://x.example", "https://x.example", "http://y.example", "https://y.example", "ftp://z.example"} {
			u, err := url.Parse(target)
			require.NoError(t, err)
			want, err := proxyFor(u)
			require.NoError(t, err)
			got, err := tr.Proxy(&http.Request{URL: u})
			require.NoError(t, err)
			require.Equal(t, want, got, "%v %s", env, target)
		}
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

// R35: a broken value gives one clear line, without what is secret in it.
func TestFromEnvironmentMistakes(t *testing.T) {
	const raw = `: a special character in the user name or password is not percent-encoded: write "@" as %40, "/" as %2F, "\" as %5C, ` +
		`"#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`
	const secret = "Zq7"
	dir := t.TempDir()
	at := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	open, empty, lines := at("open", secret, 0o644), at("empty", "\n", 0o600), at("lines", secret+"\n"+secret, 0o600)
	writable := at("writable", secret, 0o620)
	missing := filepath.Join(dir, "missing")
	type env = map[string]string
	for name, test := range map[string]struct {
		env  env
		want []string // lines without their "proxyauth: "
	}{
		"raw @":          {env{"HTTP_PROXY": "http://alice:Zq7@Zq7@proxy:3128"}, []string{"HTTP_PROXY" + raw}},
		"raw @ in realm": {env{"HTTP_PROXY": "http://alice@CORP:Zq7@proxy:3128"}, []string{"HTTP_PROXY" + raw}},
		"raw #":          {env{"http_proxy": "http://alice:Zq7#Zq7@proxy:3128"}, []string{"http_proxy" + raw}},
		"raw /":          {env{"HTTPS_PROXY": "http://alice:Zq7/Zq7@proxy:3128"}, []string{"HTTPS_PROXY" + raw}},
		"raw ?":          {env{"https_proxy": "http://alice:Zq7?Zq7@proxy:3128"}, []string{"https_proxy" + raw}},
		`raw \`:          {env{"ALL_PROXY": `http://CORP\alice:Zq7@proxy`}, []string{"ALL_PROXY" + raw}},
		"raw blank":      {env{"all_proxy": "http://alice:Zq7 Zq7@proxy"}, []string{"all_proxy" + raw}},
		"raw ://":        {env{"HTTP_PROXY": "alice:Zq7://Zq7@proxy"}, []string{"HTTP_PROXY" + raw}},
		"raw umlaut":     {env{"HTTP_PROXY": "http://alice:Zq7ü@proxy"}, []string{"HTTP_PROXY" + raw}},
		"unexpanded":     {env{"HTTP_PROXY": "http://${USER}:Zq7@proxy"}, []string{"HTTP_PROXY" + raw}},
		"raw % and more": {env{"HTTP_PROXY": "http://alice:Zq7%Zq7@proxy"}, []string{`HTTP_PROXY: a "%" in the user name or password is not followed by two hexadecimal digits: write "%" itself as %25`}},
		"raw % at end":   {env{"HTTP_PROXY": "http://alice:Zq7%@proxy"}, []string{`HTTP_PROXY: a "%" in the user name or password is not followed by two hexadecimal digits: write "%" itself as %25`}},
		"line break":     {env{"HTTP_PROXY": "http://alice:Zq7%0A@proxy"}, []string{"HTTP_PROXY: the user name or password has a line break or another control character"}},
		"no user name":   {env{"HTTP_PROXY": "http://:Zq7@proxy"}, []string{`HTTP_PROXY: it has no user name before the "@"`}},
		"empty userinfo": {env{"HTTP_PROXY": "http://@proxy"}, []string{`HTTP_PROXY: it has no user name before the "@"`}},

		"two, with commas": {env{"HTTP_PROXY": "http://a:3128,http://b:3128"}, []string{"HTTP_PROXY: its host has a character that no name has: write one proxy, http://host:port"}},
		"variable":         {env{"HTTP_PROXY": "http://$(PROXY_HOST):3128"}, []string{"HTTP_PROXY: a variable in it was not expanded: write http://host:port"}},
		"quoted NO_PROXY":  {env{"NO_PROXY": `".corp.example"`}, []string{`NO_PROXY: entry 1 "\".corp.example\"" can never match: remove the quotation marks`}},
		"variable in list": {env{"NO_PROXY": "$X"}, []string{`NO_PROXY: entry 1 "$X" can never match: a variable in it was not expanded`}},
		"word for a port":  {env{"HTTP_PROXY": "http://proxy:Zq7"}, []string{"HTTP_PROXY: its port is not a number from 1 to 65535"}},
		"no port":          {env{"HTTP_PROXY": "http://alice:Zq7@proxy:"}, []string{"HTTP_PROXY: its port is not a number from 1 to 65535"}},
		"port 0":           {env{"HTTP_PROXY": "http://[::1]:0"}, []string{"HTTP_PROXY: its port is not a number from 1 to 65535"}},
		"port 65536":       {env{"HTTP_PROXY": "proxy:65536"}, []string{"HTTP_PROXY: its port is not a number from 1 to 65535"}},
		"scheme":           {env{"HTTP_PROXY": "htp://alice:Zq7@proxy"}, []string{`HTTP_PROXY: scheme "htp" is not supported: use http, https, socks5 or socks5h`}},
		"SOCKS 4":          {env{"ALL_PROXY": "socks4://proxy"}, []string{`ALL_PROXY: scheme "socks4" is not supported: use http, https, socks5 or socks5h`}},
		"no scheme":        {env{"ALL_PROXY": "://proxy"}, []string{`ALL_PROXY: scheme "" is not supported: use http, https, socks5 or socks5h`}},
		"no host":          {env{"HTTP_PROXY": "http://"}, []string{"HTTP_PROXY: it has no host: write http://host:port"}},
		"port alone":       {env{"HTTP_PROXY": ":3128"}, []string{"HTTP_PROXY: it has no host: write http://host:port"}},
		"user alone":       {env{"HTTP_PROXY": "http://alice:Zq7@"}, []string{"HTTP_PROXY: it has no host: write http://host:port"}},
		"one slash":        {env{"HTTP_PROXY": "http:/proxy:3128"}, []string{"HTTP_PROXY: it is not of the form http://host:port"}},
		"no colon":         {env{"HTTP_PROXY": "http//proxy:3128"}, []string{"HTTP_PROXY: it is not of the form http://host:port"}},
		"Windows":          {env{"HTTP_PROXY": "http=proxy:3128;https=proxy:3128"}, []string{"HTTP_PROXY: it has the form of the settings of Windows: write http://host:port"}},
		"semicolon":        {env{"HTTP_PROXY": "http://proxy;3128"}, []string{"HTTP_PROXY: its host has a character that no name has: write one proxy, http://host:port"}},
		"two proxies":      {env{"HTTP_PROXY": "http://proxy,other:3128"}, []string{"HTTP_PROXY: its host has a character that no name has: write one proxy, http://host:port"}},
		"no name":          {env{"HTTP_PROXY": "http://-ü-.example:3128"}, []string{"HTTP_PROXY: its host is not a name"}},
		"backslashes":      {env{"HTTP_PROXY": `http:\\proxy:3128`}, []string{"HTTP_PROXY: it is not of the form http://host:port"}},
		"host":             {env{"HTTP_PROXY": "http://pro xy:3128"}, []string{"HTTP_PROXY: it is not of the form http://host:port"}},
		"bracket":          {env{"HTTP_PROXY": "http://[::1:3128"}, []string{"HTTP_PROXY: it is not of the form http://host:port"}},
		"no brackets":      {env{"HTTP_PROXY": "http://::1:3128"}, []string{"HTTP_PROXY: its host has colons: write an IPv6 address in brackets, http://[::1]:3128"}},
		"PAC":              {env{"HTTP_PROXY": "http://proxy/proxy.pac"}, []string{"HTTP_PROXY: something follows on the host: write http://host:port (the address of a PAC file is not that of a proxy)"}},
		"query":            {env{"HTTP_PROXY": "http://proxy:1?Zq7"}, []string{"HTTP_PROXY: something follows on the host: write http://host:port (the address of a PAC file is not that of a proxy)"}},
		"quotes":           {env{"HTTP_PROXY": `"http://proxy:3128"`}, []string{"HTTP_PROXY: it is in quotation marks: remove them"}},
		"line end":         {env{"HTTP_PROXY": "http://alice:Zq7@proxy:3128\r\n"}, []string{"HTTP_PROXY: it begins or ends with white space"}},
		"blank":            {env{"HTTP_PROXY": " "}, []string{"HTTP_PROXY: it begins or ends with white space"}},

		"NO_PROXY URL":      {env{"NO_PROXY": "a.example, http://b.example"}, []string{`NO_PROXY: entry 2 "http://b.example" can never match: write the host of the URL alone`}},
		"NO_PROXY userinfo": {env{"NO_PROXY": "http://alice:Zq7@b.example"}, []string{`NO_PROXY: entry 1 (not shown) can never match: write the host of the URL alone`}},
		"NO_PROXY blanks":   {env{"no_proxy": "a.example b.example"}, []string{`no_proxy: entry 1 "a.example b.example" can never match: separate entries by commas`}},
		"NO_PROXY Windows":  {env{"NO_PROXY": "<local>"}, []string{`NO_PROXY: entry 1 "<local>" can never match: it is a form of Windows; localhost is always excluded, other names without a dot one by one`}},
		"NO_PROXY ;":        {env{"NO_PROXY": "a;b"}, []string{`NO_PROXY: entry 1 "a;b" can never match: separate entries by commas`}},
		"NO_PROXY network":  {env{"NO_PROXY": "10.0.0.0/33"}, []string{`NO_PROXY: entry 1 "10.0.0.0/33" can never match: it is not a network such as 10.0.0.0/8, and has a slash`}},
		"NO_PROXY path":     {env{"NO_PROXY": "a.example/x"}, []string{`NO_PROXY: entry 1 "a.example/x" can never match: it is not a network such as 10.0.0.0/8, and has a slash`}},
		"NO_PROXY port":     {env{"NO_PROXY": "a.example:http"}, []string{`NO_PROXY: entry 1 "a.example:http" can never match: its port is not a number from 1 to 65535`}},
		"NO_PROXY no host":  {env{"NO_PROXY": ":80"}, []string{`NO_PROXY: entry 1 ":80" can never match: it has no host`}},
		"NO_PROXY star":     {env{"NO_PROXY": "10.*,*corp"}, []string{`NO_PROXY: entry 1 "10.*" can never match: * stands alone or in *.domain only, and a network is written 10.0.0.0/8`, `NO_PROXY: entry 2 "*corp" can never match: * stands alone or in *.domain only, and a network is written 10.0.0.0/8`}},
		"NO_PROXY brackets": {env{"NO_PROXY": "[::1]"}, []string{`NO_PROXY: entry 1 "[::1]" can never match: write an IPv6 address without brackets, or as [address]:port`}},

		"USE_PROXY": {env{"USE_PROXY": "flase", "HTTP_PROXY": "://"}, []string{`USE_PROXY: "flase" is neither true nor false`}},

		"PROXY_PASS alone":      {env{"PROXY_PASS": secret}, []string{"PROXY_USER is not set, but PROXY_PASS is"}},
		"PROXY_PASS_FILE alone": {env{"PROXY_PASS_FILE": missing}, []string{"PROXY_USER is not set, but PROXY_PASS_FILE is"}},
		"PROXY_USER alone": {env{"PROXY_USER": "alice"}, []string{"PROXY_USER is set, but neither PROXY_PASS nor PROXY_PASS_FILE " +
			"(if the password is empty, or a ticket of this user is meant: set PROXY_PASS to the empty string)"}},
		"both passwords":          {env{"PROXY_USER": "alice", "PROXY_PASS": secret, "PROXY_PASS_FILE": missing}, []string{"PROXY_PASS and PROXY_PASS_FILE are both set: keep one"}},
		"PROXY_USER line break":   {env{"PROXY_USER": "alice\n", "PROXY_PASS": secret}, []string{"PROXY_USER has a line break or another control character"}},
		"PROXY_PASS line break":   {env{"PROXY_USER": "alice", "PROXY_PASS": secret + "\n"}, []string{"PROXY_PASS has a line break or another control character"}},
		"PROXY_PASS_FILE missing": {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": missing}, []string{"PROXY_PASS_FILE: " + missing + ": no such file or directory"}},
		"PROXY_PASS_FILE folder":  {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": dir}, []string{"PROXY_PASS_FILE: " + dir + ": it is not a regular file"}},
		"PROXY_PASS_FILE empty":   {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": empty}, []string{"PROXY_PASS_FILE: " + empty + ": it is empty"}},
		"PROXY_PASS_FILE lines":   {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": lines}, []string{"PROXY_PASS_FILE: " + lines + ": it has more than one line"}},
		"PROXY_PASS_FILE open":    {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": open}, []string{"PROXY_PASS_FILE: " + open + ": everyone can read it (mode 0644): chmod o-r, or in Kubernetes defaultMode: 0440"}},
		"PROXY_PASS_FILE written": {env{"PROXY_USER": "alice", "PROXY_PASS_FILE": writable}, []string{"PROXY_PASS_FILE: " + writable + ": others than its owner can write it (mode 0620): chmod go-w"}},

		"same mistake by ALL_PROXY": {env{"ALL_PROXY": ":1"}, []string{"ALL_PROXY: it has no host: write http://host:port"}},
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
