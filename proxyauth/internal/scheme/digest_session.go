package scheme

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// DigestOptions are for proxies that differ from most.
type DigestOptions struct {
	PreferAuthInt bool // qop=auth-int where auth is offered beside it
	AbsoluteURI   bool // the digest-uri of forwarded requests is the absolute form (RFC 7616 §3.4.6)
}

// A digestSession answers with one nonce, or with those of a strict proxy.
type digestSession struct {
	steady
	session *digest.Session // nil: the proxy is asked for a challenge first
	nonces  *nonces
	options DigestOptions
	cred    Credentials // for the next nonce
	nature  Nature
	base    *digest.Session // had a success, where session is for the nextnonce after that; nil: session does
	kept    string          // the opaque by which the proxy may count; "": it does not
}

// first returns the challenge that Best has put first.
func first(offers []challenge.Challenge) (digest.Challenge, error) {
	if len(offers) == 0 {
		return digest.Challenge{}, errors.New("no challenge")
	}
	return readChallenge(offers[0])
}

// maxEchoed bounds each text of a proxy that answers repeat, in bytes. Servers refuse
// requests with long fields by 400, Apache those of more than 8190 bytes, whoever has
// written the challenge: it may have come from an origin.
const maxEchoed = 1 << 10

func readChallenge(offer challenge.Challenge) (digest.Challenge, error) {
	c, err := digest.ParseChallenge(offer.Params)
	if err == nil && max(len(c.Realm), len(c.Nonce), len(c.Opaque)) > maxEchoed {
		err = fmt.Errorf("its realm, nonce or opaque is longer than %d bytes", maxEchoed)
	}
	return c, err
}

func newDigestSession(c digest.Challenge, cred Credentials, o DigestOptions, n *nonces) (*digestSession, error) {
	session, err := digest.NewSession(c, cred.Username, cred.Password, digest.Options{PreferAuthInt: o.PreferAuthInt})
	if err != nil {
		return nil, err
	}
	return &digestSession{session: session, nonces: n, options: o, cred: cred, nature: digestNature(c, session.HashesBody())}, nil
}

// digestNature returns the nature of a session that answers c. The algorithm protects
// the password, so it counts before the quality of protection.
func digestNature(c digest.Challenge, authInt bool) Nature {
	quality, name := 0, "no qop"
	switch {
	case authInt:
		quality, name = 2, "qop auth-int"
	case len(c.QOP) > 0:
		quality, name = 1, "qop auth"
	}
	algorithm := [...]string{1: "MD5", 2: "SHA-256", 3: "SHA-512-256"}[c.Strength()]
	return Nature{Expires: true, Protection: 3*c.Strength() + quality, ProtectedBy: algorithm + ", " + name}
}

func (d *digestSession) Nature() Nature { return d.nature }

func (d *digestSession) Talk(_ context.Context, _ Peer, req *http.Request, own bool) Talk {
	return &digestTalk{of: d, req: req, own: own}
}

func (d *digestSession) Used() bool { return d.session != nil && d.session.Used() }

// A digestTalk is the answer to one challenge, for one request.
type digestTalk struct {
	of    *digestSession
	req   *http.Request
	own   bool
	later func(Session)

	success bool // of the answer: the proxy took the nonce

	session *digest.Session // that made the answer; nil: there is none
	answer  digest.Answer
	field   [1]string // in one allocation with the rest
}

func (t *digestTalk) Next() (field []string, last bool, err error) {
	session := t.of.session
	if !t.own && session != nil {
		session = t.of.nonces.take(session)
	}
	if session == nil {
		return nil, false, nil
	}
	a, err := session.Authorize(cmp.Or(t.req.Method, http.MethodGet), t.uri(), bodyReader(t.req))
	if errors.Is(err, digest.ErrBodyNeeded) {
		return nil, false, &Failure{Err: err, Remedy: "set Request.GetBody"}
	}
	if err != nil {
		return nil, false, &Failure{Err: err}
	}
	t.session, t.answer, t.field[0] = session, a, a.Value
	return t.field[:], true, nil
}

// uri returns the digest-uri of the request. In forwarded requests it is path and
// query, as curl and browsers have it, unless the options say otherwise.
func (t *digestTalk) uri() string {
	switch {
	case t.req.Method == http.MethodConnect:
		return t.req.Host
	case t.of.options.AbsoluteURI && t.req.URL.Opaque == "":
		return t.req.URL.Scheme + "://" + hostname.OfRequest(t.req) + t.req.URL.RequestURI()
	}
	return t.req.URL.RequestURI()
}

// bodyReader returns how to read the body ahead of sending it, for auth-int.
func bodyReader(req *http.Request) func() (io.ReadCloser, error) {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return nil
	case req.GetBody == nil:
		return func() (io.ReadCloser, error) { return nil, nil }
	}
	return req.GetBody
}

func (t *digestTalk) Challenged(offers []challenge.Challenge, _ bool) Reading {
	d := t.of
	challenge, err := first(offers)
	if err != nil {
		return Reading{}
	}
	next, err := newDigestSession(challenge, d.cred, d.options, d.nonces)
	if err != nil {
		return Reading{}
	}
	if t.session == nil { // the leg was to get a challenge
		d.nonces.compare(d.kept, challenge.Opaque)
		return Reading{Next: next}
	}
	sameNonce, outOfOrder := challenge.Nonce == t.session.Nonce(), t.session.Overtaken(t.answer)
	r := Reading{
		Next:      next,
		Stale:     challenge.Stale,
		Fresh:     !t.session.Answers(challenge),
		Overtaken: outOfOrder && !sameNonce,
	}
	if sameNonce {
		next.session = t.session // whose count goes on
	}
	if r.Stale || r.Overtaken {
		r.Own = d.nonces.ended(t.session, outOfOrder)
	}
	if r.Own && challenge.Opaque != "" && d.nonces.countsBy(challenge.Opaque) {
		next.session, next.kept = nil, challenge.Opaque
	}
	return r
}

func (t *digestTalk) Passed(resp *http.Response, later func(Session)) (Session, error) {
	if t.session == nil {
		return nil, nil
	}
	info := parseInfo(resp.Header)
	t.success = resp.StatusCode < 400 && (resp.StatusCode < 300 || t.req.Method != http.MethodConnect)
	if provesLate(resp, info, t.session) {
		t.later = later
		resp.Body = &verifiedBody{
			ReadCloser: resp.Body, resp: resp, info: info, talk: t,
			session: t.session, answer: t.answer, hash: t.session.NewBodyHash(),
		}
		return nil, nil
	}
	if err := t.session.Verify(info, t.answer, nil); err != nil {
		return nil, Unproven{err}
	}
	return t.next(info), nil
}

// next returns the session to use after a reply with info, or nil for the same. An origin
// can write a nextnonce, too, and the proxy may refuse that in any way. So it counts only
// until an answer is no success: unless one was before, the nonce that had one last does
// again.
func (t *digestTalk) next(info digest.Params) Session {
	d, session, base := t.of, t.session, t.of.base
	outOfOrder := session.Overtaken(t.answer)
	if !t.success && session.Announced() {
		if session, base, outOfOrder = base, nil, true; session == nil {
			return nil // of a strict proxy, for one request
		}
	} else {
		session.Accepted()
		nonce := nextNonce(info)
		if !t.success || nonce == "" {
			d.nonces.put(session, outOfOrder)
			return nil
		}
		base, session, outOfOrder = session, session.Next(nonce), false
	}
	if d.nonces.put(session, outOfOrder) {
		return nil
	}
	return &digestSession{session: session, base: base, nonces: d.nonces, options: d.options, cred: d.cred, nature: d.nature}
}

// proved takes in what the proxy has said by the end of the body.
func (t *digestTalk) proved(info digest.Params) {
	if next := t.next(info); next != nil && t.later != nil {
		t.later(next)
	}
}

func (*digestTalk) Close() {}
