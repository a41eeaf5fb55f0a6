// Websocket goes through a proxy that demands NTLM, with the library
// github.com/coder/websocket. It needs nothing but Go:
//
//	go run .
//
// The proxy and the server are in this process. Real ones are named by flags
// (the proxy by HTTPS_PROXY, too), the password for the proxy by the environment:
//
//	PROXY_USER='CORP\alice' PROXY_PASS=secret go run . -proxy http://proxy.corp:3128 -url wss://echo.example/
//
// wss:// goes through a tunnel (CONNECT), as in browsers. ws:// is forwarded by
// the proxy as a request with Upgrade, which some proxies do not do; there a
// tunnel helps too:
//
//	client := &http.Client{Transport: &http.Transport{DialContext: transport.DialContext}}
//
// The lines to copy into your own program are those between the rulers, below.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"time"

	"github.com/coder/websocket"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func main() {
	proxy := flag.String("proxy", "", "`URL` of the proxy; empty: with -url that of the environment, otherwise one in this process")
	target := flag.String("url", "", "ws:// or wss:// `URL` of a server that echoes; empty: one in this process")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "websocket: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(os.Stdout, *proxy, *target); err != nil {
		fmt.Fprintln(os.Stderr, "websocket:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, proxy, target string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	base := http.DefaultTransport.(*http.Transport).Clone()
	transport := &proxyauth.Transport{Base: base} // from the environment: HTTPS_PROXY, PROXY_USER, PROXY_PASS
	defer transport.CloseIdleConnections()
	switch {
	case proxy != "":
		u, err := url.Parse(proxy)
		if err != nil || u.Hostname() == "" { // err would show a password
			return errors.New("-proxy is not a URL such as http://proxy.example:3128 (special characters of a password are percent-encoded)")
		}
		base.Proxy = http.ProxyURL(u)
	case target == "":
		p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"alice": "secret"}})
		defer p.Close()
		base.Proxy, transport.Credentials = http.ProxyURL(p.URL), proxyauth.UserPassword("alice", "secret")
	}
	if target == "" {
		server := httptest.NewTLSServer(http.HandlerFunc(serve))
		defer server.Close()
		base.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		base.TLSClientConfig.RootCAs.AddCert(server.Certificate())
		target = "wss" + server.URL[len("https"):]
	}
	return echo(ctx, w, transport, target)
}

// echo sends messages and wants them back.
func echo(ctx context.Context, w io.Writer, transport http.RoundTripper, target string) error {
	// -------------------------------------------------------------------------
	client := &http.Client{Transport: transport} // a *proxyauth.Transport, shared by the whole program
	conn, _, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: client})
	// -------------------------------------------------------------------------
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	for _, message := range [][]byte{[]byte("hello"), bytes.Repeat([]byte("0123456789abcdef"), maxMessage/16)} {
		if err := conn.Write(ctx, websocket.MessageText, message); err != nil {
			return err
		}
		_, answer, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if !bytes.Equal(answer, message) {
			return fmt.Errorf("sent %d bytes, got %d others", len(message), len(answer))
		}
		fmt.Fprintf(w, "%d bytes there and back\n", len(message))
	}
	if err := conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "closed by both sides")
	return err
}

const maxMessage = 1 << 20

// serve is the server: it echoes until the client closes.
func serve(w http.ResponseWriter, req *http.Request) {
	conn, err := websocket.Accept(w, req, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	for {
		kind, message, err := conn.Read(req.Context())
		if err != nil || conn.Write(req.Context(), kind, message) != nil {
			return
		}
	}
}
