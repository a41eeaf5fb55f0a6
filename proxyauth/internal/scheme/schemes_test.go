package scheme_test

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// R6: what there is, in the order of preference, and what tells one from another.
func TestDefault(t *testing.T) {
	type known struct {
		name     string
		traits   scheme.Traits
		requires []string
	}
	var all []known
	for _, s := range scheme.Default() {
		all = append(all, known{s.Name(), s.Traits(), s.Requires()})
	}
	require.Equal(t, []known{
		{"Negotiate", scheme.Traits{Strength: 2, Ambient: true, LogsIn: true, Large: true}, nil},
		{"NTLM", scheme.Traits{Strength: 2, Ambient: true}, nil},
		{"Digest", scheme.Traits{Strength: 1, NeedsChallenge: true, ByRealm: true}, []string{"realm", "nonce"}},
		{"Basic", scheme.Traits{ClearText: true}, []string{"realm"}},
	}, all)

	scheme.Default()[0] = nil
	require.NotNil(t, scheme.Default()[0], "each caller has a slice to itself")
}

// Two values of one scheme with the same options are equal, and no others.
func TestSchemesAreCompared(t *testing.T) {
	require.Equal(t, scheme.Default(), scheme.Default())
	require.True(t, scheme.Digest(scheme.DigestOptions{AbsoluteURI: true}) == scheme.Digest(scheme.DigestOptions{AbsoluteURI: true}))
	require.False(t, scheme.Digest(scheme.DigestOptions{AbsoluteURI: true}) == scheme.Digest(scheme.DigestOptions{}))
	require.False(t, scheme.Negotiate(scheme.NegotiateOptions{SPN: "HTTP/a"}) == scheme.Negotiate(scheme.NegotiateOptions{}))
}

// R1: names are compared in any case.
func TestNamed(t *testing.T) {
	digest := scheme.Digest(scheme.DigestOptions{AbsoluteURI: true})
	schemes := []scheme.Scheme{scheme.NTLM(), digest}
	require.Equal(t, digest, scheme.Named(schemes, "dIGEST"))
	require.Equal(t, scheme.NTLM(), scheme.Named(schemes, "ntlm"))
	require.Nil(t, scheme.Named(schemes, "Basic"))
	require.Nil(t, scheme.Named(nil, "Basic"))
}

// R35: what a proxy may repeat and an error must not show.
func TestSecretsIn(t *testing.T) {
	for value, want := range map[string][]string{
		"Basic YWxpY2U6b3BlbjpzZXNhbWU=": {"YWxpY2U6b3BlbjpzZXNhbWU=", "alice:open:sesame", "open:sesame"},
		"bASIC YWxpY2U=":                 {"YWxpY2U=", "alice", ""},
		"Basic ?":                        {"?"},
		`Digest username="a", response="0a", nc=1`:  {`username="a", response="0a", nc=1`, "0a"},
		`Digest response="0a"`:                      {`response="0a"`, "0a"},
		`Digest xresponse="0a"`:                     {`xresponse="0a"`, ""},
		`Own cnonce="c", response="0b", opaque="o"`: {`cnonce="c", response="0b", opaque="o"`, "0b"},
		"NTLM TlRMTVNTUAAB":                         {"TlRMTVNTUAAB"},
		"Negotiate YII=":                            {"YII="},
		"secret":                                    {"", ""},
	} {
		require.Equal(t, append([]string{value}, want...), scheme.SecretsIn([]string{value}), value)
	}
	require.Equal(t, []string{"NTLM a", "a", "NTLM b", "b"}, scheme.SecretsIn([]string{"NTLM a", "NTLM b"}))
	require.Empty(t, scheme.SecretsIn(nil))
}

// R4: a challenge without what its scheme requires is malformed, and the others count.
func TestParseChallenges(t *testing.T) {
	all, err := scheme.ParseChallenges([]string{`Basic realm, digest realm="r"`, `NTLM`, `Negotiate, Own a=b, Digest realm="r", nonce="n"`})
	require.ErrorContains(t, err, `malformed "Basic" challenge: no realm`)
	require.ErrorContains(t, err, `malformed "digest" challenge: no nonce`)
	var names []string
	for _, c := range all {
		names = append(names, c.Scheme)
	}
	require.Equal(t, []string{"NTLM", "Negotiate", "Own", "Digest"}, names)
}

// What an error says and wraps.
func TestErrors(t *testing.T) {
	for _, err := range []error{scheme.Refused{Err: io.ErrUnexpectedEOF}, scheme.Unproven{Err: io.ErrUnexpectedEOF}, &scheme.Failure{Err: io.ErrUnexpectedEOF}} {
		require.EqualError(t, err, "unexpected EOF")
		require.Equal(t, io.ErrUnexpectedEOF, errors.Unwrap(err))
	}
	require.EqualError(t, scheme.RefusedTicket, "the proxy refuses the Kerberos ticket")
	require.EqualError(t, scheme.DeniedTicket, "the proxy refuses the Kerberos ticket, and took such a one before")
	for _, failure := range []*scheme.Failure{scheme.RefusedTicket, scheme.DeniedTicket} {
		require.True(t, failure.Once)
		require.False(t, failure.Early)
		require.Contains(t, failure.Remedy, "compare SPN and keytab of the proxy, and its clock with this machine's: its log tells which it is")
	}
}
