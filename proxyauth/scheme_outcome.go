package proxyauth

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A SchemeOutcome tells what became of one authentication scheme in a request that did
// not get through.
type SchemeOutcome struct {
	// Name is the auth-scheme as the standards write it: "Basic", "Digest", …; that of
	// a scheme which this package does not know is as the proxy writes it.
	Name string

	Offered bool // the proxy offers the scheme, in a challenge that is well-formed
	Tried   bool // credentials were sent by the scheme

	// Err is why the scheme could not be used, or why it failed. It is nil where
	// AuthError.Err says all: there are no credentials, or the proxy refused those that
	// were sent. errors.Is and errors.As find what it wraps, such as a
	// *negotiate.Error.
	Err error
}

// A finding is why a scheme did not do, or without a scheme something else that went
// wrong.
type finding struct {
	scheme string
	err    error
}

func (f finding) String() string {
	if errors.As(f.err, new(*challenge.Malformed)) { // which names the scheme
		return strings.TrimPrefix(f.err.Error(), "proxyauth: ")
	}
	if f.scheme == "" {
		return f.err.Error()
	}
	return f.scheme + ": " + f.err.Error()
}

// malformed returns the error of challenge.Parse as a finding for each malformed challenge.
func malformed(err error) (found []finding) {
	switch err := err.(type) {
	case *challenge.Malformed:
		return []finding{{err.Scheme, err}}
	case interface{ Unwrap() []error }:
		for _, err := range err.Unwrap() {
			found = append(found, malformed(err)...)
		}
	}
	return found
}

// outcomesOf returns the outcome of each scheme: first of those that the proxy offers, in
// its order, then of others that were tried, then of others in found. A name may occur
// more than once, in any case. reasons are the findings that are about no scheme.
func outcomesOf(offered, tried []string, found []finding) (schemes []SchemeOutcome, reasons []string) {
	outcome := func(name string) *SchemeOutcome {
		i := slices.IndexFunc(schemes, func(s SchemeOutcome) bool { return strings.EqualFold(s.Name, name) })
		if i < 0 {
			i = len(schemes)
			if known := scheme.Named(scheme.Default(), name); known != nil {
				name = known.Name()
			}
			schemes = append(schemes, SchemeOutcome{Name: name})
		}
		return &schemes[i]
	}
	for _, name := range offered {
		outcome(name).Offered = true
	}
	for _, name := range tried {
		outcome(name).Tried = true
	}
	for _, f := range found {
		if f.scheme == "" {
			reasons = append(reasons, f.String())
		} else {
			s := outcome(f.scheme)
			s.Err = withErr(s.Err, f.err)
		}
	}
	return schemes, reasons
}

// An outcomeError is the Err of a SchemeOutcome: one reason or more. It wraps them, and
// prints as their texts.
type outcomeError struct{ reasons []error }

// withErr adds a reason to the Err of a SchemeOutcome, unless it is there already.
func withErr(all, err error) error {
	e, _ := all.(*outcomeError)
	if e == nil {
		return &outcomeError{[]error{err}}
	}
	if !slices.ContainsFunc(e.reasons, func(known error) bool { return known.Error() == err.Error() }) {
		e.reasons = append(e.reasons, err)
	}
	return e
}

func (e *outcomeError) Error() string {
	var all []string
	for _, err := range e.reasons {
		all = append(all, finding{err: err}.String())
	}
	return strings.Join(all, "; ")
}

func (e *outcomeError) Unwrap() []error { return e.reasons }

// MarshalText is what encoding/json and the like write.
func (e *outcomeError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// findings returns the reasons why the scheme did not do.
func (s SchemeOutcome) findings() (found []finding) {
	if e, ok := s.Err.(*outcomeError); ok {
		for _, err := range e.reasons {
			found = append(found, finding{s.Name, err})
		}
	} else if s.Err != nil { // an error that a program makes itself
		found = append(found, finding{s.Name, s.Err})
	}
	return found
}

// offered returns the names of the schemes that the proxy offers.
func offered(schemes []SchemeOutcome) (names []string) {
	for _, s := range schemes {
		if s.Offered {
			names = append(names, s.Name)
		}
	}
	return names
}

// tried returns the names of the schemes by which credentials were sent, each once:
// first those in order, then others.
func tried(schemes []SchemeOutcome, order []string) (names []string) {
	all := slices.Clone(order)
	for _, s := range schemes {
		if s.Tried {
			all = append(all, s.Name)
		}
	}
	for _, name := range all {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}
