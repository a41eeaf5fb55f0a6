package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// A disk that is full is no fault of the API, which is not asked again.
func TestFullDisk(t *testing.T) {
	defer goleak.VerifyNone(t)
	const full = "/dev/full" // of Linux: takes nothing
	downloads := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		downloads++
		io.WriteString(w, "x")
	}))
	defer server.Close()
	var out bytes.Buffer
	b := &bot{client: server.Client(), api: server.URL, out: &out}
	_, err := b.download(t.Context(), &job{SHA256: sumOfX}, full)
	var local *fs.PathError
	require.ErrorAs(t, err, &local)
	require.Equal(t, "write", local.Op)
	require.Equal(t, 1, downloads)
	require.Empty(t, out.String())
}
