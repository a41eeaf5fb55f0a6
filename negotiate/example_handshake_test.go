package negotiate_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// send sends a token in a request to a proxy, and returns the status and the
// token of the answer.
func send(transport *http.Transport, url string, token []byte) (status int, answer []byte) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Proxy-Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
	resp, err := transport.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, resp.Body) // so that the next request is on this connection
	resp.Body.Close()
	answer, _ = base64.StdEncoding.DecodeString(strings.TrimPrefix(resp.Header.Get("Proxy-Authenticate"), "Negotiate "))
	return resp.StatusCode, answer
}

// A ticket from a cache, and the proxy's proof that it could read it.
func ExampleKerberos() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Negotiate{FinalToken: true}},
		Users: map[string]string{"alice": "open sesame"},
	})
	defer proxy.Close()
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL), MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	o := negotiate.Options{CachePath: filepath.Join(dir, "cache"), ConfigPath: filepath.Join(dir, "krb5.conf")}
	proxy.WriteTicketCache(o.CachePath, "alice", time.Hour) // as kinit does
	proxy.WriteKerberosConfig(o.ConfigPath)

	ticket, err := negotiate.NewClient(o).Ticket(context.Background(), "HTTP/127.0.0.1")
	if err != nil {
		fmt.Println(err)
		return
	}
	h := negotiate.Kerberos(ticket, nil)
	token, last, err := h.Next(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	status, answer := send(transport, origin.URL, token)
	fmt.Println(last, status, "from the origin, proof:", h.Done(answer))
	// Output: true 404 from the origin, proof: <nil>
}

// NTLM inside SPNEGO, for a proxy that offers Negotiate and has no key for
// Kerberos. This one wants the list of mechanisms signed.
func ExampleNTLM() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}, NoKerberos: true, RequireListMIC: true}},
		Users: map[string]string{"alice": "open sesame"},
	})
	defer proxy.Close()
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL), MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()

	h := negotiate.NTLM(ntlm.New("alice", "open sesame", ntlm.Options{Sign: true}))
	var answer []byte
	for last := false; !last; {
		token, isLast, err := h.Next(answer)
		if err != nil {
			fmt.Println(err)
			return
		}
		last = isLast
		var status int
		status, answer = send(transport, origin.URL, token)
		fmt.Println(last, status)
	}
	// Output:
	// false 407
	// true 404
}
