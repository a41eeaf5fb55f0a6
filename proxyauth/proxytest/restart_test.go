package proxytest

import (
	"strings"
	"testing"
)

// Requirement 37 (e): after a restart nonces are unknown, and the realm or the
// algorithm is another; stale=true or, if so wanted, never.
func TestRestartDigest(t *testing.T) {
	for name, after := range map[string][]Auth{
		"the same":          nil,
		"another realm":     {Digest{Realm: "other"}},
		"another algorithm": {Digest{Realm: "r", Algorithms: []string{"SHA-256"}, Opaque: "o", QOP: []string{"auth-int"}}},
		"never stale":       {Digest{Realm: "other", NeverStale: true}},
		"without a qop":     {Digest{Realm: "r", QOP: []string{}}},
		"by opaque":         {Digest{Realm: "r", CountByOpaque: true}},
	} {
		t.Run(name, func(t *testing.T) {
			stale := name != "never stale"
			before := Digest{Realm: "r", Opaque: "before", UserHash: true}
			eachDigest(t, before, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
				c.status(passed)
				p.Restart(after...)
				resp := c.refused("after", stale)
				want(t, "attempts", p.Attempts("alice"), 2)
				hash := c.algorithm().hash("alice", "r")
				c.fields = map[string]string{"username": quote(hash), "userhash": "true"}
				c.user = "alice"
				c.refused("hashed", stale)
				want(t, "attempts", p.Attempts("alice"), 3)
				c.fields = nil
				c.pass = "wrong"
				c.refused("wrong", false)
				want(t, "refused", p.Refused("alice"), 1)
				c.pass, c.qop = "secret", ""
				c.take(resp)
				c.status(passed)
			})
		})
	}
}

// Credentials without a qop are of before, if now there is one.
func TestRestartWithQOP(t *testing.T) {
	eachDigest(t, Digest{Realm: "r", QOP: []string{}}, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		c.status(passed)
		p.Restart(Digest{Realm: "r", Algorithms: []string{"MD5-sess"}})
		c.refused("after", true)
		c.fields = map[string]string{"cnonce": `"c"`}
		c.status(400)
		c.fields, c.qop = nil, "auth-conf"
		c.status(400)
	})
}

// Connections are not authenticated after a restart, and handshakes are cut.
func TestRestartConnections(t *testing.T) {
	inMemory(t, Config{Auth: []Auth{NTLM{}}, Users: users}, func(t *testing.T, p *Proxy, c *raw) {
		n := &ntlmClient{raw: c, line: forwarded, user: "alice", domain: "CORP", pass: "secret", flags: ntlmOffer}
		n.handshake(200)
		p.Restart()
		n.status(nil, 407)
		n.begin()
		p.Restart()
		n.status(n.authenticate(), 407)
		want(t, "refused", p.Refused("alice"), 0)
		n.handshake(200)
		p.Restart(Basic{Realm: "r"})
		resp, _ := n.ask(nil)
		want(t, "challenge", resp.Header.Get("Proxy-Authenticate"), `Basic realm="r"`)
	})
}

// Tickets outlive a restart, unless the realm or the keys are others.
func TestRestartTickets(t *testing.T) {
	p, c := newNegotiate(t, Negotiate{})
	p.Restart(Basic{Realm: "r"}, Negotiate{FinalToken: true})
	c.status(c.simple(), 200, "")
	c.mutual = true
	c.status(c.simple(), 200, "")
	p.Restart(Negotiate{EncType: 17})
	c.status(c.simple(), 407, "")
	p.Restart(Negotiate{KerberosRealm: "OTHER.EXAMPLE"})
	c.status(c.simple(), 407, "")
	c.login(p, "alice", 1e12)
	c.status(c.simple(), 200, "")
}

// The realms keep their schemes.
func TestRestartRealms(t *testing.T) {
	config := Config{
		Auth: []Auth{Basic{Realm: "r"}}, Users: users,
		Realms: []Realm{{Targets: []string{"inside.example"}, Auth: []Auth{Digest{Realm: "inside"}}, Users: map[string]string{"alice": "hidden"}}},
	}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		d := newDigestClientOn(c, "GET http://inside.example/ HTTP/1.1")
		d.pass = "hidden"
		d.status(502)
		p.Restart(Basic{Realm: "other"})
		d.take(d.refused("inside", true))
		d.status(502)
		resp, _ := c.do(forwarded)
		want(t, "outside", strings.Join(resp.Header["Proxy-Authenticate"], "|"), `Basic realm="other"`)
		resp, _ = c.do(forwarded, "Proxy-Authorization: "+basicCredentials("bob", "sesame"))
		want(t, "outside", resp.StatusCode, 200)
	})
}
