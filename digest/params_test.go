package digest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// R1, R2, R3, R4: tokens and quoted-strings, white space around "=", empty
// elements, quoted-pairs, and what makes a list malformed.
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
}

// R5: 32 parameters are read, and a 33rd is an error.
func TestParseParamsBound(t *testing.T) {
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a%d=b,", i)
		}
		return b.String()
	}
	p, err := ParseParams(list(32))
	require.NoError(t, err)
	require.Len(t, p, 32)
	p, err = ParseParams(list(33))
	require.ErrorContains(t, err, "more than 32")
	require.Len(t, p, 32, "the parameters before the error are returned too")
}

// R1: the octets of a token (RFC 9110 §5.6.2), each alone.
func TestScanToken(t *testing.T) {
	const tchar = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for c := range 256 {
		s := string([]byte{byte(c)})
		token, rest := ScanToken(s + "=")
		if strings.Contains(tchar, s) {
			require.Equal(t, []string{s, "="}, []string{token, rest})
		} else {
			require.Equal(t, []string{"", s + "="}, []string{token, rest})
		}
	}
	token, rest := ScanToken("whole")
	require.Equal(t, []string{"whole", ""}, []string{token, rest})
}

// R1, R3: one parameter, what follows it, and errors that do not show the value.
func TestScanParam(t *testing.T) {
	for in, want := range map[string]struct {
		param Param
		rest  string
	}{
		`a=b`:                {Param{"a", "b"}, ""},
		"REALM \t=\t b, c=d": {Param{"realm", "b"}, ", c=d"},
		`a=""x`:              {Param{"a", ""}, "x"},
		`a="\\" b`:           {Param{"a", `\`}, " b"},
		`a="\"\b\"",`:        {Param{"a", `"b"`}, ","},
		"a=\"\xe4\\\xf6\"":   {Param{"a", "\xe4\xf6"}, ""},
	} {
		param, rest, err := ScanParam(in)
		require.NoError(t, err, in)
		require.Equal(t, want.param, param, in)
		require.Equal(t, want.rest, rest, in)
	}
	for _, bad := range []string{"", "=", "a", "a ", "a:b", "a=", "a= ", "a=,b", `a="secret`, `a="secret\`, `a="secret\"`} {
		_, _, err := ScanParam(bad)
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "secret")
	}
}

// R4, R12, R14, R15: what a challenge needs, and what is ignored in it.
func TestParseChallenge(t *testing.T) {
	for _, bad := range []string{`nonce="n"`, `realm="r"`, `realm="r", nonce=""`} {
		p, err := ParseParams(bad)
		require.NoError(t, err)
		_, err = ParseChallenge(p)
		require.Error(t, err)
	}
	c := mustChallenge(t, `realm="r", nonce="n", qop="AUTH ,auth-int", stale=TRUE, userhash=true, charset="utf-8", opaque="", domain="x", new=y`)
	require.Equal(t, Challenge{Realm: "r", Nonce: "n", HasOpaque: true, QOP: []string{"auth", "auth-int"}, Stale: true, UserHash: true, UTF8: true}, c)
	c, err := ParseChallenge(Params{{"realm", ""}, {"nonce", "n"}, {"qop", "auth\tauth-int"}})
	require.NoError(t, err)
	require.Equal(t, Challenge{Nonce: "n", QOP: []string{"auth", "auth-int"}}, c, "a realm may be empty")
}

// R3, R12: what a server sends as challenge and as proof neither panics nor
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
