package proxyauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R27, R29: three proxies, each with another scheme and another user, the middle
// one by TLS, and an HTTP/2 origin behind them.
func TestChain(t *testing.T) {
	o := newOrigin(t)
	first := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "1"}}, Users: map[string]string{"one": "open sesame"}})
	second := proxytest.NewTLS(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"two": "open sesame"}})
	t.Cleanup(second.Close)
	third := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "3"}}, Users: map[string]string{"three": "open sesame"}})
	proxies := []*proxytest.Proxy{first, second, third}

	chain := func(password2 string) *proxyauth.Transport {
		hops, err := proxyauth.Chain(first.URLFor("one", "open sesame").String(), second.URLFor("two", password2).String(), third.URLFor("three", "open sesame").String())
		require.NoError(t, err)
		require.Len(t, hops, 3)
		hops[1].ProxyTLSClientConfig = second.ClientTLSConfig()
		hops[2].Base.TLSClientConfig = &tls.Config{RootCAs: o.rootCAs()}
		t.Cleanup(hops[2].CloseIdleConnections)
		return hops[2]
	}
	last := chain("open sesame")
	_, body, err := fetch(last, o.HTTPS.URL)
	require.NoError(t, err)
	require.Equal(t, "origin HTTP/2.0 ", body)
	requireOK(t, last, o.HTTP.URL)
	require.Empty(t, o.proxyFields())
	for i, p := range proxies {
		legs := p.Transcript()
		last := legs[len(legs)-1]
		require.Equal(t, []string{"one", "two", "three"}[i], last.User)
		if i < 2 {
			require.Equal(t, "CONNECT", last.Method)
			require.Equal(t, proxies[i+1].URL.Host, last.Target)
		}
		for _, leg := range legs { // no hop sees another's credentials
			for j, other := range []string{"Digest", "NTLM", "Basic"} {
				if i != j {
					require.NotContains(t, leg.Header.Get("Proxy-Authorization"), other)
				}
			}
		}
	}

	// Wrong at the second: the error names that, first and as AuthError.
	before := third.Counts().Connections
	for _, target := range o.ways() {
		_, _, err = fetch(chain("wrong open sesame"), target)
		var denied *proxyauth.AuthError
		require.ErrorAs(t, err, &denied)
		require.ErrorIs(t, err, proxyauth.ErrRejected)
		require.Equal(t, second.URL.String(), denied.Proxy)
		require.Regexp(t, `^proxyauth: proxy `+second.URL.String()+` rejected .* \(on the way to proxy `+third.URL.String()+`\)`, err.Error())
	}
	require.Equal(t, before, third.Counts().Connections)

	// The TLS of the second is not to be trusted: that is named, too, and it is
	// not the target that is intercepted.
	hops, err := proxyauth.Chain(first.URLFor("one", "open sesame").String(), second.URLFor("two", "x").String())
	require.NoError(t, err)
	_, _, err = fetch(hops[1], o.HTTPS.URL)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, "proxyauth: proxy "+second.URL.String()+": TLS handshake")
	require.False(t, errors.As(err, new(*proxyauth.InterceptionError)))
}

// R29: the environment's credentials are for its own proxy, and go to no hop.
func TestChainLeavesTheEnvironment(t *testing.T) {
	setEnv(t, map[string]string{"PROXY_USER": "alice", "PROXY_PASS": "open sesame"})
	o := newOrigin(t)
	first := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	second := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	hops, err := proxyauth.Chain(first.URLFor("alice", "open sesame").String(), second.URL.String())
	require.NoError(t, err)
	for _, hop := range hops {
		defer hop.CloseIdleConnections()
	}
	_, _, err = fetch(hops[1], o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
	require.Zero(t, second.Attempts("alice"))
	require.NotContains(t, err.Error(), "PROXY_USER")
}

func TestChainErrors(t *testing.T) {
	for want, proxies := range map[string][]string{
		"at least one":             {},
		"URL of proxy 2":           {"http://a:3128", "http://user:hush@"},
		"the URL of proxy 1":       {"http://user:hu%sh@a"},
		`scheme "socks5"`:          {"socks5://a:1080"},
		`proxy 3 has URL scheme "`: {"http://a", "https://b", "ftp://hush@c"},
	} {
		_, err := proxyauth.Chain(proxies...)
		require.ErrorContains(t, err, "proxyauth: ")
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hush")
	}
}

// What FromEnvironment refuses a chain does, too, and names the hop.
func TestChainMistakes(t *testing.T) {
	for _, proxy := range []string{
		"http://alice:12/34@proxy:3128", "http://proxy:99999", "http://alice:p@ss@proxy:3128", "http://proxy:3128/proxy.pac", "http://a,b:3128", "http://$PROXY:3128",
	} {
		_, err := proxyauth.Chain("http://first:3128", proxy)
		require.ErrorContains(t, err, "proxy 2", proxy)
		require.NotContains(t, err.Error(), "alice")
	}
}
