package scheme

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// Basic returns the Basic scheme (RFC 7617).
func Basic() Scheme { return basicScheme{} }

type basicScheme struct{}

func (basicScheme) Name() string { return "Basic" }

func (basicScheme) Traits() Traits { return Traits{ClearText: true} }

func (basicScheme) Requires() []string { return []string{"realm"} } // RFC 7617 §2

func (basicScheme) SecretsIn(value string) []string {
	pair, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil
	}
	_, password, _ := strings.Cut(string(pair), ":")
	return []string{string(pair), password}
}

func (basicScheme) Best(offers []challenge.Challenge) []challenge.Challenge { return offers }

func (basicScheme) Begin(_ context.Context, _ Proxy, offers []challenge.Challenge, c Credentials) (Session, error) {
	// RFC 7617 §2: no colon in the name, no control characters in either.
	if strings.Contains(c.Username, ":") {
		return nil, errors.New("the user name has a colon, which Basic cannot send")
	}
	pair := c.Username + ":" + c.Password
	if strings.ContainsFunc(pair, isControl) {
		return nil, errors.New("the user name or password has a control character, which Basic cannot send")
	}
	if len(offers) == 0 || strings.EqualFold(offers[0].Params.Get("charset"), "UTF-8") {
		pair = norm.NFC.String(pair)
	}
	return &basicSession{field: []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}}, nil
}

func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

// A basicSession is the same field for every request, so it is also each Talk: none is
// allocated.
type basicSession struct {
	steady
	field []string
}

func (*basicSession) Nature() Nature { return Nature{} }

func (s *basicSession) Talk(context.Context, Peer, *http.Request, bool) Talk { return s }

func (s *basicSession) Next() ([]string, bool, error) { return s.field, true, nil }

func (s *basicSession) Challenged([]challenge.Challenge, bool) Reading { return Reading{Next: s} }

func (*basicSession) Passed(*http.Response, func(Session)) (Session, error) { return nil, nil }

func (*basicSession) Close() {}
