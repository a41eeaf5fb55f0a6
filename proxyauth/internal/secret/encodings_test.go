package secret_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// R35, R44: a secret is struck in each encoding in which a proxy may repeat it, whatever is
// beside it, and nothing else is.
func TestEncodings(t *testing.T) {
	for _, hush := range []string{
		"sesame", "open sesame", `hüsh <hush>/p@ss"+word`, `p"ä\sS/w+d& %`, "alice:open sesame", `CORP\nina:t&amp;x's`, "%41bcd%25", "пароль", "😀 smile",
		"0a4f9b7c2d1e8f6a5b3c4d2e1f0a9b8c", "YWxpY2U6b3BlbiBzZXNhbWU=", "TlRMTVNTUAADAAAAGAAYAHoAAAAoASgBkgAAAA/+", "ends with %4", "&begins", "1000%",
	} {
		s := sent(hush)
		for name, encode := range scripted.Encodings() {
			echo := encode(hush)
			for _, beside := range [][2]string{{"", ""}, {"realm=\"", "\", "}, {"<p>", "</p>"}, {": ", "\r\n"}, {"your password ", " is wrong"}, {"/", "/x"}, {"q=", ";"}} {
				text := beside[0] + echo + beside[1]
				got := s.StrikeString(text)
				if !leftOver(echo, got, beside) {
					t.Errorf("%q as %s: %q becomes %q", hush, name, text, got)
				}
				require.Equal(t, got, s.StrikeString(got), "twice")
			}
		}
	}
}

// R35, R44: of an encoding that is cut off anywhere, nothing is left by which the secret begins.
func TestEncodingsCut(t *testing.T) {
	for _, hush := range []string{"open sesame", "stapl\u00e9 b\u00f6x", "\u043f\u0430\u0440\u043e\u043b\u044c", "\U0001f600 smile", "100%sure&not;"} {
		s := sent(hush)
		for name, encode := range scripted.Encodings() {
			echo := encode(hush)
			for end := range len(echo) {
				got := string(s.StrikeCut([]byte("." + echo[:end])))
				rest := strings.ReplaceAll(strings.TrimPrefix(got, "."), secret.Withheld, "")
				if len(strings.Trim(rest, " \u202e\"'\\rn=")) > 4 {
					t.Errorf("%q as %s, cut to %q: %q", hush, name, echo[:end], got)
				}
			}
		}
	}
}

// leftOver reports whether got is what may be left of a text that held a secret: what was
// beside it, and of its encoding at most what stands for nothing, such as the padding of
// base64, or for what was encoded with it.
func leftOver(echo, got string, beside [2]string) bool {
	got, begins := strings.CutPrefix(got, beside[0])
	got, ends := strings.CutSuffix(got, beside[1])
	before, after, found := strings.Cut(got, secret.Withheld)
	return begins && ends && found && strings.HasPrefix(echo, before) && len(strings.Trim(before, "\u202e")) <= 2 &&
		len(strings.Trim(strings.ReplaceAll(after, "%3D", "="), "= ;\x00\r\n\t\\rn")) == 0
}
