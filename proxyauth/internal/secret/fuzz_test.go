package secret_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// R35, R44: whatever the text is and the secrets are, nothing panics, nothing is left of a
// secret in an encoding, what is struck stays so, and a text without secrets stays as it is.
func FuzzStrike(f *testing.F) {
	for i, name := range encodingNames() {
		f.Add("alice:p\"ä\\s S/w+d&%", "it is "+scripted.Encodings()[name]("p\"ä\\s S/w+d&%")+" that", uint8(i), 3)
	}
	f.Add("abc", "abc abcabc ABC %61bc", uint8(0), 0)
	f.Add("%%%%%%%%%%41", strings.Repeat("%3", 100)+strings.Repeat("3", 100)+"&#x&#&amp;amp;#38;", uint8(1), 7)
	f.Add("0000", "&#0000000", uint8(7), 54)
	f.Add("REDACTED", "REDACTEDACTED", uint8(2), 2)
	f.Add("D000", "0000000000", uint8(3), 0)
	f.Fuzz(func(t *testing.T, hush, text string, with uint8, at int) {
		names := encodingNames()
		encode := scripted.Encodings()[names[int(with)%len(names)]]
		if len(hush) > 1000 || len(text) > 10_000 {
			return
		}
		at = max(0, min(at, len(text)))
		s := sent(hush, "another secret")
		whole := text[:at] + encode(hush) + text[at:]
		got := s.StrikeString(whole)
		if again := s.StrikeString(got); again != got {
			t.Fatalf("%q in %q: %q, and then %q", hush, whole, got, again)
		}
		if cut := string(s.StrikeCut([]byte(whole))); !strings.HasPrefix(got, cut) {
			t.Fatalf("%q in %q: %q is no beginning of %q", hush, whole, cut, got)
		}
		if !strings.Contains(got, secret.Withheld) && got != whole {
			t.Fatalf("%q in %q: %q", hush, whole, got)
		}
		if isOrdinary(hush) && isOrdinary(text) && !strings.Contains(got, secret.Withheld) {
			t.Fatalf("%q as %s is left in %q", hush, names[int(with)%len(names)], got)
		}
		for part := range strings.SplitSeq(got, secret.Withheld) {
			if len(hush) >= 4 && strings.Contains(part, hush) {
				t.Fatalf("%q is left in %q", hush, got)
			}
		}
	})
}

// isOrdinary reports whether text has nothing by which the encoding of another text beside
// it may change what both mean.
func isOrdinary(text string) bool {
	return len(text) >= 8 && len(strings.Trim(text, " ")) == len(text) && !strings.Contains(text, "REDACTED") &&
		strings.IndexFunc(text, func(r rune) bool {
			return r < ' ' || r > '~' && r < 0xc0 || r > 0xff || strings.ContainsRune(`&#%\;+`, r)
		}) < 0
}

func encodingNames() (names []string) {
	for name := range scripted.Encodings() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
