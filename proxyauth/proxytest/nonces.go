package proxytest

import (
	"crypto/rand"
	"time"
)

// nonce is one the proxy has made. digest.mu guards what changes.
type nonce struct {
	algorithm string
	made      time.Time
	uses      int    // how often it was accepted
	count     uint64 // highest nonce count accepted
	session   *session
}

// session spans a nonce and those announced after it. For the "-sess"
// algorithms its secret does not change with them (RFC 7616, section 3.4.2).
type session struct {
	nonce   string
	cnonces map[string]string // the first of each user
}

// newNonce makes a nonce; it begins a session unless given one. The caller
// holds d.mu.
func (d *digest) newNonce(a algorithm, s *session) string {
	value := rand.Text()
	if s == nil {
		s = &session{nonce: value, cnonces: make(map[string]string)}
	}
	d.nonces[value] = &nonce{algorithm: a.name, made: time.Now(), session: s}
	return value
}

// isStale reports whether a nonce is too old. The caller holds d.mu.
func (d *digest) isStale(n *nonce) bool {
	return d.AlwaysStale ||
		d.NonceUses > 0 && n.uses >= d.NonceUses ||
		d.NonceLifetime > 0 && time.Since(n.made) > d.NonceLifetime
}
