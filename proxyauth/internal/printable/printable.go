// Package printable makes texts of others, such as the realm of a proxy or the error of a
// KDC, fit for one line of an error or a log.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns text in one line, in which nothing acts on a terminal or on the text beside
// it. Tabs and line ends become a blank, several in a row only one. Control characters, also
// those of ISO-8859-1, and invisible characters that change the direction or the form of
// others (Unicode's category Cf) become U+FFFD.
func Line(text string) string {
	if strings.IndexFunc(text, isUnfit) < 0 {
		return text
	}
	var b strings.Builder
	blank := false // a blank was written for white space
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1 && text[0] >= 0xa0: // an octet of ISO-8859-1
			b.WriteByte(text[0])
			blank = false
		case isWhite(r):
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
		case isUnfit(r):
			b.WriteRune(utf8.RuneError)
			blank = false
		default:
			b.WriteRune(r)
			blank = false
		}
		text = text[size:]
	}
	return b.String()
}

func isWhite(r rune) bool {
	return '\t' <= r && r <= '\r' || r == 0x85 || r == '\u2028' || r == '\u2029'
}

func isUnfit(r rune) bool {
	return r < ' ' || r >= 0x7f && (r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp))
}

// Error returns err if its text is in one line, in the sense of Line, and otherwise an error
// with that line as its text. That does not unwrap to err, but errors.Is and errors.As find
// what err is and wraps.
func Error(err error) error {
	text := err.Error()
	if line := Line(text); line != text {
		return &lineError{toldError{line, err}}
	}
	return err
}
