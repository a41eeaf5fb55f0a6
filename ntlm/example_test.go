package ntlm_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/ntlm"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// send sends a message in a request to a proxy, and returns the answer and the
// message in it.
func send(transport *http.Transport, url string, message []byte) (*http.Response, []byte) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Proxy-Authorization", "NTLM "+base64.StdEncoding.EncodeToString(message))
	resp, err := transport.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, resp.Body) // so that the next request is on this connection
	resp.Body.Close()
	reply, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(resp.Header.Get("Proxy-Authenticate"), "NTLM "))
	return resp, reply
}

// The legs of a handshake with a proxy, on one connection.
func Example() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.NTLM{Domain: "CORP"}},
		Users: map[string]string{`CORP\alice`: "open sesame"},
	})
	defer proxy.Close()
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL), MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()

	h := ntlm.New(`CORP\alice`, "open sesame", ntlm.Options{})
	negotiate, err := h.Next(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, challenge := send(transport, origin.URL, negotiate)
	fmt.Println("type 1:", resp.StatusCode)
	authenticate, err := h.Next(challenge)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, _ = send(transport, origin.URL, authenticate)
	fmt.Println("type 3:", resp.StatusCode, "from the origin")
	// Output:
	// type 1: 407
	// type 3: 404 from the origin
}

// A signature, as SPNEGO has it of its list of mechanisms. Package negotiate
// makes it by itself.
func ExampleHandshake_Sign() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.NTLM{}},
		Users: map[string]string{"alice": "open sesame"},
	})
	defer proxy.Close()
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL), MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()

	h := ntlm.New("alice", "open sesame", ntlm.Options{Sign: true})
	negotiate, err := h.Next(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = h.Sign([]byte("a message"))
	fmt.Println(err)
	_, challenge := send(transport, "http://origin.example/", negotiate)
	if _, err := h.Next(challenge); err != nil {
		fmt.Println(err)
		return
	}
	signature, err := h.Sign([]byte("a message"))
	fmt.Println(len(signature), "bytes", err)
	// Output:
	// ntlm: nothing to sign with yet
	// 16 bytes <nil>
}
