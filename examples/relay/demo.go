package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// runDemo shows a client that knows nothing of NTLM, first before an NTLM proxy
// and then before a relay to it.
func runDemo(out io.Writer) error {
	origin := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "hello, I got a %s with %d bytes", req.Method, n)
	})
	plain, secure := httptest.NewServer(origin), httptest.NewTLSServer(origin)
	defer plain.Close()
	defer secure.Close()

	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.NTLM{}},
		Users: map[string]string{"alice": "open sesame"},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) { // all names are the origin's
			target := plain.Listener.Addr()
			if strings.HasSuffix(addr, ":443") {
				target = secure.Listener.Addr()
			}
			return new(net.Dialer).DialContext(ctx, network, target.String())
		},
	})
	defer proxy.Close()

	l, err := listenOn("127.0.0.1:0", false)
	if err != nil {
		return err
	}
	r, err := newRelay(config{
		forHTTP:  proxy.URL,
		forHTTPS: proxy.URL,
		source:   proxyauth.UserPassword("alice", "open sesame"),
		log:      slog.New(slog.DiscardHandler),
	}, l.Addr().(*net.TCPAddr))
	if err != nil {
		l.Close()
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.serve(ctx, l, time.Second) }()
	defer func() {
		stop()
		<-served
	}()

	relayURL := &url.URL{Scheme: "http", Host: l.Addr().String()}
	trusted := x509.NewCertPool()
	trusted.AddCert(secure.Certificate())
	for _, way := range []struct {
		text  string
		proxy *url.URL
	}{
		{"Straight to an NTLM proxy, with a client that knows no NTLM:", proxy.URL},
		{"Through the relay, which knows it:", relayURL},
	} {
		fmt.Fprintf(out, "%s HTTPS_PROXY=%s\n", way.text, way.proxy)
		transport := &http.Transport{Proxy: http.ProxyURL(way.proxy), TLSClientConfig: &tls.Config{RootCAs: trusted}}
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		for _, request := range []struct{ method, url, body string }{
			{"GET", "http://example.com/", ""},
			{"GET", "https://example.com/", ""},
			{"POST", "https://example.com/", strings.Repeat(".", 1<<20)},
		} {
			req, err := http.NewRequest(request.method, request.url, strings.NewReader(request.body))
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  %-4s %-21s ", request.method, request.url)
			resp, err := client.Do(req)
			if err != nil {
				fmt.Fprintln(out, err)
				if way.proxy == relayURL {
					return err
				}
				continue
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			fmt.Fprintf(out, "%s: %s\n", resp.Status, strings.TrimSpace(string(text)))
			if way.proxy == relayURL && resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s %s through the relay: %s", request.method, request.url, resp.Status)
			}
		}
		transport.CloseIdleConnections()
		seen := proxy.Counts()
		fmt.Fprintf(out, "  The proxy had %d requests on %d connections, and answered 407 to %d.\n\n", seen.Requests, seen.Connections, seen.Challenges)
		proxy.Reset()
	}
	fmt.Fprintf(out, "The relay's status page:\n  %s\nNext: go run ./examples/relay -h\n",
		strings.ReplaceAll(strings.TrimSpace(r.status().String()), "\n", "\n  "))
	return nil
}
