package proxytest

import (
	"net/http"
	"testing"
	"time"
)

// eachDigest runs f in a bubble for forwarded and for tunnelled requests. What
// tunnel clients reach is no tunnel, so that they can go on: 502.
func eachDigest(t *testing.T, d Digest, f func(t *testing.T, p *Proxy, c *digestClient, passed int)) {
	for _, test := range []struct {
		line   string
		passed int
	}{{forwarded, 200}, {"CONNECT nowhere.example:443 HTTP/1.1", 502}} {
		inMemory(t, Config{Auth: []Auth{d}, Users: users}, func(t *testing.T, p *Proxy, c *raw) {
			f(t, p, newDigestClientOn(c, test.line), test.passed)
		})
	}
}

// refused asks, and checks that the answer is a fresh challenge, which it
// returns.
func (c *digestClient) refused(what string, stale bool) *http.Response {
	c.t.Helper()
	resp := c.ask()
	want(c.t, what+": status", resp.StatusCode, 407)
	want(c.t, what+": stale", isStale(resp), stale)
	return resp
}

// Requirement 37 (e): each nonce is good for one request, and nothing says
// that it was the nonce.
func TestOneTimeNonces(t *testing.T) {
	d := Digest{Realm: "r", NonceUses: 1, NeverStale: true}
	eachDigest(t, d, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		for range 3 {
			c.status(passed)
			c.take(c.refused("used", false))
		}
		want(t, "refused", p.Refused("alice"), 0)
		want(t, "attempts", p.Attempts("alice"), 6)
		c.pass = "wrong"
		c.refused("wrong", false)
		want(t, "refused", p.Refused("alice"), 1)
	})
}

// Requirement 37 (e): an old nonce, too, is refused in silence.
func TestNeverStale(t *testing.T) {
	d := Digest{Realm: "r", NonceLifetime: time.Minute, NeverStale: true}
	eachDigest(t, d, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		time.Sleep(time.Minute)
		c.status(passed)
		time.Sleep(time.Nanosecond)
		c.refused("old", false)
		c.nonce = "of another proxy"
		c.refused("unknown", false)
		want(t, "refused", p.Refused("alice"), 0)
	})
}

// A proxy that was not restarted insists on its own challenges.
func TestUnknownNonce(t *testing.T) {
	eachDigest(t, Digest{Realm: "r"}, func(t *testing.T, p *Proxy, c *digestClient, _ int) {
		c.nonce = "unknown"
		c.refused("unknown", true)
		c.fields = map[string]string{"opaque": `""`}
		c.status(400)
		c.fields = nil
		c.challenge["realm"] = param{value: "other"}
		c.status(400)
	})
}

// What the nonce makes of a challenge does not touch those of other schemes.
func TestStaleBesideBasic(t *testing.T) {
	config := Config{Auth: []Auth{Digest{Realm: "r", AlwaysStale: true}, Basic{Realm: "r"}}, Users: users}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		fields := newDigestClientOn(c, forwarded).refused("right", true).Header["Proxy-Authenticate"]
		want(t, "challenges", len(fields), 2)
		want(t, "the second", fields[1], `Basic realm="r"`)
	})
}

// Requirement 38: stale=true for ever, whatever the password.
func TestStaleForEver(t *testing.T) {
	d := Digest{Realm: "r", AlwaysStale: true, StaleWrong: true}
	eachDigest(t, d, func(t *testing.T, p *Proxy, c *digestClient, _ int) {
		c.take(c.refused("right", true))
		c.pass = "wrong"
		c.take(c.refused("wrong", true))
		c.refused("wrong again", true)
		want(t, "refused", p.Refused("alice"), 2)
		want(t, "attempts", p.Attempts("alice"), 3)
	})
	eachDigest(t, Digest{Realm: "r", StaleWrong: true}, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		c.status(passed)
		c.pass = "wrong"
		c.refused("wrong", true)
	})
}

// Requirement 37 (g): all challenges have the same nonce.
func TestConstantNonce(t *testing.T) {
	d := Digest{Realm: "r", Nonce: "n", StrictNC: true, NextNonce: true, Algorithms: []string{"SHA-256", "MD5"}}
	eachDigest(t, d, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		want(t, "nonce", c.nonce, "n")
		resp := c.ask()
		want(t, "status", resp.StatusCode, passed)
		want(t, "nextnonce", c.info(resp.Header)["nextnonce"].value, "n")
		c.status(passed)
		c.nc = 0
		resp = c.refused("count", false)
		c.take(resp) // which does not help
		want(t, "nonce", c.nonce, "n")
		c.refused("count", false)
		c.nc = 2
		c.challenge["algorithm"] = param{value: "MD5"}
		c.status(passed)
		p.Restart()
		c.nc = 0
		c.status(passed)
		p.Restart(Digest{Realm: "other", Nonce: "n", NeverStale: true, Algorithms: []string{"MD5"}})
		c.refused("of another realm", false)
		c.challenge["realm"] = param{value: "other"}
		c.challenge["algorithm"] = param{value: "SHA-512-256"}
		c.refused("of another algorithm", false)
		want(t, "refused", p.Refused("alice"), 0)
	})
}

// Requirement 37 (f): Apache's mod_auth_digest with AuthDigestNcCheck.
func TestCountByOpaque(t *testing.T) {
	eachDigest(t, Digest{Realm: "r", CountByOpaque: true}, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		opaque := c.challenge["opaque"].value
		want(t, "opaque", opaque != "", true)
		c.status(passed)
		c.status(passed)

		// A challenge for credentials keeps the opaque and begins to count
		// anew, also for those who still have the nonce of before.
		c.nc++
		old := *c
		c.take(c.refused("count", false))
		want(t, "opaque", c.challenge["opaque"].value, opaque)
		want(t, "nonce", c.nonce != old.nonce, true)
		c.status(passed)
		resp := old.refused("count of before", false)
		c.status(407) // 2, but that has reset the count
		c.take(resp)  // of the last but one, which does not matter
		c.status(passed)
		c.status(passed)

		// So does one for a wrong password, and it counts itself.
		c.pass = "wrong"
		c.take(c.refused("wrong", false))
		want(t, "opaque", c.challenge["opaque"].value, opaque)
		c.pass = "secret"
		c.status(passed)
		want(t, "refused", p.Refused("alice"), 1)

		// One got without credentials does not disturb those of others.
		fresh := newDigestClientOn(c.raw, c.line)
		want(t, "opaque", fresh.challenge["opaque"].value != opaque, true)
		fresh.status(passed)
		c.status(passed)
		fresh.status(passed)

		// An opaque that there never was.
		c.fields = map[string]string{"opaque": `"made up"`}
		c.status(400)
	})
}

// A nonce announced is counted from 1, and what is not counted is not refused.
func TestCountByOpaqueNextNonce(t *testing.T) {
	d := Digest{Realm: "r", CountByOpaque: true, NextNonce: true}
	eachDigest(t, d, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		for range 3 {
			resp := c.ask()
			want(t, "status", resp.StatusCode, passed)
			c.next(resp)
		}
	})
	d = Digest{Realm: "r", CountByOpaque: true, QOP: []string{}}
	eachDigest(t, d, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		c.status(passed)
		c.status(passed)
	})
}

// A deny rule and a directory that is down keep the opaque as well.
func TestCountByOpaqueDenied(t *testing.T) {
	config := Config{
		Auth: []Auth{Digest{Realm: "r", CountByOpaque: true}}, Users: users,
		Behaviour: Behaviour{Denied: []string{"blocked.example"}},
	}
	inMemory(t, config, func(t *testing.T, p *Proxy, c *raw) {
		d := newDigestClientOn(c, "GET http://blocked.example/ HTTP/1.1")
		opaque := d.challenge["opaque"].value
		d.take(d.refused("denied", false))
		want(t, "opaque", d.challenge["opaque"].value, opaque)
		p.SetDirectoryDown(1)
		d.take(d.refused("down", false))
		want(t, "opaque", d.challenge["opaque"].value, opaque)
		d.line = forwarded
		d.status(200)
		want(t, "denied", p.Denied("alice"), 2)
	})
}
