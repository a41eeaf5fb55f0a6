package carrier

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A side is a connection from which text comes, in pieces of a size.
type side struct {
	net.Conn
	text  string
	piece int
	wrote strings.Builder
}

func (s *side) Write(p []byte) (int, error) { return s.wrote.Write(p) }

func (s *side) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.text)
	s.text = s.text[n:]
	return n, nil
}

// Of an answer by HTTP/1.0 net/http reads Connection where the proxy says
// Proxy-Connection, and nothing else is another.
func TestWire(t *testing.T) {
	const keep = "HTTP/1.0 407 No\r\nA: b\r\nProxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\n"
	kept := strings.Replace(keep, "Proxy-", "", 1)
	// A header is searched up to 64 KiB, to the end of the last piece.
	end := "\r\nProxy-Connection: x\r\n\r\n"
	longest := "HTTP/1.0 200 OK\r\nA: " + strings.Repeat("x", 64<<10-len("HTTP/1.0 200 OK\r\nA: "+end)) + end
	longer := strings.Replace(longest, "A:", "A: ", 1)
	for text, want := range map[string]string{
		keep + "hi":                            kept + "hi",
		strings.ReplaceAll(keep, "\r\n", "\n"): strings.ReplaceAll(kept, "\r\n", "\n"),
		strings.Replace(keep, "Proxy-Connection", "pROXY-cONNECTION", 1):    strings.Replace(kept, "Connection", "cONNECTION", 1),
		"HTTP/1.0 407 No\nProxy-Connection:\n\n":                            "HTTP/1.0 407 No\nConnection:\n\n",
		"HTTP/1.0 407 No\r\nA: \xe2\x84\xaa\r\nProxy-Connection: x\r\n\r\n": "HTTP/1.0 407 No\r\nA: \xe2\x84\xaa\r\nConnection: x\r\n\r\n",
		"HTTP/1.0 407 No\r\n\r\nA\nProxy-Connection: x\n\n":                 "", // not in the content
		"HTTP/1.0 407 No\n\r\nA\nProxy-Connection: x\n\n":                   "",
		"HTTP/1.0 407 No\nX-Proxy-Connection: x\nProxy-Connected: y\n\n":    "",
		"HTTP/1.0 407 No\nProxy\rConnection: x\n\n":                         "",
		"HTTP/1.1 407 No\r\nProxy-Connection: keep-alive\r\n\r\n":           "",
		"HTTP/1.01 407 No\r\nProxy-Connection: keep-alive\r\n\r\n":          "",
		"HTTP/1.0\r\n\nProxy-Connection: keep-alive\r\n\r\n":                "",
		"220 smtp.example\r\nProxy-Connection: keep-alive\r\n\r\n":          "",
		longest: strings.Replace(longest, "Proxy-", "", 1),
		longer:  "",
	} {
		if want == "" {
			want = text
		}
		for _, piece := range []int{1, 3, 100, 4096} {
			for _, size := range []int{7, 4096} {
				if len(text) > 1000 && piece > 1 && min(piece, size) < 4096 {
					continue // one more piece than is searched
				}
				w := &wire{Conn: &side{text: text, piece: piece}}
				w.Write([]byte("GET"))
				got, err := readAll(w, size)
				require.NoError(t, err)
				require.True(t, want == got, "in pieces of %d to %d: %.200q", piece, size, got)
			}
		}
	}
}

// readAll is io.ReadAll with a buffer of a size.
func readAll(r io.Reader, size int) (string, error) {
	var all strings.Builder
	_, err := io.CopyBuffer(struct{ io.Writer }{&all}, struct{ io.Reader }{r}, make([]byte, size))
	return all.String(), err
}

// Only the answer to what was written is searched, and none after another protocol
// has begun.
func TestWireBetweenAnswers(t *testing.T) {
	const answer, want = "HTTP/1.0 200 OK\nProxy-Connection: x\n\n", "HTTP/1.0 200 OK\nConnection: x\n\n"
	s := &side{piece: 100}
	w := &wire{Conn: s}
	answered := func() string {
		s.text = answer
		got, err := readAll(w, 4096)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, answer, answered(), "nobody has asked")
	w.Write([]byte("GET"))
	require.Equal(t, want, answered())
	require.Equal(t, answer, answered())
	n, err := w.ReadFrom(strings.NewReader("PUT"))
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, want, answered())
	w.Write([]byte("GET"))
	s.text = "HTT"
	n2, err := w.Read(make([]byte, 10))
	require.Zero(t, n2)
	require.Equal(t, io.EOF, err, "in the middle of a header")
	w.raw.Store(true)
	w.Write([]byte("x"))
	require.Equal(t, answer, answered())
	require.Equal(t, "GETPUTGETx", s.wrote.String())
	require.ErrorIs(t, w.CloseWrite(), errors.ErrUnsupported)
}
