package secret

import "unicode/utf8"

// character adds a decoded character.
func (c *canonical) character(r rune) {
	switch {
	case r < utf8.RuneSelf:
		c.put(byte(r))
	case r < 0x100:
		c.latin1(byte(r))
	case 0xd800 <= r && r < 0xe000: // half of a pair of UTF-16
		for _, b := range [...]byte{0xed, 0x80 | byte(r>>6)&0x3f, 0x80 | byte(r)&0x3f} {
			c.append(b)
		}
		c.pair()
	default:
		var b [utf8.UTFMax]byte
		for _, b := range b[:utf8.EncodeRune(b[:], r)] {
			c.append(b)
			c.octet()
		}
	}
}

// latin1 adds a character of ISO-8859-1 that is not ASCII.
func (c *canonical) latin1(b byte) {
	switch b {
	case 0xa0: // NO-BREAK SPACE
		c.blank()
	case 0xad: // SOFT HYPHEN
	default:
		c.append(b)
		c.octet()
	}
}

// octet decodes the UTF-8 that ends with the last byte, if it is of a character that has
// a shorter form here.
func (c *canonical) octet() {
	switch n := len(c.text); {
	case n >= 2 && c.text[n-2]&^1 == 0xc2 && isContinuation(c.text[n-1]): // of ISO-8859-1
		b := c.text[n-2]<<6 | c.text[n-1]&0x3f
		c.pop(2)
		c.latin1(b)
	case n >= 3 && hasNoWidth(c.text[n-3], c.text[n-2], c.text[n-1]):
		c.pop(3)
	case n >= 6 && c.text[n-6] == 0xed:
		c.pair()
	}
}

// pair makes one character of a pair of UTF-16, each half of which was encoded by itself.
func (c *canonical) pair() {
	n := len(c.text)
	if n < 6 {
		return
	}
	u := c.text[n-6:]
	if u[0] != 0xed || u[1]&0xf0 != 0xa0 || u[3] != 0xed || u[4]&0xf0 != 0xb0 {
		return
	}
	r := 0x10000 + rune(u[1]&0x0f)<<16 | rune(u[2]&0x3f)<<10 | rune(u[4]&0x0f)<<6 | rune(u[5]&0x3f)
	c.pop(6)
	c.character(r)
}

// hasNoWidth reports whether the UTF-8 of a character is of one that is not seen: of
// U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, and U+FEFF.
func hasNoWidth(a, b, c byte) bool {
	switch {
	case a == 0xe2 && b == 0x80:
		return 0x8b <= c && c <= 0x8f || 0xa8 <= c && c <= 0xae
	case a == 0xe2 && b == 0x81:
		return 0xa0 <= c && c <= 0xaf
	}
	return a == 0xef && b == 0xbb && c == 0xbf
}

// incomplete returns how many bytes at the end of text are the beginning of the UTF-8 of a
// character, or the first half of a pair of UTF-16.
func incomplete(text []byte) int {
	for n := 1; n <= min(len(text), utf8.UTFMax-1); n++ {
		switch end := text[len(text)-n:]; {
		case isContinuation(end[0]):
		case !utf8.FullRune(end), end[0] == 0xed && n > 1 && end[1]&0xe0 == 0xa0:
			return n
		default:
			return 0
		}
	}
	return 0
}

func isContinuation(b byte) bool { return b&0xc0 == 0x80 }
