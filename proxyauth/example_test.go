package proxyauth_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// exampleProxy is a proxy that demands Digest or Basic of alice.
func exampleProxy() *proxytest.Proxy {
	return proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Digest{Realm: "corp"}, proxytest.Basic{Realm: "corp"}},
		Users: map[string]string{"alice": "open sesame"},
	})
}

func hello() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
}

// printGet prints how a GET ends.
func printGet(transport http.RoundTripper, url string) {
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	io.Copy(io.Discard, resp.Body) // to its end, so that the connection can be used again
	resp.Body.Close()
	fmt.Println(resp.Status)
}

// In a program Proxy is usually left nil, which takes HTTP_PROXY and
// HTTPS_PROXY from the environment.
func Example() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: proxyauth.UserPassword("alice", "open sesame"),
	}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()

	for range 3 {
		resp, err := client.Get(origin.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println("407s:", proxy.Counts().Challenges)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// 407s: 1
}

// A tunnel for what is not HTTP.
func ExampleTransport_DialContext() {
	proxy := exampleProxy()
	defer proxy.Close()
	mail, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mail.Close()
	go func() {
		c, err := mail.Accept()
		if err == nil {
			io.WriteString(c, "220 mail.example ESMTP")
			c.Close()
		}
	}()

	transport := &proxyauth.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "open sesame"))}
	conn, err := transport.DialContext(context.Background(), "tcp", mail.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	greeting, _ := io.ReadAll(conn)
	fmt.Println(string(greeting))
	// Output: 220 mail.example ESMTP
}

func ExampleAuthError() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: proxyauth.UserPassword("alice", "wrong"),
		Schemes:     []proxyauth.Scheme{proxyauth.Digest()},
	}
	defer transport.CloseIdleConnections()
	_, err := (&http.Client{Transport: transport}).Get(origin.URL)

	var denied *proxyauth.AuthError
	if errors.As(err, &denied) {
		for _, scheme := range denied.Schemes {
			fmt.Printf("%s: offered %t, tried %t, %v\n", scheme.Name, scheme.Offered, scheme.Tried, scheme.Err)
		}
		fmt.Println("wrong password:", errors.Is(err, proxyauth.ErrRejected))
	}
	// Output:
	// Digest: offered true, tried true, <nil>
	// Basic: offered true, tried false, not among Transport.Schemes
	// wrong password: true
}

// A vault has credentials for proxies.
type vault map[string]proxyauth.Credentials

func (v vault) ProxyCredentials(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	c, ok := v[req.Proxy.Hostname()]
	if !ok {
		return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
	}
	return c, nil
}

func ExampleCredentialSource() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: vault{"127.0.0.1": {Username: "alice", Password: "open sesame"}},
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(origin.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A chain of proxies, each with its own credentials. Chain does no more than
// give the DialContext of each hop to the Base of the next.
func ExampleChain() {
	first, second, origin := exampleProxy(), exampleProxy(), hello()
	defer first.Close()
	defer second.Close()
	defer origin.Close()

	hops, err := proxyauth.Chain(
		first.URLFor("alice", "open sesame").String(), // reached directly
		second.URLFor("alice", "open sesame").String(),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	transport := hops[len(hops)-1]
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(origin.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status, first.Counts().Tunnels > 0)
	// Output: 200 OK true
}

// The counters under /debug/vars; for Prometheus make a CounterFunc of each.
func ExampleTransport_Stats() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()
	transport := &proxyauth.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "open sesame"))}
	defer transport.CloseIdleConnections()
	expvar.Publish("proxyauth", expvar.Func(func() any { return transport.Stats() }))

	for range 3 {
		resp, err := (&http.Client{Transport: transport}).Get(origin.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	stats := transport.Stats()
	fmt.Println(stats.Exchanges, "exchanges,", stats.Reused, "without a 407")
	// Output: 3 exchanges, 2 without a 407
}

func ExampleRedactHeader() {
	h := http.Header{"Proxy-Authorization": {"Basic YWxpY2U6b3BlbiBzZXNhbWU="}, "Accept": {"*/*"}}
	fmt.Println(proxyauth.RedactHeader(h))
	// Output: map[Accept:[*/*] Proxy-Authorization:[Basic REDACTED]]
}

func ExampleRedactAttr() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return proxyauth.RedactAttr(groups, a)
		},
	}))
	log.Info("sent", "header", http.Header{"Authorization": {"Bearer secret"}})
	// Output: level=INFO msg=sent header="map[Authorization:[Bearer REDACTED]]"
}

func ExampleParseChallenges() {
	challenges, err := proxyauth.ParseChallenges([]string{`NTLM, Digest realm="corp", nonce="n"`, `Basic realm`})
	for _, c := range challenges {
		fmt.Printf("%s %q\n", c.Scheme, c.Param("realm"))
	}
	fmt.Println(err)
	// Output:
	// NTLM ""
	// Digest "corp"
	// proxyauth: malformed "Basic" challenge: no realm
}

func ExampleUserPassword() {
	source := proxyauth.UserPassword(`CORP\alice`, "open sesame")
	proxy, _ := url.Parse("http://proxy.example:3128")
	c, _ := source.ProxyCredentials(context.Background(), proxyauth.CredentialRequest{Proxy: proxy})
	fmt.Println(c.Username)
	fmt.Println(c) // credentials print redacted
	// Output:
	// CORP\alice
	// proxyauth.Credentials(REDACTED)
}
