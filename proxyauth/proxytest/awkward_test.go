package proxytest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const anywhere = "GET http://origin.example/ HTTP/1.1"

func newAwkward(t *testing.T, b Behaviour) *Proxy {
	t.Helper()
	return newProxy(t, Config{Auth: []Auth{Basic{Realm: "r"}, Digest{Realm: "r"}}, Users: users, Behaviour: b})
}

func TestCloseAfter407(t *testing.T) {
	c := dialRaw(t, newAwkward(t, Behaviour{CloseAfter407: true}))
	resp, _ := c.do(anywhere)
	want(t, "status", resp.StatusCode, 407)
	want(t, "says so", resp.Close, true)
	c.ended()
}

func TestCloseSilently407(t *testing.T) {
	c := dialRaw(t, newAwkward(t, Behaviour{CloseSilently407: true}))
	resp, _ := c.do(anywhere)
	want(t, "status", resp.StatusCode, 407)
	want(t, "says so", resp.Close, false)
	c.ended()
}

func TestHTTP10(t *testing.T) {
	origin := newOrigin(t)
	p := newAwkward(t, Behaviour{HTTP10: true, Chunked407: true})
	c := dialRaw(t, p)
	resp, _ := c.do(anywhere)
	want(t, "protocol", resp.Proto, "HTTP/1.0")
	c.ended()

	c = dialRaw(t, p)
	for range 2 {
		resp, _ = c.do(anywhere, "Proxy-Connection: Keep-Alive")
		want(t, "protocol", resp.Proto, "HTTP/1.0")
		want(t, "kept", resp.Header.Get("Proxy-Connection"), "keep-alive")
	}
	resp, _ = c.do("CONNECT "+origin.Listener.Addr().String()+" HTTP/1.1", "Proxy-Authorization: "+basicCredentials("bob", "sesame"))
	want(t, "tunnel", fmt.Sprint(resp.Proto, resp.StatusCode), "HTTP/1.0200")
}

func TestBodyOf407(t *testing.T) {
	c := dialRaw(t, newAwkward(t, Behaviour{Chunked407: true, Body407: 100_000}))
	for range 2 {
		resp, body := c.do(anywhere)
		want(t, "length", len(body), 100_000)
		want(t, "encoding", fmt.Sprint(resp.TransferEncoding), "[chunked]")
	}
	resp, body := c.do(strings.Replace(anywhere, "1.1", "1.0", 1))
	want(t, "length", len(body), 100_000)
	want(t, "content length", resp.ContentLength, 100_000)
	resp, body = dialRaw(t, newAwkward(t, Behaviour{})).do("HEAD http://origin.example/ HTTP/1.1")
	want(t, "body of HEAD", body, "")
	want(t, "status", resp.StatusCode, 407)
}

func TestConnectAnswers(t *testing.T) {
	origin := newOrigin(t)
	connect := "CONNECT " + origin.Listener.Addr().String() + " HTTP/1.1"
	for name, test := range map[string]struct {
		behaviour Behaviour
		head      string
	}{
		"plain":             {Behaviour{}, "HTTP/1.1 200 Connection established\r\n\r\n"},
		"length":            {Behaviour{ConnectBody: "Content-Length: 10"}, "HTTP/1.1 200 Connection established\r\nContent-Length: 10\r\n\r\n"},
		"transfer encoding": {Behaviour{ConnectBody: "Transfer-Encoding: chunked"}, "HTTP/1.1 200 Connection established\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"early bytes":       {Behaviour{EarlyBytes: []byte("early")}, "HTTP/1.1 200 Connection established\r\n\r\nearly"},
		"created":           {Behaviour{ConnectStatus: 201}, "HTTP/1.1 201 Created\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, Config{Behaviour: test.behaviour})
			c := dialRaw(t, p)
			c.send(connect)
			buf := make([]byte, 1000)
			n, err := c.Read(buf) // one write of the proxy
			if err != nil {
				t.Fatal(err)
			}
			want(t, "head", string(buf[:n]), test.head)
			c.send("GET / HTTP/1.0")
			_, body := c.receive("GET")
			want(t, "through the tunnel", body, "GET / ")
			want(t, "tunnels", p.Counts().Tunnels, 1)
		})
	}
	for _, status := range []int{403, 502} {
		p := newProxy(t, Config{Behaviour: Behaviour{ConnectStatus: status}})
		resp, _ := dialRaw(t, p).do(connect)
		want(t, "status", resp.StatusCode, status)
		want(t, "tunnels", p.Counts().Tunnels, 0)
	}
}

func TestChallengeFields(t *testing.T) {
	extra := []string{"Negotiate", `X a="b, c"`}
	resp, _ := dialRaw(t, newAwkward(t, Behaviour{Challenges: extra})).do(anywhere)
	fields := resp.Header["Proxy-Authenticate"]
	want(t, "fields", len(fields), 4)
	want(t, "order", strings.Join(fields[:3], "|"), `Negotiate|X a="b, c"|Basic realm="r"`)

	resp, _ = dialRaw(t, newAwkward(t, Behaviour{Challenges: extra, OneField: true})).do(anywhere)
	fields = resp.Header["Proxy-Authenticate"]
	want(t, "fields", len(fields), 1)
	want(t, "order", strings.HasPrefix(fields[0], `Negotiate, X a="b, c", Basic realm="r", Digest realm="r", qop="auth", nonce="`), true)

	p := newProxy(t, Config{Behaviour: Behaviour{Challenges: []string{"Unheard-Of"}}})
	resp, _ = dialRaw(t, p).do(anywhere)
	want(t, "without schemes", fmt.Sprint(resp.StatusCode, resp.Header["Proxy-Authenticate"]), "407 [Unheard-Of]")
}

func TestRefuseWith(t *testing.T) {
	p := newAwkward(t, Behaviour{RefuseWith: 403})
	c := dialRaw(t, p)
	resp, _ := c.do(anywhere)
	want(t, "without credentials", resp.StatusCode, 407)
	resp, _ = c.do(anywhere, "Proxy-Authorization: "+basicCredentials("bob", "wrong"))
	want(t, "with wrong ones", resp.StatusCode, 403)
	want(t, "challenges", len(resp.Header["Proxy-Authenticate"]), 0)
	want(t, "refused", p.Refused("bob"), 1)
	want(t, "challenges", p.Counts().Challenges, 1)
}

func TestSecond400(t *testing.T) {
	p := newAwkward(t, Behaviour{Second400: true})
	c := dialRaw(t, p)
	resp, _ := c.do("CONNECT origin.example:443 HTTP/1.1")
	want(t, "first", resp.StatusCode, 407)
	resp, _ = c.do("CONNECT origin.example:443 HTTP/1.1", "Proxy-Authorization: "+basicCredentials("bob", "sesame"))
	want(t, "second", resp.StatusCode, 400)
	want(t, "attempts", p.Attempts("bob"), 0)
}

func TestDelay(t *testing.T) {
	inMemory(t, Config{Auth: []Auth{Basic{Realm: "r"}}, Behaviour: Behaviour{Delay: time.Hour}}, func(t *testing.T, p *Proxy, c *raw) {
		start := time.Now()
		c.do(anywhere)
		want(t, "delay", time.Since(start), time.Hour)
		c.send(anywhere)
		synctest.Wait()
		want(t, "requests", p.Counts().Requests, 2)
		p.Close() // does not wait an hour
		want(t, "delay", time.Since(start), time.Hour)
	})
}

func TestIgnoreExpect(t *testing.T) {
	config := Config{Auth: []Auth{Basic{Realm: "r"}}, Users: users, Behaviour: Behaviour{IgnoreExpect: true}}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		send := func(fields ...string) (*http.Response, string) {
			c.send("PUT http://origin.example/ HTTP/1.1", append(fields, "Expect: 100-continue", "Content-Length: 4")...)
			c.SetReadDeadline(time.Now().Add(time.Hour))
			if _, err := c.br.Peek(1); !isTimeout(err) {
				t.Errorf("the proxy does not wait for the body: %v", err)
			}
			c.SetReadDeadline(time.Time{})
			c.write("body")
			return c.receive("PUT")
		}
		resp, _ := send()
		want(t, "status", resp.StatusCode, 407)
		_, body := send("Proxy-Authorization: " + basicCredentials("bob", "sesame"))
		want(t, "body", body, "[]body")
		want(t, "connections", p.Counts().Connections, 1)
	})
}

func TestExpect417(t *testing.T) {
	c := dialRaw(t, newAwkward(t, Behaviour{Expect417: true}))
	resp, _ := c.do(anywhere)
	want(t, "without Expect", resp.StatusCode, 407)
	resp, _ = c.do("PUT http://origin.example/ HTTP/1.1", "Expect: 100-continue", "Content-Length: 4")
	want(t, "with it", resp.StatusCode, 417)
	want(t, "closed", resp.Close, true)
	c.ended()
}

// The client may send the body although it was not asked for, and must yet
// get the answer.
func TestAnswerSurvivesUnwantedBody(t *testing.T) {
	p := newAwkward(t, Behaviour{})
	c := dialRaw(t, p)
	body := bytes.Repeat([]byte("x"), 1<<20)
	c.write("PUT http://origin.example/ HTTP/1.1", "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(body)), "", "")
	c.Write(body)
	resp, _ := c.receive("PUT")
	want(t, "status", resp.StatusCode, 407)
	c.ended()
}
