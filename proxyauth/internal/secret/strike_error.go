package secret

import (
	"errors"
	"fmt"
	"io"
)

// StrikeError returns an error like err, without the secrets of sent in its text. If the
// text has none, it returns err itself.
func StrikeError(err error, sent *Sent) error {
	text := err.Error()
	if struck := sent.StrikeString(text); struck != text {
		return Told(struck, err)
	}
	return err
}

// Told returns an error with the given text, to be used in place of err, whose own text
// holds secrets. The error does not unwrap to err, so that nobody gets to that text, but
// errors.Is finds what err wraps.
func Told(text string, err error) error { return &struckError{text, err} }

type struckError struct {
	text string
	err  error
}

func (e *struckError) Error() string        { return e.text }
func (e *struckError) Is(target error) bool { return errors.Is(e.err, target) }

// Timeout makes the error, and a url.Error that wraps it, a net.Error.
func (e *struckError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.err, &t) && t.Timeout()
}

// Temporary is part of net.Error; it is never true.
func (e *struckError) Temporary() bool { return false }

// Format prints the text for every verb.
func (e *struckError) Format(f fmt.State, _ rune) { io.WriteString(f, e.text) }
