package lockout

import (
	"slices"
	"time"
)

// targets is the last few of them.
type targets []string

const (
	mostTargets    = 64
	patientDenials = 3 // refusals at denied targets, before they wait for a pass elsewhere
)

func (t targets) has(target string) bool { return slices.Contains(t, target) }

func (t *targets) add(target string) {
	if t.has(target) {
		return
	}
	if len(*t) == mostTargets {
		*t = slices.Delete(*t, 0, 1)
	}
	*t = append(*t, target)
}

func (t *targets) remove(target string) {
	*t = slices.DeleteFunc(*t, func(other string) bool { return other == target })
}

// odd reports whether a try is better made at another target: this one was
// refused or unclear since the last pass, or is denied.
func (a *account) odd(target string) bool {
	return a.refusedAt.has(target) || a.unclearAt.has(target) || a.denied.has(target)
}

// denies reports whether a refusal at the target says nothing: the proxy denied
// it before when the password was good, and that was good a moment ago.
func (a *account) denies(now time.Time, target string) bool {
	return a.denied.has(target) && now.Before(a.passed.Add(atEase))
}
