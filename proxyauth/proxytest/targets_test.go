package proxytest

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Requirement 37 (a): squid's "http_access deny blocked authed".
func TestDenied(t *testing.T) {
	eachScheme(t, Config{Behaviour: Behaviour{Denied: []string{"origin.example"}}}, func(t *credentialsTest) {
		before := 0
		if t.scheme.name != "Basic" && t.scheme.name != "Negotiate with a ticket" {
			before = 1
		}
		t.offered("denied", t.status("denied", true, 407))
		legs := t.p.Transcript()
		want(t.T, "legs", len(legs), before+1)
		want(t.T, "user in the transcript", legs[before].User, "alice")
		want(t.T, "attempts", t.p.Attempts("alice"), 1)
		want(t.T, "refused", t.p.Refused("alice"), 0)
		want(t.T, "denied", t.p.Denied("alice"), 1)
		t.offered("wrong credentials", t.status("wrong credentials", false, 407))
		want(t.T, "refused", t.p.Refused("alice"), 1)

		// Another target is reached.
		t.line = strings.Replace(t.line, "origin.example", "free.example", 1)
		t.status("another target, where nothing listens", true, 502)
		want(t.T, "denied", t.p.Denied("alice"), 1)
		t.p.Reset()
		want(t.T, "denied since", t.p.Denied("alice"), 0)
	})
}

// A connection that NTLM has authenticated meets the deny rule, too, and stays
// authenticated.
func TestDeniedConnection(t *testing.T) {
	config := Config{Auth: []Auth{NTLM{}}, Users: users, Behaviour: Behaviour{Denied: []string{"blocked.example:80"}}}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		n := &ntlmClient{raw: c, line: forwarded, user: "alice", domain: "CORP", pass: "secret", flags: ntlmOffer}
		n.handshake(200)
		n.line = "GET http://blocked.example/ HTTP/1.1"
		n.status(nil, 407)
		n.handshake(407)
		want(t, "attempts", p.Attempts("alice"), 2)
		want(t, "denied", p.Denied("alice"), 2)
		n.line = forwarded
		n.status(nil, 200)
	})
}

// Requirement 39: squid's "http_access allow free".
func TestFree(t *testing.T) {
	eachScheme(t, Config{Behaviour: Behaviour{Free: []string{"origin.example:80"}}}, func(t *credentialsTest) {
		for _, fields := range [][]string{nil, {"Proxy-Authorization: " + basicCredentials("alice", "wrong")}} {
			c := t.dial()
			c.send(t.line, fields...)
			want(t.T, "status", c.answer(t.line).StatusCode, 200)
		}
		want(t.T, "attempts", t.p.Attempts("alice"), 0)
		want(t.T, "user", t.p.Transcript()[0].User, "")
		c := t.dial()
		line := strings.Replace(t.line, "origin.example", "other.example", 1)
		c.send(line)
		resp, _ := c.receive("GET")
		t.offered("another target", resp)
	})
}

// What Access says, by time, target, connection and user.
func TestAccess(t *testing.T) {
	var seen atomic.Pointer[Leg]
	var answer Answer
	eachScheme(t, Config{Behaviour: Behaviour{Access: func(l Leg) Answer {
		seen.Store(&l)
		return answer
	}}}, func(t *credentialsTest) {
		answer = Answer{}
		t.status("zero", true, 200)
		want(t.T, "user", seen.Load().User, "alice")
		want(t.T, "status", seen.Load().Status, 0)
		want(t.T, "target", seen.Load().HostPort(), "origin.example:80")
		want(t.T, "denied", t.p.Denied("alice"), 0)

		answer = Answer{Status: 401}
		want(t.T, "challenges", len(t.status("401", true, 401).Header["Proxy-Authenticate"]), 0)
		answer = Answer{Status: 407, Challenges: []string{}}
		want(t.T, "challenges", len(t.status("empty", true, 407).Header["Proxy-Authenticate"]), 0)
		answer.Challenges = []string{"Basic realm=origin", "X"}
		want(t.T, "challenges", strings.Join(t.status("of an origin", true, 407).Header["Proxy-Authenticate"], "|"), "Basic realm=origin|X")
		answer = Answer{Status: 407}
		t.offered("407", t.status("407", true, 407))
		answer = Answer{Close: true}
		t.send(true).ended()
		want(t.T, "denied", t.p.Denied("alice"), 5)

		seen.Store(nil)
		t.status("wrong credentials", false, 407)
		if seen.Load() != nil {
			t.Error("Access was asked about wrong credentials")
		}

		answer = Answer{Delay: time.Hour}
		start := time.Now()
		t.status("late", true, 200)
		want(t.T, "after", time.Since(start).Round(time.Minute), time.Hour)
		want(t.T, "denied", t.p.Denied("alice"), 5)
	})
}

// An open proxy has rules of access as well, but no user to deny anything.
func TestAccessWithoutAuth(t *testing.T) {
	config := Config{Behaviour: Behaviour{
		Denied: []string{"origin.example"},
		Access: func(l Leg) Answer {
			if l.Conn > 1 {
				return Answer{Status: 407}
			}
			return Answer{}
		},
	}}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		resp, _ := c.do(forwarded)
		want(t, "the first connection", resp.StatusCode, 200)
		resp, _ = dialRawBy(t, p, p.dialer).do(forwarded)
		want(t, "the second", resp.StatusCode, 407)
		want(t, "denied", p.Denied(""), 0)
	})
}

// A proxy tells those who pass what they need for the next request, and no
// others.
func TestInfoOfDenied(t *testing.T) {
	for status, told := range map[int]bool{0: true, 503: true, 407: false} {
		config := Config{
			Auth: []Auth{Digest{Realm: "r", NextNonce: true}}, Users: users,
			Behaviour: Behaviour{Access: func(Leg) Answer { return Answer{Status: status, Challenges: []string{}} }},
		}
		inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
			resp := newDigestClientOn(c, forwarded).ask()
			want(t, "told", resp.Header.Get(infoField) != "", told)
		})
	}
}
