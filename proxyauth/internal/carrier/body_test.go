package carrier

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHasBody(t *testing.T) {
	body := io.NopCloser(strings.NewReader(""))
	get := func() (io.ReadCloser, error) { return body, nil }
	for _, test := range []struct {
		req             *http.Request
		body, streaming bool
	}{
		{&http.Request{}, false, false},
		{&http.Request{Body: http.NoBody}, false, false},
		{&http.Request{Body: body}, true, true},
		{&http.Request{Body: body, GetBody: get}, true, false},
		{&http.Request{Body: http.NoBody, GetBody: get}, false, false},
	} {
		require.Equal(t, test.body, HasBody(test.req))
		require.Equal(t, test.streaming, IsStream(test.req))
	}
}

// A body is closed once: by net/http if no leg follows, or else when that is known.
func TestHeldBodyClose(t *testing.T) {
	body := &closing{}
	for _, step := range []struct {
		do   string
		b    *heldBody
		want int
	}{
		{"CC", newHeldBody(body), 0}, {"CF", newHeldBody(body), 1}, {"FC", newHeldBody(body), 1}, {"FF", newHeldBody(body), 0},
		{"CFC", newHeldBody(body), 1}, {"CFF", newHeldBody(body), 1}, {"FCC", newHeldBody(body), 1},
		{"C", newLastBody(body), 1}, {"CC", newLastBody(body), 1}, {"CF", newLastBody(body), 1}, {"F", newLastBody(body), 0},
	} {
		body.closed = 0
		for _, c := range step.do {
			if c == 'C' {
				require.NoError(t, step.b.Close())
			} else {
				step.b.Finish()
			}
		}
		require.Equal(t, step.want, body.closed, step.do)
	}
}

// A body is whole as long as nobody has tried to read it, and nobody else reads what was
// taken.
func TestHeldBodyTake(t *testing.T) {
	b := newHeldBody(io.NopCloser(strings.NewReader("hello")))
	require.False(t, b.Begun())
	require.True(t, b.Take())
	_, err := b.Read(make([]byte, 5))
	require.Equal(t, errBodyTaken, err)
	require.True(t, b.Begun())

	b = newHeldBody(io.NopCloser(strings.NewReader("hello")))
	n, err := b.Read(make([]byte, 4))
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.False(t, b.Take())

	for _, test := range []struct {
		err  error
		want bool
	}{{nil, false}, {io.EOF, false}, {errors.New("no"), true}} {
		b := newLastBody(io.NopCloser(failing{test.err}))
		b.Read(make([]byte, 5))
		require.Equal(t, test.want, b.Failed())
	}
}
