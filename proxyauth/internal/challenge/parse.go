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

// Parse reads the values of the Proxy-Authenticate fields of one response, in order.
// It returns the well-formed challenges, and an error that joins a [*Malformed] for each
// malformed one. What is well-formed is said by [digest.ScanParam] and [digest.Params.Add],
// which excuse what curl and browsers excuse.
//
// required returns the parameters that the standard of a scheme demands of its challenges,
// given the scheme's name as the proxy wrote it. A missing realm is excused, unless the name
// may be a word of a text without quotes: where a token follows it, or where nothing
// follows it and its field has begun with more than bare names of schemes.
func Parse(fields []string, required func(scheme string) []string) ([]Challenge, error) {
	p := parser{required: required}
	fields, excess := Bounded(fields)
	for _, field := range fields {
		if !p.field(field) {
			break
		}
	}
	p.finish()
	return p.done, errors.Join(append(p.errs, excess)...)
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
	inText  bool       // more than bare names stands before current in its field
	seen    int        // challenges begun
}

// field reads one field value. It returns false when no more should be read.
func (p *parser) field(s string) bool {
	inText := false // more than bare names has been read
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return true
		}
		token, rest := digest.ScanToken(s)
		text := strings.TrimLeft(rest, " \t")
		if token != "" && !strings.HasPrefix(text, "=") {
			if !p.begin(token) {
				return false
			}
			p.inText = inText
			element, next := digest.ScanElement(text)
			element = strings.TrimRight(element, " \t")
			if element == "" || len(text) < len(rest) && p.isToken68(element) {
				p.current.Token68 = element
				inText = inText || element != ""
				s = next
				continue
			}
			s = text
		}
		s = p.param(s)
		inText = true
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
	if err != nil {
		p.malformed(err)
		_, rest = digest.ScanElement(s)
		return rest
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
		isWord := c.Token68 != "" || p.inText && len(c.Params) == 0 // perhaps
		required := p.required(c.Scheme)
		missing := slices.IndexFunc(required, func(name string) bool {
			return !c.Has(name) && (name != "realm" || isWord)
		})
		if missing >= 0 {
			p.malformed(errors.New("no " + required[missing]))
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

// isToken68 reports whether s, which follows the scheme's name, is a token68 (RFC 9110
// §11.2). Where the scheme requires parameters, "realm=" is a parameter without a value.
func (p *parser) isToken68(s string) bool {
	token := strings.TrimRight(s, "=")
	return token != "" && strings.TrimLeft(token, token68) == "" &&
		(len(token) == len(s) || len(p.required(p.current.Scheme)) == 0)
}

const token68 = "-._~+/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
