package digest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func benchSession(t testing.TB, algorithm string) *Session {
	s, err := NewSession(mustChallenge(t, `realm="proxy test", nonce="abcdefghijklmnopqrstuvwx", qop="auth", algorithm=`+algorithm),
		"alice", "open sesame", Options{})
	require.NoError(t, err)
	return s
}

// One value costs one allocation: itself.
func TestAuthorizeAllocations(t *testing.T) {
	for _, algorithm := range []string{"MD5", "SHA-256", "SHA-512-256-sess"} {
		s := benchSession(t, algorithm)
		allocs := testing.AllocsPerRun(100, func() { s.Authorize("GET", "/path?q=1", nil) })
		require.Equal(t, 1.0, allocs, algorithm)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for _, algorithm := range []string{"MD5", "SHA-256", "SHA-512-256"} {
		b.Run(algorithm, func(b *testing.B) {
			s := benchSession(b, algorithm)
			b.ReportAllocs()
			for b.Loop() {
				s.Authorize("GET", "/path?q=1", nil)
			}
		})
	}
}
