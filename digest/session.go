package digest

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Options change how a Session answers. The zero value is what most servers
// and proxies expect.
type Options struct {
	// PreferAuthInt chooses qop=auth-int, which protects the body too, where
	// auth is offered beside it. The body must then be readable twice.
	PreferAuthInt bool
}

// A Session answers for one nonce with one user's password: it holds the key,
// the client nonce and the nonce count. It is safe for concurrent use. The
// password itself is not kept.
type Session struct {
	challenge Challenge
	alg       algorithm
	qop       string // "auth", "auth-int", or "" for RFC 2069
	cnonce    string
	key       string // H(A1) in hexadecimal

	// The answer's text around what changes from request to request:
	// who nonce uri middle nc beforeResponse response tail.
	who, nonce, middle, beforeResponse, tail string

	begun    time.Time
	next     bool          // made by Next
	issued   atomic.Uint32 // uses of the nonce given out; the last nc
	accepted atomic.Uint32 // uses that the peer has accepted
}

// Format prints the same for every verb: a session has what stands for the
// password.
func (s *Session) Format(f fmt.State, _ rune) { io.WriteString(f, "digest.Session") }

// An Answer is one use of a Session's nonce.
type Answer struct {
	// Value is the value of the Authorization or Proxy-Authorization field.
	Value string

	nc    uint32
	uri   string
	alone bool // all earlier uses had been accepted when this one was made
}

var (
	// ErrBodyNeeded is returned by [Session.Authorize] for qop=auth-int and a
	// body that cannot be read ahead of sending it.
	ErrBodyNeeded = errors.New("digest: qop=auth-int hashes the body before it is sent, and this body can be read only once")

	// ErrServer is returned by [Session.Verify] when rspauth is wrong: the
	// peer does not know the password.
	ErrServer = errors.New("digest: the peer's rspauth is wrong: it does not know the password")
)

// NewSession gets ready to answer the challenge. The username is sent as it
// is, in UTF-8; both are put in NFC when the challenge says charset=UTF-8. A
// control character in the username is an error, and so are an algorithm or a
// qop that are not known ([ErrUnsupported]).
func NewSession(c Challenge, username, password string, o Options) (*Session, error) {
	// 18 bytes make 24 characters, more than the 64 bits that keep an
	// attacker from precomputing answers (RFC 7616 §5.10).
	var random [18]byte
	rand.Read(random[:])
	return newSession(c, username, password, base64.StdEncoding.EncodeToString(random[:]), o)
}

func newSession(c Challenge, username, password, cnonce string, o Options) (*Session, error) {
	for i := 0; i < len(username); i++ {
		if username[i] < ' ' || username[i] == 0x7f {
			return nil, errors.New("digest: the user name has a control character")
		}
	}
	if c.UTF8 {
		username, password = norm.NFC.String(username), norm.NFC.String(password)
	}
	alg, sess, err := parseAlgorithm(c.Algorithm)
	if err != nil {
		return nil, err
	}
	qop, err := c.chooseQOP(o.PreferAuthInt)
	if err != nil {
		return nil, err
	}
	s := &Session{challenge: c, alg: alg, qop: qop, cnonce: cnonce, begun: time.Now()}

	s.key = alg.hashString(username + ":" + c.Realm + ":" + password)
	if sess {
		// The key of a -sess algorithm belongs to the first nonce and cnonce
		// and is kept for all that follow (RFC 7616 §3.4.2).
		s.key = alg.hashString(s.key + ":" + c.Nonce + ":" + cnonce)
	}
	s.write(username, sess)
	return s, nil
}

// write composes the unchanging text. Quoted and bare values are as RFC 7616
// §3.4 has them; some servers refuse the other form.
func (s *Session) write(username string, sess bool) {
	c := s.challenge
	b := []byte("Digest ")
	switch {
	case c.UserHash:
		b = appendQuoted(append(b, "username="...), s.alg.hashString(username+":"+c.Realm))
	case c.UTF8 && !isASCII(username):
		// RFC 8187. Without charset=UTF-8 the peer is older than username*,
		// and gets the octets as they are.
		b = append(b, "username*=UTF-8''"...)
		b = append(b, strings.ReplaceAll(url.QueryEscape(username), "+", "%20")...)
	default:
		b = appendQuoted(append(b, "username="...), username)
	}
	s.who = string(appendQuoted(append(b, ", realm="...), c.Realm))
	s.nonce = writeNonce(c.Nonce)

	b = append(b[:0], '"')
	if s.qop != "" || sess {
		b = appendQuoted(append(b, ", cnonce="...), s.cnonce)
	}
	if s.qop != "" {
		s.middle = string(append(b, ", nc="...))
		s.beforeResponse = `, qop=` + s.qop + `, response="`
	} else {
		s.middle = string(append(b, `, response="`...))
	}

	b = append(b[:0], '"')
	if c.HasOpaque {
		b = appendQuoted(append(b, ", opaque="...), c.Opaque)
	}
	if c.Algorithm != "" {
		b = append(append(b, ", algorithm="...), c.Algorithm...)
	}
	if c.UserHash {
		b = append(b, ", userhash=true"...)
	}
	s.tail = string(b)
}

func writeNonce(nonce string) string {
	return string(append(appendQuoted([]byte(", nonce="), nonce), `, uri="`...))
}

// Next returns a session for the nonce that the peer named to follow this one
// (nextnonce, RFC 7616 §3.5). Its count starts again; a -sess key stays.
func (s *Session) Next(nonce string) *Session {
	next := &Session{
		challenge: s.challenge, alg: s.alg, qop: s.qop, cnonce: s.cnonce, key: s.key,
		who: s.who, nonce: writeNonce(nonce), begun: time.Now(), next: true,
		middle: s.middle, beforeResponse: s.beforeResponse, tail: s.tail,
	}
	next.challenge.Nonce = nonce
	return next
}

// Nonce returns the server nonce of this session.
func (s *Session) Nonce() string { return s.challenge.Nonce }

// Answers reports whether c is the challenge that the session answers, or one that
// asks for the same with the same nonce.
func (s *Session) Answers(c Challenge) bool {
	own := s.challenge
	return c.Realm == own.Realm && c.Nonce == own.Nonce && c.Opaque == own.Opaque && c.HasOpaque == own.HasOpaque &&
		strings.EqualFold(c.Algorithm, own.Algorithm) && slices.Equal(c.QOP, own.QOP)
}

// Used reports whether the nonce was given out for any use.
func (s *Session) Used() bool { return s.issued.Load() > 0 }

// Announced reports whether the session's nonce was named by nextnonce and has
// not been accepted yet.
func (s *Session) Announced() bool { return s.next && s.accepted.Load() == 0 }

// Age returns the time since the session's nonce was received.
func (s *Session) Age() time.Duration { return time.Since(s.begun) }

// Authorize uses the nonce once more, for a request with this method and
// digest-uri: the request-target as the server or proxy sees it, which is
// "host:port" for CONNECT. body opens the request's body to be hashed, before
// any transfer coding, and is called for qop=auth-int only; nil means that
// there is no body. If body returns a nil reader, the error is [ErrBodyNeeded].
func (s *Session) Authorize(method, uri string, body func() (io.ReadCloser, error)) (Answer, error) {
	var bodyHash [maxHex]byte
	n := 0
	if s.qop == "auth-int" {
		sum, err := s.hashBody(body)
		if err != nil {
			return Answer{}, err
		}
		n = copy(bodyHash[:], sum)
	}
	a := Answer{uri: uri, nc: s.issued.Add(1)}
	a.alone = s.accepted.Load() == a.nc-1

	var scratch [512]byte
	var hex [maxHex]byte
	response := s.response(hex[:0], scratch[:0], method, a, s.qop, bodyHash[:n])

	var b strings.Builder
	b.Grow(len(s.who) + len(s.nonce) + len(uri) + len(s.middle) + 8 + len(s.beforeResponse) + len(response) + len(s.tail))
	b.WriteString(s.who)
	b.WriteString(s.nonce)
	if strings.ContainsAny(uri, `"\\`) {
		b.Write(appendEscaped(nil, uri))
	} else {
		b.WriteString(uri)
	}
	b.WriteString(s.middle)
	if s.qop != "" {
		b.Write(appendNC(scratch[:0], a.nc))
		b.WriteString(s.beforeResponse)
	}
	b.Write(response)
	b.WriteString(s.tail)
	a.Value = b.String()
	return a, nil
}

// response appends the request-digest (RFC 7616 §3.4.1), or with an empty
// method the rspauth of the reply (§3.5).
func (s *Session) response(dst, scratch []byte, method string, a Answer, qop string, bodyHash []byte) []byte {
	var h2 [maxHex]byte
	b := append(scratch, method...)
	b = append(b, ':')
	b = append(b, a.uri...)
	if qop == "auth-int" {
		b = append(b, ':')
		b = append(b, bodyHash...)
	}
	a2 := s.alg.appendHash(h2[:0], b)

	b = append(b[:0], s.key...)
	b = append(b, ':')
	b = append(b, s.challenge.Nonce...)
	b = append(b, ':')
	if qop != "" {
		b = appendNC(b, a.nc)
		b = append(b, ':')
		b = append(b, s.cnonce...)
		b = append(b, ':')
		b = append(b, qop...)
		b = append(b, ':')
	}
	b = append(b, a2...)
	return s.alg.appendHash(dst, b)
}

// appendNC appends a nonce count: 8 hexadecimal digits.
func appendNC(b []byte, nc uint32) []byte {
	return hex.AppendEncode(b, []byte{byte(nc >> 24), byte(nc >> 16), byte(nc >> 8), byte(nc)})
}

func (s *Session) hashBody(open func() (io.ReadCloser, error)) ([]byte, error) {
	h := s.alg.newHash()
	if open != nil {
		body, err := open()
		if err != nil {
			return nil, err
		}
		if body == nil {
			return nil, ErrBodyNeeded
		}
		_, err = io.Copy(h, body)
		body.Close()
		if err != nil {
			return nil, err
		}
	}
	return hex.AppendEncode(nil, h.Sum(nil)), nil
}

// Accepted notes that the peer has accepted one use of the nonce. Call it once
// for each, and not for a use that was refused or had no reply: from then on
// [Session.Overtaken] is true for this nonce.
func (s *Session) Accepted() { s.accepted.Add(1) }

// Overtaken reports whether other uses of the nonce were under way together
// with a, or one before it was not accepted. Then the peer may have seen the
// nonce counts out of order, or count otherwise, and a refusal may mean that
// alone (Apache with NcCheck; RFC 7616 §3.4.6) and not the credentials. Call it
// before [Session.Accepted].
func (s *Session) Overtaken(a Answer) bool {
	return !a.alone || s.issued.Load() != a.nc
}

// NewBodyHash returns the hash that [Session.Verify] takes of a reply's body.
func (s *Session) NewBodyHash() hash.Hash { return s.alg.newHash() }

// HashesBody reports whether the session answers with qop=auth-int.
func (s *Session) HashesBody() bool { return s.qop == "auth-int" }

// Verify checks the rspauth of an Authentication-Info or
// Proxy-Authentication-Info field (RFC 7616 §3.5) that came in reply to a.
// Where there is none, or the session is of RFC 2069, there is nothing to
// check. body is the hash of the reply's body, made with [Session.NewBodyHash];
// it matters for qop=auth-int only. A wrong value is [ErrServer].
func (s *Session) Verify(info Params, a Answer, body hash.Hash) error {
	rspauth, ok := info.Lookup("rspauth")
	if !ok || s.qop == "" {
		return nil
	}
	qop := s.qop
	if q := info.Get("qop"); q != "" {
		qop = strings.ToLower(q)
	}
	if cnonce, ok := info.Lookup("cnonce"); ok && cnonce != s.cnonce {
		return fmt.Errorf("%w (another cnonce)", ErrServer)
	}
	if nc, ok := info.Lookup("nc"); ok && !strings.EqualFold(nc, string(appendNC(nil, a.nc))) {
		return fmt.Errorf("%w (another nc)", ErrServer)
	}
	var bodyHash []byte
	if qop == "auth-int" {
		if body == nil {
			body = s.alg.newHash()
		}
		bodyHash = hex.AppendEncode(nil, body.Sum(nil))
	}
	want := s.response(nil, nil, "", a, qop, bodyHash)
	if subtle.ConstantTimeCompare(want, []byte(strings.ToLower(rspauth))) != 1 {
		return ErrServer
	}
	return nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
