package proxyauth_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A target that the proxy lets everybody reach is reported as reached without
// credentials, also where its URL does not name the port that stands in the CONNECT and
// another target needs credentials.
func TestDiagnoseBareTarget(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice}
		c.Behaviour.Free = []string{"example.com:443"}
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "example.com:443" {
				addr = w.HTTPS.Listener.Addr().String()
			}
			return w.dial(ctx, network, addr)
		}
		p := w.newProxy(c)
		tr := w.newTransport(p)
		requireOK(t, tr, "https://example.com/")
		requireOK(t, tr, w.HTTPS.URL)
		attempts := p.Attempts("alice")
		r := tr.Diagnose(t.Context(), "https://example.com/")
		require.True(t, r.OK(), r.String())
		require.Equal(t, "the tunnel to example.com:443 is open, without credentials", step(t, r, "CONNECT").Details[0])
		require.Equal(t, proxyauth.StepOK, step(t, r, "target's TLS").Outcome)
		require.Equal(t, attempts, p.Attempts("alice"))
	})
}
