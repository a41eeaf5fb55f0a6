package proxyauth

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// struckFrom returns err with the secrets that were sent struck out of its text,
// except for the words with which this package begins it: ours. It returns err
// itself where its text holds none of them, and if it is a [carrier.DialError],
// since nothing was sent on that connection yet.
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

// A struckError stands for an error whose text holds secrets. It does not unwrap, so
// that nobody gets to that text; errors.Is finds all the same what the error is.
type struckError struct {
	text string
	err  error
}

func (e *struckError) Error() string        { return e.text }
func (e *struckError) Is(target error) bool { return errors.Is(e.err, target) }

// As finds a *[carrier.LostError], which a retry needs, and nothing else.
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
