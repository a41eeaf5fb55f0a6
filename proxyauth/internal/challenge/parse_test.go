package challenge_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// wantChallenge is a challenge with those of its parameters that matter.
type wantChallenge struct {
	scheme, token string
	params        map[string]string
}

// required is what the standards demand of a challenge.
func required(scheme string) []string {
	switch strings.ToLower(scheme) {
	case "basic":
		return []string{"realm"} // RFC 7617 §2
	case "digest":
		return []string{"realm", "nonce"} // RFC 7616 §3.3
	}
	return nil
}

// R1, R2, R3, R4, R5, R42: the challenges of a response, one or more in a field. More shapes
// are in guides/challenges.md.
func TestParse(t *testing.T) {
	type m = map[string]string
	for name, test := range map[string]struct {
		fields []string
		want   []wantChallenge
		errs   []string // each must occur in the error
	}{
		"none":              {nil, nil, nil},
		"case":              {[]string{`dIGEST REALM="r", NonCE="n"`}, []wantChallenge{{"dIGEST", "", m{"realm": "r", "NONCE": "n"}}}, nil},
		"token value":       {[]string{`Basic realm=r`}, []wantChallenge{{"Basic", "", m{"realm": "r"}}}, nil},
		"white space":       {[]string{"Digest realm = \"r\" ,\tnonce\t=\tn"}, []wantChallenge{{"Digest", "", m{"realm": "r", "nonce": "n"}}}, nil},
		"several in one":    {[]string{`NTLM, Basic realm="x"`}, []wantChallenge{{"NTLM", "", nil}, {"Basic", "", m{"realm": "x"}}}, nil},
		"several fields":    {[]string{`Negotiate`, `Basic realm="x"`}, []wantChallenge{{"Negotiate", "", nil}, {"Basic", "", m{"realm": "x"}}}, nil},
		"empty elements":    {[]string{`Digest ,, realm="r",, nonce=n,`, `,`}, []wantChallenge{{"Digest", "", m{"realm": "r"}}}, nil},
		"token68":           {[]string{`NTLM TlRM+/==, Basic realm="x"`}, []wantChallenge{{"NTLM", "TlRM+/==", nil}, {"Basic", "", nil}}, nil},
		"quoted comma":      {[]string{`Newauth title="Login to, Basic x"`}, []wantChallenge{{"Newauth", "", m{"title": "Login to, Basic x"}}}, nil},
		"RFC 9110 11.6.1":   {[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`}, []wantChallenge{{"Basic", "", m{"realm": "simple"}}, {"Newauth", "", m{"realm": "apps", "type": "1", "title": `Login to "apps"`}}}, nil},
		"quoted pairs":      {[]string{`Basic realm="a\\b\c"`}, []wantChallenge{{"Basic", "", m{"realm": `a\bc`}}}, nil},
		"ISO-8859-1":        {[]string{"Basic realm=\"caf\xe9\""}, []wantChallenge{{"Basic", "", m{"realm": "caf\xe9"}}}, nil},
		"UTF-8":             {[]string{`Basic realm="café"`}, []wantChallenge{{"Basic", "", m{"realm": "café"}}}, nil},
		"empty value":       {[]string{`Basic realm=""`}, []wantChallenge{{"Basic", "", m{"realm": ""}}}, nil},
		"unknown parameter": {[]string{`Basic realm="r", x-new="y"`}, []wantChallenge{{"Basic", "", m{"realm": "r", "x-new": "y"}}}, nil},
		"continued":         {[]string{`Digest realm="r"`, `nonce="n"`}, []wantChallenge{{"Digest", "", m{"realm": "r", "nonce": "n"}}}, nil},

		"duplicate realm":   {[]string{`Digest realm="a", REALM="b", nonce="n"`}, []wantChallenge{{"Digest", "", m{"realm": "b", "nonce": "n"}}}, nil},
		"duplicate nonce":   {[]string{`Digest realm="a", nonce="n", NONCE="n", Basic realm="x"`}, []wantChallenge{{"Basic", "", m{"realm": "x"}}}, []string{"Digest", "twice"}},
		"unterminated":      {[]string{`Digest realm="a, nonce=n`, `Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "does not end"}},
		"no realm":          {[]string{`Basic`, `Basic charset=x, Digest nonce=n`}, []wantChallenge{{"Basic", "", nil}, {"Basic", "", m{"charset": "x"}}, {"Digest", "", m{"nonce": "n"}}}, nil},
		"after names":       {[]string{`Newauth, NTLM, Basic, Basic`}, []wantChallenge{{"Newauth", "", nil}, {"NTLM", "", nil}, {"Basic", "", nil}, {"Basic", "", nil}}, nil},
		"after parameters":  {[]string{`Newauth a=b, Basic, NTLM`, `Basic`}, []wantChallenge{{"Newauth", "", nil}, {"NTLM", "", nil}, {"Basic", "", nil}}, []string{"Basic", "no realm"}},
		"after a token":     {[]string{`Newauth x, Basic, Basic a=b`}, []wantChallenge{{"Newauth", "x", nil}, {"Basic", "", m{"a": "b"}}}, []string{"Basic", "no realm"}},
		"after garbage":     {[]string{`@, Basic, NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic", "no realm"}},
		"Basic with token":  {[]string{`Basic realm, NTLM realm=`}, []wantChallenge{{"NTLM", "realm=", nil}}, []string{"Basic", "no realm"}},
		"empty realm":       {[]string{`Basic realm=, NTLM`}, []wantChallenge{{"Basic", "", m{"realm": ""}}, {"NTLM", "", nil}}, nil},
		"no comma":          {[]string{`Digest realm="r" nonce="n"; qop=auth, NTLM`}, []wantChallenge{{"Digest", "", m{"realm": "r", "nonce": "n", "qop": "auth"}}, {"NTLM", "", nil}}, nil},
		"blanks in a value": {[]string{`Basic realm=my office, NTLM`}, []wantChallenge{{"Basic", "", m{"realm": "my office"}}, {"NTLM", "", nil}}, nil},
		"octets unquoted":   {[]string{"Basic realm=caf\xe9"}, []wantChallenge{{"Basic", "", m{"realm": "caf\xe9"}}}, nil},
		"missing nonce":     {[]string{`Digest realm="r", Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "no nonce"}},
		"Digest realm":      {[]string{`Digest realm`}, nil, []string{"Digest", "no realm"}},
		"no comma, scheme":  {[]string{`Digest realm="r" nonce="n" Basic realm="x"`, `NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Digest", "comma"}},
		"garbage":           {[]string{`@@@, Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"not a parameter"}},
		"parameter first":   {[]string{`realm="x"`, `Basic realm="y"`}, []wantChallenge{{"Basic", "", m{"realm": "y"}}}, []string{"without a scheme"}},
		"token and params":  {[]string{`NTLM abcd, realm=x, Basic realm="y"`}, []wantChallenge{{"Basic", "", nil}}, []string{"NTLM", "token and parameters"}},
		"no value":          {[]string{`Basic realm="x", charset=, NTLM`}, []wantChallenge{{"Basic", "", m{"realm": "x", "charset": ""}}, {"NTLM", "", nil}}, nil},
		"no value, no name": {[]string{`Basic realm="x", =, NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic", "not a parameter"}},
		"scheme with slash": {[]string{`Basic/1 realm="x", NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic"}},
		"scheme with comma": {[]string{`NTLM,Basic realm="x"`}, []wantChallenge{{"NTLM", "", nil}, {"Basic", "", nil}}, nil},
		"bad token68":       {[]string{`NTLM ab=cd, Basic realm="x"`}, []wantChallenge{{"NTLM", "", m{"ab": "cd"}}, {"Basic", "", nil}}, nil},
		"all of token68":    {[]string{`NTLM azAZ09-._~+/==`}, []wantChallenge{{"NTLM", "azAZ09-._~+/==", nil}}, nil},
		"token68 and blank": {[]string{"NTLM abc= \t, Basic realm=x"}, []wantChallenge{{"NTLM", "abc=", nil}, {"Basic", "", nil}}, nil},
		"quoted escape":     {[]string{`Digest realm="a" x, nonce="\", NTLM", Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "comma"}},
		"quote in garbage":  {[]string{`Digest realm="r" "a, \" NTLM, b", Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "comma"}},
		"escaped garbage":   {[]string{`Digest realm="r" \", NTLM`}, nil, []string{"Digest", "comma"}},
		"params after bad":  {[]string{`Digest nonce=a, nonce=b, realm=c`}, nil, []string{"twice"}},
		"token at once":     {[]string{`NTLM/abc, Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"NTLM", "not a parameter"}},
		"semicolon":         {[]string{`Basic; realm="r", NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic", "not a parameter"}},
		"scheme too long":   {[]string{strings.Repeat("x", 50) + `/1`, `NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{`"` + strings.Repeat("x", 40) + `"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := challenge.Parse(test.fields, required)
			if len(test.errs) == 0 {
				require.NoError(t, err)
			}
			for _, text := range test.errs {
				require.ErrorContains(t, err, text)
			}
			require.Len(t, got, len(test.want))
			for i, want := range test.want {
				require.Equal(t, want.scheme, got[i].Scheme)
				require.Equal(t, want.token, got[i].Token68)
				for name, value := range want.params {
					require.True(t, got[i].Has(name))
					require.Equal(t, value, got[i].Params.Get(name))
				}
				require.False(t, got[i].Has("absent"))
			}
		})
	}
}

// R5: what is read is bounded in bytes, challenges and errors, and what comes before
// the bound counts.
func TestParseBounds(t *testing.T) {
	const most = 64 << 10
	field := func(size int) string { // of a challenge that is well-formed
		const begin, end = `Basic realm="`, `"`
		return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
	}
	for name, test := range map[string]struct {
		fields []string
		want   int
		err    string
	}{
		"as many bytes as may be":      {[]string{field(most)}, 1, ""},
		"one more":                     {[]string{field(most + 1)}, 0, "more than 65536 bytes"},
		"as many bytes in two fields":  {[]string{field(most - 4), "NTLM"}, 2, ""},
		"one more in two fields":       {[]string{field(most - 3), "NTLM"}, 1, "more than 65536 bytes"},
		"nothing after too many bytes": {[]string{"NTLM", field(most), "Negotiate"}, 1, "more than 65536 bytes"},
		"as many fields":               {slices.Repeat([]string{""}, 63), 0, ""},
		"one more field":               {append(slices.Repeat([]string{""}, 63), "NTLM", "Negotiate"), 1, "more than 64 fields"},
		"as many challenges":           {[]string{strings.Repeat("NTLM,", 32)}, 32, ""},
		"one more challenge":           {[]string{strings.Repeat("NTLM,", 33)}, 32, "more than 32 challenges"},
		"nothing after too many":       {[]string{strings.Repeat("NTLM,", 33) + `Basic realm="`, `@`}, 32, "more than 32 challenges"},
		"malformed ones count":         {[]string{strings.Repeat("Digest,", 31) + "NTLM, Negotiate"}, 1, "more than 32 challenges"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := challenge.Parse(test.fields, required)
			require.Len(t, got, test.want)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
	_, err := challenge.Parse([]string{strings.Repeat("@,", 1000)}, required)
	require.Len(t, strings.Split(err.Error(), "\n"), 32, "as many errors as are of use")

	_, err = challenge.Parse([]string{`Digest realm=r"secret", nonce=, nonce=r, @`}, required)
	require.EqualError(t, err, `proxyauth: malformed "Digest" challenge: parameter "realm": no comma after the value`, "one for a challenge")
}

// R1: names count in any case.
func TestIs(t *testing.T) {
	c := challenge.Challenge{Scheme: "dIGEST"}
	require.True(t, c.Is("Digest"))
	require.False(t, c.Is("Basic"))
}

// readChallenges returns the fields of each file in testdata/challenges: what
// proxies send, one field a line.
func readChallenges(t testing.TB) (all [][]string) {
	files, err := filepath.Glob("../../../testdata/challenges/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		all = append(all, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
	}
	return all
}

// R2, R5, R42: no panic, bounds kept, and every scheme that is returned begins a list
// element outside of quotes, also where a quote does not end. A scheme without a realm that
// it should have is not behind anything but names.
func FuzzParse(f *testing.F) {
	for _, fields := range readChallenges(f) {
		f.Add(strings.Join(fields, "\n"))
		for _, field := range fields {
			f.Add(field)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		fields := strings.Split(text, "\n")
		challenges, _ := challenge.Parse(fields, required)
		if len(challenges) > 32 {
			t.Fatalf("%d challenges", len(challenges))
		}
		var offered, bare []string // what may be returned, and that without parameters and token
		for _, field := range fields {
			names := true
			for element := range strings.SplitSeq(unquoted(field), ",") {
				name, rest := digest.ScanToken(strings.TrimLeft(element, " \t"))
				offered = append(offered, name)
				if names {
					bare = append(bare, name)
				}
				names = names && strings.Trim(rest, " \t") == ""
			}
		}
		for _, c := range challenges {
			if !slices.Contains(offered, c.Scheme) {
				t.Fatalf("%q offers no %q", text, c.Scheme)
			}
			if len(required(c.Scheme)) > 0 && len(c.Params) == 0 && !slices.Contains(bare, c.Scheme) {
				t.Fatalf("%q offers no bare %q", text, c.Scheme)
			}
		}
	})
}

// unquoted returns a field without what stands in quotes.
func unquoted(field string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(field); i++ {
		switch {
		case quoted && field[i] == '\\':
			i++
		case field[i] == '"':
			quoted = !quoted
			b.WriteByte('"')
		case !quoted:
			b.WriteByte(field[i])
		}
	}
	return b.String()
}

// BenchmarkParse compares what a proxy sends with the worst that the
// bounds let through.
func BenchmarkParse(b *testing.B) {
	for name, field := range map[string]string{
		"squid":   `Digest realm="proxy test", nonce="3f1e9d0c5b7a2e4860c9b1d2e3f40516", qop="auth", stale=false`,
		"hostile": "Digest " + strings.Repeat("a1=b,", 13000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(field)))
			for b.Loop() {
				challenge.Parse([]string{field}, required)
			}
		})
	}
}
