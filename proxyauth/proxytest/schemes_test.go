package proxytest

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"testing"
	"time"
)

const (
	forwarded = "GET http://origin.example/ HTTP/1.1"
	tunnelled = "CONNECT origin.example:80 HTTP/1.1"
)

// testScheme is a scheme, and how a client of it comes to the credentials of
// alice, right or wrong, for a request that is next on the connection. What
// goes before them has been sent and answered then.
type testScheme struct {
	name        string
	auth        Auth
	credentials func(c *raw, p *Proxy, line string, right bool) string
}

var testSchemes = []testScheme{
	{"Basic", Basic{Realm: "r"}, func(_ *raw, _ *Proxy, _ string, right bool) string {
		return basicCredentials("alice", password(right))
	}},
	{"Digest", Digest{Realm: "r"}, func(c *raw, _ *Proxy, line string, right bool) string {
		d := newDigestClientOn(c, line)
		d.pass = password(right)
		return d.credentials()
	}},
	{"NTLM", NTLM{}, func(c *raw, _ *Proxy, line string, right bool) string {
		n := &ntlmClient{raw: c, line: line, user: "alice", domain: "CORP", pass: password(right), flags: ntlmOffer}
		n.begin()
		return "NTLM " + base64.StdEncoding.EncodeToString(n.authenticate())
	}},
	{"Negotiate with a ticket", Negotiate{}, func(c *raw, p *Proxy, line string, right bool) string {
		n := &negotiateClient{raw: c, line: line, host: "127.0.0.1"}
		lifetime := time.Hour
		if !right {
			lifetime = -time.Hour
		}
		n.login(p, "alice", lifetime)
		time.Sleep(time.Millisecond) // or the authenticator would be that of before, since time stands still
		return "Negotiate " + base64.StdEncoding.EncodeToString(n.simple())
	}},
	{"Negotiate with a password", Negotiate{NTLM: &NTLM{}}, func(c *raw, _ *Proxy, line string, right bool) string {
		n := &negotiateClient{raw: c, line: line}
		inside := ntlmInside(n)
		inside.flags &^= ntlmKeyExchange
		inside.pass, inside.type1 = password(right), inside.negotiate()
		resp, _ := n.ask(initToken(inside.type1, oidNTLM))
		inside.type2 = n.final(resp, 407).ResponseToken
		return "Negotiate " + base64.StdEncoding.EncodeToString(respToken(inside.authenticate(), nil))
	}},
}

func password(right bool) string {
	if right {
		return "secret"
	}
	return "wrong"
}

// credentialsTest is one scheme, and one way to the target, in a bubble.
type credentialsTest struct {
	*testing.T
	p      *Proxy
	scheme testScheme
	line   string   // of the request
	reach  dialFunc // dials the proxy
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// eachScheme runs f in a bubble for each scheme, which is put into the
// configuration, and for forwarded and tunnelled requests.
func eachScheme(t *testing.T, config Config, f func(t *credentialsTest)) {
	for _, scheme := range testSchemes {
		for way, line := range map[string]string{"forwarded": forwarded, "tunnelled": tunnelled} {
			t.Run(scheme.name+" "+way, func(t *testing.T) {
				config := config
				config.Auth, config.Users = []Auth{scheme.auth}, users
				inMemory(t, config, func(t *testing.T, p *Proxy, _ *raw) {
					f(&credentialsTest{t, p, scheme, line, p.dialer})
				})
			})
		}
	}
}

// dial dials the proxy.
func (t *credentialsTest) dial() *raw {
	t.Helper()
	c := dialRawBy(t.T, t.p, t.reach)
	c.SetDeadline(time.Time{})
	return c
}

// send sends the request on a new connection, with all that goes before it.
func (t *credentialsTest) send(right bool) *raw {
	t.Helper()
	c := t.dial()
	c.send(t.line, "Proxy-Authorization: "+t.scheme.credentials(c, t.p, t.line, right))
	return c
}

// status sends the request and checks the status of the answer.
func (t *credentialsTest) status(what string, right bool, status int) *http.Response {
	t.Helper()
	c := t.send(right)
	resp := c.answer(t.line)
	want(t.T, what, resp.StatusCode, status)
	return resp
}

// answer reads the answer to a request with the line.
func (c *raw) answer(line string) *http.Response {
	c.t.Helper()
	method := "GET"
	if line == tunnelled {
		method = "CONNECT"
	}
	resp, _ := c.receive(method)
	return resp
}

// offered checks that the answer is a 407 with a challenge that begins anew.
func (t *credentialsTest) offered(what string, resp *http.Response) {
	t.Helper()
	want(t.T, what, resp.StatusCode, http.StatusProxyAuthRequired)
	fields := resp.Header["Proxy-Authenticate"]
	want(t.T, what+": challenges", len(fields), 1)
	switch field := fields[0]; t.scheme.name {
	case "Basic":
		want(t.T, what, field, `Basic realm="r"`)
	case "Digest":
		want(t.T, what, field[:len(`Digest realm="r", qop="auth", nonce="`)], `Digest realm="r", qop="auth", nonce="`)
		want(t.T, what+": stale", isStale(resp), false)
	case "NTLM":
		want(t.T, what, field, "NTLM")
	default:
		want(t.T, what, field, "Negotiate")
	}
}
