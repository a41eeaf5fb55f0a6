package proxytest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func Example() {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	defer origin.Close()

	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Users: map[string]string{"alice": "secret"},
	})
	defer proxy.Close()

	// The client of net/http knows Basic, and sends it unasked.
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "secret"))}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Get(origin.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	for _, leg := range proxy.Transcript() {
		fmt.Println(leg.Method, leg.Status, leg.User)
	}
	// Output:
	// 200 hello
	// GET 200 alice
}

// A proxy that offers Digest twice, and answers each request without
// credentials with both challenges.
func ExampleDigest() {
	proxy := proxytest.New(proxytest.Config{
		Auth: []proxytest.Auth{proxytest.Digest{
			Realm:      "office",
			Algorithms: []string{"SHA-256", "MD5"},
			NonceUses:  100,
		}},
		Users: map[string]string{"alice": "secret"},
	})
	defer proxy.Close()

	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL)}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://origin.example/")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode, len(resp.Header["Proxy-Authenticate"]))
	fmt.Printf("%+v\n", proxy.Counts())
	// Output:
	// 407 2
	// {Connections:1 Requests:1 Challenges:1 Handshakes:0 Tunnels:0 BodyBytes:0}
}

// A proxy that closes the connection after each challenge.
func ExampleBehaviour() {
	proxy := proxytest.New(proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Behaviour: proxytest.Behaviour{CloseAfter407: true},
	})
	defer proxy.Close()

	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL)}
	defer transport.CloseIdleConnections()
	for range 2 {
		resp, err := (&http.Client{Transport: transport}).Get("http://origin.example/")
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	fmt.Println(proxy.Counts().Connections)
	// Output: 2
}
