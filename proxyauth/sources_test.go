package proxyauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
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

// ask asks source for a proxy, and returns "user:password" or the error.
func ask(t testing.TB, source proxyauth.CredentialSource, proxy string) string {
	t.Helper()
	u, err := url.Parse(proxy)
	require.NoError(t, err)
	c, err := source.ProxyCredentials(context.Background(), proxyauth.CredentialRequest{Proxy: u, Scheme: "Basic", Realm: "r"})
	if err != nil {
		require.Equal(t, proxyauth.Credentials{}, c)
		return err.Error()
	}
	return c.Username + ":" + c.Password
}

const proxyURL, noneText = "http://proxy.example:3128", "proxyauth: no credentials for the proxy"

func TestFirstOf(t *testing.T) {
	user := func(name string) proxyauth.CredentialSource { return proxyauth.UserPassword(name, "x") }
	says := func(err error) proxyauth.CredentialSource {
		return proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			return proxyauth.Credentials{}, err
		})
	}
	wrapped := fmt.Errorf("vault: %w", proxyauth.ErrNoCredentials)
	for name, test := range map[string]struct {
		sources []proxyauth.CredentialSource
		want    string
	}{
		"nothing":          {nil, noneText},
		"nil":              {[]proxyauth.CredentialSource{nil, user("a"), nil}, "a:x"},
		"the first":        {[]proxyauth.CredentialSource{user("a"), user("b")}, "a:x"},
		"after none":       {[]proxyauth.CredentialSource{says(proxyauth.ErrNoCredentials), says(wrapped), user("a")}, "a:x"},
		"after empty":      {[]proxyauth.CredentialSource{says(nil), proxyauth.UserPassword("", ""), user("a")}, "a:x"},
		"all have none":    {[]proxyauth.CredentialSource{says(nil), says(wrapped)}, noneText},
		"an error ends it": {[]proxyauth.CredentialSource{says(nil), says(errVault), user("a")}, "vault is sealed"},
		"in another":       {[]proxyauth.CredentialSource{proxyauth.FirstOf(), proxyauth.FirstOf(says(nil), user("a"))}, "a:x"},
	} {
		t.Run(name, func(t *testing.T) {
			source := proxyauth.FirstOf(test.sources...)
			clear(test.sources) // it has a copy
			require.Equal(t, test.want, ask(t, source, proxyURL))
		})
	}
}

func TestPerProxy(t *testing.T) {
	sources := map[string]proxyauth.CredentialSource{
		"proxy.example": proxyauth.UserPassword("host", "1"), "PROXY.example:8080": proxyauth.UserPassword("port", "2"),
		"plain:80": proxyauth.UserPassword("plain", "3"), "plain:443": proxyauth.UserPassword("tls", "4"),
		"[2001:db8::1]:3128": proxyauth.UserPassword("v6 port", "5"), "2001:db8::1": proxyauth.UserPassword("v6", "6"),
		"[2001:db8::2]": proxyauth.UserPassword("brackets", "7"), "nil": nil,
		"bücher.example": proxyauth.UserPassword("idn", "8"), "XN--bcher-kva.example:1": proxyauth.UserPassword("idn port", "9"),
	}
	source := proxyauth.PerProxy(sources)
	clear(sources) // it has a copy
	for proxy, want := range map[string]string{
		"http://proxy.example:3128": "host:1", "http://Proxy.Example": "host:1", "http://proxy.example:8080": "port:2",
		"http://plain": "plain:3", "https://plain": "tls:4", "https://plain:80": "plain:3", "http://plain:81": noneText,
		"http://[2001:db8::1]:3128": "v6 port:5", "http://[2001:db8::1]": "v6:6", "http://[2001:DB8::2]:1": "brackets:7",
		"http://xn--bcher-kva.example": "idn:8", "http://BÜCHER.example:2": "idn:8", "http://bücher.example:1": "idn port:9",
		"http://nil": noneText, "http://www.proxy.example": noneText, "http://example": noneText,
	} {
		require.Equal(t, want, ask(t, source, proxy), proxy)
	}
	for _, key := range []string{"", ":80", "proxy:", "http://alice:Zq7@proxy", "alice:Zq7@proxy", "proxy/", "pro xy", "proxy:http"} {
		source := proxyauth.PerProxy(map[string]proxyauth.CredentialSource{"proxy": proxyauth.UserPassword("a", "b"), key: nil})
		require.Equal(t, "proxyauth: PerProxy: a key is not host or host:port", ask(t, source, "http://proxy"), key)
	}
	twice := proxyauth.PerProxy(map[string]proxyauth.CredentialSource{"proxy": nil, "PROXY": nil})
	require.Equal(t, "proxyauth: PerProxy: two keys for proxy", ask(t, twice, "http://proxy"))
}

func TestCredentialFiles(t *testing.T) {
	for name, test := range map[string]struct{ text, password, credentials string }{
		"Windows":      {"CORP\\alice:x\r\n", "u:CORP\\alice:x", "CORP\\alice:x"},
		"colons":       {"a:b:c:", "u:a:b:c:", "a:b:c:"},
		"no password":  {"alice:", "u:alice:", "alice:"},
		"empty":        {"", "PATH: it is empty", "PATH: it is empty"},
		"no colon":     {"Zq7", "u:Zq7", "PATH: it is not username:password"},
		"no user name": {":Zq7", "u::Zq7", "PATH: it is not username:password"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeSecret(t, test.text)
			want := strings.NewReplacer("PATH", "proxyauth: "+path)
			require.Equal(t, want.Replace(test.password), ask(t, proxyauth.PasswordFile("u", path), proxyURL))
			require.Equal(t, want.Replace(test.credentials), ask(t, proxyauth.CredentialFile(path), proxyURL))
		})
	}
}

// fileSources are all sources of a file, each with the text that means
// alice:<password>.
var fileSources = map[string]struct {
	source func(path string) proxyauth.CredentialSource
	text   string // with %s for the password
}{
	"CredentialFile": {proxyauth.CredentialFile, "alice:%s\n"},
	"PasswordFile":   {func(path string) proxyauth.CredentialSource { return proxyauth.PasswordFile("alice", path) }, "%s\n"},
	"Netrc":          {proxyauth.Netrc, "machine 127.0.0.1 login alice password \"%s\"\ndefault login alice password \"%[1]s\""},
}

// R8: the password changes at the proxy and in the file: the next request passes,
// at the cost of one refusal at most.
func TestRotatedFile(t *testing.T) {
	o := newOrigin(t)
	write := func(path, text, password string) {
		require.NoError(t, os.WriteFile(path+".new", fmt.Appendf(nil, text, password), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	auths := map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}}
	rotate := func(t *testing.T, auth proxytest.Auth, target, path, text string, source proxyauth.CredentialSource) {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: map[string]string{"alice": "one"}})
		tr := newTransport(t, p, o)
		tr.Credentials = source
		write(path, text, "one")
		requireOK(t, tr, target)
		require.Zero(t, p.Refused("alice"))
		for i, password := range []string{"two", "three"} {
			p.SetUser("alice", password)
			write(path, text, password)
			tr.CloseIdleConnections()
			requireOK(t, tr, target)
			require.LessOrEqual(t, p.Refused("alice"), i+1)
		}
		if _, bound := auth.(proxytest.NTLM); bound {
			require.Zero(t, p.Refused("alice"), "it was asked before the connection was made")
		}
		require.Empty(t, o.proxyFields())
	}
	for scheme, auth := range auths {
		for way, target := range o.ways() {
			for name, file := range fileSources {
				t.Run(scheme+"/"+way+"/"+name, func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "secret")
					rotate(t, auth, target, path, file.text, file.source(path))
				})
			}
			t.Run(scheme+"/"+way+"/PROXY_PASS_FILE", func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "secret")
				setEnv(t, map[string]string{"PROXY_USER": "alice", "PROXY_PASS_FILE": path})
				rotate(t, auth, target, path, "%s", nil)
			})
		}
	}
}

// Each source over the wire, and the ones that must not be asked.
func TestSourcesOverTheWire(t *testing.T) {
	o := newOrigin(t)
	never := proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		return proxyauth.Credentials{}, errors.New("asked")
	})
	for name, source := range map[string]proxyauth.CredentialSource{
		"CredentialFile": proxyauth.CredentialFile(writeSecret(t, "alice:open sesame\n")),
		"PasswordFile":   proxyauth.PasswordFile("alice", writeSecret(t, "open sesame")),
		"Netrc":          proxyauth.Netrc(writeSecret(t, "machine 127.0.0.1\n  login alice\n  password \"open sesame\"\n")),
		"PerProxy":       proxyauth.PerProxy(map[string]proxyauth.CredentialSource{"127.0.0.1": proxyauth.UserPassword("alice", "open sesame"), "127.0.0.2": never}),
		"FirstOf": proxyauth.FirstOf(proxyauth.PerProxy(nil), proxyauth.Netrc(writeSecret(t, "machine other login bob")),
			proxyauth.UserPassword("alice", "open sesame"), never),
	} {
		for way, target := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
				tr := newTransport(t, p, o)
				tr.Credentials = source
				requireOK(t, tr, target)
				require.Equal(t, 1, p.Attempts("alice"))
				require.Equal(t, 2, p.Counts().Requests)
			})
		}
	}
}

// A vault that fails ends the request: nothing goes out for another identity.
func TestFailingSourceIsNotPassedOver(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Proxy = http.ProxyURL(p.URLFor("alice", "open sesame"))
	tr.Credentials = proxyauth.FirstOf(failing{}, proxyauth.UserPassword("alice", "open sesame"))
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, errVault)
	require.Empty(t, sent(p))
}

// The function is asked with the context of the request.
func TestCredentialFuncContext(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, _ proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		cancel()
		<-ctx.Done() // or the test would hang
		return proxyauth.Credentials{}, ctx.Err()
	})
	req, err := http.NewRequestWithContext(ctx, "GET", o.HTTP.URL, nil)
	require.NoError(t, err)
	_, err = tr.RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, sent(p))
}

// The user's ticket comes after all sources.
func TestTicketAfterAllSources(t *testing.T) {
	o := newOrigin(t)
	path := filepath.Join(t.TempDir(), "secret")
	for way, target := range o.ways() {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}, proxytest.Basic{Realm: "r"}}, Users: map[string]string{"alice": "x", "bob": "y"}})
		setEnv(t, nil)
		tr := newKerberosTransport(t, p, o) // alice's ticket
		secret := proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
		})
		tr.Credentials = proxyauth.FirstOf(proxyauth.EnvironmentCredentials(), secret, proxyauth.PerProxy(nil),
			proxyauth.Netrc(writeSecret(t, "machine other login bob password y")))
		requireOK(t, tr, target)
		require.Equal(t, []string{"Negotiate"}, sent(p), way)
		require.Equal(t, 1, p.Attempts("alice"), way)

		// A source that fails is not passed over for the ticket either.
		tr = newKerberosTransport(t, p, o)
		tr.Credentials = proxyauth.FirstOf(proxyauth.PasswordFile("bob", path))
		_, _, err := fetch(tr, target)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Equal(t, 1, p.Attempts("alice"), way)
	}
}

// R35: nothing that holds secrets shows them, however it is printed.
func TestSourcesPrintNoSecrets(t *testing.T) {
	path := writeSecret(t, "alice:"+hush)
	password := writeSecret(t, hush)
	netrc := writeSecret(t, fmt.Sprintf("machine proxy.example login alice password %q", hush))
	static := proxyauth.UserPassword("alice", hush)
	setEnv(t, map[string]string{"PROXY_USER": "alice", "PROXY_PASS": hush, "HTTP_PROXY": "http://proxy.example"})
	fromEnvironment, err := proxyauth.FromEnvironment()
	require.NoError(t, err)
	sources := map[string]proxyauth.CredentialSource{
		"static": static, "file": proxyauth.CredentialFile(path), "password": proxyauth.PasswordFile("alice", password),
		"netrc": proxyauth.Netrc(netrc), "environment": proxyauth.EnvironmentCredentials(),
		"per proxy": proxyauth.PerProxy(map[string]proxyauth.CredentialSource{"proxy.example": static}),
		"first of":  proxyauth.FirstOf(nil, static),
		"cached":    proxyauth.Cached(static, math.MaxInt64),
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "alice:"+hush, ask(t, source, proxyURL))
			var out bytes.Buffer
			holder := struct {
				Source proxyauth.CredentialSource
				hidden proxyauth.CredentialSource
			}{source, source}
			for _, value := range []any{source, holder, &holder, &proxyauth.Transport{Credentials: source}, fromEnvironment} {
				fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d", value, value, value, value, value, value, value)
				text, _ := json.Marshal(value) // what has a function in it is an error
				out.Write(text)
				slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
				slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value)
			}
			requireNoSecret(t, out.String(), []string{"alice"})
		})
	}
}

// Files as editors of Windows write them, and what is no UTF-8.
func TestFileEncodings(t *testing.T) {
	request := proxyauth.CredentialRequest{Proxy: &url.URL{Scheme: "http", Host: "proxy.corp:3128"}}
	machine := "machine proxy.corp\r\nlogin alice\r\npassword secret\r\n"
	wide := "\xff\xfe"
	for _, c := range machine {
		wide += string(c) + "\x00"
	}
	for name, c := range map[string]struct {
		source func(path string) proxyauth.CredentialSource
		text   string
		valid  bool
	}{
		"netrc, mark":   {proxyauth.Netrc, "\ufeff" + machine, true},
		"netrc, UTF-16": {proxyauth.Netrc, wide, false},
		"mark":          {proxyauth.CredentialFile, "\ufeffalice:secret\r\n", true},
		"Latin-1":       {proxyauth.CredentialFile, "alice:secr\xe4t\r\n", false},
	} {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		got, err := c.source(path).ProxyCredentials(t.Context(), request)
		if !c.valid {
			require.ErrorContains(t, err, "it is not a text in UTF-8", name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, proxyauth.Credentials{Username: "alice", Password: "secret"}, got, name)
	}
}

var errVault = errors.New("vault is sealed")

type failing struct{}

func (failing) ProxyCredentials(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	return proxyauth.Credentials{}, errVault
}

func TestCredentialSources(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: map[string]string{"alice": "open sesame", `CORP\bob`: "p@ss:w/rd"}})
	via := func(tr *watchedTransport, user, password string) {
		tr.Proxy = http.ProxyURL(p.URLFor(user, password))
	}

	tr := newTransport(t, p, o) // userinfo of the URL
	tr.Credentials = nil
	via(tr, `CORP\bob`, "p@ss:w/rd")
	requireOK(t, tr, o.HTTP.URL)
	requireOK(t, tr, o.HTTPS.URL)
	require.Empty(t, o.proxyFields())

	tr = newTransport(t, p, o) // the source before the URL
	via(tr, "nobody", "nothing")
	requireOK(t, tr, o.HTTP.URL)

	tr = newTransport(t, p, o) // the URL where the source has nothing
	tr.Credentials = proxyauth.UserPassword("", "")
	via(tr, "alice", "open sesame")
	requireOK(t, tr, o.HTTP.URL)

	t.Setenv("PROXY_USER", "alice")
	t.Setenv("PROXY_PASS", "open sesame")
	tr = newTransport(t, p, o)
	tr.Credentials = nil
	requireOK(t, tr, o.HTTP.URL)

	tr = newTransport(t, p, o)
	tr.Credentials = failing{}
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
	require.ErrorIs(t, err, errVault)
	require.ErrorContains(t, err, "sealed")
}

func TestCredentialRequest(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Proxy = http.ProxyURL(p.URLFor("x", "y"))
	var got proxyauth.CredentialRequest
	tr.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		got = req
		return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
	})
	requireOK(t, tr, o.HTTP.URL)
	require.Equal(t, "Digest", got.Scheme)
	require.Equal(t, "proxy test", got.Realm)
	require.Equal(t, p.URL.String(), got.Proxy.String(), "without userinfo")
}
