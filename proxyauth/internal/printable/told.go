package printable

import (
	"errors"
	"fmt"
	"io"
)

// Told returns an error with the given text in place of err, whose own text may hold secrets.
// It does not unwrap to err, and errors.As finds nothing of it, so that nobody gets to that
// text; errors.Is finds what err is and wraps, and Timeout is that of err.
func Told(text string, err error) error { return &toldError{text, err} }

type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string        { return e.text }
func (e *toldError) Is(target error) bool { return errors.Is(e.err, target) }

// Timeout makes the error, and a url.Error that wraps it, a net.Error.
func (e *toldError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.err, &t) && t.Timeout()
}

// Temporary is part of net.Error; it is never true.
func (e *toldError) Temporary() bool { return false }

// Format prints the text for every verb.
func (e *toldError) Format(f fmt.State, _ rune) { io.WriteString(f, e.text) }

// A lineError is a toldError whose own text may be seen: errors.As finds what it wraps, too.
type lineError struct{ toldError }

func (e *lineError) As(target any) bool { return errors.As(e.err, target) }
