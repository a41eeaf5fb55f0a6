package proxytest

import (
	"fmt"
	"net/url"
	"strings"
)

// param is the value of an auth-param, and how it was written.
type param struct {
	value  string
	quoted bool
}

// parseParams reads a list of auth-params (RFC 9110, section 11.4), as the
// grammar for senders has it: no space around "=", no empty element, and each
// name at most once. Names come out in lower case.
func parseParams(s string) (map[string]param, error) {
	params := make(map[string]param)
	for {
		name := token(s)
		if name == "" {
			return nil, fmt.Errorf("a parameter is expected at %q", s)
		}
		s = s[len(name):]
		name = strings.ToLower(name)
		if _, ok := params[name]; ok {
			return nil, fmt.Errorf("the parameter %s occurs twice", name)
		}
		if !strings.HasPrefix(s, "=") {
			return nil, fmt.Errorf("the parameter %s is not followed by =", name)
		}
		s = s[1:]
		var p param
		if p.quoted = strings.HasPrefix(s, `"`); p.quoted {
			value, rest, ok := unquote(s)
			if !ok {
				return nil, fmt.Errorf("the value of %s is not a quoted string", name)
			}
			p.value, s = value, rest
		} else {
			p.value = token(s)
			if p.value == "" {
				return nil, fmt.Errorf("the value of %s is not a token", name)
			}
			s = s[len(p.value):]
		}
		params[name] = p
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return params, nil
		}
		if s[0] != ',' {
			return nil, fmt.Errorf("a comma is expected after %s", name)
		}
		s = strings.TrimLeft(s[1:], " \t")
	}
}

// token returns the token that s begins with, which may be empty.
func token(s string) string {
	for i := 0; i < len(s); i++ {
		if !isTokenByte(s[i]) {
			return s[:i]
		}
	}
	return s
}

func isTokenByte(b byte) bool {
	return isAlphanumeric(b) || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
}

func isAlphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// unquote reads the quoted-string that s begins with.
func unquote(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			return b.String(), s[i+1:], true
		}
		if c == '\\' && i+1 < len(s) {
			i++
			c = s[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f { // escaped neither
			return "", "", false
		}
		b.WriteByte(c)
	}
	return "", "", false
}

// quote returns s as a quoted-string.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// decodeExtended reads an ext-value in UTF-8 (RFC 8187, section 3.2).
func decodeExtended(s string) (string, error) {
	charset, rest, _ := strings.Cut(s, "'")
	_, chars, ok := strings.Cut(rest, "'")
	if !ok || !strings.EqualFold(charset, "UTF-8") {
		return "", fmt.Errorf("%q does not begin with UTF-8''", s)
	}
	for i := 0; i < len(chars); i++ {
		if c := chars[i]; c != '%' && !isAlphanumeric(c) && strings.IndexByte("!#$&+-.^_`|~", c) < 0 {
			return "", fmt.Errorf("%q must be percent-encoded", c)
		}
	}
	return url.PathUnescape(chars)
}
