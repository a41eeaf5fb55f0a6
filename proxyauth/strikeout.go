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
	"net/url"
	"slices"
	"strings"
)

// secrets returns what of these values of Proxy-Authorization must not show up
// in an error, though the proxy may repeat it.
func secrets(authorization []string) []string {
	var all []string
	for _, value := range authorization {
		_, token, _ := strings.Cut(value, " ")
		_, response, _ := strings.Cut(value, ` response="`)
		response, _, _ = strings.Cut(response, `"`)
		all = append(all, value, token, response)
		if pair, err := base64.StdEncoding.DecodeString(token); err == nil {
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

// shapes returns the forms in which headers and pages repeat a text.
func shapes(s string) []string {
	if len(s) < 4 {
		return []string{s} // the rest would be found everywhere
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
		b = bytes.ReplaceAll(b, []byte(secret), []byte("REDACTED"))
	}
	return b
}

// withoutSecrets returns err itself, where its text has nothing of what was sent.
func (d *denial) withoutSecrets(err error) error {
	text := err.Error()
	struck := string(d.strikeOut([]byte(text)))
	if struck == text {
		return err
	}
	return &struckError{struck, err}
}

// A struckError is an error whose text holds secrets. It does not unwrap, so that
// nobody gets to that.
type struckError struct {
	text string
	err  error
}

func (e *struckError) Error() string        { return e.text }
func (e *struckError) Is(target error) bool { return errors.Is(e.err, target) }

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
