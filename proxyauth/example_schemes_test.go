package proxyauth_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func ExampleDefaultSchemes() {
	for _, scheme := range proxyauth.DefaultSchemes() {
		fmt.Println(scheme.Name())
	}
	// Output:
	// Negotiate
	// NTLM
	// Digest
	// Basic
}

// With Basic alone the credentials go out unasked, and there is no 407.
func ExampleBasic() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:   http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		Schemes: []proxyauth.Scheme{proxyauth.Basic()},
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	fmt.Println("407s:", proxy.Counts().Challenges)
	// Output:
	// 200 OK
	// 407s: 0
}

// The proxy offers Basic, too, and does not get the password.
func ExampleDigest() {
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:   http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		Schemes: []proxyauth.Scheme{proxyauth.Digest()},
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	printGet(transport, origin.URL)
	fmt.Println("407s:", proxy.Counts().Challenges)
	// Output:
	// 200 OK
	// 200 OK
	// 407s: 1
}

// The body is protected, too, where the proxy offers that.
func ExampleDigest_options() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Digest{Realm: "corp", QOP: []string{"auth", "auth-int"}}},
		Users: map[string]string{"alice": "open sesame"},
	})
	origin := hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:   http.ProxyURL(proxy.URLFor("alice", "open sesame")),
		Schemes: []proxyauth.Scheme{proxyauth.Digest(proxyauth.DigestOptions{PreferAuthInt: true})},
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post(origin.URL, "text/plain", strings.NewReader("to be protected"))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()

	legs := proxy.Transcript()
	sent, _ := digest.ParseParams(strings.TrimPrefix(legs[len(legs)-1].Header.Get("Proxy-Authorization"), "Digest "))
	fmt.Println(resp.Status, sent.Get("qop"))
	// Output: 200 OK auth-int
}

// For a user of a Windows domain. The handshake is on one connection, which then
// needs no more of it.
func ExampleNTLM() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.NTLM{Domain: "CORP"}},
		Users: map[string]string{`CORP\alice`: "open sesame"},
	})
	origin := hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: proxyauth.UserPassword(`CORP\alice`, "open sesame"),
		Schemes:     []proxyauth.Scheme{proxyauth.NTLM()}, // no first 407, since it is known
	}
	defer transport.CloseIdleConnections()
	for range 3 {
		printGet(transport, origin.URL)
	}
	fmt.Println("handshakes:", proxy.Counts().Handshakes)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// handshakes: 1
}

// Kerberos, with a ticket cache and a krb5.conf that are not where they usually
// are. As a rule proxyauth.Negotiate() is all, and no credentials are needed.
func ExampleNegotiate() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Negotiate{}},
		Users: map[string]string{"alice": "open sesame"},
	})
	origin := hello()
	defer proxy.Close()
	defer origin.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	cache, config := filepath.Join(dir, "cache"), filepath.Join(dir, "krb5.conf")
	proxy.WriteTicketCache(cache, "alice@TEST.EXAMPLE", time.Hour) // as kinit does
	proxy.WriteKerberosConfig(config)

	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: proxyauth.UserPassword("alice@TEST.EXAMPLE", ""), // whose ticket it must be
		Schemes: []proxyauth.Scheme{proxyauth.Negotiate(proxyauth.NegotiateOptions{
			CachePath:  cache,
			ConfigPath: config,
		})},
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	fmt.Println(proxy.Transcript()[0].User)
	// Output:
	// 200 OK
	// alice
}
