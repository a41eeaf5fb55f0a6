package carrier

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
)

// The early bytes come before those of the connection, however they are read.
func TestEarlyConn(t *testing.T) {
	for name, read := range map[string]func(io.Reader) (string, error){
		"Read": func(r io.Reader) (string, error) { return readAll(r, 2) },
		"WriteTo": func(r io.Reader) (string, error) {
			var b strings.Builder
			n, err := io.Copy(&b, r)
			require.EqualValues(t, b.Len(), n)
			return b.String(), err
		},
		"both": func(r io.Reader) (string, error) {
			first := make([]byte, 2)
			n, err := r.Read(first)
			require.NoError(t, err)
			var b strings.Builder
			_, err = io.Copy(&b, r)
			return string(first[:n]) + b.String(), err
		},
	} {
		for _, early := range []string{"early ", ""} {
			near, far := memconn.Pipe("a:1", "b:1")
			bytes := []byte(early)
			c := newEarlyConn(near, bytes)
			clear(bytes) // it has a copy
			io.WriteString(far, "and late")
			far.CloseWrite()
			got, err := read(c)
			require.NoError(t, err)
			require.Equal(t, early+"and late", got, name)

			n, err := io.Copy(c, struct{ io.Reader }{strings.NewReader("back")})
			require.NoError(t, err)
			require.EqualValues(t, 4, n)
			require.NoError(t, c.CloseWrite())
			back, err := io.ReadAll(far)
			require.NoError(t, err)
			require.Equal(t, "back", string(back))
			near.Close()
		}
	}
	require.ErrorIs(t, newEarlyConn(&side{}, nil).CloseWrite(), errors.ErrUnsupported)
}

// full takes n bytes, and no empty write.
type full struct{ n int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, errors.New("nothing is written")
	}
	n := min(f.n, len(p))
	if f.n -= n; n < len(p) {
		return n, errFull
	}
	return n, nil
}

// What could not be written of the early bytes is still there to be read.
func TestEarlyConnCopiesToFull(t *testing.T) {
	c := newEarlyConn(&side{text: " and late", piece: 100}, []byte("early"))
	n, err := c.WriteTo(&full{2})
	require.Equal(t, errFull, err)
	require.EqualValues(t, 2, n)
	n, err = c.WriteTo(&full{5})
	require.Equal(t, errFull, err)
	require.EqualValues(t, 5, n)
	n, err = newEarlyConn(&side{text: "late", piece: 100}, nil).WriteTo(&full{5})
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
}
