package proxyauth_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A report tells of a proxy which takes tickets alone that it does not take NTLM in
// their place.
func TestDiagnoseTicketsAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: alice})
		tr := w.newTransport(p)
		none := filepath.Join(t.TempDir(), "none")
		tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(proxyauth.NegotiateOptions{ConfigPath: none, CachePath: none})}
		r := tr.Diagnose(t.Context(), w.HTTP.URL)
		require.False(t, r.OK())
		last := r.Steps[len(r.Steps)-1]
		require.Contains(t, last.Details[0], "no ticket for HTTP/127.0.0.1: ")
		require.Contains(t, last.Details[0], ", and it does not take NTLM inside Negotiate")
	})
}
