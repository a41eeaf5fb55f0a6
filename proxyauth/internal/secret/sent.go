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

// Sent are the secrets that were sent to a proxy, which may repeat them. The zero
// value is none.
type Sent struct {
	secrets []string
	shapes  []string // the same in every shape, longest first; nil: not made yet
}

// Add notes secrets; empty ones do not count.
func (s *Sent) Add(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" {
			s.secrets, s.shapes = append(s.secrets, secret), nil
		}
	}
}

// Clone returns the same, to which more can be added without changing s.
func (s *Sent) Clone() Sent { return Sent{secrets: slices.Clone(s.secrets)} }

// Strike returns text without the secrets, in whatever shape they are in it.
func (s *Sent) Strike(text []byte) []byte {
	if s.shapes == nil && s.secrets != nil {
		for _, secret := range s.secrets {
			s.shapes = append(s.shapes, shapes(secret)...)
		}
		// The longest first: a part of one may be another.
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

// StrikeAll is Strike for each value of a field.
func (s *Sent) StrikeAll(values []string) []string {
	safe := make([]string, len(values))
	for i, value := range values {
		safe[i] = s.StrikeString(value)
	}
	return safe
}

// StrikeCut is Strike for a text that was cut off: the beginning of a secret at its
// end goes, too.
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

// lowerPercent writes the percent-encoding of a text with small letters.
func lowerPercent(escaped string) string {
	b := []byte(escaped)
	for i := range b {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// strikeWord strikes out a text where no letter or digit touches it.
func strikeWord(b []byte, word string) []byte {
	touches := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	var out []byte
	last := rune(' ')
	for len(b) > 0 {
		if rest, ok := bytes.CutPrefix(b, []byte(word)); ok && !touches(last) {
			if next, _ := utf8.DecodeRune(rest); !touches(next) { // nor does the end
				out, b, last = append(out, Withheld...), rest, ' '
				continue
			}
		}
		r, size := utf8.DecodeRune(b)
		out, b, last = append(out, b[:size]...), b[size:], r
	}
	return out
}
