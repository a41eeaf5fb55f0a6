package proxyauth

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// struckFrom returns err itself, where its text has nothing of what was sent,
// behind the words that begin it and are ours, or where nothing was sent yet.
func struckFrom(err error, sent *secret.Sent, ours string) error {
	var dial *carrier.DialError
	if errors.As(err, &dial) {
		return err
	}
	text, begins := strings.CutPrefix(err.Error(), ours)
	if !begins {
		ours = ""
	}
	struck := sent.StrikeString(text)
	if struck == text {
		return err
	}
	return &struckError{ours + struck, err}
}

// A struckError is an error whose text holds secrets. It does not unwrap, so that
// nobody gets to that; what it is about is told all the same.
type struckError struct {
	text string
	err  error
}

func (e *struckError) Error() string        { return e.text }
func (e *struckError) Is(target error) bool { return errors.Is(e.err, target) }

// As finds what a retry needs to know.
func (e *struckError) As(target any) bool {
	lost, ok := target.(**carrier.LostError)
	return ok && errors.As(e.err, lost)
}

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *struckError) Timeout() bool { return carrier.TimedOut(e.err) }

// Temporary is part of net.Error; it is never true.
func (e *struckError) Temporary() bool { return false }

// Format prints the text for every verb.
func (e *struckError) Format(f fmt.State, _ rune) { io.WriteString(f, e.text) }
