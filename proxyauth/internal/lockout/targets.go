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

// denies reports whether a refusal at the target says nothing: the proxy denied
// it before when the password was good, and that was good a moment ago.
func (a *account) denies(now time.Time, target string) bool {
	return a.denied.has(target) && now.Before(a.passed.Add(atEase))
}
