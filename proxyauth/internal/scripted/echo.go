package scripted

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Encodings are ways in which a proxy, or what makes its pages, may write a text that it
// repeats, each by a name.
func Encodings() map[string]func(text string) string {
	query, path := url.QueryEscape, url.PathEscape
	return map[string]func(string) string{
		"as it is":   func(s string) string { return s },
		"upper case": func(s string) string { return letters.ReplaceAllStringFunc(s, strings.ToUpper) },
		"lower case": func(s string) string { return letters.ReplaceAllStringFunc(s, strings.ToLower) },
		"name":       http.CanonicalHeaderKey,

		"query":              query,
		"query, lower case":  func(s string) string { return percent.ReplaceAllStringFunc(query(s), strings.ToLower) },
		"path":               path,
		"path, lower case":   func(s string) string { return percent.ReplaceAllStringFunc(path(s), strings.ToLower) },
		"percent":            eachByte("%%%02X"),
		"percent, mixed":     eachByte("%%%02x", "%c"),
		"percent, twice":     func(s string) string { return query(query(s)) },
		"percent of Latin-1": func(s string) string { return query(latin1(s)) },
		"percent u":          eachUnit("%%u%04X"),

		"HTML":                        html.EscapeString,
		"HTML, names":                 named.Replace,
		"HTML, names, no semicolon":   strings.NewReplacer("&", "&amp", `"`, "&quot", "<", "&lt", ">", "&gt").Replace,
		"HTML, decimal":               eachRune("&#%d;"),
		"HTML, zeros":                 eachRune("&#%09d;"),
		"HTML, hexadecimal":           eachRune("&#x%x;"),
		"HTML, HEXADECIMAL":           eachRune("&#X%04X;"),
		"HTML, mixed":                 eachRune("&#%d;", "%c"),
		"HTML, decimal, no semicolon": func(s string) string { return eachRune("&#%d")(s) + " " },
		"HTML, twice":                 func(s string) string { return html.EscapeString(html.EscapeString(s)) },
		"HTML of bytes":               eachByte("&#%d;"),
		"HTML in JSON":                func(s string) string { return inJSON(named.Replace(s)) },

		"quoted-string":     strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace,
		"each byte quoted":  strings.NewReplacer(`\`, `\\`, `"`, `\"`, "/", `\/`, "'", `\'`, " ", `\ `).Replace,
		"JSON":              inJSON,
		"JSON in JSON":      func(s string) string { return inJSON(inJSON(s)) },
		"JSON, ASCII":       eachUnit(`\u%04x`),
		"JSON, UPPER CASE":  eachUnit(`\u%04X`),
		"JavaScript, bytes": eachByte(`\x%02x`),
		"JavaScript, BYTES": eachByte(`\x%02X`),
		"JavaScript, brace": eachRune(`\u{%x}`),
		"JavaScript, BRACE": eachRune(`\u{%06X}`),
		"C, octal":          eachByte(`\%03o`),
		"Go":                func(s string) string { return strings.Trim(strconv.Quote(s), `"`) },
		"Go, ASCII":         func(s string) string { return strings.Trim(strconv.QuoteToASCII(s), `"`) },
		"Python, ASCII":     eachRune(`\U%08x`),

		"ISO-8859-1":    latin1,
		"UTF-8, twice":  wide,
		"UTF-8, thrice": func(s string) string { return wide(wide(s)) },
		"UTF-16 of Latin-1": func(s string) string {
			var b strings.Builder
			for _, octet := range []byte(latin1(s)) {
				b.Write([]byte{octet, 0})
			}
			return b.String()
		},
		"controls":     func(s string) string { return strings.Join(strings.Split(s, ""), "\x01\x7f") },
		"no width":     func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") },
		"soft hyphens": func(s string) string { return strings.Join(strings.Split(s, ""), "&shy;") },
		"bidi":         func(s string) string { return "\u202e" + strings.Join(strings.Split(s, ""), "\u2066") },
		"no-break":     func(s string) string { return strings.ReplaceAll(s, " ", "&nbsp;") },
		"line":         func(s string) string { return strings.ReplaceAll(s, " ", "\r\n\t") },

		"hex":            func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HEX":            func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"hex, mixed":     eachByte("%02x", "%02X"),
		"hex, colons":    func(s string) string { return strings.TrimSuffix(eachByte("%02x:")(s), ":") },
		"hex, blanks":    func(s string) string { return strings.TrimSpace(eachByte("%02X ")(s)) },
		"hex of Latin-1": func(s string) string { return hex.EncodeToString([]byte(latin1(s))) },

		"base64":          encoded(base64.StdEncoding, ""),
		"base64, raw":     encoded(base64.RawStdEncoding, ""),
		"base64, URL":     encoded(base64.URLEncoding, ""),
		"base64, after 1": encoded(base64.StdEncoding, "x"),
		"base64, after 2": encoded(base64.RawURLEncoding, "ü"),
		"base64, lines":   func(s string) string { return broken(encoded(base64.StdEncoding, "")(s), 4, "\r\n") },
		"base64, folded":  func(s string) string { return broken(encoded(base64.StdEncoding, ":")(s), 5, "\r\n\t ") },
		"base64, mail":    func(s string) string { return broken(encoded(base64.StdEncoding, "")(s), 7, "=\r\n") },
		"base64 in JSON":  func(s string) string { return inJSON(broken(encoded(base64.StdEncoding, "")(s), 6, "\r\n")) },
		"base64, percent": func(s string) string { return eachByte("%%%02X")(encoded(base64.StdEncoding, "")(s)) },
		"base64, as name": func(s string) string { return http.CanonicalHeaderKey(encoded(base64.RawURLEncoding, "")(s)) },
		"base64, Latin-1": func(s string) string { return encoded(base64.StdEncoding, "a:")(latin1(s)) },
	}
}

var (
	percent = regexp.MustCompile("%..")
	letters = regexp.MustCompile("[A-Za-z]+")
	named   = strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&apos;", "<", "&lt;", ">", "&gt;", "ä", "&auml;", "ö", "&ouml;", "ü", "&uuml;", "é", "&eacute;")
)

// inJSON returns s as it stands in a string of JSON.
func inJSON(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(quoted[1 : len(quoted)-1])
}

// latin1 returns s in ISO-8859-1. Characters that it does not have stay as they are.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		if r < 0x100 {
			b = append(b, byte(r))
		} else {
			b = append(b, string(r)...)
		}
	}
	return string(b)
}

// wide returns the UTF-8 of s taken for ISO-8859-1.
func wide(s string) string {
	var b strings.Builder
	for _, octet := range []byte(s) {
		b.WriteRune(rune(octet))
	}
	return b.String()
}

// eachByte returns an encoder that writes the bytes by formats in turn. By "%c" one that is
// no letter or digit is written by the first format.
func eachByte(formats ...string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i, octet := range []byte(s) {
			format := formats[i%len(formats)]
			if format == "%c" && !strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(octet)) {
				format = formats[0]
			}
			fmt.Fprintf(&b, format, octet)
		}
		return b.String()
	}
}

// eachRune is eachByte for characters.
func eachRune(formats ...string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i, r := range []rune(s) {
			format := formats[i%len(formats)]
			if format == "%c" && strings.ContainsRune(`&"'<>`, r) {
				format = formats[0]
			}
			fmt.Fprintf(&b, format, r)
		}
		return b.String()
	}
}

// eachUnit is eachByte for the units of UTF-16.
func eachUnit(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, unit := range utf16.Encode([]rune(s)) {
			fmt.Fprintf(&b, format, unit)
		}
		return b.String()
	}
}

// encoded returns an encoder by base64 of before and the text.
func encoded(e *base64.Encoding, before string) func(string) string {
	return func(s string) string { return e.EncodeToString([]byte(before + s)) }
}

// broken puts a line end after each n bytes of s.
func broken(s string, n int, end string) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + end)
		s = s[n:]
	}
	return b.String() + s
}
