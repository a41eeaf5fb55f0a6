package proxytest

import (
	"strings"
	"testing"
)

func TestHostPort(t *testing.T) {
	for target, expected := range map[string]string{
		"GET http://Origin.Example/x":       "origin.example:80",
		"GET http://origin.example:8080":    "origin.example:8080",
		"GET https://origin.example/":       "origin.example:443",
		"GET http://[::1]/":                 "[::1]:80",
		"GET /x":                            "",
		"GET http://%zz/":                   "",
		"CONNECT Origin.Example:443":        "origin.example:443",
		"OPTIONS http://origin.example:81/": "origin.example:81",
	} {
		method, target, _ := strings.Cut(target, " ")
		want(t, target, Leg{Method: method, Target: target}.HostPort(), expected)
	}
	want(t, "any port", contains([]string{"a.example", "Origin.example"}, "origin.example:443"), true)
	want(t, "IPv6", contains([]string{"::1"}, "[::1]:80"), true)
	want(t, "one port", contains([]string{"origin.example:80"}, "origin.example:443"), false)
	want(t, "a name within", contains([]string{"example"}, "origin.example:443"), false)
}

// Requirement 40: a proxy with two realms, and a user for each.
func TestRealms(t *testing.T) {
	config := Config{
		Auth: []Auth{Basic{Realm: "world"}}, Users: users,
		Realms: []Realm{{
			Targets: []string{"origin.example:443"},
			Auth:    []Auth{Digest{Realm: "inside"}},
			Users:   map[string]string{"carol": "hidden"},
		}, {
			Targets: []string{"origin.example"}, // not if it is of the first
			Auth:    []Auth{Basic{Realm: "intranet"}},
			Users:   map[string]string{"carol": "hidden"},
		}, {
			Auth: []Auth{Basic{Realm: "of nothing"}},
		}},
	}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		const inside, outside = "GET http://origin.example/ HTTP/1.1", "CONNECT world.example:443 HTTP/1.1"
		alice, carol := "Proxy-Authorization: "+basicCredentials("alice", "secret"), "Proxy-Authorization: "+basicCredentials("carol", "hidden")
		resp, _ := c.do(inside)
		want(t, "inside", resp.Header.Get("Proxy-Authenticate"), `Basic realm="intranet"`)
		resp, _ = c.do(outside)
		want(t, "outside", resp.Header.Get("Proxy-Authenticate"), `Basic realm="world"`)
		resp, _ = c.do("CONNECT origin.example:443 HTTP/1.1")
		want(t, "by port", strings.HasPrefix(resp.Header.Get("Proxy-Authenticate"), `Digest realm="inside"`), true)
		for range 2 {
			resp, _ = c.do(inside, carol)
			want(t, "carol inside", resp.StatusCode, 200)
			resp, _ = c.do(outside, alice)
			want(t, "alice outside, where nothing listens", resp.StatusCode, 502)
		}
		resp, _ = c.do(inside, alice)
		want(t, "alice inside", resp.StatusCode, 407)
		resp, _ = c.do(outside, carol)
		want(t, "carol outside", resp.StatusCode, 407)
		want(t, "alice refused", p.Refused("alice"), 1)
		want(t, "carol refused", p.Refused("carol"), 1)
		want(t, "carol's attempts", p.Attempts("carol"), 3)
		p.SetUser("carol", "hidden")
		resp, _ = c.do(outside, carol)
		want(t, "carol outside, once known", resp.StatusCode, 502)
	})
}
