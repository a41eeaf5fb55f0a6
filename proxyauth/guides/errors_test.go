package guides_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A place is where errors are made that the guides quote: the proxy
// proxy.corp:3128 and the target api.example.com are in this process.
type place struct {
	t      *testing.T
	proxy  *proxytest.Proxy
	origin *httptest.Server
}

func newPlace(t *testing.T, start func(proxytest.Config) *proxytest.Proxy, c proxytest.Config) place {
	origin := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(origin.Close)
	if c.Users == nil {
		c.Users = map[string]string{"alice": "secret"}
	}
	c.Dial = dialOnly(origin.Listener.Addr().String())
	p := start(c)
	t.Cleanup(p.Close)
	return place{t, p, origin}
}

// dialOnly sends any address to one.
func dialOnly(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}

// transport goes through http://proxy.corp:3128, or https:// if the proxy is
// reached by TLS.
func (p place) transport(username, password string) *proxyauth.Transport {
	return through(p.t, p.proxy.URL.Scheme+"://proxy.corp:3128", dialOnly(p.proxy.URL.Host), username, password)
}

func through(t *testing.T, proxy string, dial func(context.Context, string, string) (net.Conn, error), username, password string) *proxyauth.Transport {
	u, err := url.Parse(proxy)
	require.NoError(t, err)
	base := &http.Transport{DialContext: dial, Proxy: http.ProxyURL(u), ExpectContinueTimeout: 10 * time.Millisecond}
	tr := &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword(username, password)}
	if username == "" {
		tr.Credentials = nil
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

const target = "https://api.example.com/"

// said returns the text of the error that a request ends in.
func said(t *testing.T, tr http.RoundTripper, target string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", target, nil)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
	return err.Error()
}

// produced returns the errors of the library, by what is done to get them.
func produced(t *testing.T) map[string]string {
	for _, name := range []string{"PROXY_USER", "PROXY_PASS", "PROXY_PASS_FILE", "KRB5_CLIENT_KTNAME", "USE_PROXY", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("KRB5CCNAME", none)
	got := make(map[string]string)

	corp := []proxytest.Auth{proxytest.Digest{Realm: "corp"}, proxytest.Basic{Realm: "corp"}}
	p := newPlace(t, proxytest.New, proxytest.Config{Auth: corp})
	got["none set"] = said(t, p.transport("", ""), target)
	wrong := p.transport("alice", "wrong")
	got["wrong password"] = said(t, wrong, target)
	got["wrong password, again"] = said(t, wrong, target)
	once := p.transport("alice", "wrong")
	once.Schemes = []proxyauth.Scheme{proxyauth.Digest()}
	got["wrong password, once"] = said(t, once, target)
	never := p.transport("alice", "wrong")
	never.RejectedFor = -1
	got["wrong password, for good"] = said(t, never, target)
	got["denied"] = denied(t)
	got["downgrade"] = said(t, through(t, "http://proxy.corp:3128", dialOnly(scripted(t, func(req *http.Request) string {
		if req.Header.Get("Proxy-Authorization") != "" {
			return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"corp\"\r\nContent-Length: 0\r\n\r\n"
		}
		return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"corp\", nonce=\"n\"\r\nContent-Length: 0\r\n\r\n"
	})), "alice", "secret"), target)
	got["asks for nothing"] = said(t, through(t, "http://proxy.corp:3128", dialOnly(scripted(t, func(*http.Request) string {
		return "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"
	})), "alice", "secret"), target)
	got["held"] = held(t)
	ntlm := p.transport("alice", "secret")
	ntlm.Schemes = []proxyauth.Scheme{proxyauth.NTLM()}
	got["not offered"] = said(t, ntlm, target)
	failing := p.transport("alice", "secret")
	failing.Credentials = vault{}
	got["vault"] = said(t, failing, target)
	got["TLS inside"] = said(t, p.transport("alice", "secret"), target)
	_, err := p.transport("alice", "secret").DialContext(t.Context(), "udp", "dns.example:53")
	got["udp"] = err.Error()
	_, err = p.transport("alice", "secret").DialContext(t.Context(), "tcp", "api.example.com")
	got["no port"] = err.Error()
	resolving := p.transport("alice", "secret")
	resolving.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no DNS here") }}
	got["resolver"] = said(t, resolving, target)

	basic := newPlace(t, proxytest.New, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "corp"}}})
	strict := basic.transport("alice", "secret")
	strict.ForbidCleartextBasic = true
	got["Basic forbidden"] = said(t, strict, target)

	stale := newPlace(t, proxytest.New, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "corp", AlwaysStale: true}}})
	got["always stale"] = said(t, stale.transport("alice", "secret"), target)
	unproved := newPlace(t, proxytest.New, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "corp", BadRspAuth: true}}})
	got["no proof"] = said(t, unproved.transport("alice", "secret"), target)
	hashing := newPlace(t, proxytest.New, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "corp", QOP: []string{"auth-int"}}}})
	got["stream to be hashed"] = saidOfStream(t, hashing.transport("alice", "secret"))

	for _, status := range []int{302, 400, 401, 403, 404, 413, 429, 451, 503, 511} {
		open := newPlace(t, proxytest.New, proxytest.Config{Behaviour: proxytest.Behaviour{ConnectStatus: status}})
		got[strconv.Itoa(status)] = said(t, open.transport("", ""), target)
	}
	for name, behaviour := range map[string]proxytest.Behaviour{
		"forbidden": {ConnectStatus: 403}, "bad gateway": {ConnectStatus: 502}, "wrong, 403": {RefuseWith: 403}, "wrong, 401": {RefuseWith: 401},
	} {
		q := newPlace(t, proxytest.New, proxytest.Config{Auth: corp, Behaviour: behaviour})
		password := "secret"
		if strings.HasPrefix(name, "wrong") {
			password = "wrong"
		}
		tr := q.transport("alice", password)
		got[name] = said(t, tr, target)
		got[name+", again"] = said(t, tr, target)
	}

	kerberos := newPlace(t, proxytest.New, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}})
	got["no ticket"] = said(t, kerberos.transport("", ""), target)
	got["no realm"] = said(t, kerberos.transport("alice", "secret"), target)
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, kerberos.proxy.WriteKerberosConfig(conf))
	t.Setenv("KRB5_CONFIG", conf)
	got["no KDC"] = said(t, kerberos.transport("alice@TEST.EXAMPLE", "secret"), target)
	t.Setenv("KRB5CCNAME", "KEYRING:persistent:1000")
	got["keyring"] = said(t, kerberos.transport("", ""), target)
	t.Setenv("KRB5CCNAME", none)
	t.Setenv("KRB5_CLIENT_KTNAME", none)
	got["no keytab"] = said(t, kerberos.transport("", ""), target)

	secure := newPlace(t, proxytest.NewTLS, proxytest.Config{Auth: corp})
	trusting := secure.transport("alice", "secret")
	trusting.ProxyTLSClientConfig = &tls.Config{ServerName: "localhost"}
	got["proxy's CA"] = said(t, trusting, target)
	named := secure.transport("alice", "secret")
	named.ProxyTLSClientConfig = secure.proxy.ClientTLSConfig()
	got["proxy's name"] = said(t, named, target)
	got["no TLS there"] = said(t, through(t, "https://proxy.corp:3128", dialOnly(hangsUp(t)), "alice", "secret"), target)
	got["TLS wanted"] = said(t, through(t, "http://proxy.corp:3128", dialOnly(secure.proxy.URL.Host), "alice", "secret"), target)
	got["no such proxy"] = said(t, through(t, "http://proxy.corp:3128", func(_ context.Context, network, addr string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: "proxy.corp", IsNotFound: true}}
	}, "alice", "secret"), target)
	got["nobody listens"] = said(t, through(t, "http://proxy.corp:3128", func(_ context.Context, network, addr string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}, "alice", "secret"), target)
	got["hangs up"] = said(t, through(t, "http://proxy.corp:3128", dialOnly(hangsUp(t)), "alice", "secret"), target)
	got["hangs up on a forwarded request"] = said(t, through(t, "http://proxy.corp:3128", dialOnly(hangsUp(t)), "alice", "secret"), "http://api.example.com/")
	got["ftp"] = said(t, through(t, "ftp://proxy.corp:3128", nil, "alice", "secret"), target)
	raw := "http://alice:pa%ss@proxy.corp:3128"
	broken := &proxyauth.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(raw) }}
	got["not encoded"] = said(t, broken, target)
	t.Setenv("HTTPS_PROXY", "http://alice:p@ss/word@proxy.corp:3128")
	t.Setenv("https_proxy", "")
	_, err = proxyauth.FromEnvironment()
	got["environment"] = err.Error()
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("PROXY_USER", "alice")
	os.Unsetenv("PROXY_PASS") // set and empty is a password
	os.Unsetenv("PROXY_PASS_FILE")
	_, err = proxyauth.FromEnvironment()
	got["half of it"] = err.Error()
	got["half of it, with a proxy"] = said(t, p.transport("", ""), target)
	t.Setenv("PROXY_PASS", "wrong")
	got["wrong in the environment"] = said(t, p.transport("", ""), target)
	_, err = proxyauth.Chain("http://outer.corp:3128", raw)
	got["chain"] = err.Error()
	_, err = proxyauth.Chain("socks5://outer.corp:1080")
	got["chain of SOCKS"] = err.Error()
	hops, err := proxyauth.Chain("http://outer.corp:3128", "http://inner.corp:3128")
	require.NoError(t, err)
	hops[0].Base.DialContext = dialOnly(p.proxy.URL.Host)
	t.Setenv("PROXY_USER", "")
	t.Setenv("PROXY_PASS", "")
	got["first of a chain"] = said(t, hops[1], target)
	got["consumed"] = consumed(t)

	plain := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.corp:3128"}), DialContext: dialOnly(p.proxy.URL.Host)}
	t.Cleanup(plain.CloseIdleConnections)
	_, err = (&http.Client{Transport: plain}).Get(target)
	got["net/http"] = err.Error()
	return got
}

type vault struct{}

func (vault) ProxyCredentials(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	return proxyauth.Credentials{}, errors.New("vault: permission denied")
}

// denied asks for a target that the proxy denies by 407, after another has passed.
func denied(t *testing.T) string {
	p := newPlace(t, proxytest.New, proxytest.Config{
		Auth: []proxytest.Auth{proxytest.Basic{Realm: "corp"}}, Behaviour: proxytest.Behaviour{Denied: []string{"api.example.com"}},
	})
	tr := p.transport("alice", "secret")
	conn, err := tr.DialContext(t.Context(), "tcp", "other.example.com:443")
	require.NoError(t, err)
	conn.Close()
	return said(t, tr, target)
}

// held asks with a third password, when a proxy has answered two others by 403.
func held(t *testing.T) (text string) {
	p := newPlace(t, proxytest.New, proxytest.Config{
		Auth: []proxytest.Auth{proxytest.Basic{Realm: "corp"}}, Behaviour: proxytest.Behaviour{RefuseWith: 403},
	})
	password := ""
	tr := p.transport("alice", "")
	tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		return proxyauth.Credentials{Username: "alice", Password: password}, nil
	})
	for _, password = range []string{"wrong", "also wrong", "a guess"} {
		text = said(t, tr, target)
	}
	require.Equal(t, 2, p.proxy.Attempts("alice"))
	return text
}

// hangsUp closes each connection after its first request.
func hangsUp(t *testing.T) (addr string) {
	return scripted(t, func(*http.Request) string { return "" })
}

// scripted answers the requests of each connection until there is no answer.
func scripted(t *testing.T, answer func(*http.Request) string) (addr string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, answer(req))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// consumed posts a stream to a proxy that asks for credentials too late.
func consumed(t *testing.T) string {
	addr := scripted(t, func(req *http.Request) string {
		if req.Method == http.MethodOptions {
			return "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
		}
		io.Copy(io.Discard, req.Body)
		return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"corp\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	})
	return saidOfStream(t, through(t, "http://proxy.corp:3128", dialOnly(addr), "alice", "secret"))
}

// saidOfStream returns the text of the error that a post of a stream ends in.
func saidOfStream(t *testing.T, tr http.RoundTripper) string {
	t.Helper()
	req, err := http.NewRequest("POST", "http://api.example.com/", io.MultiReader(strings.NewReader("a stream")))
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
	return err.Error()
}
