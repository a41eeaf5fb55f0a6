package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// One line for all that use the default client, libraries too. A Transport
// without fields takes all from the environment.
func ExampleTransport() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()
	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: proxyauth.UserPassword("alice", "open sesame"),
	}
	defer transport.CloseIdleConnections()
	defer func(before http.RoundTripper) { http.DefaultTransport = before }(http.DefaultTransport)

	http.DefaultTransport = transport

	resp, err := http.Get(origin.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A proxy that filters by address gets one.
func ExampleTransport_resolver() {
	proxy, server := exampleProxy(), hello()
	defer proxy.Close()
	defer server.Close()

	transport := &proxyauth.Transport{
		Proxy:    http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		Resolver: net.DefaultResolver,
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	conn, err := transport.DialContext(context.Background(), "tcp", "localhost:"+port)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	legs := proxy.Transcript()
	host, _, _ := net.SplitHostPort(legs[len(legs)-1].Target)
	fmt.Println(host)
	// Output: 127.0.0.1
}

// The password does not go over the network in clear.
func ExampleTransport_forbidCleartextBasic() {
	proxy := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "corp"}}})
	defer proxy.Close()

	transport := &proxyauth.Transport{
		Proxy:                http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		ForbidCleartextBasic: true,
	}
	defer transport.CloseIdleConnections()
	_, err := (&http.Client{Transport: transport}).Get("https://api.example.com/")

	var denied *proxyauth.AuthError
	if errors.As(err, &denied) {
		fmt.Println(denied.Schemes[0].Name, "is", denied.Schemes[0].Err)
	}
	// Output: Basic is forbidden by Transport.ForbidCleartextBasic
}

// A wrong password is tried twice, and no account locked, until there is another.
func ExampleTransport_rejectedFor() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	password := "wrong"
	transport := &proxyauth.Transport{
		Proxy: http.ProxyURL(proxy.URL),
		Credentials: proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			return proxyauth.Credentials{Username: "alice", Password: password}, nil
		}),
		Schemes:     []proxyauth.Scheme{proxyauth.Digest()},
		RejectedFor: time.Hour,
	}
	defer transport.CloseIdleConnections()
	for range 5 {
		_, err := (&http.Client{Transport: transport}).Get(origin.URL)
		fmt.Println(errors.Is(err, proxyauth.ErrRejected), proxy.Refused("alice"))
	}
	password = "open sesame"
	printGet(transport, origin.URL)
	// Output:
	// true 1
	// true 2
	// true 2
	// true 2
	// true 2
	// 200 OK
}

// The password is set right at the proxy, or the account is unlocked.
func ExampleTransport_ForgetRejections() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "new"))}
	defer transport.CloseIdleConnections()
	for range 3 {
		_, err := (&http.Client{Transport: transport}).Get(origin.URL)
		fmt.Println(errors.Is(err, proxyauth.ErrRejected), proxy.Refused("alice"))
	}
	proxy.SetUser("alice", "new")
	transport.ForgetRejections()
	printGet(transport, origin.URL)
	// Output:
	// true 2
	// true 2
	// true 2
	// 200 OK
}

// An https:// proxy whose certificate is from a CA of the company.
func ExampleTransport_proxyTLSClientConfig() {
	proxy := proxytest.NewTLS(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Basic{Realm: "corp"}},
		Users: map[string]string{"alice": "open sesame"},
	})
	origin := hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:                http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		ProxyTLSClientConfig: proxy.ClientTLSConfig(), // a &tls.Config{RootCAs: …}
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	// Output: 200 OK
}

// At level Debug there is an event for each leg.
func ExampleTransport_logger() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy: http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		Logger: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				switch a.Key {
				case slog.TimeKey, "proxy", "target", "duration": // not the same each time
					return slog.Attr{}
				}
				return a
			},
		})),
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	// Output:
	// level=DEBUG msg="proxy leg" leg=1 status=407 outcome=challenged
	// level=DEBUG msg="proxy leg" leg=2 scheme=Digest realm=corp status=200 outcome=passed
	// level=INFO msg="proxy authenticated" scheme=Digest realm=corp source="the proxy URL"
	// 200 OK
}

// A proxy that restarts is waited for.
func ExampleRetryPolicy() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	base := http.DefaultTransport.(*http.Transport).Clone()
	base.Proxy = http.ProxyURL(proxy.URLFor("alice", "open sesame"))
	restarting := true
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if restarting {
			restarting = false
			return nil, errors.New("connection refused")
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	transport := &proxyauth.Transport{
		Base:  base,
		Retry: &proxyauth.RetryPolicy{Delay: time.Millisecond}, // as a rule &proxyauth.RetryPolicy{}
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	fmt.Println("retries:", transport.Stats().Retries)
	// Output:
	// 200 OK
	// retries: 1
}
