package proxytest

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"strings"
)

// algorithms are the hash functions, without "-sess".
var algorithms = map[string]func() hash.Hash{
	"MD5":         md5.New,
	"SHA-256":     sha256.New,
	"SHA-512-256": sha512.New512_256,
}

// algorithm is how a challenge has secrets hashed.
type algorithm struct {
	name string // as in the challenge; "" if it names none
	new  func() hash.Hash
	sess bool
}

func newAlgorithm(name string) (algorithm, bool) {
	base, sess := strings.CutSuffix(name, "-sess")
	if name == "" {
		base = "MD5"
	}
	f, ok := algorithms[base]
	return algorithm{name, f, sess}, ok
}

// hash hashes the parts, joined by colons: H of RFC 7616, and KD too.
func (a algorithm) hash(parts ...string) string {
	h := a.new()
	io.WriteString(h, strings.Join(parts, ":"))
	return hex.EncodeToString(h.Sum(nil))
}

// secret is H(A1) (RFC 7616, section 3.4.2). The nonce and the cnonce are
// those the session began with.
func (a algorithm) secret(user, realm, password, nonce, cnonce string) string {
	secret := a.hash(user, realm, password)
	if a.sess {
		secret = a.hash(secret, nonce, cnonce)
	}
	return secret
}

// proof is the response, or rspauth (RFC 7616, sections 3.4.1 and 3.5), for
// H(A1) and A2 without its content; the qop is "" for RFC 2069.
func (a algorithm) proof(secret, nonce, nc, cnonce, qop, a2, contentHash string) string {
	switch qop {
	case "":
		return a.hash(secret, nonce, a.hash(a2))
	case "auth-int":
		a2 += ":" + contentHash
	}
	return a.hash(secret, nonce, nc, cnonce, qop, a.hash(a2))
}
