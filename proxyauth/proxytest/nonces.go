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
	value := d.Nonce
	switch {
	case value == "":
		value = rand.Text()
	case d.nonces[value] != nil:
		return value
	}
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

// opaque returns the opaque for fresh challenges. The caller holds d.mu.
func (d *digest) opaque(x *exchange) string {
	if !d.CountByOpaque {
		return d.Opaque
	}
	opaque := x.opaque
	if _, ok := d.counts[opaque]; !ok {
		opaque = rand.Text()
		d.counts[opaque] = 0
	}
	d.recount(opaque)
	return opaque
}

// recount begins to count anew for an opaque, if it counts. The caller holds
// d.mu.
func (d *digest) recount(opaque string) {
	if _, ok := d.counts[opaque]; ok {
		d.counts[opaque] = 0
	}
}

// count counts a response for its opaque, and reports whether it says the same.
// The caller holds d.mu.
func (d *digest) count(r response) bool {
	if _, ok := d.counts[r.opaque]; !ok {
		return true // nothing is counted, or not for this one
	}
	d.counts[r.opaque]++
	return r.qop == "" || r.count == d.counts[r.opaque]
}
