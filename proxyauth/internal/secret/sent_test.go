package secret_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
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
		"p%22%C3%a4%5CsS%2Fw%2Bd%26+%25 (no encoder's way)": "REDACTED (no encoder's way)",
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
		{"DEFG", "x REDACTED", "x REDACTED"},
		{"D open sesame", "x REDACTED open", "x REDACTED"},
		{"stapl\u00e9", "x stapl%C3%", "x "},
		{"stapl\u00e9", `x stapl\303\25`, "x "},
		{"stapl\u00e9", `x stapl\303\`, "x "},
		{"stapl\u00e9", "x stapl%25C3%25A", "x "},
		{"stapl\u00e9", "x stapl%C3%83%C2%A", "x "},
		{"stapl\u00e9", "x stapl&#195;&#1", "x "},
		{"stapl\u00e9", "x stapl\xc3", "x "},
		{"stapl\u00e9", "x stapl\u00c3\xc2", "x "},
		{"sesame", "x s\u200be\u200bs\xe2\x80", "x "},
		{"sm\U0001f600", `x sm\ud83d\ude0`, "x "},
		{"100%sure&not;", "x 100%sure%26%23110%3B%26%23111%3B%26%2311", "x "},
		{"100%sure&not;", `x 100%sure\u0026\u006e\`, "x "},
		{"100%sure&not;", "x 100%sure&no&#1", "x "},
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

// R44: names of fields are struck, too, in any case, but for those of every answer.
func TestStrikeHeader(t *testing.T) {
	h := http.Header{
		"Sesame":             {"open sesame"},
		"X-Sesame-X":         {"1"},
		"X-Ab":               {"AB ab"},
		"Ab":                 {"2"},
		"B3blbibzzxnhbwu":    {"3"}, // base64, as net/http writes a name
		"Proxy-Authenticate": {"Proxy-Authenticate"},
	}
	want := map[string][]string{ // not an http.Header, whose names are canonical
		"REDACTED":           {"REDACTED", "2", "3"},
		"X-REDACTED-X":       {"1"},
		"X-Ab":               {"AB REDACTED"},
		"Proxy-Authenticate": {"REDACTED-Authenticate"},
	}
	s := sent("open sesame", "sesame", "ab", "proxy")
	got := map[string][]string(s.StrikeHeader(h))
	slices.Sort(got["REDACTED"])
	slices.Sort(want["REDACTED"])
	require.Equal(t, want, got)
	require.Equal(t, []string{"open sesame"}, h["Sesame"], "a copy")
	require.Nil(t, s.StrikeHeader(nil))
	require.Equal(t, h, sent().StrikeHeader(h))
}

// R35: what is struck from a text is only what the secret is in, though one encoding is
// read in many ways.
func TestStrikesNothingElse(t *testing.T) {
	s := sent("hunter2", "pass", "opensesame", "a-b.c-d.e", "%41%42", "\\n\\n", "&amp;&amp;", "100% sure")
	for _, text := range []string{
		"", "%", "&", "\\", "&#", "%4", "the hunter 2", "h unter2", "up as stated", "open the sesame",
		"abcd", "AB", "100 are sure", "a b c d e", "&", "<p>ab</p>", "d41d8cd98f00b204e9800998ecf8427e",
	} {
		require.Equal(t, text, s.StrikeString(text))
		require.Equal(t, text, string(s.Strike([]byte(text))))
	}
}

// Time and memory hardly depend on how many secrets there are, and grow no faster than the
// text, whatever that is.
func BenchmarkStrike(b *testing.B) {
	var secrets []string
	for i := range 10 {
		secrets = append(secrets, base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "user%d:%x", i, sha256.Sum256([]byte{byte(i)}))))
	}
	line := "<p>The URL could not be retrieved: Access Denied, caf%C3%A9 &quot;cache&quot; d41d8cd98f00b204e9800998ecf8427e</p>\n"
	for name, text := range map[string]string{
		"page":    strings.Repeat(line, 4<<10/len(line)),
		"long":    strings.Repeat(line, 64<<10/len(line)),
		"hostile": strings.Repeat("%3", 32<<10) + strings.Repeat("3", 32<<10) + strings.Repeat("&a;&#38;", 4<<10),
		"secrets": strings.Repeat(secrets[0][:20], 64<<10/20),
	} {
		b.Run(name, func(b *testing.B) {
			s, page := sent(secrets...), []byte(text)
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				s.Strike(page)
			}
		})
	}
	var fields []string
	for i := 0; i < 64<<10; i += 50 {
		fields = append(fields, (line + line)[i%50:i%50+50])
	}
	b.Run("fields", func(b *testing.B) {
		s := sent(secrets...)
		b.SetBytes(64 << 10)
		b.ReportAllocs()
		for b.Loop() {
			s.StrikeAll(fields)
		}
	})
}
