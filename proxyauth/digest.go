package proxyauth

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/digest"
)

// Digest returns the Digest scheme (RFC 7616, and RFC 2069 where the proxy is
// that old): the password does not travel. Of several challenges the one with
// the strongest algorithm is answered: SHA-512-256, SHA-256, MD5.
//
// The digest-uri is host:port for CONNECT and, as curl and browsers have it,
// path and query for forwarded requests.
func Digest() Scheme { return digestScheme{} }

// DigestWith returns the Digest scheme with options.
func DigestWith(o DigestOptions) Scheme { return digestScheme{o} }

// DigestOptions are for proxies that differ from most. The zero value is what
// [Digest] uses.
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

func (s digestScheme) accept(offers []Challenge, c Credentials) (requestAuth, error) {
	challenge, err := strongest(offers)
	if err != nil {
		return nil, err
	}
	session, err := digest.NewSession(challenge, c.Username, c.Password, digest.Options{PreferAuthInt: s.PreferAuthInt})
	if err != nil {
		return nil, err
	}
	return &digestAuth{session, s, c}, nil
}

// strongest returns the challenge with the best algorithm; the first of equals.
func strongest(offers []Challenge) (best digest.Challenge, err error) {
	err = errors.New("no challenge")
	for _, offer := range offers {
		c, parseErr := digest.ParseChallenge(offer.params)
		if parseErr == nil && (err != nil || c.Strength() > best.Strength()) {
			best, err = c, nil
		}
	}
	return best, err
}

// A digestAuth answers with one nonce.
type digestAuth struct {
	session *digest.Session
	scheme  digestScheme
	cred    Credentials // for the next nonce
}

func (d *digestAuth) authorize(req *http.Request) (answer, error) {
	a, err := d.session.Authorize(req.Method, d.uri(req), bodyReader(req))
	if err != nil {
		return answer{}, err
	}
	return answer{field: []string{a.Value}, digest: a}, nil
}

// uri returns the digest-uri of a request to the proxy.
func (d *digestAuth) uri(req *http.Request) string {
	switch {
	case req.Method == http.MethodConnect:
		return req.Host
	case d.scheme.AbsoluteURI:
		u := *req.URL
		u.User, u.Fragment = nil, ""
		return u.String()
	}
	return req.URL.RequestURI()
}

// bodyReader returns how to read the body ahead of sending it, for auth-int.
func bodyReader(req *http.Request) func() (io.ReadCloser, error) {
	switch {
	case !hasBody(req):
		return nil
	case req.GetBody == nil:
		return func() (io.ReadCloser, error) { return nil, nil }
	}
	return req.GetBody
}

func (d *digestAuth) refused(a answer, offers []Challenge) (requestAuth, refusal) {
	outOfOrder := d.session.Overtaken(a.digest)
	d.session.Replied()
	challenge, err := strongest(offers)
	if err != nil {
		return nil, rejected
	}
	next, ok := d.renew(offers)
	switch {
	case !ok:
		return nil, rejected
	case challenge.Stale:
		return next, stale
	case outOfOrder && challenge.Nonce != d.session.Nonce():
		return next, overtaken
	}
	return nil, rejected
}

func (d *digestAuth) renew(offers []Challenge) (requestAuth, bool) {
	next, err := d.scheme.accept(offers, d.cred)
	return next, err == nil
}

// authenticationInfo is where a proxy proves itself and names the next nonce
// (RFC 7615 §4).
const authenticationInfo = "Proxy-Authentication-Info"

func (d *digestAuth) accepted(a answer, resp *http.Response) (requestAuth, error) {
	d.session.Replied()
	var info digest.Params
	if field := resp.Header[authenticationInfo]; len(field) > 0 {
		var err error
		if info, err = digest.ParseParams(field[0]); err != nil {
			return nil, err
		}
	}
	_, late := resp.Trailer[authenticationInfo]
	if _, proves := info.Lookup("rspauth"); proves && d.session.HashesBody() && resp.Request.Method != http.MethodConnect {
		late = true // the proof covers the reply's body
	}
	if late && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &verifiedBody{ReadCloser: resp.Body, resp: resp, auth: d, answer: a.digest, hash: d.session.NewBodyHash(), info: info}
		return d.next(info), nil
	}
	return d.next(info), d.session.Verify(info, a.digest, nil)
}

// next returns what to use after a reply with info, or nil for d itself.
func (d *digestAuth) next(info digest.Params) requestAuth {
	nonce := info.Get("nextnonce")
	if nonce == "" {
		return nil
	}
	return &digestAuth{d.session.Next(nonce), d.scheme, d.cred}
}

// A verifiedBody checks the proxy's proof when the body has come to its end,
// and takes the Proxy-Authentication-Info from the trailer if it is there.
type verifiedBody struct {
	io.ReadCloser
	resp   *http.Response
	auth   *digestAuth
	answer digest.Answer
	hash   hash.Hash
	info   digest.Params     // of the header
	adopt  func(requestAuth) // takes in the next nonce
}

func (b *verifiedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if err != io.EOF {
		return n, err
	}
	if err := b.verify(); err != nil {
		return n, fmt.Errorf("proxyauth: proxy's %s: %w", authenticationInfo, err)
	}
	return n, io.EOF
}

func (b *verifiedBody) verify() error {
	info := b.info
	if field := b.resp.Trailer[authenticationInfo]; len(field) > 0 {
		var err error
		if info, err = digest.ParseParams(field[0]); err != nil {
			return err
		}
		if next := b.auth.next(info); next != nil {
			b.adopt(next)
		}
	}
	if b.auth.session.HashesBody() && b.resp.Uncompressed {
		return nil // what net/http has unpacked is not what the proof covers
	}
	return b.auth.session.Verify(info, b.answer, b.hash)
}
