package proxytest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Digest offers the Digest scheme as of RFC 7616 or, without quality of
// protection, RFC 2069.
//
// Credentials that break a rule of those are answered 400: a value quoted
// that must not be or the reverse, a parameter missing, given twice, or not
// as in the challenge. Those that keep them are judged in this order: a wrong
// response gets a fresh challenge; a right one with a nonce that is unknown
// or too old gets a fresh challenge with stale=true; then the nonce count is
// looked at. NeverStale, StaleWrong and CountByOpaque change that as proxies
// do that know less, or say less.
type Digest struct {
	// Realm is the realm named in the challenges.
	Realm string

	// Algorithms are the algorithms offered, one challenge for each, each
	// with its own nonce: "MD5", "SHA-256", "SHA-512-256", and each of them
	// with "-sess" after it. If it is empty there is one challenge without an
	// algorithm, which means MD5.
	Algorithms []string

	// QOP are the qualities of protection offered, "auth" or "auth-int". If
	// it is nil it is "auth". If it is empty but not nil none is offered,
	// which is RFC 2069, and cannot be had with a "-sess" algorithm.
	//
	// With "auth-int" the content of a request is read, up to 64 MiB, before
	// it is verified and forwarded.
	QOP []string

	// UserHash offers hashed user names (RFC 7616, section 3.4.4). A client
	// may still send a plain one.
	UserHash bool

	// UTF8 puts charset=UTF-8 into the challenges. It changes nothing in how
	// credentials are compared.
	UTF8 bool

	// Opaque is the opaque parameter. If it is empty there is none.
	Opaque string

	// Nonce, if it is not empty, is the nonce of every challenge, now and
	// after a restart, as that of a proxy which has it in its source code.
	Nonce string

	// NonceUses is how many requests a nonce can be used for; after that it
	// is stale. If it is 0 there is no limit.
	NonceUses int

	// NonceLifetime is how long after its making a nonce is stale. If it is 0
	// there is no limit.
	NonceLifetime time.Duration

	// NextNonce announces a fresh nonce (nextnonce in
	// Proxy-Authentication-Info; RFC 7616, section 3.5) with each accepted
	// request whose nonce can be used at most once more; with each if
	// NonceUses is 0.
	NextNonce bool

	// InfoInTrailer sends Proxy-Authentication-Info in the trailer section of
	// a forwarded answer, rather than in its header section. An answer that
	// cannot have a trailer section, such as that to CONNECT, has it in the
	// header section.
	InfoInTrailer bool

	// StrictNC refuses a nonce count that is not greater than all before it
	// of its nonce, with a fresh challenge, and without stale=true.
	StrictNC bool

	// ExactNC refuses a nonce count that is not one more than the highest
	// before it, as StrictNC does: the check of Apache's mod_auth_digest,
	// which requests overtaking each other do not survive.
	ExactNC bool

	// CountByOpaque counts for each opaque, of which the proxy makes its own,
	// rather than for each nonce: Apache's mod_auth_digest with
	// AuthDigestNcCheck. A challenge got by a request without credentials of
	// Digest brings a new opaque. One got by a request with such keeps
	// theirs, and its count begins anew, for the requests under way, too.
	// Each request with an opaque counts, whatever becomes of it. The count
	// is looked at before the age of the nonce, and one that is not exactly
	// the next is refused with a fresh challenge, without stale=true. It
	// cannot be had with an Opaque.
	CountByOpaque bool

	// AlwaysStale answers each right response with stale=true, for ever.
	AlwaysStale bool

	// StaleWrong says stale=true to wrong responses, too, as a proxy does that
	// looks at the nonce alone. With AlwaysStale nobody ever learns whether a
	// response was right.
	StaleWrong bool

	// NeverStale refuses a right response whose nonce is unknown or too old
	// like a wrong one: with a fresh challenge that does not say stale=true.
	// With NonceUses of 1 it makes one-time nonces. Nor does the proxy insist
	// that credentials for an unknown nonce have its own realm, opaque,
	// algorithm and quality of protection: they are of the time before a
	// restart (see [Proxy.Restart]), or of another proxy behind the same name,
	// and judged by the user's password for what they say.
	NeverStale bool

	// RspAuth proves to the client that the proxy knows the password (rspauth
	// in Proxy-Authentication-Info; RFC 7616, section 3.5). With "auth-int"
	// the proof covers the content of the answer, so for a forwarded one it
	// comes in the trailer section.
	RspAuth bool

	// BadRspAuth sends a wrong proof instead.
	BadRspAuth bool

	// CheckURI answers 400 if the uri parameter is not the target of the
	// request: host:port for CONNECT, otherwise the absolute URL as sent, or
	// its path and query.
	CheckURI bool
}

// maxContent is how much content of a request is read for auth-int, in bytes.
const maxContent = 64 << 20

// digest is Digest at work.
type digest struct {
	Digest
	accounts   *accounts
	algorithms []algorithm

	forgiving bool // about credentials for challenges that were not its own

	mu     sync.Mutex
	nonces map[string]*nonce // all that were ever made
	counts map[string]uint64 // by opaque, for CountByOpaque
}

func (d Digest) start(_ *Proxy, accounts *accounts) scheme {
	if d.QOP == nil {
		d.QOP = []string{"auth"}
	}
	for _, qop := range d.QOP {
		if qop != "auth" && qop != "auth-int" {
			panic("proxytest: unknown qop " + qop)
		}
	}
	names := d.Algorithms
	if len(names) == 0 {
		names = []string{""}
	}
	if d.CountByOpaque && d.Opaque != "" {
		panic("proxytest: with CountByOpaque the proxy makes each opaque")
	}
	s := &digest{
		Digest: d, accounts: accounts, forgiving: d.NeverStale,
		nonces: make(map[string]*nonce), counts: make(map[string]uint64),
	}
	for _, name := range names {
		a, ok := newAlgorithm(name)
		if !ok {
			panic("proxytest: unknown algorithm " + name)
		}
		if a.sess && len(d.QOP) == 0 {
			panic("proxytest: " + name + " needs a qop, for its cnonce")
		}
		s.algorithms = append(s.algorithms, a)
	}
	if d.Nonce != "" {
		s.newNonce(s.algorithms[0], nil) // known before it is given to anybody
	}
	return s
}

func (d *digest) name() string { return "Digest" }

func (d *digest) challenges(x *exchange) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.challenge(x, false)
}

// challenge makes fresh challenges. The caller holds d.mu.
func (d *digest) challenge(x *exchange, stale bool) []string {
	opaque := d.opaque(x)
	var challenges []string
	for _, a := range d.algorithms {
		c := "Digest realm=" + quote(d.Realm)
		if len(d.QOP) > 0 {
			c += ", qop=" + quote(strings.Join(d.QOP, ", "))
		}
		if a.name != "" {
			c += ", algorithm=" + a.name
		}
		c += ", nonce=" + quote(d.newNonce(a, nil))
		if opaque != "" {
			c += ", opaque=" + quote(opaque)
		}
		if stale {
			c += ", stale=true"
		}
		if d.UTF8 {
			c += ", charset=UTF-8"
		}
		if d.UserHash {
			c += ", userhash=true"
		}
		challenges = append(challenges, c)
	}
	return challenges
}

func (d *digest) verify(x *exchange, credentials string) verdict {
	params, err := parseParams(credentials)
	if err != nil {
		return reject("Digest: " + err.Error())
	}
	r, err := d.read(params)
	if err != nil {
		return reject("Digest: " + err.Error())
	}
	x.opaque = r.opaque
	if d.CheckURI && !isTarget(r.uri, x.r) {
		return reject(fmt.Sprintf("Digest: uri=%q is not the target of the request", r.uri))
	}
	contentHash := ""
	if r.qop == "auth-int" {
		h := r.new()
		if err := x.readWhole(h); err != nil {
			return verdict{outcome: tooLarge, reason: "Digest: content for auth-int: " + err.Error()}
		}
		contentHash = hex.EncodeToString(h.Sum(nil))
	}

	user, password, known := r.user, "", false
	if r.hashed {
		user, password, known = d.unhash(r)
	} else {
		password, known = d.accounts.password(user)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nonces[r.nonce]
	first, cnonce := r.nonce, r.cnonce // of the session
	if n != nil {
		first = n.session.nonce
		if c, ok := n.session.cnonces[user]; ok {
			cnonce = c
		}
	}
	secret := r.secret(user, r.realm, password, first, cnonce)
	a2 := x.r.Method + ":" + r.uri
	right := known && r.response == r.proof(secret, r.nonce, r.nc, r.cnonce, r.qop, a2, contentHash)
	counted := d.count(r)
	switch {
	case !right && d.StaleWrong:
		return verdict{outcome: wrong, user: user, reason: "Digest: wrong user name or password", challenges: d.challenge(x, true)}
	case !right:
		return verdict{outcome: wrong, user: user, reason: "Digest: wrong user name or password"}
	case !counted:
		return verdict{outcome: again, user: user, reason: "Digest: the nonce count is not as expected"}
	case n == nil || r.foreign || d.isStale(n):
		return verdict{outcome: again, user: user, reason: "Digest: the nonce is stale", challenges: d.challenge(x, !d.NeverStale)}
	case r.qop != "" && (d.StrictNC && r.count <= n.count || d.ExactNC && r.count != n.count+1):
		return verdict{outcome: again, user: user, reason: "Digest: the nonce count is not as expected"}
	}
	n.uses++
	n.count = max(n.count, r.count)
	n.session.cnonces[user] = cnonce
	return verdict{outcome: accepted, user: user, info: d.info(r, n, secret)}
}

// info returns what to tell a client of an accepted response. The caller
// holds d.mu.
func (d *digest) info(r response, n *nonce, secret string) *info {
	next := ""
	if d.NextNonce && (d.NonceUses == 0 || n.uses >= d.NonceUses-1) {
		next = "nextnonce=" + quote(d.newNonce(r.algorithm, n.session))
		d.recount(r.opaque)
	}
	prove := d.RspAuth || d.BadRspAuth
	if next == "" && !prove {
		return nil
	}
	i := &info{field: infoField, trailer: d.InfoInTrailer}
	if prove && r.qop == "auth-int" {
		i.content = r.new()
	}
	i.value = func(contentHash string) string {
		var values []string
		if next != "" {
			values = append(values, next)
		}
		if prove {
			if d.BadRspAuth {
				secret = r.hash("not the secret")
			}
			proof := r.proof(secret, r.nonce, r.nc, r.cnonce, r.qop, ":"+r.uri, contentHash)
			values = append(values, "rspauth="+quote(proof))
			if r.qop != "" {
				values = append(values, "qop="+r.qop, "cnonce="+quote(r.cnonce), "nc="+r.nc)
			}
		}
		return strings.Join(values, ", ")
	}
	return i
}

// isTarget reports whether the uri names the target of the request.
func isTarget(uri string, r *http.Request) bool {
	return uri == r.RequestURI || r.Method != http.MethodConnect && uri == r.URL.RequestURI()
}

// readWhole reads the content of the request, writes it to h, and keeps it
// for the origin.
func (x *exchange) readWhole(h hash.Hash) error {
	if x.body == nil {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(x.body, maxContent+1))
	switch {
	case err != nil:
		return err
	case len(content) > maxContent:
		return fmt.Errorf("more than %d bytes", maxContent)
	}
	h.Write(content)
	x.whole = bytes.NewReader(content)
	return nil
}
