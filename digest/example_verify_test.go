package digest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// parse returns the parameters of a header field, with or without the scheme.
func parse(field string) digest.Params {
	params, err := digest.ParseParams(strings.TrimPrefix(field, "Digest "))
	if err != nil {
		panic(err)
	}
	return params
}

// A proxy that proves to know the password, too, and names the nonce for the
// next request with each answer.
func ExampleSession_Verify() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Digest{Realm: "office", RspAuth: true, NextNonce: true}},
		Users: map[string]string{"alice": "open sesame"},
	})
	defer proxy.Close()
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL)}
	defer transport.CloseIdleConnections()
	send := func(authorization string) *http.Response {
		req, _ := http.NewRequest("GET", origin.URL+"/", nil)
		if authorization != "" {
			req.Header.Set("Proxy-Authorization", authorization)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
		return resp
	}

	challenge, err := digest.ParseChallenge(parse(send("").Header.Get("Proxy-Authenticate")))
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := digest.NewSession(challenge, "alice", "open sesame", digest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		answer, err := session.Authorize("GET", "/", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp := send(answer.Value)
		info := parse(resp.Header.Get("Proxy-Authentication-Info"))
		fmt.Println(resp.StatusCode, "proof:", session.Verify(info, answer, nil))
		session = session.Next(info.Get("nextnonce"))
	}
	fmt.Println("407s:", proxy.Counts().Challenges)
	// Output:
	// 404 proof: <nil>
	// 404 proof: <nil>
	// 407s: 1
}
