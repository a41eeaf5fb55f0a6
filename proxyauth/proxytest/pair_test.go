package proxytest

import (
	"testing"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
)

// newSecond starts another proxy beside that of a bubble, with the same name and
// the same origins, and returns what dials it.
func newSecond(t *testing.T, first *Proxy, config Config) (*Proxy, dialFunc) {
	t.Helper()
	var n memconn.Network // of its own, so that it can have the name of the first
	config.Listener, config.Dial = n.Listen(first.URL.Host), first.dialer
	return newProxy(t, config), n.DialContext
}

// Requirement 37 (e): a pair of proxies behind one name, whose realms and
// algorithms differ, and which never say stale.
func TestPairOfDigest(t *testing.T) {
	eachDigest(t, Digest{Realm: "one", NeverStale: true}, func(t *testing.T, p *Proxy, c *digestClient, passed int) {
		second := Digest{Realm: "two", Algorithms: []string{"SHA-512-256"}, Opaque: "o", NeverStale: true}
		q, dial := newSecond(t, p, Config{Auth: []Auth{second}, Users: users})
		d := newDigestClientOn(dialRawBy(t, q, dial), c.line)
		c.status(passed)
		d.status(passed)
		c.raw, d.raw = d.raw, c.raw
		c.refused("one's nonce at two", false)
		d.refused("two's nonce at one", false)
		want(t, "refused", p.Refused("alice")+q.Refused("alice"), 0)
		d.pass = "wrong"
		d.refused("wrong", false)
		want(t, "refused", p.Refused("alice"), 1)
	})
}

// A pair of proxies of which one has lost its directory.
func TestPairOfWhichOneRefuses(t *testing.T) {
	eachScheme(t, Config{}, func(t *credentialsTest) {
		q, dial := newSecond(t.T, t.p, Config{Auth: []Auth{t.scheme.auth}, Users: users})
		q.SetDirectoryDown(-1)
		second := *t
		second.p, second.reach = q, dial
		for range 3 {
			t.status("the first", true, 200)
			second.offered("the second", second.status("the second", true, 407))
		}
		want(t.T, "denied", q.Denied("alice"), 3)
		want(t.T, "refused", t.p.Refused("alice")+q.Refused("alice"), 0)
	})
}
