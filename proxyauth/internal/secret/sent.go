// Package secret keeps credentials out of what can be printed: it strikes them out
// of texts in which a proxy may repeat them, and shortens header fields for logs.
package secret

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Withheld stands where a secret was.
const Withheld = "REDACTED"

// Sent holds the secrets that were sent to a proxy, which may repeat them in its answers.
// The zero value has none.
type Sent struct {
	secrets []string
	shapes  []string // the secrets in every encoding, the longest first; nil: not computed yet
}

// Add adds secrets; empty ones are ignored.
func (s *Sent) Add(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" {
			s.secrets, s.shapes = append(s.secrets, secret), nil
		}
	}
}

// Clone returns a copy of s.
func (s *Sent) Clone() Sent { return Sent{secrets: slices.Clone(s.secrets)} }

// Strike returns text with REDACTED in place of the secrets, in whatever encoding they are
// in it.
func (s *Sent) Strike(text []byte) []byte {
	if s.shapes == nil && s.secrets != nil {
		for _, secret := range s.secrets {
			s.shapes = append(s.shapes, shapes(secret)...)
		}
		// The longest first, since one may contain another.
		slices.SortFunc(s.shapes, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
		s.shapes = slices.Compact(s.shapes)
	}
	for _, shape := range s.shapes {
		if len(shape) < shortSecret {
			text = strikeWord(text, shape)
		} else {
			text = bytes.ReplaceAll(text, []byte(shape), []byte(Withheld))
		}
	}
	return text
}

// StrikeString is Strike for a string.
func (s *Sent) StrikeString(text string) string { return string(s.Strike([]byte(text))) }

// StrikeAll is Strike for several strings.
func (s *Sent) StrikeAll(values []string) []string {
	safe := make([]string, len(values))
	for i, value := range values {
		safe[i] = s.StrikeString(value)
	}
	return safe
}

// StrikeCut is Strike for a text that was cut off: if it ends with the beginning of a
// secret, that is removed, too.
func (s *Sent) StrikeCut(text []byte) []byte {
	text = s.Strike(text)
	for _, shape := range s.shapes {
		n := min(len(shape), len(text))
		for !bytes.HasSuffix(text, []byte(shape[:n])) {
			n--
		}
		text = text[:len(text)-n]
	}
	return text
}

// shortSecret is the length in bytes below which a secret is struck only where it is a
// word of its own. Struck inside words, a short secret would spoil most of a text, and the
// gaps would tell what it is.
const shortSecret = 4

// shapes returns a text in the encodings in which headers and pages may repeat it.
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

// lowerPercent returns a percent-encoded text with the hexadecimal digits in lower case.
func lowerPercent(escaped string) string {
	b := []byte(escaped)
	for i := range b {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// strikeWord strikes out word where no letter or digit is next to it.
func strikeWord(b []byte, word string) []byte {
	touches := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	var out []byte
	last := rune(' ')
	for len(b) > 0 {
		if rest, ok := bytes.CutPrefix(b, []byte(word)); ok && !touches(last) {
			if next, _ := utf8.DecodeRune(rest); !touches(next) { // RuneError at the end of the text
				out, b, last = append(out, Withheld...), rest, ' '
				continue
			}
		}
		r, size := utf8.DecodeRune(b)
		out, b, last = append(out, b[:size]...), b[size:], r
	}
	return out
}
