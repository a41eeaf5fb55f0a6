package proxytest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// answerOf asks a proxy for a URL as alice, by Basic, and returns what came.
func answerOf(proxy *proxytest.Proxy, url string) string {
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URLFor("alice", "secret"))}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "no answer"
	}
	resp.Body.Close()
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Proxy-Authenticate")))
}

// nowhere stands for the origins of these examples, each of which answers 204.
type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

// A proxy that lets nobody to one target, and everybody to another, as squid
// with "http_access deny blocked authed" and "http_access allow free".
func ExampleBehaviour_targets() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Users: map[string]string{"alice": "secret"},
		Behaviour: proxytest.Behaviour{
			Denied: []string{"blocked.example"},
			Free:   []string{"free.example:80"},
		},
		Transport: nowhere{},
	})
	defer proxy.Close()

	fmt.Println(answerOf(proxy, "http://origin.example/"))
	fmt.Println(answerOf(proxy, "http://blocked.example/"))
	fmt.Println(proxy.Denied("alice"), proxy.Refused("alice"))
	proxy.RemoveUser("alice")
	fmt.Println(answerOf(proxy, "http://free.example/"))
	// Output:
	// 204
	// 407 Basic realm="office"
	// 1 0
	// 204
}

// A proxy that refuses wrong credentials by closing the connection.
func ExampleAnswer() {
	proxy := proxytest.New(proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Users:     map[string]string{"alice": "another"},
		Behaviour: proxytest.Behaviour{Refusal: proxytest.Answer{Close: true}},
	})
	defer proxy.Close()

	fmt.Println(answerOf(proxy, "http://origin.example/"))
	fmt.Println(proxy.Refused("alice"))
	// Output:
	// no answer
	// 1
}

// A load balancer has no proxy for the first two requests.
func ExampleProxy_AnswerNext() {
	proxy := proxytest.New(proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Users:     map[string]string{"alice": "secret"},
		Transport: nowhere{},
	})
	defer proxy.Close()

	proxy.AnswerNext(2, proxytest.Answer{Status: http.StatusServiceUnavailable})
	for range 3 {
		fmt.Println(answerOf(proxy, "http://origin.example/"))
	}
	fmt.Println(proxy.Attempts("alice"))
	// Output:
	// 503
	// 503
	// 204
	// 1
}

// The directory of the users is away for one request.
func ExampleProxy_SetDirectoryDown() {
	proxy := proxytest.New(proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Users:     map[string]string{"alice": "secret"},
		Transport: nowhere{},
	})
	defer proxy.Close()

	proxy.SetDirectoryDown(1)
	fmt.Println(answerOf(proxy, "http://origin.example/"))
	fmt.Println(answerOf(proxy, "http://origin.example/"))
	// Output:
	// 407 Basic realm="office"
	// 204
}

// A proxy whose realm is another after a restart.
func ExampleProxy_Restart() {
	proxy := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "office"}}})
	defer proxy.Close()

	fmt.Println(answerOf(proxy, "http://origin.example/"))
	proxy.Restart(proxytest.Basic{Realm: "new office"})
	fmt.Println(answerOf(proxy, "http://origin.example/"))
	// Output:
	// 407 Basic realm="office"
	// 407 Basic realm="new office"
}

// A proxy with two realms, and a user of the same name in each.
func ExampleRealm() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Basic{Realm: "world"}},
		Users: map[string]string{"alice": "secret"},
		Realms: []proxytest.Realm{{
			Targets: []string{"intranet.example"},
			Auth:    []proxytest.Auth{proxytest.Basic{Realm: "intranet"}},
			Users:   map[string]string{"alice": "another"},
		}},
		Transport: nowhere{},
	})
	defer proxy.Close()

	fmt.Println(answerOf(proxy, "http://origin.example/"))
	fmt.Println(answerOf(proxy, "http://intranet.example/"))
	// Output:
	// 204
	// 407 Basic realm="intranet"
}

// Two proxies behind one name, of which one has lost its directory: the client
// is given a dialer that takes them in turn.
func ExampleProxy_pair() {
	config := proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Basic{Realm: "office"}},
		Users:     map[string]string{"alice": "secret"},
		Transport: nowhere{},
	}
	pair := []*proxytest.Proxy{proxytest.New(config), proxytest.New(config)}
	defer pair[0].Close()
	defer pair[1].Close()
	pair[1].SetDirectoryDown(-1)

	var dialled atomic.Int64
	transport := &http.Transport{
		Proxy: http.ProxyURL(pair[0].URLFor("alice", "secret")),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			next := pair[int(dialled.Add(1)-1)%len(pair)]
			return new(net.Dialer).DialContext(ctx, network, next.URL.Host)
		},
		DisableKeepAlives: true, // or the first connection would serve all
	}
	for range 4 {
		resp, err := (&http.Client{Transport: transport}).Get("http://origin.example/")
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode)
	}
	// Output:
	// 204
	// 407
	// 204
	// 407
}

// One-time nonces: each is good for one request, and the proxy does not say
// that the password was right when one comes again.
func ExampleDigest_oneTimeNonces() {
	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Digest{Realm: "office", NonceUses: 1, NeverStale: true}},
		Users: map[string]string{"alice": "secret"},
	})
	defer proxy.Close()
	answer := answerOf(proxy, "http://origin.example/")
	fmt.Println(strings.Contains(answer, "nonce="), strings.Contains(answer, "stale="))
	// Output: true false
}
