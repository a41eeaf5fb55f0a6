package proxyauth_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The proxy knows who asks, and does not open this tunnel.
func ExampleConnectError() {
	proxy := proxytest.New(proxytest.Config{Behaviour: proxytest.Behaviour{ConnectStatus: http.StatusForbidden}})
	defer proxy.Close()

	transport := &proxyauth.Transport{Proxy: http.ProxyURL(proxy.URL)}
	defer transport.CloseIdleConnections()
	_, err := (&http.Client{Transport: transport}).Get("https://api.example.com:8443/")

	var refused *proxyauth.ConnectError
	if errors.As(err, &refused) {
		fmt.Println(refused.Target, refused.Status)
	}
	// Output: api.example.com:8443 403 Forbidden
}

// A certificate from a CA that is not trusted: a proxy that looks into TLS has
// one, and here it is the target.
func ExampleInterceptionError() {
	proxy := exampleProxy()
	defer proxy.Close()
	origin := httptest.NewTLSServer(http.NotFoundHandler())
	defer origin.Close()

	transport := &proxyauth.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "open sesame"))}
	defer transport.CloseIdleConnections()
	_, err := (&http.Client{Transport: transport}).Get(origin.URL)

	var intercepted *proxyauth.InterceptionError
	if errors.As(err, &intercepted) {
		fmt.Println("signed by", intercepted.Issuer)
	}

	// If that is right, trust it beside the others.
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.Proxy = http.ProxyURL(proxy.URLFor("alice", "open sesame"))
	base.TLSClientConfig = &tls.Config{RootCAs: origin.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	trusting := &proxyauth.Transport{Base: base}
	defer trusting.CloseIdleConnections()
	printGet(trusting, origin.URL)
	// Output:
	// signed by O=Acme Co
	// 404 Not Found
}
