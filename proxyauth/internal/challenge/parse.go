// Package challenge reads the challenges in Proxy-Authenticate fields (RFC 9110 §11.3).
package challenge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/digest"
)

// A Challenge is a scheme with a token or with parameters.
type Challenge struct {
	Scheme  string // as the proxy wrote it
	Token68 string // "" when there is none
	Params  digest.Params
}

// Is reports whether the challenge is of the scheme, in any case.
func (c *Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// Has reports whether the challenge has the parameter name, in any case.
func (c *Challenge) Has(name string) bool {
	_, ok := c.Params.Lookup(name)
	return ok
}

// A Malformed is the error about one malformed challenge.
type Malformed struct {
	Scheme string // "" where it is not known; otherwise its first 40 characters
	Err    error
}

func (e *Malformed) Error() string {
	if e.Scheme == "" {
		return fmt.Sprintf("proxyauth: malformed challenge: %v", e.Err)
	}
	return fmt.Sprintf("proxyauth: malformed %q challenge: %v", e.Scheme, e.Err)
}

func (e *Malformed) Unwrap() error { return e.Err }

// Limits for the challenges of one response. The largest tokens in use are NTLM
// challenges and Kerberos errors, far below 64 KiB.
const (
	maxBytes      = 64 << 10
	maxChallenges = 32
)

// Parse reads the values of the Proxy-Authenticate fields of one response, in order.
// It returns the well-formed challenges, and an error that joins a [*Malformed] for each
// malformed one. required returns the parameters that a challenge of a scheme must have;
// the scheme's name is as the proxy wrote it.
func Parse(fields []string, required func(scheme string) []string) ([]Challenge, error) {
	p := parser{required: required}
	size := 0
	for _, field := range fields {
		if size += len(field); size > maxBytes {
			p.fail("", fmt.Errorf("more than %d bytes of challenges", maxBytes))
			break
		}
		if !p.field(field) {
			break
		}
	}
	p.finish()
	return p.done, errors.Join(p.errs...)
}

// A parser collects challenges from list elements. A field may begin with parameters of
// the last challenge of the field before, since several fields of one name mean the same
// as one field with commas between their values (RFC 9110 §5.3).
type parser struct {
	required func(scheme string) []string

	done    []Challenge
	errs    []error
	current *Challenge // to which parameters are added; nil: none has begun
	bad     bool       // current is malformed, and its error is in errs
	seen    int        // challenges begun
}

// field reads one field value. It returns false when no more should be read.
func (p *parser) field(s string) bool {
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return true
		}
		token, rest := digest.ScanToken(s)
		afterSpace := strings.TrimLeft(rest, " \t")
		if token != "" && !strings.HasPrefix(afterSpace, "=") {
			if !p.begin(token) {
				return false
			}
			s = afterSpace
			if len(afterSpace) == len(rest) && rest != "" && rest[0] != ',' {
				p.malformed(errors.New("unexpected text after the scheme"))
				s = skipElement(rest)
				continue
			}
			if token68, rest := scanToken68(s); token68 != "" {
				p.current.Token68 = token68
				s = rest
			}
			continue
		}
		s = p.param(s)
	}
}

// begin starts a new challenge.
func (p *parser) begin(scheme string) bool {
	p.finish()
	if p.seen++; p.seen > maxChallenges {
		p.fail("", fmt.Errorf("more than %d challenges", maxChallenges))
		return false
	}
	p.current, p.bad = &Challenge{Scheme: scheme}, false
	return true
}

// param reads a parameter of the current challenge and returns what follows.
func (p *parser) param(s string) string {
	param, rest, err := digest.ScanParam(s)
	if err == nil {
		if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ',' {
			err = errors.New("no comma after a parameter")
		}
	}
	if err != nil {
		p.malformed(err)
		return skipElement(s)
	}
	switch {
	case p.current == nil:
		p.malformed(errors.New("a parameter without a scheme"))
	case p.current.Token68 != "":
		p.malformed(errors.New("a token and parameters together"))
	case !p.bad:
		if p.current.Params, err = p.current.Params.Add(param); err != nil {
			p.malformed(err)
		}
	}
	return rest
}

// finish adds the current challenge to done, if it is well-formed.
func (p *parser) finish() {
	c := p.current
	if c != nil && !p.bad {
		missing := slices.IndexFunc(p.required(c.Scheme), func(name string) bool { return !c.Has(name) })
		if missing >= 0 {
			p.malformed(errors.New("no " + p.required(c.Scheme)[missing]))
		} else {
			p.done = append(p.done, *c)
		}
	}
	p.current = nil
}

func (p *parser) malformed(err error) {
	if p.current == nil {
		p.fail("", err)
	} else if !p.bad {
		p.fail(p.current.Scheme, err)
	}
	p.bad = true
}

func (p *parser) fail(scheme string, err error) {
	if len(p.errs) >= maxChallenges {
		return
	}
	p.errs = append(p.errs, &Malformed{fmt.Sprintf("%.40s", scheme), err})
}

// scanToken68 reads a token68 (RFC 9110 §11.2) that fills its list element.
func scanToken68(s string) (token, rest string) {
	i := 0
	for i < len(s) && isToken68Byte(s[i]) {
		i++
	}
	for i < len(s) && s[i] == '=' {
		i++
	}
	rest = strings.TrimLeft(s[i:], " \t")
	if rest != "" && rest[0] != ',' {
		return "", s
	}
	return s[:i], rest
}

func isToken68Byte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0
}

// skipElement returns s from the comma that ends its first list element; a
// comma in a quoted string does not.
func skipElement(s string) string {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[i:]
		}
	}
	return ""
}
