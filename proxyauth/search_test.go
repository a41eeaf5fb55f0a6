package proxyauth_test

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// What is struck from texts is searched for here in another way than by package secret:
// texts are decoded by all decoders in turn, as whoever wants to know a secret would do.

var (
	percents  = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	units     = regexp.MustCompile(`[%\\]u([0-9A-Fa-f]{4})`)
	braces    = regexp.MustCompile(`\\u\{0*([0-9A-Fa-f]{1,6})\}`)
	longUnits = regexp.MustCompile(`\\U([0-9A-Fa-f]{8})`)
	octets    = regexp.MustCompile(`\\x([0-9A-Fa-f]{2})`)
	octals    = regexp.MustCompile(`\\([0-3][0-7]{2})`)
	escaped   = regexp.MustCompile(`\\(.)`)
	unseen    = regexp.MustCompile("[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
	white     = regexp.MustCompile(`(=?(\s|\x{a0}|\\[rnt]))+`)
	digits    = regexp.MustCompile(`(?:[0-9A-Fa-f]{2}[: ]?){4,}`)
	base64s   = regexp.MustCompile(`[A-Za-z0-9+/_-]{6,}`)
)

// decoders undo one encoding each, wherever it is in a text.
var decoders = []func(string) string{
	html.UnescapeString,
	func(s string) string {
		return percents.ReplaceAllStringFunc(s, func(p string) string { b, _ := hex.DecodeString(p[1:]); return string(b) })
	},
	func(s string) string { return runesOf(s, units, 16) },
	func(s string) string { return runesOf(s, braces, 16) },
	func(s string) string { return runesOf(s, longUnits, 16) },
	func(s string) string { return bytesOf(s, octets, 16) },
	func(s string) string { return bytesOf(s, octals, 8) },
	func(s string) string { return escaped.ReplaceAllString(s, "$1") },
	func(s string) string { return strings.ReplaceAll(s, "+", " ") },
	func(s string) string { return unseen.ReplaceAllString(s, "") },
	func(s string) string { return white.ReplaceAllString(s, " ") },
	func(s string) string { return white.ReplaceAllString(s, "") },
	func(s string) string { // ISO-8859-1
		if utf8.ValidString(s) {
			return s
		}
		var b strings.Builder
		for _, octet := range []byte(s) {
			b.WriteRune(rune(octet))
		}
		return b.String()
	},
	func(s string) string { // UTF-8, twice
		var b []byte
		for _, r := range s {
			if r >= 0x100 {
				return s
			}
			b = append(b, byte(r))
		}
		if !utf8.Valid(b) {
			return s
		}
		return string(b)
	},
	func(s string) string {
		return digits.ReplaceAllStringFunc(s, func(d string) string {
			d = strings.NewReplacer(":", "", " ", "").Replace(d)
			b, _ := hex.DecodeString(d)
			return string(b)
		})
	},
	func(s string) string { return inBase64(s, 0) },
	func(s string) string { return inBase64(s, 1) },
	func(s string) string { return inBase64(s, 2) },
	func(s string) string { return inBase64(s, 3) },
}

func runesOf(s string, in *regexp.Regexp, base int) string {
	return in.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(in.FindStringSubmatch(e)[1], base, 32)
		return string(rune(n))
	})
}

func bytesOf(s string, in *regexp.Regexp, base int) string {
	return in.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(in.FindStringSubmatch(e)[1], base, 8)
		return string([]byte{byte(n)})
	})
}

func inBase64(s string, skip int) string {
	return base64s.ReplaceAllStringFunc(s, func(d string) string {
		d = strings.NewReplacer("-", "+", "_", "/").Replace(d)
		d = d[min(skip, len(d)):]
		b, _ := base64.RawStdEncoding.DecodeString(d[:len(d)/4*4])
		if last := len(d) % 4; last > 1 {
			rest, _ := base64.RawStdEncoding.DecodeString(d[len(d)-last:])
			b = append(b, rest...)
		}
		return string(b)
	})
}

// decodings returns a text in all readings of up to depth decoders, the text itself first.
func decodings(text string, depth int) []string {
	all, known := []string{text}, map[string]bool{text: true}
	for begin := 0; depth > 0; depth-- {
		end := len(all)
		for _, s := range all[begin:end] {
			for _, decode := range decoders {
				if d := decode(s); !known[d] {
					known[d] = true
					all = append(all, d)
				}
			}
		}
		begin = end
	}
	return all
}

// findSecret returns a reading of text which holds the secret, in any case and with any
// white space, or "".
func findSecret(text, secret string, depth int) string {
	plain := strings.ToLower(secret)
	dense := strings.ToLower(white.ReplaceAllString(secret, ""))
	name := strings.ToLower(base64.RawURLEncoding.EncodeToString([]byte(secret)))
	for _, d := range decodings(text, depth) {
		lower := strings.ToLower(d)
		if strings.Contains(lower, plain) || strings.Contains(lower, name) || len(dense) >= 8 && strings.Contains(white.ReplaceAllString(lower, ""), dense) {
			return d
		}
	}
	return ""
}

// The search finds a secret in each encoding.
func TestFindSecret(t *testing.T) {
	t.Parallel()
	for name, encode := range scripted.Encodings() {
		require.NotEmpty(t, findSecret("it is <"+encode(hush)+"> that", hush, 3), "%s: %q", name, encode(hush))
		require.NotEmpty(t, findSecret(strconv.Quote(encode(hush)), hush, 4), "%s, quoted: %q", name, encode(hush))
	}
	require.Empty(t, findSecret("it is <"+url.QueryEscape("hüsh <hush>, p@ss word")+"> that", hush, 3))
}
