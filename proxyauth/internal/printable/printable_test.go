package printable_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
)

// R44: what others say is in one line, and acts on nothing.
func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"corp net":              "corp net",
		"Büro 日本 😀 \u00a0":      "Büro 日本 😀 \u00a0",
		"B\xfcro":               "B\xfcro",
		"a\r\n\tb":              "a b",
		"a \n b":                "a   b",
		"a\u2028b\u2029c\u0085": "a b c ",
		"a\x00b\x1b[31mc\x7f":   "a\ufffdb\ufffd[31mc\ufffd",
		"a\u009b31m\x9b":        "a\ufffd31m\ufffd",
		"\u202eevil\u2066":      "\ufffdevil\ufffd",
		"zero\u200bwidth\ufeff": "zero\ufffdwidth\ufffd",
		"a\nb\x01\n\xff":        "a b\ufffd \xff",
	} {
		require.Equal(t, want, printable.Line(text))
		require.Equal(t, want, printable.Line(want), "twice")
	}
}

// R44: an error whose text is not in one line is told in one, and is what it was.
func TestError(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string // "" as it is
	}{
		{errors.New("in one line"), ""},
		{errors.New("in two\nlines"), "in two lines"},
		{fmt.Errorf("a\x00b: %w", context.DeadlineExceeded), "a\ufffdb: context deadline exceeded"},
		{&os.PathError{Op: "open", Path: "a\nb", Err: os.ErrNotExist}, "open a b: file does not exist"},
		{&net.DNSError{Err: "a\r\nb", Name: "x", IsTimeout: true}, "lookup x: a b"},
	} {
		got := printable.Error(test.err)
		if test.want == "" {
			require.Same(t, test.err, got)
			continue
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			require.Equal(t, test.want, fmt.Sprintf(verb, got))
		}
		require.NoError(t, errors.Unwrap(got))
		require.ErrorIs(t, got, test.err)
		for err := test.err; err != nil; err = errors.Unwrap(err) {
			require.ErrorIs(t, got, err)
		}
		var path *os.PathError
		require.Equal(t, errors.As(test.err, &path), errors.As(got, &path))
		var timeout, was net.Error
		require.ErrorAs(t, got, &timeout)
		require.Equal(t, errors.As(test.err, &was) && was.Timeout(), timeout.Timeout())
		require.False(t, timeout.Temporary()) //lint:ignore SA1019 it is part of net.Error
	}
}

// R35: an error that is told otherwise gives nobody its own text.
func TestTold(t *testing.T) {
	inner := &os.PathError{Op: "open", Path: "secret", Err: os.ErrNotExist}
	told := printable.Told("no secrets", inner)
	require.EqualError(t, told, "no secrets")
	require.NoError(t, errors.Unwrap(told))
	require.ErrorIs(t, told, os.ErrNotExist)
	require.False(t, errors.As(told, new(*os.PathError)))
}
