package secret

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// A canonical is the canonical form of a text, in which one character is always written
// in the same way, however the text writes it:
//
//   - What is encoded is decoded, however deep one encoding is in another:
//     percent-encoding (RFC 3986 §2.1), character references (HTML §13.5), and the escapes
//     of JSON, JavaScript and C. Other backslashes, as of quoted strings, are left out.
//   - A character of ISO-8859-1 is one byte, also where it was encoded by UTF-8, even twice.
//   - White space and "+" are one blank, however many they are.
//   - Control characters, and characters of no width, are left out.
//   - ASCII letters are in lower case, since header names change their case.
//
// Several texts may have one canonical form.
type canonical struct {
	text []byte
	from []span // for each byte of text, what it stands for in the original; empty unless traced
	open int    // how many bytes at the end of text are the beginning of an encoding

	// The letters, digits and bytes beyond ASCII of text, without the letters of \n, \r and
	// \t, and the place of each in text. Left out are line ends within base64, the two
	// characters in which its alphabets differ, and what separates hexadecimal digits.
	letters []byte
	at      []int

	whole int // how many bytes of the original are before an encoding that is cut off; only if traced

	traced    bool
	now       span // what the next byte of text stands for
	reference int  // where in text a character reference may have begun; -1: nowhere
	escape    int  // where in text the last escape may have begun
	ended     int  // the length of text after a character reference whose semicolon may follow
	depth     int  // how many encodings, one in another, are being decoded
}

// A span is a part of a text, by the offsets of its bytes.
type span struct{ begin, end int }

const (
	maxEscape = 10 // the length in bytes of the longest escape
	maxDepth  = 16 // of encodings that are complete with the same byte
)

// read makes c the canonical form of text. If trace is set, c.from is filled.
func (c *canonical) read(text []byte, trace bool) {
	c.text, c.from, c.traced = c.text[:0], c.from[:0], trace
	c.reference, c.ended, c.escape = -1, -1, -1-maxEscape
	for i, b := range text {
		c.now = span{i, i + 1}
		if kind := kinds[b]; c.reference < 0 && (kind == plain || kind == inEscape && len(c.text)-c.escape > maxEscape) {
			c.append(b)
		} else {
			c.put(b)
		}
	}
	open := len(c.text) - unfinished(c.text)
	c.whole = len(text)
	if whole := open - incomplete(c.text[:open]); trace && whole < len(c.text) {
		c.whole = c.from[whole].begin
	}
	c.now = span{len(text), len(text)}
	c.endReference()
	c.finish(min(open, len(c.text)))
}

// What a byte of a text may be where no character reference has begun.
const (
	special  = iota
	plain    // only itself
	inEscape // the end of an escape, where one has begun
)

var kinds = func() (kinds [256]uint8) {
	for b := byte('!'); b < 0x7f; b++ {
		switch {
		case strings.IndexByte("&%\\+;", b) >= 0:
		case isHex(b), b == '}':
			kinds[b] = inEscape
		default:
			kinds[b] = plain
		}
	}
	return kinds
}()

// finish leaves the backslashes out, makes letters lower case, and notes the letters. An
// encoding that is not complete begins at open.
func (c *canonical) finish(open int) {
	n, quoted := 0, false // quoted: a backslash came before
	c.letters, c.at, c.open = c.letters[:0], c.at[:0], 0
	for i, b := range c.text {
		switch {
		case b == '\\':
			quoted = true
			continue
		case b == ' ' && n > 0 && c.text[n-1] == ' ': // a backslash was between
			quoted = false
			continue
		case 'A' <= b && b <= 'Z':
			b |= 0x20
			fallthrough
		case b >= utf8.RuneSelf, isAlphanumeric(b):
			if !quoted || b != 'n' && b != 'r' && b != 't' {
				c.letters, c.at = append(c.letters, b), append(c.at, n)
			}
		}
		if c.text[n] = b; c.traced {
			c.from[n] = c.from[i]
		}
		if n++; i >= open {
			c.open++
		}
		quoted = false
	}
	c.text = c.text[:n]
}

// put adds a byte, and decodes the encoding that is complete with it.
func (c *canonical) put(b byte) {
	isBlank := b == ' ' || b == '+' || '\t' <= b && b <= '\r'
	if (b < ' ' || b == 0x7f) && !isBlank {
		return
	}
	if b == ';' && c.ended == len(c.text) {
		c.ended = -1
		c.widen()
		return
	}
	if c.reference >= 0 && !c.refers(b) && c.endReference() {
		switch b {
		case ';':
			c.widen()
			return
		case '%', '\\': // maybe of an encoded semicolon
			c.ended = len(c.text)
		}
	}
	switch {
	case isBlank:
		c.blank()
		return
	case b == '0' && c.isLeading():
		c.widen()
		return
	case b == '&':
		c.reference = len(c.text)
	case b == '%', b == '\\':
		c.escape = len(c.text)
	}
	c.append(b)
	switch {
	case b >= utf8.RuneSelf:
		c.octet()
	case isHex(b):
		c.hex()
	case b == '}':
		c.brace()
	case b == 't', b == 'p':
		c.name()
	}
}

// append adds a byte as it is.
func (c *canonical) append(b byte) {
	c.text = append(c.text, b)
	if c.traced {
		c.from = append(c.from, c.now)
	}
}

// widen lets the last byte stand for what is read now, too.
func (c *canonical) widen() {
	if c.traced && len(c.from) > 0 {
		c.from[len(c.from)-1].end = c.now.end
	}
}

// pop removes the last n bytes. What is added next stands for what they stood for, too.
func (c *canonical) pop(n int) {
	n = len(c.text) - n
	c.text = c.text[:n]
	if c.traced {
		c.now.begin = c.from[n].begin
		c.from = c.from[:n]
	}
	c.escape = n
	if c.reference < 0 || c.reference >= n {
		near := max(0, n-maxReference)
		if c.reference = bytes.LastIndexByte(c.text[near:], '&'); c.reference >= 0 {
			c.reference += near
		}
	}
}

// blank adds a blank, unless there is one.
func (c *canonical) blank() {
	if n := len(c.text); n == 0 || c.text[n-1] != ' ' {
		c.append(' ')
	}
}

// escapes are how an escape begins, and how many digits it has.
var escapes = [...]struct {
	begin  string
	digits int
}{{"%", 2}, {`\x`, 2}, {`\u`, 4}, {"%u", 4}, {`\U`, 8}}

// hex decodes the escape that ends with the last byte, a hexadecimal digit: %e4, %u00e4,
// \xe4, \u00e4, \U000000e4, \344.
func (c *canonical) hex() {
	n := len(c.text)
	for _, e := range &escapes {
		begin := n - e.digits - len(e.begin)
		if begin < 0 || c.text[begin] != e.begin[0] || string(c.text[begin:begin+len(e.begin)]) != e.begin {
			continue
		}
		if r, ok := number(c.text[n-e.digits:], 16); ok {
			c.decoded(begin, r, e.digits == 2)
			return
		}
	}
	if n >= 4 && c.text[n-4] == '\\' {
		if r, ok := number(c.text[n-3:], 8); ok && r < 0x100 {
			c.decoded(n-4, r, true)
		}
	}
}

// brace decodes the escape that ends with a brace: \u{e4}.
func (c *canonical) brace() {
	digits := len(c.text) - 1
	for digits > 0 && len(c.text)-digits < 8 && isHex(c.text[digits-1]) {
		digits--
	}
	if digits < 3 || c.text[digits-1] != '{' || c.text[digits-3] != '\\' || c.text[digits-2] != 'u' && c.text[digits-2] != 'x' {
		return
	}
	if r, ok := number(c.text[digits:len(c.text)-1], 16); ok { // without digits it is U+0000
		c.decoded(digits-3, r, false)
	}
}

// isLeading reports whether a zero that follows is without meaning: that of \u{00e4},
// &#00228; or &#x00e4;.
func (c *canonical) isLeading() bool {
	switch n := len(c.text); {
	case n < 2:
	case c.text[n-1] == '#':
		return c.text[n-2] == '&'
	case n >= 3 && c.text[n-1]|0x20 == 'x':
		return c.text[n-3] == '&' && c.text[n-2] == '#'
	case n >= 3 && c.text[n-1] == '{':
		return c.text[n-3] == '\\'
	}
	return false
}

// decoded puts a character in place of its encoding, which is all of text from begin on, and
// the backslashes before it where an escape was quoted. If octet is set, r is a byte, and not
// a character of Unicode.
func (c *canonical) decoded(begin int, r rune, octet bool) {
	for begin > 0 && c.text[begin] == '\\' && c.text[begin-1] == '\\' {
		begin--
	}
	c.pop(len(c.text) - begin)
	c.depth++
	switch {
	case c.depth > maxDepth:
		c.append(byte(r))
	case octet && r >= utf8.RuneSelf:
		c.append(byte(r))
		c.octet()
	default:
		c.character(r)
	}
	c.depth--
}

// number reads digits. None are 0, since leading zeros are left out. It returns false for
// what is no character.
func number(digits []byte, base rune) (r rune, ok bool) {
	for _, b := range digits {
		d := rune(99)
		switch {
		case '0' <= b && b <= '9':
			d = rune(b - '0')
		case isHex(b):
			d = rune(b|0x20) - 'a' + 10
		}
		if d >= base {
			return 0, false
		}
		if r = r*base + d; r > utf8.MaxRune {
			return 0, false
		}
	}
	return r, true
}

// unfinished returns how many bytes at the end of a canonical text are the beginning of an
// escape or a character reference.
func unfinished(text []byte) int {
	for n := 1; n <= min(len(text), maxReference); n++ {
		switch b := text[len(text)-n]; {
		case b == '%', b == '\\', b == '&':
			return n
		case !isAlphanumeric(b) && b != '#' && b != '{':
			return 0
		}
	}
	return 0
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func isAlphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
