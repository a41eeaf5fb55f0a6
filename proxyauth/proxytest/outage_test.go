package proxytest

import (
	"testing"
	"time"
)

// Requirement 37 (b): the directory is away for a number of answers, or for a
// time; squid's helpers say BH or ERR.
func TestDirectoryDown(t *testing.T) {
	eachScheme(t, Config{}, func(t *credentialsTest) {
		t.p.SetDirectoryDown(2)
		t.offered("right", t.status("right", true, 407))
		t.offered("wrong", t.status("wrong", false, 407))
		for _, leg := range t.p.Transcript() {
			want(t.T, "user", leg.User, "")
		}
		want(t.T, "denied", t.p.Denied("alice"), 1)
		want(t.T, "refused", t.p.Refused("alice"), 1)
		want(t.T, "attempts", t.p.Attempts("alice"), 2)
		t.status("back", true, 200)

		t.p.SetDirectoryDown(-1)
		for range 3 {
			time.Sleep(2 * time.Second)
			t.status("down", true, 407)
		}
		t.p.SetDirectoryDown(0)
		t.status("back", true, 200)
		want(t.T, "denied", t.p.Denied("alice"), 4)
	})
}

// The refusal of wrong credentials is not that of a directory that is down.
func TestDirectoryDownBeforeRefusal(t *testing.T) {
	eachScheme(t, Config{Behaviour: Behaviour{RefuseWith: 403}}, func(t *credentialsTest) {
		t.p.SetDirectoryDown(1)
		t.offered("down", t.status("down", false, 407))
		t.status("back", false, 403)
	})
}

// A connection is authenticated only by what passed, and stays so then.
func TestDirectoryDownConnection(t *testing.T) {
	inMemory(t, Config{Auth: []Auth{NTLM{}}, Users: users}, func(t *testing.T, p *Proxy, c *raw) {
		n := &ntlmClient{raw: c, line: forwarded, user: "alice", domain: "CORP", pass: "secret", flags: ntlmOffer}
		p.SetDirectoryDown(1)
		n.handshake(407)
		n.status(nil, 407)
		n.handshake(200)
		p.SetDirectoryDown(-1)
		n.status(nil, 200)
		want(t, "handshakes", p.Counts().Handshakes, 2)
	})
}

// squid's helper for NTLM says BH to a YR, or to a KK.
func TestDownInHandshake(t *testing.T) {
	config := Config{Auth: []Auth{NTLM{}}, Users: users, Behaviour: Behaviour{DownInHandshake: true}}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		n := &ntlmClient{raw: c, line: forwarded, user: "alice", domain: "CORP", pass: "secret", flags: ntlmOffer}
		p.SetDirectoryDown(1)
		n.status(n.negotiate(), 407)
		want(t, "attempts", p.Attempts("alice")+p.Attempts(""), 0)
		want(t, "denied", p.Denied("alice")+p.Denied(""), 0)
		want(t, "handshakes", p.Counts().Handshakes, 0)
		n.begin()
		p.SetDirectoryDown(1)
		n.status(n.authenticate(), 407)
		want(t, "denied", p.Denied("alice"), 1)
		n.handshake(200)
	})
}

// Requirement 38: a load balancer that has no proxy answers before credentials
// are looked at.
func TestAnswerNext(t *testing.T) {
	eachScheme(t, Config{}, func(t *credentialsTest) {
		t.p.AnswerNext(2, Answer{Status: 503})
		for range 2 {
			c := t.dial()
			c.send(t.line, "Proxy-Authorization: "+basicCredentials("alice", "wrong"))
			want(t.T, "status", c.answer(t.line).StatusCode, 503)
		}
		want(t.T, "attempts", t.p.Attempts("alice"), 0)
		want(t.T, "user", t.p.Transcript()[0].User, "")
		t.status("afterwards", true, 200)

		c := t.dial()
		credentials := t.scheme.credentials(c, t.p, t.line, true)
		t.p.AnswerNext(-1, Answer{Status: 503, Delay: time.Second})
		for range 3 {
			c.send(t.line, "Proxy-Authorization: "+credentials)
			want(t.T, "until told", c.answer(t.line).StatusCode, 503)
		}
		t.p.AnswerNext(0, Answer{})
		c.send(t.line, "Proxy-Authorization: "+credentials)
		want(t.T, "credentials that nobody looked at", c.answer(t.line).StatusCode, 200)
	})
}

// What stands in front can do all that an Answer says.
func TestAnswerNextWithoutAuth(t *testing.T) {
	inMemory(t, Config{}, func(t *testing.T, p *Proxy, c *raw) {
		start := time.Now()
		p.AnswerNext(1, Answer{Delay: time.Minute})
		resp, _ := c.do(forwarded)
		want(t, "only late", resp.StatusCode, 200)
		want(t, "after", time.Since(start), time.Minute)
		p.AnswerNext(1, Answer{Close: true})
		c.send(forwarded)
		c.ended()
	})
}
