package digest

import (
	"errors"
	"fmt"
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
	errTooMany      = fmt.Errorf("more than %d parameters", maxParams)
)

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

// Add returns p with one more parameter. A name that p already has is an
// error (RFC 9110 §11.2: each name once), and so are more than 32 parameters.
func (p Params) Add(param Param) (Params, error) {
	if _, dup := p.Lookup(param.Name); dup {
		return p, fmt.Errorf("parameter %.40q occurs twice", param.Name)
	}
	if len(p) >= maxParams {
		return p, errTooMany
	}
	return append(p, param), nil
}

// ParseParams parses a comma-separated list of auth-params: the value of an
// Authentication-Info or Proxy-Authentication-Info field (RFC 7615), or what
// follows the scheme in a challenge. Empty list elements are skipped. On an
// error the parameters before it are returned too.
func ParseParams(s string) (Params, error) {
	var params Params
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return params, nil
		}
		param, rest, err := ScanParam(s)
		if err != nil {
			return params, fmt.Errorf("digest: %w", err)
		}
		rest = strings.TrimLeft(rest, " \t")
		if rest != "" && rest[0] != ',' {
			return params, fmt.Errorf("digest: no comma after parameter %.40q", param.Name)
		}
		if params, err = params.Add(param); err != nil {
			return params, fmt.Errorf("digest: %w", err)
		}
		s = rest
	}
}

// ScanParam reads one auth-param from the front of s (RFC 9110 §11.2: the
// value a token or a quoted-string, white space allowed around "=") and
// returns what follows it. An error names what is wrong and never the value.
func ScanParam(s string) (param Param, rest string, err error) {
	name, rest := ScanToken(s)
	rest = strings.TrimLeft(rest, " \t")
	if name == "" || rest == "" || rest[0] != '=' {
		return Param{}, s, errNoParam
	}
	param.Name = strings.ToLower(name)
	rest = strings.TrimLeft(rest[1:], " \t")
	if rest != "" && rest[0] == '"' {
		param.Value, rest, err = scanQuoted(rest)
		return param, rest, err
	}
	param.Value, rest = ScanToken(rest)
	if param.Value == "" {
		return param, rest, fmt.Errorf("parameter %.40q has no value", param.Name)
	}
	return param, rest, nil
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

// scanQuoted reads the quoted-string (RFC 9110 §5.6.4) at the front of s and
// undoes its escapes. Octets beyond ASCII are kept as they are.
func scanQuoted(s string) (value, rest string, err error) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			value = s[1:i]
			if escaped {
				value = unescape(value)
			}
			return value, s[i+1:], nil
		case '\\':
			escaped = true
			i++
		}
	}
	return "", "", errUnterminated
}

// unescape takes away the backslashes of quoted-pairs. After each of them
// scanQuoted has seen another character.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
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
