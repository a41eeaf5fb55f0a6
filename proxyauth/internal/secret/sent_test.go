package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

func sent(secrets ...string) *secret.Sent {
	var s secret.Sent
	s.Add(secrets...)
	return &s
}

// R35: a secret is struck in each shape in which a header or a page may repeat it,
// and nothing else is.
func TestStrike(t *testing.T) {
	const hush = `p"ä\sS/w+d& %`
	b := []byte(hush)
	for text, want := range map[string]string{
		"<" + hush + hush + ">":                             "<REDACTEDREDACTED>",
		`a="p\"ä\\sS/w+d& %"`:                               `a="REDACTED"`,    // quoted-string
		`"p\"ä\\sS/w+d\u0026 %"`:                            `"REDACTED"`,      // JSON
		"<p>p&#34;ä\\sS/w+d&amp; %</p>":                     "<p>REDACTED</p>", // HTML
		"q=p%22%C3%A4%5CsS%2Fw%2Bd%26+%25;":                 "q=REDACTED;",
		"q=p%22%c3%a4%5csS%2fw%2bd%26+%25;":                 "q=REDACTED;",
		"/p%22%C3%A4%5CsS%2Fw+d&%20%25/":                    "/REDACTED/",
		"/p%22%c3%a4%5csS%2fw+d&%20%25/":                    "/REDACTED/",
		base64.StdEncoding.EncodeToString(b):                "REDACTED=",
		base64.RawURLEncoding.EncodeToString(b):             "REDACTED",
		hex.EncodeToString(b):                               "REDACTED",
		strings.ToUpper(hex.EncodeToString(b)):              "REDACTED",
		"":                                                  "",
		"nothing of it, but p and REDACTED":                 "nothing of it, but p and REDACTED",
		"p%22%C3%a4%5CsS%2Fw%2Bd%26+%25 (no encoder's way)": "p%22%C3%a4%5CsS%2Fw%2Bd%26+%25 (no encoder's way)",
	} {
		s := sent(hush)
		for range 2 {
			require.Equal(t, want, s.StrikeString(text))
		}
		require.Equal(t, want, string(s.Strike([]byte(text))))
		require.Equal(t, []string{"", want, want}, s.StrikeAll([]string{"", text, text}))
		require.Equal(t, text, sent("", "").StrikeString(text))
	}
}

// R35: a secret of fewer than four bytes is struck where it is a word.
func TestStrikeWord(t *testing.T) {
	for _, test := range []struct{ secret, text, want string }{
		{"abc", "abc", "REDACTED"},
		{"abc", `"abc"`, `"REDACTED"`},
		{"abc", "abc abc,abc", "REDACTED REDACTED,REDACTED"},
		{"abc", "abcabc", "abcabc"},
		{"abc", "xabc abcx 1abc abc1 äabc abcä", "xabc abcx 1abc abc1 äabc abcä"},
		{"abc", "abc_abc", "REDACTED_REDACTED"},
		{"abc", "YWJj 616263", "YWJj 616263"}, // other shapes of one that short are words
		{"-", "a-b - c", "a-b REDACTED c"},
		{"-", "--", "REDACTEDREDACTED"},
		{"ä", "ä ää ö", "REDACTED ää ö"},
		{"abcd", "xabcdx YWJjZA== 61626364", "xREDACTEDx REDACTED== REDACTED"},
	} {
		require.Equal(t, test.want, sent(test.secret).StrikeString(test.text), "%s in %s", test.secret, test.text)
	}
}

// R35: of a text that was cut off, the beginning of a secret at its end goes, too.
func TestStrikeCut(t *testing.T) {
	for _, test := range []struct{ secret, text, want string }{
		{"open sesame", "the password open sesame is wrong", "the password REDACTED is wrong"},
		{"open sesame", "the password open ses", "the password "},
		{"open sesame", "the password o", "the password "},
		{"open sesame", "open", ""},
		{"open sesame", "the password ", "the password "},
		{"open sesame", "open%20ses", ""},
		{"open sesame", "b3BlbiBzZX", ""},
		{"open sesame", "open sesame", "REDACTED"},
		{"abc", "x ab", "x "},
		{"", "x ab", "x ab"},
	} {
		require.Equal(t, test.want, string(sent(test.secret).StrikeCut([]byte(test.text))), "%s in %s", test.secret, test.text)
	}
}

// The longest goes first, since a part of one secret may be another; what is added
// to a copy is not struck by the original.
func TestSeveralSecrets(t *testing.T) {
	s := sent("open", "open sesame", "open")
	require.Equal(t, "REDACTED, REDACTED barley", s.StrikeString("open sesame, open barley"))
	c := s.Clone()
	require.Equal(t, "REDACTED barley", c.StrikeString("open barley"))
	c.Add("", "barley")
	require.Equal(t, "REDACTED REDACTED", c.StrikeString("open barley"))
	require.Equal(t, "REDACTED barley", s.StrikeString("open barley"))
	s.Add("sesame")
	require.Equal(t, "REDACTED, REDACTED", s.StrikeString("open sesame, sesame"))
}
