package proxyauth_test

import (
	"cmp"
	"context"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// Cells of guides/support.md that no other test fills: each scheme by itself.

// eachScheme runs f for each scheme and a proxy that offers it alone, by HTTP
// and by TLS.
func eachScheme(t *testing.T, f func(t *testing.T, o *origin, p *proxytest.Proxy, tr *watchedTransport)) {
	scheme := map[string]string{"Kerberos": "Negotiate", "Kerberos each time": "Negotiate", "NTLM inside Negotiate": "Negotiate"}
	for name, in := range waysIn {
		t.Run(name, func(t *testing.T) {
			for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
				o := newOrigin(t)
				p := start(proxytest.Config{Auth: in.auth, Users: alice})
				t.Cleanup(p.Close)
				f(t, o, p, in.transport(t, p, o))
				sent := sent(p)
				require.NotEmpty(t, sent)
				require.Equal(t, cmp.Or(scheme[name], name), sent[len(sent)-1])
				require.Zero(t, p.Refused("alice"))
				require.Empty(t, o.proxyFields())
			}
		})
	}
}

// R27, R29: a tunnel by each scheme, each direction of which ends by itself.
func TestDialContextAs(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer echo.Close()
	go accept(echo, func(c net.Conn) { defer c.Close(); io.Copy(c, c) })
	eachScheme(t, func(t *testing.T, _ *origin, p *proxytest.Proxy, tr *watchedTransport) {
		for range 2 { // cold, warm
			c, err := tr.DialContext(context.Background(), "tcp", echo.Addr().String())
			require.NoError(t, err)
			require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.WriteString(c, "hello")
			require.NoError(t, err)
			require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
			require.NoError(t, c.Close())
		}
		require.Equal(t, 2, p.Counts().Tunnels)
	})
}

// R27, R29: the scheme is that of the second of two proxies.
func TestChainAs(t *testing.T) {
	t.Parallel()
	eachScheme(t, func(t *testing.T, o *origin, p *proxytest.Proxy, tr *watchedTransport) {
		first := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "first"}}, Users: alice})
		hops, err := proxyauth.Chain(first.URLFor("alice", "open sesame").String())
		require.NoError(t, err)
		tr.Base.DialContext = hops[0].DialContext
		for _, url := range o.ways() {
			requireOK(t, tr, url)
		}
		require.Equal(t, first.Counts().Tunnels, p.Counts().Connections)
	})
}

// The subtests that guides/support.md names are schemes of eachScheme. (The test of
// the guides reads sources, where names of subtests are not to be seen.)
func TestSupportedSchemes(t *testing.T) {
	guide, err := os.ReadFile("guides/support.md")
	require.NoError(t, err)
	schemes := make(map[string]bool)
	for name := range waysIn {
		schemes[strings.ReplaceAll(name, " ", "_")] = true
	}
	named := regexp.MustCompile("`(Test[A-Za-z]+)/([^`]+)`").FindAllStringSubmatch(string(guide), -1)
	require.NotEmpty(t, named)
	for _, n := range named {
		require.Contains(t, []string{"TestDialContextAs", "TestChainAs"}, n[1])
		require.True(t, schemes[n[2]], "%s has no subtest %s", n[1], n[2])
	}
}
