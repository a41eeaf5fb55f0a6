package proxyauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// Two schemes that are written for these tests, as somebody would who adds one. In Toy
// each request has a token of its own: the user and a hash of the password. In
// Toy-Handshake a connection is authenticated by two messages: the first names the user,
// the proxy answers with a number, and the second is a hash of that and the password.

// A toyScheme is what both have in common.
type toyScheme struct{ name string }

func (s toyScheme) Name() string { return s.name }

func (toyScheme) Traits() scheme.Traits { return scheme.Traits{Strength: 1} }

func (toyScheme) Requires() []string { return nil }

func (toyScheme) SecretsIn(string) []string { return nil }

func (toyScheme) Best(offers []challenge.Challenge) []challenge.Challenge { return offers }

// A toySession is what both have in common.
type toySession struct{ cred scheme.Credentials }

func (toySession) Used() bool { return false }

func (toySession) Other(context.Context) bool { return false }

func (toySession) Describe(_ context.Context, with string) string { return with }

// toyHash is what proves that somebody knows the password.
func toyHash(number, password string) string {
	sum := sha256.Sum256([]byte(number + ":" + password))
	return hex.EncodeToString(sum[:])
}

func toyToken(parts ...string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(parts, ":")))
}

// toyParts returns what is in the token of a Proxy-Authorization or a challenge.
func toyParts(field string) []string {
	_, token, _ := strings.Cut(field, " ")
	text, _ := base64.StdEncoding.DecodeString(token)
	return strings.Split(string(text), ":")
}

// toy is the scheme of requests.
type toy struct{ toyScheme }

func newToy() scheme.Scheme { return toy{toyScheme{"Toy"}} }

func (toy) Begin(_ context.Context, _ scheme.Proxy, _ []challenge.Challenge, c scheme.Credentials) (scheme.Session, error) {
	return &toyRequests{toySession{c}}, nil
}

// toyRequests is its session, and each of its conversations.
type toyRequests struct{ toySession }

func (*toyRequests) Nature() scheme.Nature { return scheme.Nature{} }

func (s *toyRequests) Talk(context.Context, scheme.Peer, *http.Request, bool) scheme.Talk { return s }

func (s *toyRequests) Next() ([]string, bool, error) {
	return []string{"Toy " + toyToken(s.cred.Username, toyHash("", s.cred.Password))}, true, nil
}

func (*toyRequests) Challenged([]challenge.Challenge, bool) scheme.Reading { return scheme.Reading{} }

func (*toyRequests) Passed(*http.Response, func(scheme.Session)) (scheme.Session, error) {
	return nil, nil
}

func (*toyRequests) Close() {}

// toyHandshake is the scheme of connections.
type toyHandshake struct{ toyScheme }

func newToyHandshake() scheme.Scheme { return toyHandshake{toyScheme{"Toy-Handshake"}} }

func (toyHandshake) Begin(_ context.Context, _ scheme.Proxy, _ []challenge.Challenge, c scheme.Credentials) (scheme.Session, error) {
	return &toyConnections{toySession{c}}, nil
}

type toyConnections struct{ toySession }

func (*toyConnections) Nature() scheme.Nature { return scheme.Nature{Connection: true} }

func (s *toyConnections) Talk(context.Context, scheme.Peer, *http.Request, bool) scheme.Talk {
	return &toyMessages{cred: s.cred}
}

// toyMessages is one handshake.
type toyMessages struct {
	cred   scheme.Credentials
	number string // the proxy's; "": it has not given one
}

func (t *toyMessages) Next() ([]string, bool, error) {
	if t.number == "" {
		return []string{"Toy-Handshake " + toyToken(t.cred.Username)}, false, nil
	}
	return []string{"Toy-Handshake " + toyToken(t.cred.Username, toyHash(t.number, t.cred.Password))}, true, nil
}

func (t *toyMessages) Challenged(offers []challenge.Challenge, _ bool) scheme.Reading {
	switch {
	case t.number != "":
		return scheme.Reading{} // a refusal
	case len(offers) == 0 || offers[0].Token68 == "":
		return scheme.Reading{Err: &scheme.Failure{Err: errors.New("the proxy has no number")}}
	}
	t.number = toyParts("Toy-Handshake " + offers[0].Token68)[0]
	return scheme.Reading{More: true}
}

func (*toyMessages) Passed(*http.Response, func(scheme.Session)) (scheme.Session, error) {
	return nil, nil
}

func (*toyMessages) Close() {}

// A toyProxy knows both schemes.
type toyProxy struct {
	*scripted.Proxy
	offers []string

	mu       sync.Mutex
	users    map[string]string
	refused  int
	owners   map[int]string // of connections, by their number
	numbered map[int]bool   // connections on which a handshake has begun
}

// newToyProxy starts a proxy that offers schemes to alice and bob.
func newToyProxy(w *world, offers ...string) *toyProxy {
	p := &toyProxy{
		offers: offers, users: map[string]string{"alice": "open sesame", "bob": "open wheat"},
		owners: make(map[int]string), numbered: make(map[int]bool),
	}
	p.Proxy = w.scriptedBy(scripted.Config{Script: p.script, KeepBodies: true})
	return p
}

// script answers one request at a time. A body is not waited for where it would come only
// after a 100.
func (p *toyProxy) script(req *http.Request) scripted.Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer, passes := p.answer(req)
	expects := req.Header.Get("Expect") != ""
	switch {
	case passes && expects:
		req.Header.Del("Expect")
		return scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n").Then(answer)
	case !passes && !expects:
		io.Copy(io.Discard, req.Body)
	}
	return answer
}

// answer returns the answer to a request, and whether that passes.
func (p *toyProxy) answer(req *http.Request) (answer scripted.Answer, passes bool) {
	on := p.RequestsOn()
	conn, field := on[len(on)-1], req.Header.Get("Proxy-Authorization")
	name, _, _ := strings.Cut(field, " ")
	parts := toyParts(field)
	switch {
	case field == "" && p.owners[conn] == "":
		return scripted.Challenges(p.offers...), false
	case field == "":
		passes = true
	case name == "Toy" && len(parts) == 2:
		passes = parts[1] == toyHash("", p.users[parts[0]])
	case name == "Toy-Handshake" && len(parts) == 1:
		p.numbered[conn] = true
		return scripted.Challenges("Toy-Handshake " + toyToken("17")), false
	case name == "Toy-Handshake" && p.numbered[conn]:
		if passes = parts[1] == toyHash("17", p.users[parts[0]]); passes {
			p.owners[conn] = parts[0]
		}
	case name == "Basic":
		passes = parts[1] == p.users[parts[0]]
	}
	if passes {
		return scripted.Pass(), true
	}
	p.refused++
	var fields []string
	for _, offer := range p.offers {
		fields = append(fields, "Proxy-Authenticate: "+offer)
	}
	return scripted.Page(407, "you said "+field, fields...), false // which must not get into an error
}

// legs returns what the requests since the first n carried: the scheme, and ":" for each
// part of a token.
func (p *toyProxy) legs(n int) (legs []string) {
	for _, req := range p.Requests()[n:] {
		field := req.Header.Get("Proxy-Authorization")
		name, _, _ := strings.Cut(field, " ")
		if name == "" {
			name = "bare"
		} else {
			name += strings.Repeat(":", len(toyParts(field)))
		}
		legs = append(legs, name)
	}
	return legs
}
