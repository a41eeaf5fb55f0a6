package proxyauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

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

// A proxy that answers 403 may mean the target, or the password. After two passwords
// no third one is tried, which could lock the account.
func ExampleErrHeld() {
	proxy := proxytest.New(proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Basic{Realm: "corp"}},
		Users:     map[string]string{"alice": "open sesame"},
		Behaviour: proxytest.Behaviour{RefuseWith: http.StatusForbidden},
	})
	defer proxy.Close()

	password := ""
	transport := &proxyauth.Transport{
		Proxy: http.ProxyURL(proxy.URL),
		Credentials: proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			return proxyauth.Credentials{Username: "alice", Password: password}, nil
		}),
	}
	defer transport.CloseIdleConnections()
	for _, password = range []string{"open barley", "open wheat", "open rye"} {
		_, err := (&http.Client{Transport: transport}).Get("https://api.example.com/")

		var refused *proxyauth.ConnectError // also what a request is held for
		fmt.Println(errors.Is(err, proxyauth.ErrHeld), errors.As(err, &refused) && refused.StatusCode == 403, proxy.Attempts("alice"))

		var held *proxyauth.AuthError
		if errors.As(err, &held) {
			fmt.Println("next try in", time.Until(held.NextTry).Round(time.Minute))
		}
	}
	// Output:
	// false true 1
	// false true 2
	// true true 2
	// next try in 31m0s
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
