package digest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// R1, R2, R3, R4: tokens and quoted-strings, white space around "=", empty
// elements, quoted-pairs, and what makes a list malformed. (What ScanParam excuses is below.)
func TestParseParams(t *testing.T) {
	p, err := ParseParams(`, a=b ,, C = "d, \"e\"", f=""`)
	require.NoError(t, err)
	require.Equal(t, Params{{"a", "b"}, {"c", `d, "e"`}, {"f", ""}}, p)
	require.Equal(t, `d, "e"`, p.Get("c"))
	require.Equal(t, "", p.Get("absent"))

	for _, bad := range []string{`a`, `=b`, `a=b"c`, `a="b,`, `a=b c d=e`, `nonce=b, NONCE=b`, strings.Repeat("x,", 3), `a=b;,;`} {
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
	p, err = p.Add(Param{"a0", "c"})
	require.NoError(t, err, "no more than before")
	require.Equal(t, "c", p.Get("a0"))
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

// R1, R3, R42: one parameter, what follows it, and errors that do not show the value. Each
// odd one is read by curl 7.88 or by Chromium (http_util_unittest.cc, NameValuePairsIterator).
func TestScanParam(t *testing.T) {
	for in, want := range map[string]struct {
		param Param
		rest  string
	}{
		`a=b`:                {Param{"a", "b"}, ""},
		"REALM \t=\t b, c=d": {Param{"realm", "b"}, ", c=d"},
		`a="\\" ,b`:          {Param{"a", `\`}, ",b"},
		`a="\"\b\"",`:        {Param{"a", `"b"`}, ","},
		"a=\"\xe4\\\xf6\"":   {Param{"a", "\xe4\xf6"}, ""},
		`a="b,c=\"d\"",e`:    {Param{"a", `b,c="d"`}, ",e"},

		// blanks and semicolons in place of the comma, or nothing
		`a="b" c=d`:       {Param{"a", "b"}, "c=d"},
		"a=\"b\" ;\t; c=": {Param{"a", "b"}, "c="},
		`a="b"c = "d"`:    {Param{"a", "b"}, `c = "d"`},
		`a=b c="d"`:       {Param{"a", "b"}, `c="d"`},
		"a=b\tc=d":        {Param{"a", "b"}, "c=d"},
		`a=b;c=d`:         {Param{"a", "b"}, "c=d"},
		`a=b; ,c`:         {Param{"a", "b"}, ",c"},
		`a="b" ; `:        {Param{"a", "b"}, ""},

		// without quotes
		`a=`:            {Param{"a", ""}, ""},
		`a= ,b`:         {Param{"a", ""}, ",b"},
		`a=;b=c`:        {Param{"a", ""}, "b=c"},
		`a=b/c==`:       {Param{"a", "b/c=="}, ""},
		`a=b=c,d`:       {Param{"a", "b=c"}, ",d"},
		`a=b=c d=e`:     {Param{"a", "b=c"}, "d=e"},
		`a=b c  d ; ,e`: {Param{"a", "b c  d"}, ",e"},
		`a=b;c`:         {Param{"a", "b;c"}, ""},
		`a='b, c'`:      {Param{"a", "'b"}, ", c'"},
		"a=\xe4 \xf6":   {Param{"a", "\xe4 \xf6"}, ""},

		// quotes that do not end, or are part of the value
		`a="`:           {Param{"a", ""}, ""},
		`a="b c ;`:      {Param{"a", "b c"}, ""},
		`a="b\c\`:       {Param{"a", `bc\`}, ""},
		`a="b\"`:        {Param{"a", `b\`}, ""},
		`a="b "c" d",e`: {Param{"a", `b "c" d`}, ",e"},
		`a="b "c" ;`:    {Param{"a", `b "c`}, ""},
		`a=""b"" ,c`:    {Param{"a", `"b"`}, ",c"},
	} {
		param, rest, err := ScanParam(in)
		require.NoError(t, err, in)
		require.Equal(t, want.param, param, in)
		require.Equal(t, want.rest, rest, in)
	}
	for bad, why := range map[string]string{
		"": "not a parameter", "=": "not a parameter", "a": "not a parameter", "a ": "not a parameter", "a:b": "not a parameter", `"a"=b`: "not a parameter",

		`a="secret" b`:        `parameter "a": no comma after the value`,
		`a="secret";b,`:       `parameter "a": no comma after the value`,
		"a=\"secret\"\tb\"":   `parameter "a": no comma after the value`,
		`a="secret" b "c"`:    `parameter "a": no comma after the value`,
		`a="secret"b`:         `parameter "a": no comma after the value`,
		`a="secret"b, c="d"`:  `parameter "a": no comma after the value`,
		`a="secret "b,c" d"`:  `parameter "a": no comma after the value`,
		`a="secret "b"=c" d"`: `parameter "a": no comma after the value`,
		`a=secret b c=d`:      `parameter "a": no comma after the value`,
		`a=secret"b"`:         `parameter "a": no comma after the value`,
		`a=secret "b"`:        `parameter "a": no comma after the value`,
		`A="secret, b`:        `parameter "A": a quoted value does not end`,
		`a="secret b=c`:       `parameter "a": a quoted value does not end`,
		`a="secret\", b`:      `parameter "a": a quoted value does not end`,
	} {
		param, rest, err := ScanParam(bad)
		require.EqualError(t, err, why, bad)
		require.Equal(t, bad, rest)
		require.Empty(t, param)
	}
	_, _, err := ScanParam(strings.Repeat("a", 50) + `="b" c`)
	require.ErrorContains(t, err, `parameter "`+strings.Repeat("a", 40)+`": `)
}

// R2: a comma inside quotes is text, also where quotes do not end.
func TestScanElement(t *testing.T) {
	for in, want := range map[string][2]string{
		"":               {"", ""},
		",":              {"", ","},
		"a b":            {"a b", ""},
		"a,b,":           {"a", ",b,"},
		`a "b,\",c" d,e`: {`a "b,\",c" d`, ",e"},
		`"a"",",b`:       {`"a"","`, ",b"},
		`a\,b`:           {`a\`, ",b"},
		`a "b,c`:         {`a "b,c`, ""},
		`a "b\`:          {`a "b\`, ""},
	} {
		element, rest := ScanElement(in)
		require.Equal(t, want, [2]string{element, rest}, in)
	}
}

// R4, R42: the later of two parameters counts, except where it would change what is proved,
// and how.
func TestAddTwice(t *testing.T) {
	for _, name := range []string{"realm", "opaque", "stale", "domain", "charset", "new"} {
		p, err := Params{{name, "a"}, {"b", "c"}}.Add(Param{strings.ToUpper(name), "d"})
		require.NoError(t, err)
		require.Equal(t, Params{{name, "d"}, {"b", "c"}}, p)
	}
	for _, name := range []string{"algorithm", "qop", "userhash", "username", "username*", "uri", "response", "cnonce", "nc", "nextnonce", "rspauth"} {
		p, err := Params{{name, "a"}}.Add(Param{strings.ToUpper(name), "a"})
		require.NoError(t, err)
		require.Equal(t, Params{{name, "a"}}, p)
		p, err = p.Add(Param{strings.ToUpper(name), "A"})
		require.EqualError(t, err, fmt.Sprintf("parameter %q occurs twice", name))
		require.Equal(t, Params{{name, "a"}}, p)
	}
	_, err := Params{{"nonce", "n"}}.Add(Param{"nonce", "n"})
	require.EqualError(t, err, `parameter "nonce" occurs twice`)
}

// R4, R12, R14, R15: what a challenge needs, and what is ignored in it.
func TestParseChallenge(t *testing.T) {
	for _, bad := range []string{`realm="r"`, `realm="r", nonce=""`, `realm="r", nonce=`} {
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
	require.Equal(t, Challenge{Nonce: "n"}, mustChallenge(t, `nonce=n, algorithm=`), "R42: or missing")
}

// R3, R5, R42: what is read of a list, however odd, is read again when it is written as the
// standards want it.
func FuzzParseParams(f *testing.F) {
	files, err := filepath.Glob("../testdata/challenges/*.txt")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		for field := range strings.Lines(string(data)) {
			_, params := ScanToken(field)
			f.Add(strings.TrimSpace(params))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		params, _ := ParseParams(s)
		if len(params) > maxParams {
			t.Fatalf("%d parameters", len(params))
		}
		var written []byte
		for _, p := range params {
			if p.Name == "" || p.Name != strings.ToLower(p.Name) {
				t.Fatalf("the name %q", p.Name)
			}
			written = append(appendQuoted(append(written, p.Name+"="...), p.Value), ", "...)
		}
		again, err := ParseParams(string(written))
		if err != nil || !slices.Equal(again, params) {
			t.Fatalf("%q is read as %q, and that as %q, %v", s, params, again, err)
		}
	})
}

// R3, R12: what a server sends as challenge and as proof neither panics nor
// gets out of its quotes in the answer.
func FuzzSession(f *testing.F) {
	f.Add(`realm="r", nonce="n", qop="auth", algorithm=MD5, opaque="o"`, `nextnonce="m", rspauth="x", qop=auth`, "/path?q")
	f.Add(`realm="r\"", nonce="n\\", algorithm=SHA-256-sess, userhash=true`, `rspauth=""`, `/"\`)
	f.Add(`realm="", nonce="n", qop="auth-int", charset=UTF-8`, `nextnonce=""`, "host:443")
	f.Add(`nonce=TmV0/d29yaw==; realm=my office`, `nextnonce=m/= rspauth="x`, "/")
	f.Add(`realm="my "big" office", nonce="n\`, `nextnonce=m nextnonce=m; qop`, "/")
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
