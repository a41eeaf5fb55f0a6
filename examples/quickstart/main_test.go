package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// R10, R16, R17, R25, R35: every row is there, with 200, and the fewest requests
// and 407s that its scheme can do with, whatever the environment says; and all
// that was started has ended.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTP_PROXY", "http://proxy.invalid:3128")
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
	t.Setenv("PROXY_USER", "mallory")
	t.Setenv("PROXY_PASS", "of the environment")

	var out bytes.Buffer
	require.NoError(t, run(&out))

	table, rest, _ := strings.Cut(out.String(), "\n\n")
	var rows []string
	for line := range strings.Lines(table) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"SCHEME PROXY PATH STATUS PROXY REQUESTS 407s"}
	for _, s := range []string{"Basic http", "Basic https", "Digest MD5 http", "Digest SHA-256 http", "Digest SHA-512-256 http"} {
		for _, path := range []string{"forward", "tunnel", "raw TCP"} {
			want = append(want, s+" "+path+" 200 3 1")
		}
	}
	for _, path := range []string{"forward", "tunnel", "raw TCP"} {
		want = append(want, "NTLM http "+path+" 200 5 3")
	}
	for _, path := range []string{"forward", "tunnel", "raw TCP"} {
		want = append(want, "Negotiate http "+path+" 200 3 1")
	}
	require.Equal(t, want, rows)

	require.Contains(t, rest, "\nWrong password: proxyauth: proxy http://127.0.0.1:")
	require.Contains(t, rest, " rejected the credentials (target ")
	require.Contains(t, rest, "\nNo credentials: proxyauth: proxy http://127.0.0.1:")
	require.Contains(t, rest, " there are no credentials for it (target ")
	require.NotContains(t, rest, "wrong") // the password that was sent

	lines := strings.Split(strings.TrimSpace(rest), "\n")
	require.Contains(t, lines[len(lines)-1], "client := &http.Client{Transport: &proxyauth.Transport{}}")
}

// failingWriter is a standard output that is closed.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, bytes.ErrTooLarge }

func TestRunReportsErrors(t *testing.T) {
	defer goleak.VerifyNone(t)
	require.ErrorIs(t, run(failingWriter{}), bytes.ErrTooLarge)
}
