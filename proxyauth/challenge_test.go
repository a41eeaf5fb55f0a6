package proxyauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// wantChallenge is a challenge with those of its parameters that matter.
type wantChallenge struct {
	scheme, token string
	params        map[string]string
}

func TestParseChallenges(t *testing.T) {
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

		"duplicate":         {[]string{`Digest realm="a", REALM="b", nonce="n", Basic realm="x"`}, []wantChallenge{{"Basic", "", m{"realm": "x"}}}, []string{"Digest", "twice"}},
		"unterminated":      {[]string{`Digest realm="a, nonce=n`, `Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "does not end"}},
		"missing realm":     {[]string{`Basic`, `NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic", "no realm"}},
		"missing nonce":     {[]string{`Digest realm="r", Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "no nonce"}},
		"Digest realm":      {[]string{`Digest realm`}, nil, []string{"Digest", "no realm"}},
		"no comma":          {[]string{`Digest realm="r" nonce="n", Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"Digest", "comma"}},
		"garbage":           {[]string{`@@@, Basic realm="x"`}, []wantChallenge{{"Basic", "", nil}}, []string{"not a parameter"}},
		"parameter first":   {[]string{`realm="x"`, `Basic realm="y"`}, []wantChallenge{{"Basic", "", m{"realm": "y"}}}, []string{"without a scheme"}},
		"token and params":  {[]string{`NTLM abcd, realm=x, Basic realm="y"`}, []wantChallenge{{"Basic", "", nil}}, []string{"NTLM", "token and parameters"}},
		"no value":          {[]string{`Basic realm="x", charset=, NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic", "no value"}},
		"scheme with slash": {[]string{`Basic/1 realm="x", NTLM`}, []wantChallenge{{"NTLM", "", nil}}, []string{"Basic"}},
		"too many":          {[]string{strings.Repeat("NTLM,", 40)}, nil, []string{"more than 32 challenges"}},
		"too long":          {[]string{`NTLM`, `Basic realm="` + strings.Repeat("x", 64<<10) + `"`}, []wantChallenge{{"NTLM", "", nil}}, []string{"bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := proxyauth.ParseChallenges(test.fields)
			if len(test.errs) == 0 {
				require.NoError(t, err)
			}
			for _, text := range test.errs {
				require.ErrorContains(t, err, text)
			}
			if name == "too many" {
				require.Len(t, got, 32)
				return
			}
			require.Len(t, got, len(test.want))
			for i, want := range test.want {
				require.Equal(t, want.scheme, got[i].Scheme)
				require.Equal(t, want.token, got[i].Token68)
				for name, value := range want.params {
					require.True(t, got[i].HasParam(name))
					require.Equal(t, value, got[i].Param(name))
				}
				require.False(t, got[i].HasParam("absent"))
			}
		})
	}
}

// readChallenges returns the fields of each file in testdata/challenges: what
// proxies send, one field a line.
func readChallenges(t testing.TB) (all [][]string) {
	files, err := filepath.Glob("../testdata/challenges/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		all = append(all, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
	}
	return all
}

// FuzzParseChallenges: no panic, bounds kept, and every scheme that is returned
// stands in the text outside of quotes.
func FuzzParseChallenges(f *testing.F) {
	for _, fields := range readChallenges(f) {
		f.Add(strings.Join(fields, "\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		fields := strings.Split(text, "\n")
		challenges, _ := proxyauth.ParseChallenges(fields)
		if len(challenges) > 32 {
			t.Fatalf("%d challenges", len(challenges))
		}
		for _, c := range challenges {
			if !strings.Contains(unquoted(fields), c.Scheme) {
				t.Fatalf("%q offers no %q", text, c.Scheme)
			}
		}
	})
}

// unquoted returns the fields without what stands in quotes.
func unquoted(fields []string) string {
	var b strings.Builder
	for _, field := range fields {
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
		b.WriteByte('\n')
	}
	return b.String()
}

// BenchmarkParseChallenges compares what a proxy sends with the worst that the
// bounds let through.
func BenchmarkParseChallenges(b *testing.B) {
	for name, field := range map[string]string{
		"squid":   `Digest realm="proxy test", nonce="3f1e9d0c5b7a2e4860c9b1d2e3f40516", qop="auth", stale=false`,
		"hostile": "Digest " + strings.Repeat("a1=b,", 13000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(field)))
			for b.Loop() {
				proxyauth.ParseChallenges([]string{field})
			}
		})
	}
}
