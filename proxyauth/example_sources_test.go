package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// printCredentials prints what a source has for a proxy.
func printCredentials(source proxyauth.CredentialSource, proxy string) {
	u, _ := url.Parse(proxy)
	c, err := source.ProxyCredentials(context.Background(), proxyauth.CredentialRequest{Proxy: u, Scheme: "Basic"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Username, len(c.Password), "bytes")
}

// writeExample writes a file that only its owner can read.
func writeExample(text string) (path string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

// A program that ends at its start, with a line for each mistake, if its
// environment is wrong.
func ExampleFromEnvironment() {
	os.Setenv("HTTPS_PROXY", `http://CORP\alice:secret@proxy.corp:3128`)
	os.Setenv("NO_PROXY", "10.*")
	defer os.Unsetenv("HTTPS_PROXY")
	defer os.Unsetenv("NO_PROXY")

	_, err := proxyauth.FromEnvironment()
	fmt.Println(err)

	os.Setenv("HTTPS_PROXY", "http://CORP%5Calice:secret@proxy.corp:3128")
	os.Setenv("NO_PROXY", "10.0.0.0/8")
	transport, err := proxyauth.FromEnvironment()
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
	proxy, _ := transport.Proxy(req)
	fmt.Println(proxy.Host)
	// Output:
	// proxyauth: HTTPS_PROXY: a special character in the user name or password is not percent-encoded: write "@" as %40, "/" as %2F, "\" as %5C, "#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS
	// proxyauth: NO_PROXY: entry 1 "10.*" can never match: * stands alone or in *.domain only, and a network is written 10.0.0.0/8
	// proxy.corp:3128
}

func ExampleEnvironmentCredentials() {
	os.Setenv("PROXY_USER", `CORP\alice`)
	os.Setenv("PROXY_PASS", "open sesame")
	defer os.Unsetenv("PROXY_USER")
	defer os.Unsetenv("PROXY_PASS")

	// After the environment, what the user has for curl.
	source := proxyauth.FirstOf(proxyauth.EnvironmentCredentials(), proxyauth.Netrc(""))
	printCredentials(source, "http://proxy.corp:3128")
	// Output: CORP\alice 11 bytes
}

// A secret manager. It is asked for each request; see Cached.
func ExampleCredentialFunc() {
	readSecret := func(ctx context.Context, path string) (user, password string, err error) {
		return "alice", "open sesame", ctx.Err()
	}
	source := proxyauth.CredentialFunc(func(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		user, password, err := readSecret(ctx, "proxies/"+req.Proxy.Hostname())
		return proxyauth.Credentials{Username: user, Password: password}, err
	})
	printCredentials(source, "http://proxy.corp:3128")
	// Output: alice 11 bytes
}

// A secret manager that is asked every ten minutes, and when the proxy has refused what
// it gave.
func ExampleCached() {
	passwords := []string{"open barley", "open sesame"}
	vault := proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		fmt.Println("the vault is asked")
		c := proxyauth.Credentials{Username: "alice", Password: passwords[0]}
		passwords = passwords[1:]
		return c, nil
	})
	proxy, origin := exampleProxy(), hello()
	defer proxy.Close()
	defer origin.Close()

	transport := &proxyauth.Transport{
		Proxy:       http.ProxyURL(proxy.URL),
		Credentials: proxyauth.Cached(vault, 10*time.Minute),
		Schemes:     []proxyauth.Scheme{proxyauth.Basic()},
	}
	defer transport.CloseIdleConnections()
	printGet(transport, origin.URL)
	printGet(transport, origin.URL)
	fmt.Println("refused:", proxy.Refused("alice"))
	// Output:
	// the vault is asked
	// the vault is asked
	// 200 OK
	// 200 OK
	// refused: 1
}

// The first that has credentials wins. One that fails ends the request.
func ExampleFirstOf() {
	vault := proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		return proxyauth.Credentials{}, errors.New("vault: sealed")
	})
	printCredentials(proxyauth.FirstOf(proxyauth.UserPassword("", ""), proxyauth.UserPassword("alice", "x")), "http://proxy.corp:3128")
	printCredentials(proxyauth.FirstOf(vault, proxyauth.UserPassword("alice", "x")), "http://proxy.corp:3128")
	// Output:
	// alice 1 bytes
	// vault: sealed
}

// A secret that Kubernetes or Vault's agent mounts as one file.
func ExampleCredentialFile() {
	path, remove := writeExample("alice:open sesame\n")
	defer remove()
	source := proxyauth.CredentialFile(path)
	printCredentials(source, "http://proxy.corp:3128")

	os.WriteFile(path, []byte("alice:new\n"), 0o600) // read again
	printCredentials(source, "http://proxy.corp:3128")
	// Output:
	// alice 11 bytes
	// alice 3 bytes
}

func ExamplePasswordFile() {
	path, remove := writeExample("open sesame\n")
	defer remove()
	printCredentials(proxyauth.PasswordFile(`CORP\alice`, path), "http://proxy.corp:3128")
	// Output: CORP\alice 11 bytes
}

func ExampleNetrc() {
	path, remove := writeExample(`
machine proxy.corp
	login alice
	password "open sesame"
`)
	defer remove()
	printCredentials(proxyauth.Netrc(path), "http://proxy.corp:3128")
	printCredentials(proxyauth.Netrc(path), "http://other.corp:3128")
	// Output:
	// alice 11 bytes
	// proxyauth: no credentials for the proxy
}

// Other credentials for each proxy.
func ExamplePerProxy() {
	source := proxyauth.PerProxy(map[string]proxyauth.CredentialSource{
		"proxy.corp":      proxyauth.UserPassword("alice", "open sesame"),
		"proxy.corp:8080": proxyauth.UserPassword("bob", "x"),
	})
	printCredentials(source, "http://proxy.corp:3128")
	printCredentials(source, "http://proxy.corp:8080")
	printCredentials(source, "http://other.corp:3128")
	// Output:
	// alice 11 bytes
	// bob 1 bytes
	// proxyauth: no credentials for the proxy
}
