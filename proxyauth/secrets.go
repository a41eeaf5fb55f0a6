package proxyauth

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// withheld stands where a secret was.
const withheld = "REDACTED"

// secrets returns what of these values of Proxy-Authorization must not show up
// in an error, though the proxy may repeat it.
func secrets(authorization []string) []string {
	var all []string
	for _, value := range authorization {
		scheme, token, _ := strings.Cut(value, " ")
		_, response, _ := strings.Cut(value, ` response="`)
		response, _, _ = strings.Cut(response, `"`)
		all = append(all, value, token, response)
		if pair, err := base64.StdEncoding.DecodeString(token); err == nil && strings.EqualFold(scheme, "Basic") {
			_, password, _ := strings.Cut(string(pair), ":")
			all = append(all, string(pair), password)
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// hide notes values of Proxy-Authorization that were sent.
func (d *denial) hide(authorization []string) {
	d.sent, d.struck = append(d.sent, secrets(authorization)...), nil
}

// authorizationIn returns the values of Proxy-Authorization in a header, in
// whatever case a program may have put it into the map.
func authorizationIn(h http.Header) []string {
	var all []string
	for name, values := range h {
		if strings.EqualFold(name, proxyAuthorization) {
			all = append(all, values...)
		}
	}
	return all
}

// shortSecret is the length in bytes below which a secret is struck only where it
// is a word: as a part of one it would be found everywhere, and its absence tell
// what it is.
const shortSecret = 4

// shapes returns the forms in which headers and pages repeat a text.
func shapes(s string) []string {
	if len(s) < shortSecret {
		return []string{s}
	}
	b := []byte(s)
	quoted, _ := json.Marshal(s)
	query, path := url.QueryEscape(s), url.PathEscape(s)
	return []string{
		s,
		strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s), // quoted-string
		string(quoted[1 : len(quoted)-1]),
		html.EscapeString(s),
		query, lowerPercent(query), path, lowerPercent(path),
		base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
		hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
	}
}

// lowerPercent writes percent-encoding with small letters.
func lowerPercent(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// strikeOut returns b without what was sent.
func (d *denial) strikeOut(b []byte) []byte {
	if len(d.struck) == 0 && len(d.sent) > 0 {
		for _, secret := range d.sent {
			d.struck = append(d.struck, shapes(secret)...)
		}
		// The longest first: a part of one may be another.
		slices.SortFunc(d.struck, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
		d.struck = slices.Compact(d.struck)
	}
	for _, secret := range d.struck {
		if len(secret) < shortSecret {
			b = strikeWord(b, secret)
		} else {
			b = bytes.ReplaceAll(b, []byte(secret), []byte(withheld))
		}
	}
	return b
}

// strikeWord strikes out a text where no letter or digit touches it.
func strikeWord(b []byte, word string) []byte {
	touches := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	var out []byte
	last := rune(' ')
	for len(b) > 0 {
		if rest, ok := bytes.CutPrefix(b, []byte(word)); ok && !touches(last) {
			if next, _ := utf8.DecodeRune(rest); len(rest) == 0 || !touches(next) {
				out, b, last = append(out, withheld...), rest, ' '
				continue
			}
		}
		r, size := utf8.DecodeRune(b)
		out, b, last = append(out, b[:size]...), b[size:], r
	}
	return out
}

// withoutSecrets returns err itself, where its text has nothing of what was sent,
// behind the words that begin it and are ours, or where nothing was sent yet.
func (d *denial) withoutSecrets(err error, ours string) error {
	var dial *proxyDialError
	if errors.As(err, &dial) {
		return err
	}
	text, begins := strings.CutPrefix(err.Error(), ours)
	if !begins {
		ours = ""
	}
	struck := string(d.strikeOut([]byte(text)))
	if struck == text {
		return err
	}
	return &struckError{ours + struck, err}
}

// A struckError is an error whose text holds secrets. It does not unwrap, so that
// nobody gets to that; what it is about is told all the same.
type struckError struct {
	text string
	err  error
}

func (e *struckError) Error() string        { return e.text }
func (e *struckError) Is(target error) bool { return errors.Is(e.err, target) }

// As finds what a retry needs to know.
func (e *struckError) As(target any) bool {
	lost, ok := target.(**lostError)
	return ok && errors.As(e.err, lost)
}

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *struckError) Timeout() bool { return timedOut(e.err) }

// Temporary is part of net.Error; it is never true.
func (e *struckError) Temporary() bool { return false }

// Format prints the text for every verb.
func (e *struckError) Format(f fmt.State, _ rune) { io.WriteString(f, e.text) }

// cutOff returns b, which was cut off, without the beginning of a secret at its
// end.
func (d *denial) cutOff(b []byte) []byte {
	for _, secret := range d.struck {
		for n := min(len(secret), len(b)); n > 0; n-- {
			if bytes.HasSuffix(b, []byte(secret[:n])) {
				b = b[:len(b)-n]
				break
			}
		}
	}
	return b
}
