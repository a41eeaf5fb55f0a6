package secret_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// verbs are all by which an error may be printed.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"}

// everyText returns all that can be got out of an error by printing it and what it
// wraps.
func everyText(err error) (texts []string) {
	for ; err != nil; err = errors.Unwrap(err) {
		texts = append(texts, err.Error())
		for _, verb := range verbs {
			texts = append(texts, fmt.Sprintf(verb, err))
		}
	}
	return texts
}

// R35: an error that repeats a secret is told without it, in every way of printing it,
// and wrapped by others; nobody gets to the text by unwrapping.
func TestStrikeError(t *testing.T) {
	secrets := sent("open sesame", "alice")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"a text", errors.New("alice has open sesame"), "REDACTED has REDACTED"},
		{"another shape of it", errors.New("b3BlbiBzZXNhbWU="), "REDACTED="},
		{"an error that wraps such a one", fmt.Errorf("proxy: %w", errors.New("open sesame")), "proxy: REDACTED"},
		{"two errors in one", errors.Join(errors.New("open sesame"), io.EOF), "REDACTED\nEOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, told := range []error{secret.StrikeError(test.err, secrets), printable.Told(test.want, test.err)} {
				require.EqualError(t, told, test.want)
				require.NoError(t, errors.Unwrap(told))
				for _, verb := range verbs {
					require.Equal(t, test.want, fmt.Sprintf(verb, told), verb)
				}
				for _, text := range everyText(&url.Error{Op: "Get", URL: "http://origin", Err: told}) {
					require.Equal(t, text, secrets.StrikeString(text))
				}
			}
		})
	}
}

// R35: an error without a secret stays as it is.
func TestStrikeErrorWithoutSecrets(t *testing.T) {
	err := &fs.PathError{Op: "open", Path: "wheat", Err: fs.ErrNotExist}
	for name, secrets := range map[string]*secret.Sent{
		"other secrets were sent": sent("open sesame"),
		"none was sent":           sent(),
	} {
		t.Run(name, func(t *testing.T) {
			require.Same(t, err, secret.StrikeError(err, secrets))
		})
	}
}

// A loggedIn is an error whose fields hold a secret.
type loggedIn struct{ password string }

func (e loggedIn) Error() string { return "it is " + e.password }

// What a struck error is stays known, and its value does not.
func TestStruckErrorIs(t *testing.T) {
	inner := fmt.Errorf("open sesame: %w", context.DeadlineExceeded)
	told := fmt.Errorf("outside: %w", secret.StrikeError(inner, sent("open sesame")))
	require.EqualError(t, told, "outside: REDACTED: context deadline exceeded")
	require.ErrorIs(t, told, context.DeadlineExceeded)
	require.ErrorIs(t, told, inner)
	require.NotErrorIs(t, told, context.Canceled)

	told = secret.StrikeError(loggedIn{"open sesame"}, sent("open sesame"))
	require.ErrorIs(t, told, loggedIn{"open sesame"})
	require.False(t, errors.As(told, new(loggedIn)))
}

// net/http and its callers find out by net.Error whether the time was over.
func TestStruckErrorTimeout(t *testing.T) {
	timeout := &net.DNSError{Err: "open sesame", IsTimeout: true}
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"a time that is over", timeout, true},
		{"the same in another error", fmt.Errorf("proxy: %w", timeout), true},
		{"a deadline of a connection", fmt.Errorf("open sesame: %w", os.ErrDeadlineExceeded), true},
		{"an error that knows of time, but has not run out of it", &net.DNSError{Err: "open sesame", IsTemporary: true}, false},
		{"an error that knows nothing of time", errors.New("open sesame"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := secret.StrikeError(test.err, sent("open sesame"))
			for _, err := range []error{told, &url.Error{Op: "Get", URL: "http://origin", Err: told}} {
				var n net.Error
				require.ErrorAs(t, err, &n)
				require.Equal(t, test.want, n.Timeout())
				require.False(t, n.Temporary()) //lint:ignore SA1019 it is part of net.Error
			}
		})
	}
}
