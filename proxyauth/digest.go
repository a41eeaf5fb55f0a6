package proxyauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// Digest returns the Digest scheme (RFC 7616, and RFC 2069 where the proxy is
// that old): the password does not travel. Of several challenges the one with
// the strongest algorithm is answered: SHA-512-256, SHA-256, MD5.
//
// The proxy's Proxy-Authentication-Info (RFC 7615) counts in the header and, where
// the Trailer field announces it, in the trailer.
//
// The digest-uri is host:port for CONNECT and, as curl and browsers have it,
// path and query for forwarded requests.
//
// More than one DigestOptions is an error of the program and panics.
func Digest(o ...DigestOptions) Scheme {
	switch len(o) {
	case 0:
		return digestScheme{}
	case 1:
		return digestScheme{o[0]}
	}
	panic("proxyauth: Digest takes one DigestOptions")
}

// DigestOptions are for proxies that differ from most. The zero value is what
// [Digest] uses without any.
type DigestOptions struct {
	// PreferAuthInt chooses qop=auth-int, which protects the body too, where
	// the proxy offers auth beside it. Request bodies are then read twice and
	// need Request.GetBody.
	PreferAuthInt bool

	// AbsoluteURI sends the absolute form of the URL as digest-uri of
	// forwarded requests, as RFC 7616 §3.4.6 asks for.
	AbsoluteURI bool
}

type digestScheme struct{ DigestOptions }

func (digestScheme) Name() string { return "Digest" }

func (digestScheme) traits() traits { return traits{strength: 1, needsChallenge: true, byRealm: true} }

func (digestScheme) requires() []string { return []string{"realm", "nonce"} } // RFC 7616 §3.3

func (digestScheme) secretsIn(value string) []string {
	_, response, _ := strings.Cut(" "+value, ` response="`)
	response, _, _ = strings.Cut(response, `"`)
	return []string{response}
}

func (digestScheme) best(offers []challenge.Challenge) []challenge.Challenge {
	best, strength := 0, -1
	for i, offer := range offers {
		if c, err := digest.ParseChallenge(offer.Params); err == nil && c.Strength() > strength {
			best, strength = i, c.Strength()
		}
	}
	if best == 0 {
		return offers
	}
	return append([]challenge.Challenge{offers[best]}, slices.Delete(slices.Clone(offers), best, best+1)...)
}

func (s digestScheme) accept(_ context.Context, _ proxyFacts, offers []challenge.Challenge, c Credentials) (answerer, error) {
	d, err := s.answer(offers, c, new(nonces))
	if err != nil {
		return answerer{}, err
	}
	return answerer{auth: d}, nil
}

func (s digestScheme) answer(offers []challenge.Challenge, c Credentials, n *nonces) (*digestAuth, error) {
	challenge, err := first(offers)
	if err != nil {
		return nil, err
	}
	session, err := digest.NewSession(challenge, c.Username, c.Password, digest.Options{PreferAuthInt: s.PreferAuthInt})
	if err != nil {
		return nil, err
	}
	return &digestAuth{session: session, nonces: n, scheme: s, cred: c}, nil
}

// first returns the challenge that best has put first.
func first(offers []challenge.Challenge) (digest.Challenge, error) {
	if len(offers) == 0 {
		return digest.Challenge{}, errors.New("no challenge")
	}
	return digest.ParseChallenge(offers[0].Params)
}

// A digestAuth answers with one nonce, or with those of a strict proxy.
type digestAuth struct {
	session *digest.Session // nil: the proxy is asked for a challenge first
	nonces  *nonces
	scheme  digestScheme
	cred    Credentials // for the next nonce
	kept    string      // the opaque by which the proxy may count; "": it does not
}

// nonces are what is known of how a proxy counts their uses. Most let all
// connections share one. A strict proxy (squid as it comes, Apache with
// NcCheck) refuses a count that another one has overtaken, and the nonce with
// it: there each request has a nonce to itself until it is answered.
type nonces struct {
	mu     sync.Mutex
	strict bool
	idle   []*digest.Session // of a strict proxy, last used last
	opaque string            // one that the proxy gives to requests with credentials and without, and so does not count by
}

// countsBy reports whether a strict proxy may count the uses of the opaque, and not of
// the nonce: Apache with NcCheck does, and keeps it in a challenge that answers
// credentials. A request without any gets a new one.
func (n *nonces) countsBy(opaque string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return opaque != n.opaque
}

// compare notes the opaque of a challenge to a request without credentials, if it is
// also the one kept, which a request with credentials has got.
func (n *nonces) compare(kept, opaque string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if kept != "" && kept == opaque {
		n.opaque = opaque
	}
}

// young is the age at which the end of a nonce that was used by several
// requests at once says that the proxy is strict, and not that the nonce was
// old.
const young = 10 * time.Second

// take returns a session that nobody else uses, or nil; of a proxy that is not
// strict it returns the shared one.
func (n *nonces) take(shared *digest.Session) *digest.Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.strict {
		return shared
	}
	last := len(n.idle) - 1
	if last < 0 {
		return nil
	}
	s := n.idle[last]
	n.idle = n.idle[:last]
	return s
}

// put gives back a session whose last use was accepted, and reports whether the
// proxy is strict. A session that several requests have used is not kept: the
// proxy may have counted otherwise.
func (n *nonces) put(s *digest.Session, outOfOrder bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.strict && !outOfOrder {
		n.idle = append(n.idle, s)
	}
	return n.strict
}

// ended notes that a nonce came to its end, and reports whether the proxy is
// strict.
func (n *nonces) ended(s *digest.Session, outOfOrder bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strict = n.strict || outOfOrder && s.Age() < young
	return n.strict
}

func (d *digestAuth) authorize(req *http.Request, own bool) (answer, error) {
	session := d.session
	if !own && session != nil {
		session = d.nonces.take(session)
	}
	if session == nil {
		return answer{}, nil
	}
	a, err := session.Authorize(cmp.Or(req.Method, http.MethodGet), d.uri(req), bodyReader(req))
	if errors.Is(err, digest.ErrBodyNeeded) {
		return answer{}, &schemeError{err: err, remedy: "set Request.GetBody"}
	}
	if err != nil {
		return answer{}, err
	}
	return answer{field: []string{a.Value}, session: session, digest: a}, nil
}

// uri returns the digest-uri of a request to the proxy.
func (d *digestAuth) uri(req *http.Request) string {
	switch {
	case req.Method == http.MethodConnect:
		return req.Host
	case d.scheme.AbsoluteURI && req.URL.Opaque == "":
		return req.URL.Scheme + "://" + hostname.OfRequest(req) + req.URL.RequestURI()
	}
	return req.URL.RequestURI()
}

// bodyReader returns how to read the body ahead of sending it, for auth-int.
func bodyReader(req *http.Request) func() (io.ReadCloser, error) {
	switch {
	case !carrier.HasBody(req):
		return nil
	case req.GetBody == nil:
		return func() (io.ReadCloser, error) { return nil, nil }
	}
	return req.GetBody
}

func (d *digestAuth) challenged(a answer, offers []challenge.Challenge) (requestAuth, difference) {
	challenge, err := first(offers)
	if err != nil {
		return nil, difference{}
	}
	next, err := d.scheme.answer(offers, d.cred, d.nonces)
	if err != nil {
		return nil, difference{}
	}
	if a.session == nil { // it was to get a challenge
		d.nonces.compare(d.kept, challenge.Opaque)
		return next, difference{}
	}
	diff := difference{
		stale:     challenge.Stale,
		fresh:     !a.session.Answers(challenge),
		overtaken: a.session.Overtaken(a.digest) && challenge.Nonce != a.session.Nonce(),
	}
	if challenge.Nonce == a.session.Nonce() {
		next.session = a.session // whose count goes on
	}
	if diff.stale || diff.overtaken {
		diff.own = d.nonces.ended(a.session, a.session.Overtaken(a.digest))
	}
	if diff.own && challenge.Opaque != "" && d.nonces.countsBy(challenge.Opaque) {
		next.session, next.kept = nil, challenge.Opaque
	}
	return next, diff
}

func (d *digestAuth) used() bool { return d.session != nil && d.session.Used() }

func (d *digestAuth) expires() bool { return true }

// authenticationInfo is where a proxy proves itself and names the next nonce
// (RFC 7615 §4).
const authenticationInfo = "Proxy-Authentication-Info"

// parseInfo returns what a header or a trailer says about that, in one field or
// several (RFC 9110 §5.3). What is malformed, an origin may have sent.
func parseInfo(h http.Header) digest.Params {
	fields := h[authenticationInfo]
	if len(fields) == 0 {
		return nil
	}
	info, _ := digest.ParseParams(strings.Join(fields, ", "))
	return info
}

func (d *digestAuth) accepted(a answer, resp *http.Response) (requestAuth, error) {
	if a.session == nil {
		return nil, nil
	}
	info := parseInfo(resp.Header)
	_, late := resp.Trailer[authenticationInfo]
	if _, proves := info.Lookup("rspauth"); proves && a.session.HashesBody() && resp.Request.Method != http.MethodConnect {
		late = true // the proof covers the reply's body
	}
	if late && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &verifiedBody{ReadCloser: resp.Body, resp: resp, auth: d, answer: a, hash: a.session.NewBodyHash(), info: info}
		return nil, nil
	}
	if err := a.session.Verify(info, a.digest, nil); err != nil {
		return nil, unproven{err}
	}
	return d.next(a, info), nil
}

// next returns what to use after a reply with info, or nil for d itself.
func (d *digestAuth) next(a answer, info digest.Params) requestAuth {
	session, nonce := a.session, info.Get("nextnonce")
	outOfOrder := session.Overtaken(a.digest)
	session.Accepted()
	if nonce != "" {
		session, outOfOrder = session.Next(nonce), false
	}
	if d.nonces.put(session, outOfOrder) || nonce == "" {
		return nil
	}
	return &digestAuth{session: session, nonces: d.nonces, scheme: d.scheme, cred: d.cred}
}

// A verifiedBody checks the proxy's proof when the body has come to its end,
// and takes the Proxy-Authentication-Info from the trailer if it is there.
type verifiedBody struct {
	io.ReadCloser
	resp   *http.Response
	auth   *digestAuth
	answer answer
	hash   hash.Hash
	info   digest.Params     // of the header
	adopt  func(requestAuth) // takes in the next nonce
	done   bool
}

func (b *verifiedBody) whenProved(adopt func(requestAuth)) { b.adopt = adopt }

// Format prints the same for every verb: the answer is good for its nonce.
func (*verifiedBody) Format(f fmt.State, _ rune) { io.WriteString(f, "proxyauth: response body") }

func (b *verifiedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if err != io.EOF || b.done {
		return n, err
	}
	b.done = true
	if err := b.verify(); err != nil {
		return n, fmt.Errorf("proxyauth: proxy's %s: %w", authenticationInfo, err)
	}
	return n, io.EOF
}

func (b *verifiedBody) verify() error {
	info := b.info
	for _, p := range parseInfo(b.resp.Trailer) {
		if _, twice := info.Lookup(p.Name); !twice {
			info = append(info, p)
		}
	}
	session := b.answer.session
	// What net/http has unpacked is not what the proof covers.
	if !session.HashesBody() || !b.resp.Uncompressed {
		if err := session.Verify(info, b.answer.digest, b.hash); err != nil {
			return err
		}
	}
	if next := b.auth.next(b.answer, info); next != nil && b.adopt != nil {
		b.adopt(next)
	}
	return nil
}
