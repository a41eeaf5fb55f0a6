package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The shapes of secrets are what is searched for: in a text as it is, in its canonical
// form, and in that reduced to letters and digits.
type shapes struct{ plain, canonical, letters search }

// Lengths in bytes below which a shape is not searched for, since ordinary texts have it.
const (
	// shortSecret: a shorter secret is struck only where it is a word of its own. Struck
	// inside words, it would spoil most of a text, and the gaps would tell what it is.
	shortSecret = 4

	shortLetters = 8 // of a secret without what is between its letters and digits
	shortBase64  = 6 // of base64, in the same way
)

// shapesOf returns the shapes of secrets.
func shapesOf(secrets []string) *shapes {
	s := new(shapes)
	for _, secret := range secrets {
		if len(secret) >= shortSecret {
			s.add(secret)
		}
	}
	s.plain.index()
	s.canonical.index()
	s.letters.index()
	return s
}

func (s *shapes) add(secret string) {
	s.plain.add(shape{text: secret})
	form := canonicalOf(secret)
	if !s.addForm(form.text, shortSecret) {
		for _, escape := range [...]func(string) string{url.QueryEscape, url.PathEscape, html.EscapeString} {
			s.plain.add(shape{text: escape(secret)})
		}
	}
	s.addForm(form.text[:len(form.text)-form.open], shortSecret)                       // what follows in a text may end an encoding that has begun
	s.addForm(canonicalOf(strings.ReplaceAll(secret, ";", "&#59;")).text, shortSecret) // which ends a reference otherwise
	s.addForm(canonicalOf(`\`+secret).text, shortLetters)                              // which may make an escape of its first digits
	if len(form.letters) >= shortLetters {
		s.letters.add(shape{text: string(form.letters)})
	}
	for _, octets := range octetsOf(secret) {
		digits := hex.EncodeToString([]byte(octets))
		s.letters.add(shape{text: digits})
		s.addEscaped(digits)
		s.addBase64(octets)
	}
}

// addForm adds a canonical form, also without the blanks around it, which are lost in a
// field or a page. It returns false if the form is shorter than short.
func (s *shapes) addForm(form []byte, short int) bool {
	trimmed := bytes.Trim(form, " ")
	if len(trimmed)+notASCII(trimmed) < short {
		return false
	}
	s.canonical.add(shape{text: string(form)})
	s.canonical.add(shape{text: string(trimmed)})
	return true
}

// addEscaped adds hexadecimal or base64 behind a percent sign, by which the first two digits
// are read as an escape.
func (s *shapes) addEscaped(digits string) {
	if form := canonicalOf("%" + digits); !bytes.HasPrefix(form.text, []byte("%")) && len(form.letters) >= shortLetters-1 {
		s.letters.add(shape{text: string(form.letters)})
	}
}

// addBase64 adds the base64 of octets, in each of the three places where they may begin
// in what is encoded as a whole. At the ends a digit may stand for a part of them, and for
// a part of what is beside them.
func (s *shapes) addBase64(octets string) {
	for before := range 3 {
		digits := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), octets...))
		begin, end := (before*8+5)/6, (before+len(octets))*8/6
		form := canonicalOf(digits[begin:end])
		b := shape{left: before > 0, right: end < len(digits)}
		if before == 0 {
			s.addEscaped(digits[:end])
		}
		if len(form.letters) >= shortBase64 {
			b.text = string(form.letters)
			s.letters.add(b)
		} else if len(form.text) >= shortSecret {
			b.text = string(form.text)
			s.canonical.add(b)
		}
	}
}

// octetsOf returns the bytes that a secret may have been before something encoded them:
// its own, those of its UTF-8 and its ISO-8859-1, and those of which it is the base64.
func octetsOf(secret string) []string {
	all := []string{secret}
	var latin, wide []byte
	for _, r := range secret {
		if r >= 0x100 {
			latin = nil
			break
		}
		latin = append(latin, byte(r))
	}
	switch {
	case !utf8.ValidString(secret):
		for _, b := range []byte(secret) {
			wide = utf8.AppendRune(wide, rune(b))
		}
		all = append(all, string(wide))
	case len(latin) != len(secret) && latin != nil:
		all = append(all, string(latin))
	}
	if token, err := base64.StdEncoding.DecodeString(secret); err == nil && len(token) >= shortLetters {
		all = append(all, string(token))
	}
	return all
}

// canonicalOf returns the canonical form of a text.
func canonicalOf(text string) (c canonical) {
	c.read([]byte(text), false)
	return c
}

// notASCII counts the bytes of a canonical form that are not ASCII. Each has at least two
// bytes in UTF-8.
func notASCII(form []byte) (n int) {
	for _, b := range form {
		if b >= utf8.RuneSelf {
			n++
		}
	}
	return n
}
