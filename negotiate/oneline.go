package negotiate

import (
	"errors"
	"strings"
	"unicode"
)

// oneLine returns a text of a KDC or a server without line breaks and control characters,
// which could act on a terminal or forge a line of a log.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsGraphic(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, strings.ReplaceAll(text, "\r\n", "\n"))
}

// inOneLine returns err, or where its text is not in one line an error that is told in one.
func inOneLine(err error) error {
	if text := oneLine(err.Error()); text != err.Error() {
		return &oneLineError{text, err}
	}
	return err
}

// A oneLineError does not unwrap to err, so that nobody prints that, but errors.Is and
// errors.As find what err is and wraps.
type oneLineError struct {
	text string
	err  error
}

func (e *oneLineError) Error() string        { return e.text }
func (e *oneLineError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *oneLineError) As(target any) bool   { return errors.As(e.err, target) }
