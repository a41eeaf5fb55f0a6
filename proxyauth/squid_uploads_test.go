//go:build realproxy

package proxyauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// large is a body that fits into no buffer on the way.
var large = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

// postBig sends large to o by way of rt, as a body that can be sent again or as a
// stream, and fails unless all of it comes back.
func postBig(rt http.RoundTripper, o *origin, stream bool) error {
	var body io.Reader = bytes.NewReader(large)
	if stream {
		body = struct{ io.Reader }{body} // http.NewRequest does not know this type
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", o.HTTP.URL+"/", body)
	if err != nil {
		return err
	}
	if (req.GetBody == nil) != stream {
		return errors.New("GetBody is not as the test wants it")
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	echo, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || !bytes.HasSuffix(echo, large)) {
		err = fmt.Errorf("status %d, %d bytes: %.200s", resp.StatusCode, len(echo), echo)
	}
	return err
}

// requireBig requires that large has reached o n times, and nothing else has.
func requireBig(t *testing.T, o *origin, n int) {
	t.Helper()
	bodies := o.received()
	require.Equal(t, n, len(bodies)) // not Len, which would print them
	for _, body := range bodies {
		require.True(t, body == string(large), "%d bytes of %d, or others", len(body), len(large))
	}
}

// R32: bodies that can be sent again and streams reach the origin whole, once.
func TestSquidPOST(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"Basic", "Digest"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := startSquid(t, strings.ToLower(scheme), alice, "NONCE_MAX_COUNT=5")
			source := proxyauth.UserPassword("alice", alice["alice"])
			for _, w := range s.ways() {
				if w.method == "CONNECT" {
					continue // no body goes to the proxy
				}
				w.method = "POST"
				for name, stream := range map[string]bool{"GetBody": false, "stream": true} {
					t.Run(w.String()+" cold "+name, func(t *testing.T) {
						o := newOrigin(t)
						require.NoError(t, postBig(w.transport(t, o, source), o, stream))
						requireBig(t, o, 1)
						want := []squidEntry{w.entry(o, 407, "", ""), w.entry(o, 200, "alice", scheme)}
						if stream {
							want[0].Method = "OPTIONS" // asks first, without the body
						}
						require.Equal(t, want, w.log(t, o, len(want)))
						require.Empty(t, o.proxyFields())
					})

					// In a row, squid names the next nonce in time, but not when they
					// come at once: then it refuses some. A stream must not have been
					// touched by then. Nor must the next leg take the connection on
					// which squid was still to read a body: it never answers there.
					t.Run(w.String()+" warm "+name, func(t *testing.T) {
						const posts = 20
						o := newOrigin(t)
						tr := w.transport(t, o, source)
						for range posts {
							require.NoError(t, postBig(tr, o, stream))
						}
						requireBig(t, o, posts)
						t.Logf("%d in a row: %v", posts, statuses(w.log(t, o, posts+1)))

						together(t, posts, func() error { return postBig(tr, o, stream) })
						requireBig(t, o, 2*posts)
						counts := statuses(w.log(t, o, 2*posts+1))
						t.Logf("and %d at once: %v", posts, counts)
						require.Equal(t, 2*posts, counts["200 "+scheme])
						if scheme == "Basic" {
							require.Equal(t, map[string]int{"407": 1, "200 Basic": 2 * posts}, counts)
							return
						}
						// One for each at the most: refused for its count, or asking
						// for a nonce to itself once others were.
						require.NotZero(t, counts["407 Digest"])
						require.LessOrEqual(t, counts["407"]+counts["407 Digest"], 1+posts)
					})
				}
			}
		})
	}
}
