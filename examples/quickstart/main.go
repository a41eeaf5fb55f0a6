// Quickstart shows what package proxyauth does: it gets a Go program through
// HTTP proxies that want a user name and a password. It needs nothing but Go:
//
//	go run ./examples/quickstart
//
// All of it is in this process: a web server (the origin), and for each row of
// the table it prints a proxy, which lets nobody pass without the password.
// There are three paths through a proxy:
//
//   - forward: http:// URLs; the proxy reads each request and passes it on
//   - tunnel:  https:// URLs; CONNECT opens a tunnel, and TLS goes through it
//   - raw TCP: a tunnel for anything else, such as SSH or a database
//
// The lines to copy into your own program are those between the rulers, below.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const timeout = 10 * time.Second

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// A scheme is how a proxy asks for the password, and how it is reached itself.
type scheme struct {
	name  string
	auth  proxytest.Auth
	start func(proxytest.Config) *proxytest.Proxy // New: http://, NewTLS: https://
	asks  int                                     // 407s in two fetches, on a connection each
}

var schemes = []scheme{
	{"Basic", proxytest.Basic{Realm: "quickstart"}, proxytest.New, 1},
	{"Basic", proxytest.Basic{Realm: "quickstart"}, proxytest.NewTLS, 1}, // TLS hides the password
	{"Digest MD5", digest("MD5"), proxytest.New, 1},
	{"Digest SHA-256", digest("SHA-256"), proxytest.New, 1},
	{"Digest SHA-512-256", digest("SHA-512-256"), proxytest.New, 1},
	{"NTLM", proxytest.NTLM{}, proxytest.New, 3}, // the first, and one in the handshake of each connection
	{"Negotiate", proxytest.Negotiate{}, proxytest.New, 1},
}

func digest(algorithm string) proxytest.Digest {
	return proxytest.Digest{Realm: "quickstart", Algorithms: []string{algorithm}}
}

func run(w io.Writer) error {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	plain, secure := httptest.NewServer(hello), httptest.NewTLSServer(hello)
	defer plain.Close()
	defer secure.Close()

	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCHEME\tPROXY\tPATH\tSTATUS\tPROXY REQUESTS\t407s")
	for _, s := range schemes {
		for _, path := range []string{"forward", "tunnel", "raw TCP"} {
			if err := row(table, s, path, plain, secure); err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, path, err)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nEach row is two fetches, on a connection each. The first request is answered 407\n"+
		"(credentials, please), the next one passes, and so does the second fetch at once.\n"+
		"NTLM authenticates connections: there each new one takes one more request.\n\n")

	wrong, none := proxyauth.UserPassword("alice", "wrong"), proxyauth.UserPassword("", "")
	if err := errors.Join(
		failure(w, "Wrong password", wrong, proxyauth.ErrRejected, plain),
		failure(w, "No credentials", none, proxyauth.ErrNoCredentials, plain),
	); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nNext: go doc ./proxyauth, and in your program:"+
		" client := &http.Client{Transport: &proxyauth.Transport{}}; resp, err := client.Get(url)")
	return err
}

// row fetches twice with one client through a new proxy, and prints what the
// proxy has counted.
func row(table io.Writer, s scheme, path string, plain, secure *httptest.Server) error {
	proxy, base := startProxy(s, secure)
	defer proxy.Close()

	// -------------------------------------------------------------------------
	transport := &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "secret")}
	client := &http.Client{Transport: transport, Timeout: timeout}
	// -------------------------------------------------------------------------

	if s.name == "Negotiate" { // Kerberos: a ticket of alice, as kinit would have got it
		dir, err := os.MkdirTemp("", "quickstart")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		options := proxyauth.NegotiateOptions{CachePath: filepath.Join(dir, "ticket"), ConfigPath: filepath.Join(dir, "krb5.conf")}
		if err := errors.Join(proxy.WriteTicketCache(options.CachePath, "alice", time.Hour), proxy.WriteKerberosConfig(options.ConfigPath)); err != nil {
			return err
		}
		// By default the ticket cache of the environment is used. NTLM is there so
		// that Negotiate, which alone needs no challenge, is chosen by the first.
		transport.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(options), proxyauth.NTLM()}
	}

	url := plain.URL
	switch path {
	case "tunnel":
		url = secure.URL
	case "raw TCP": // any library with a dial function to set will do; here net/http, without a proxy
		client.Transport = &http.Transport{DialContext: transport.DialContext, DisableKeepAlives: true}
	}
	for range 2 {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
		transport.CloseIdleConnections() // a kept tunnel would not need the proxy's leave again
	}
	seen := proxy.Counts()
	if seen.Challenges != s.asks {
		return fmt.Errorf("the proxy answered 407 %d times, not %d", seen.Challenges, s.asks)
	}
	fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\n",
		s.name, proxy.URL.Scheme, path, http.StatusOK, seen.Requests, seen.Challenges)
	return nil
}

// failure prints the error when credentials are wrong or missing: an error and
// no response, so that the proxy's 407 page is never taken for the origin's.
func failure(w io.Writer, title string, c proxyauth.CredentialSource, want error, origin *httptest.Server) error {
	proxy, base := startProxy(schemes[0], origin)
	defer proxy.Close()
	client := &http.Client{Transport: &proxyauth.Transport{Base: base, Credentials: c}, Timeout: timeout}

	_, err := client.Get(origin.URL)
	authErr, ok := errors.AsType[*proxyauth.AuthError](err)
	if !ok || !errors.Is(err, want) {
		return fmt.Errorf("%s: got error %v, want %v", title, err, want)
	}
	fmt.Fprintf(w, "%s: %v\n", title, authErr)
	return nil
}

// startProxy returns a proxy and, for Base, what a real program leaves to its
// environment: the proxy's address (HTTP_PROXY, HTTPS_PROXY) and whom to trust.
func startProxy(s scheme, origin *httptest.Server) (*proxytest.Proxy, *http.Transport) {
	proxy := s.start(proxytest.Config{Auth: []proxytest.Auth{s.auth}, Users: map[string]string{"alice": "secret"}})
	trusted := x509.NewCertPool()
	for _, cert := range []*x509.Certificate{proxy.Certificate(), origin.Certificate()} {
		if cert != nil { // nil: not reached by TLS
			trusted.AddCert(cert)
		}
	}
	return proxy, &http.Transport{Proxy: http.ProxyURL(proxy.URL), TLSClientConfig: &tls.Config{RootCAs: trusted}}
}
