package secret

import (
	"html"
	"strings"
	"unicode/utf8"
)

// maxReference is the length in bytes of the longest character reference that is decoded.
const maxReference = 12

// refers reports whether b may go on with the character reference that may have begun.
func (c *canonical) refers(b byte) bool {
	name := c.text[c.reference:]
	switch numeric := len(name) >= 2 && name[1] == '#'; {
	case len(name) >= maxReference:
		c.reference = -1
		return true
	case !numeric:
		return isAlphanumeric(b) || b == '#' && len(name) == 1
	case len(name) == 2 && b|0x20 == 'x':
		return true
	case len(name) > 2 && name[2]|0x20 == 'x':
		return isHex(b)
	}
	return '0' <= b && b <= '9'
}

// endReference decodes the character reference that may have begun, and reports whether it
// is one. It ends before the byte that is read now, a semicolon or what cannot belong to it.
func (c *canonical) endReference() bool {
	begin, now := c.reference, c.now
	if begin < 0 {
		return false
	}
	c.reference = -1
	r, ok := referred(c.text[begin:])
	if ok {
		c.now.end = now.begin
		c.decoded(begin, r, false)
		c.now = now
	}
	return ok
}

// referred returns the character that a reference stands for; name begins with "&".
func referred(name []byte) (rune, bool) {
	switch {
	case len(name) < 3:
	case name[1] == '#' && name[2]|0x20 == 'x':
		return number(name[3:], 16)
	case name[1] == '#':
		return number(name[2:], 10)
	default:
		reference := string(name) + ";"
		if text := html.UnescapeString(reference); text != reference && !strings.HasSuffix(text, ";") {
			r, size := utf8.DecodeRuneInString(text)
			return r, size == len(text)
		}
	}
	return 0, false
}

// name decodes a character reference by name that ends with the last byte and needs no
// semicolon, whatever follows.
func (c *canonical) name() {
	if c.reference < 0 {
		return
	}
	var b byte
	switch string(c.text[c.reference:]) {
	case "&quot":
		b = '"'
	case "&amp":
		b = '&'
	case "&lt":
		b = '<'
	case "&gt":
		b = '>'
	default:
		return
	}
	c.decoded(c.reference, rune(b), false)
	c.ended = len(c.text)
}
