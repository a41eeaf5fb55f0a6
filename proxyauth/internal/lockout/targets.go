package lockout

import (
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

const (
	mostTargets    = 64
	patientDenials = 3 // refusals at denied targets, before these wait for a pass elsewhere
)

// A list is the last few targets that were added.
type list []string

func (l list) has(target string) bool { return slices.Contains(l, target) }

func (l *list) add(target string) {
	if l.has(target) {
		return
	}
	if len(*l) == mostTargets {
		*l = slices.Delete(*l, 0, 1)
	}
	*l = append(*l, target)
}

func (l *list) remove(target string) {
	*l = slices.DeleteFunc(*l, func(other string) bool { return other == target })
}

// targets is where an account was refused.
type targets struct {
	denied               list // by the proxy, whatever the password
	denials              int  // refusals at denied targets, since the last pass
	refusedAt, unclearAt list // since the last pass: where it was refused, and where unclear
}

// odd reports whether a try is better made at another target: this one was refused or
// unclear since the last pass, or is denied.
func (t *targets) odd(target string) bool {
	return t.refusedAt.has(target) || t.unclearAt.has(target) || t.denied.has(target)
}

// waits reports whether requests to a denied target wait for a pass elsewhere.
func (t *targets) waits(target string) bool {
	return t.denied.has(target) && t.denials >= patientDenials
}

// note takes in an answer that is no pass.
func (t *targets) note(target string, v verdict.Verdict) {
	switch v {
	case verdict.Refused:
		t.refusedAt.add(target)
	case verdict.Unclear, verdict.UnclearTarget:
		t.unclearAt.add(target)
	}
}

// pass takes in a pass: where the same password was refused before, the proxy denies the
// target.
func (t *targets) pass(target string) {
	for _, other := range t.refusedAt {
		t.denied.add(other)
	}
	t.denied.remove(target)
	t.clear()
}

func (t *targets) clear() { *t = targets{denied: t.denied} }
