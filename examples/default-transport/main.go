// Default-transport is an existing program whose libraries use
// http.DefaultClient: one line gets all of them through the proxy. It needs
// nothing but Go:
//
//	go run ./examples/default-transport
//
// The proxy and the service are in this process. With a URL they are those of
// the environment, as in any program:
//
//	HTTPS_PROXY=http://proxy.corp:3128 PROXY_USER='CORP\alice' PROXY_PASS=secret \
//		go run ./examples/default-transport -url https://example.com/
//
// A library that wants http.DefaultTransport to be an *http.Transport, mostly
// to clone it, goes its own way or panics: give it a client with the transport
// where it takes one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/go-proxyauth/go-proxyauth/examples/default-transport/weather"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func main() {
	url := flag.String("url", "", "`URL` to fetch; empty: a service, and a proxy, in this process")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "default-transport: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(os.Stdout, *url); err != nil {
		fmt.Fprintln(os.Stderr, "default-transport:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, url string) error {
	if url == "" {
		url = "http://weather.example/today"
		defer company()()
	}
	if today, err := weather.Today(url); err == nil {
		fmt.Fprintln(w, "before:", today)
	} else {
		fmt.Fprintln(w, "before:", err)
	}
	http.DefaultClient.CloseIdleConnections()

	// -------------------------------------------------------------------------
	http.DefaultTransport = &proxyauth.Transport{} // the one line
	// -------------------------------------------------------------------------

	defer http.DefaultClient.CloseIdleConnections()
	today, err := weather.Today(url)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "after: ", today)
	return err
}

// company makes the environment that the program finds at work: HTTP_PROXY
// names a proxy that demands NTLM, and nothing else knows weather.example.
func company() (closeAll func()) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "fair, with a proxy in the way\n")
	}))
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.NTLM{}},
		Users: map[string]string{"alice": "secret"},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "weather.example:80" {
				return nil, errors.New("no such host")
			}
			var d net.Dialer
			return d.DialContext(ctx, network, service.Listener.Addr().String())
		},
	})
	for name, value := range map[string]string{
		"HTTP_PROXY": proxy.URL.String(), "NO_PROXY": "", "no_proxy": "",
		"PROXY_USER": "alice", "PROXY_PASS": "secret",
	} {
		os.Setenv(name, value)
	}
	return func() { proxy.Close(); service.Close() }
}
