package digest_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/digest"
)

// The package is useful by itself: here for a server that asks with 401.
func Example() {
	header := http.Header{"Www-Authenticate": {`Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`}}

	params, err := digest.ParseParams(strings.TrimPrefix(header.Get("WWW-Authenticate"), "Digest "))
	if err != nil {
		fmt.Println(err)
		return
	}
	challenge, err := digest.ParseChallenge(params)
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := digest.NewSession(challenge, "alice", "open sesame", digest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	req, _ := http.NewRequest("GET", "http://origin.example/path?q=1", nil)
	answer, err := session.Authorize(req.Method, req.URL.RequestURI(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Authorization", answer.Value)

	sent, _ := digest.ParseParams(strings.TrimPrefix(answer.Value, "Digest "))
	fmt.Println(sent.Get("username"), sent.Get("uri"), sent.Get("nc"))
	// Output: alice /path?q=1 00000001
}
