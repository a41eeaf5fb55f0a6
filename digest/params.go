package digest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Param is one auth-param (RFC 9110 §11.2): a name in lower case, since
// names are case-insensitive, and a value without its quotes and escapes.
type Param struct{ Name, Value string }

// Params are the auth-params of one challenge or of one Authentication-Info
// field, in the order received, each name once.
type Params []Param

// maxParams bounds how many parameters are kept for one challenge. Digest has
// ten; the bound keeps the search for duplicates cheap on a hostile header.
const maxParams = 32

var (
	errNoParam      = errors.New("not a parameter")
	errUnterminated = errors.New("a quoted value does not end")
	errNoComma      = errors.New("no comma after the value")
	errTooMany      = fmt.Errorf("more than %d parameters", maxParams)
)

// decisive are the parameters that decide what is proved, and how. A second value may have
// been added on the way, to get a weaker proof, or one for somebody else.
var decisive = []string{
	"nonce", "algorithm", "qop", "userhash", // of a challenge
	"username", "username*", "uri", "response", "cnonce", "nc", // of an answer to it
	"nextnonce", "rspauth", // of Authentication-Info
}

// Lookup returns the value of the parameter name, in any case, and whether it
// was there.
func (p Params) Lookup(name string) (value string, ok bool) {
	for i := range p {
		if strings.EqualFold(p[i].Name, name) {
			return p[i].Value, true
		}
	}
	return "", false
}

// Get returns the value of the parameter name, in any case, or "".
func (p Params) Get(name string) string {
	value, _ := p.Lookup(name)
	return value
}

// Add returns p with one more parameter; like append, it may change p. Where p has the
// name already, which RFC 9110 §11.2 forbids, the later value counts, as in curl and
// Chromium. It is an error for nonce, and, where the two values differ, for each other
// parameter that decides what is proved and how: algorithm, qop, userhash, username,
// username*, uri, response, cnonce, nc, nextnonce and rspauth. More than 32 parameters
// are an error.
func (p Params) Add(param Param) (Params, error) {
	name := strings.ToLower(param.Name)
	i := slices.IndexFunc(p, func(old Param) bool { return strings.EqualFold(old.Name, name) })
	switch {
	case i < 0 && len(p) >= maxParams:
		return p, errTooMany
	case i < 0:
		return append(p, param), nil
	case slices.Contains(decisive, name) && (name == "nonce" || p[i].Value != param.Value):
		return p, fmt.Errorf("parameter %.40q occurs twice", name)
	}
	p[i].Value = param.Value
	return p, nil
}

// ParseParams parses a list of auth-params: the value of an Authentication-Info or
// Proxy-Authentication-Info field (RFC 7615), or what follows the scheme in a challenge.
// It reads each as [ScanParam] does, and adds it as [Params.Add] does. Empty list
// elements are skipped. On an error the parameters before it are returned too.
func ParseParams(s string) (Params, error) {
	var params Params
	for {
		s = strings.TrimLeft(s, blanks+",")
		if s == "" {
			return params, nil
		}
		param, rest, err := ScanParam(s)
		if err == nil {
			params, err = params.Add(param)
		}
		if err != nil {
			return params, fmt.Errorf("digest: %w", err)
		}
		s = rest
	}
}

const (
	blanks     = " \t"
	separators = blanks + ";" // what some servers write between parameters
)

// ScanParam reads one auth-param from the front of s (RFC 9110 §11.2: the value a token or
// a quoted-string, white space allowed around "="), and returns what is to be read after
// it: "", or a comma and what follows.
//
// As curl and Chromium do, it also reads what no standard allows:
//
//   - blanks, a semicolon or nothing in place of the comma (realm="r" nonce="n"); the
//     rest then begins with the next parameter;
//   - without quotes, an empty value, one with octets that no token has
//     (nonce=TmV0/d29yaw==), and, but for the parameters that [Params.Add] takes once,
//     one with blanks in it, which ends at the comma (realm=my office);
//   - a quoted value without its end, or with quotes in it (realm="my "big" office").
//
// Such a value must not have a comma, an equals sign or a quote by which something else may
// begin. An error names what is wrong, and never the value; rest is s then.
func ScanParam(s string) (param Param, rest string, err error) {
	name, value, ok := scanName(s)
	if !ok {
		return Param{}, s, errNoParam
	}
	param.Name = strings.ToLower(name)
	if strings.HasPrefix(value, `"`) {
		param.Value, rest, err = scanQuoted(value)
	} else if param.Value, rest, err = scanUnquoted(value); err == nil {
		apart := s[len(s)-len(value)-1] != '=' // blanks stand before the value, which may be a scheme then
		if apart && rest != "" && rest[0] != ',' || slices.Contains(decisive, param.Name) && strings.ContainsAny(param.Value, blanks) {
			err = errNoComma
		}
	}
	if err != nil {
		return Param{}, s, fmt.Errorf("parameter %.40q: %w", name, err)
	}
	return param, rest, nil
}

// scanName reads the name of an auth-param and all that stands before its value.
func scanName(s string) (name, value string, ok bool) {
	name, value = ScanToken(s)
	value, ok = strings.CutPrefix(strings.TrimLeft(value, blanks), "=")
	return name, strings.TrimLeft(value, blanks), ok && name != ""
}

// scanEnd returns what is to be read after a parameter that ends before s. It reports
// whether one can end there.
func scanEnd(s string) (rest string, ok bool) {
	rest = strings.TrimLeft(s, separators)
	if rest != "" && rest[0] != ',' {
		_, _, ok = scanName(rest)
		return rest, ok
	}
	return rest, true
}

// scanUnquoted reads a value that does not begin with a quote.
func scanUnquoted(s string) (value, rest string, err error) {
	end := strings.IndexAny(s, separators+`,"`)
	if end < 0 {
		return s, "", nil
	}
	if rest, ok := scanEnd(s[end:]); ok {
		return s[:end], rest, nil
	}
	value, rest = ScanElement(s) // of several words
	if strings.ContainsAny(value, `"=`) {
		return "", "", errNoComma
	}
	return strings.TrimRight(value, separators), rest, nil
}

// scanQuoted reads a value that begins with a quote, and undoes its escapes. Octets beyond
// ASCII are kept as they are.
func scanQuoted(s string) (value, rest string, err error) {
	end := quotedEnd(s)
	err = errUnterminated
	if end != 0 {
		if rest, ok := scanEnd(s[end:]); ok {
			return unescape(s[1 : end-1]), rest, nil
		}
		err = errNoComma
	}
	// The quote does not end, or more follows: the whole list element is the value, unless
	// something else may begin in it.
	value, rest = ScanElement(s)
	value, closed := strings.CutSuffix(strings.TrimRight(value[1:], separators), `"`)
	switch {
	case strings.ContainsAny(value, ",="):
		return "", "", err
	case end != 0 && (!closed || strings.IndexByte(separators, s[end]) >= 0): // words follow the quoted value
		return "", "", err
	}
	return unescape(value), rest, nil
}

// ScanElement reads a list element (RFC 9110 §5.6.1) from the front of s, and returns the
// comma after it with what follows. A comma in a quoted-string does not end it.
func ScanElement(s string) (element, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return s[:i], s[i:]
		case '"':
			n := quotedEnd(s[i:])
			if n == 0 {
				return s, ""
			}
			i += n - 1
		}
	}
	return s, ""
}

// ScanToken reads a token (RFC 9110 §5.6.2), which may be empty, from the
// front of s and returns what follows it.
func ScanToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// quotedEnd returns the length of the quoted-string (RFC 9110 §5.6.4) at the front of s, or
// 0 if it does not end.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return 0
}

// unescape takes away the backslashes of quoted-pairs.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// appendQuoted appends s as a quoted-string.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	b = appendEscaped(b, s)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return b
}
