package proxyauth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"golang.org/x/text/unicode/norm"
)

// Basic returns the Basic scheme (RFC 7617): user name and password in clear,
// with every request. Names and passwords go in UTF-8; in NFC when the
// challenge says charset="UTF-8", or was not waited for.
func Basic() Scheme { return basicScheme{} }

type basicScheme struct{}

func (basicScheme) Name() string { return "Basic" }

func (basicScheme) traits() traits { return traits{clearText: true} }

func (basicScheme) requires() []string { return []string{"realm"} } // RFC 7617 §2

func (basicScheme) secretsIn(value string) []string {
	pair, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil
	}
	_, password, _ := strings.Cut(string(pair), ":")
	return []string{string(pair), password}
}

func (basicScheme) best(offers []challenge.Challenge) []challenge.Challenge { return offers }

func (basicScheme) accept(_ context.Context, _ proxyFacts, offers []challenge.Challenge, c Credentials) (answerer, error) {
	// RFC 7617 §2: no colon in the name, no control characters in either.
	if strings.Contains(c.Username, ":") {
		return answerer{}, errors.New("the user name has a colon, which Basic cannot send")
	}
	pair := c.Username + ":" + c.Password
	if strings.ContainsFunc(pair, isControl) {
		return answerer{}, errors.New("the user name or password has a control character, which Basic cannot send")
	}
	if len(offers) == 0 || strings.EqualFold(offers[0].Params.Get("charset"), "UTF-8") {
		pair = norm.NFC.String(pair)
	}
	return answerer{auth: &basicAuth{[]string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}}}, nil
}

func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

// A basicAuth is the same field for every request.
type basicAuth struct{ field []string }

func (b *basicAuth) authorize(*http.Request, bool) (answer, error) {
	return answer{field: b.field}, nil
}

func (b *basicAuth) challenged(answer, []challenge.Challenge) (requestAuth, difference) {
	return b, difference{}
}

func (b *basicAuth) used() bool { return false }

func (b *basicAuth) expires() bool { return false }

func (b *basicAuth) accepted(answer, *http.Response) (requestAuth, error) { return nil, nil }
