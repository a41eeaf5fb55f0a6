package digest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseParams(t *testing.T) {
	p, err := ParseParams(`, a=b ,, C = "d, \"e\"", f=""`)
	require.NoError(t, err)
	require.Equal(t, Params{{"a", "b"}, {"c", `d, "e"`}, {"f", ""}}, p)
	require.Equal(t, `d, "e"`, p.Get("c"))
	require.Equal(t, "", p.Get("absent"))

	for _, bad := range []string{`a`, `=b`, `a=`, `a="b`, `a=b c=d`, `a=b, A=c`, strings.Repeat("x,", 3), `a="\`} {
		_, err := ParseParams(bad)
		require.ErrorContains(t, err, "digest: ", bad)
	}
	var many strings.Builder
	for i := range 40 {
		many.WriteString(strings.Repeat("a", i+1) + "=b,")
	}
	_, err = ParseParams(many.String())
	require.ErrorContains(t, err, "more than 32")
}

func TestParseChallenge(t *testing.T) {
	for _, bad := range []string{`nonce="n"`, `realm="r"`, `realm="r", nonce=""`} {
		p, err := ParseParams(bad)
		require.NoError(t, err)
		_, err = ParseChallenge(p)
		require.Error(t, err)
	}
	c := mustChallenge(t, `realm="r", nonce="n", qop="AUTH ,auth-int", stale=TRUE, userhash=true, charset="utf-8", opaque="", domain="x", new=y`)
	require.Equal(t, Challenge{Realm: "r", Nonce: "n", HasOpaque: true, QOP: []string{"auth", "auth-int"}, Stale: true, UserHash: true, UTF8: true}, c)
}

// FuzzSession: what a server sends as challenge and as proof neither panics nor
// gets out of its quotes in the answer.
func FuzzSession(f *testing.F) {
	f.Add(`realm="r", nonce="n", qop="auth", algorithm=MD5, opaque="o"`, `nextnonce="m", rspauth="x", qop=auth`, "/path?q")
	f.Add(`realm="r\"", nonce="n\\", algorithm=SHA-256-sess, userhash=true`, `rspauth=""`, `/"\`)
	f.Add(`realm="", nonce="n", qop="auth-int", charset=UTF-8`, `nextnonce=""`, "host:443")
	f.Fuzz(func(t *testing.T, challenge, info, uri string) {
		params, err := ParseParams(challenge)
		if err != nil {
			return
		}
		c, err := ParseChallenge(params)
		if err != nil {
			return
		}
		s, err := NewSession(c, "jäsøn", "p", Options{})
		if err != nil {
			return
		}
		a, err := s.Authorize("GET", uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := ParseParams(strings.TrimPrefix(a.Value, "Digest "))
		if err != nil {
			t.Fatalf("%q: %v", a.Value, err)
		}
		for name, want := range map[string]string{"realm": c.Realm, "nonce": c.Nonce, "opaque": c.Opaque, "uri": uri, "algorithm": c.Algorithm} {
			if got := sent.Get(name); got != want {
				t.Fatalf("%s: %q for %q", name, got, want)
			}
		}
		if params, err := ParseParams(info); err == nil {
			s.Verify(params, a, nil)
			if nonce := params.Get("nextnonce"); nonce != "" {
				s.Next(nonce).Authorize("GET", uri, nil)
			}
		}
	})
}
