package scheme

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// tokenScheme has methods for schemes whose challenges and credentials are one token each,
// without parameters.
type tokenScheme struct{}

func (tokenScheme) Requires() []string { return nil }

func (tokenScheme) SecretsIn(string) []string { return nil }

func (tokenScheme) Best(offers []challenge.Challenge) []challenge.Challenge { return offers }

// A connectionSession is the Session of a scheme that authenticates connections.
type connectionSession interface {
	Session

	// handshake begins on a connection to p.
	handshake(ctx context.Context, p Peer) (handshake, error)
}

// A handshake makes the tokens that go over one connection.
type handshake interface {
	// next takes in the proxy's token, "" at the beginning, and returns the one to send.
	// last says that the proxy can let the request pass then.
	next(token68 string) (reply string, last bool, err error)

	// bare returns why the handshake failed if the proxy answers a leg by a challenge
	// without a token; nil: it refuses the credentials. last is that of the leg.
	bare(last bool) *Failure

	// done checks the token, "" for none, of an answer that lets the request pass. The
	// error is an Unproven.
	done(token68 string) error

	// close ends the handshake.
	close()
}

var (
	errNotBase64     = errors.New("the proxy's token is not base64")
	errSomethingElse = errors.New("the proxy answers the handshake with something else")
)

// decode returns what a token says. Padding that is missing, or too much as Chromium
// excuses it, changes nothing.
func decode(token68 string) ([]byte, error) {
	token, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(token68, "="))
	if err != nil {
		return nil, errNotBase64
	}
	return token, nil
}

// A handshakeTalk is a handshake as a Talk.
type handshakeTalk struct {
	scheme  string // its name
	session connectionSession
	ctx     context.Context
	peer    Peer

	h     handshake // nil: not begun
	token string    // that goes out next
	last  bool      // the proxy can let the request pass then
}

func (t *handshakeTalk) Next() (field []string, last bool, err error) {
	if t.h == nil {
		if t.h, err = t.session.handshake(t.ctx, t.peer); err != nil {
			return nil, false, &Failure{Err: err}
		}
		if t.token, t.last, err = t.h.next(""); err != nil {
			return nil, false, &Failure{Err: err}
		}
	}
	return []string{t.scheme + " " + t.token}, t.last, nil
}

func (t *handshakeTalk) Challenged(offers []challenge.Challenge, others bool) Reading {
	ticket := t.session.Nature().Ticket
	if len(offers) == 0 {
		if t.last && !(ticket && others) {
			return Reading{} // it offers the scheme no more
		}
		return Reading{Err: &Failure{Err: errSomethingElse}}
	}
	token := offers[0].Token68
	if token == "" {
		return Reading{Err: t.h.bare(t.last)}
	}
	answered := t.last // with the last leg the proxy had all that it needs
	var err error
	t.token, t.last, err = t.h.next(token)
	switch {
	case err == nil:
		return Reading{More: true}
	case answered && ticket:
		return Reading{Err: RefusedTicket}
	case answered:
		return Reading{} // a refusal, in whatever words
	}
	return Reading{Err: &Failure{Err: err}}
}

func (t *handshakeTalk) Passed(resp *http.Response, _ func(Session)) (Session, error) {
	fields := resp.Header["Proxy-Authenticate"]
	if len(fields) == 0 {
		return nil, nil
	}
	// No scheme with a handshake requires parameters.
	offers, _ := challenge.Parse(fields, func(string) []string { return nil })
	i := slices.IndexFunc(offers, func(c challenge.Challenge) bool { return c.Is(t.scheme) })
	if i < 0 {
		return nil, nil
	}
	return nil, t.h.done(offers[i].Token68)
}

func (t *handshakeTalk) Close() {
	if t.h != nil {
		t.h.close()
		t.h = nil
	}
}
