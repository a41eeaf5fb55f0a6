package lockout

import (
	"slices"
	"time"
)

// How long a request waits.
const (
	patience = 30 * time.Second // in all
	soon     = 5 * time.Second  // for a turn that no answer under way may bring sooner
)

// A turn is when an attempt may be made.
type turn struct {
	at      time.Time     // any time up to now means now
	others  time.Duration // for so long before that, requests to other targets may go
	unasked time.Time     // when it comes if no such request asks meanwhile; zero: at
	answers bool          // an answer under way may bring it sooner
	former  bool          // until then requests go on with the former pair
	because *Evidence     // the answer it is due to, if that was to another account
}

func earliest(times ...time.Time) time.Time { return slices.MinFunc(times, time.Time.Compare) }

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// instant returns at or now, whichever is later, or the zero Time for never.
func instant(now, at time.Time) time.Time {
	if at.Sub(now) >= forever/2 {
		return time.Time{}
	}
	return latest(at, now)
}
