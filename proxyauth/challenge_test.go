package proxyauth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R1, R4: what a proxy demands, for programs that look at it themselves. The schemes
// of this package say what they require, and a realm may be missing all the same (R42).
func TestParseChallenges(t *testing.T) {
	got, err := proxyauth.ParseChallenges([]string{`Newauth, NTLM TlRM, digest Realm="a\"b", Nonce=n`, `Basic "r"`, `Digest realm=r`})
	require.ErrorContains(t, err, `proxyauth: malformed "Basic" challenge: not a parameter`)
	require.ErrorContains(t, err, `proxyauth: malformed "Digest" challenge: no nonce`)
	require.Len(t, got, 3)
	require.Equal(t, "Newauth", got[0].Scheme)
	require.Equal(t, "TlRM", got[1].Token68)
	require.Equal(t, "digest", got[2].Scheme)
	require.Equal(t, `a"b`, got[2].Param("REALM"))
	require.True(t, got[2].HasParam("nonce"))
	require.False(t, got[2].HasParam("opaque"))

	got, err = proxyauth.ParseChallenges([]string{"NTLM TlRM, Negotiate"})
	require.NoError(t, err)
	require.Equal(t, []proxyauth.Challenge{{Scheme: "NTLM", Token68: "TlRM"}, {Scheme: "Negotiate"}}, got, "as a program's test may write them")

	got, err = proxyauth.ParseChallenges([]string{"Basic"})
	require.NoError(t, err)
	require.Equal(t, []proxyauth.Challenge{{Scheme: "Basic"}}, got)
	require.False(t, got[0].HasParam("realm"))

	got, err = proxyauth.ParseChallenges(nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

// R2: a comma and a scheme name inside quotes offer nothing. curl sends the
// password here.
func TestQuotedSchemeIsNoOffer(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Behaviour: proxytest.Behaviour{Challenges: []string{`Newauth title="Login to, Basic realm=x"`}}})
	_, _, err := fetch(newTransport(t, p, o), o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
	require.ErrorContains(t, err, "Newauth")
	require.Empty(t, sent(p))
}
