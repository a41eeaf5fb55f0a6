package lockout

import "time"

const (
	forever     = 200 * 365 * 24 * time.Hour
	rejectedFor = 31 * time.Minute // directories count failures for 30 minutes
	longest     = 4 * time.Hour    // that refused credentials are left alone
)

// pauses are how long credentials are left alone.
type pauses struct {
	long    time.Duration   // after two refusals of what never passed
	window  time.Duration   // for so long an attempt counts for other pairs: see rivals
	holds   []time.Duration // between the tries of what has passed and is held
	retries []time.Duration // between the tries of a refused pair, while the former pair passes
}

// newPauses returns the pauses for a time that refused credentials are left alone; zero
// is 31 minutes, less is for good.
func newPauses(long time.Duration) *pauses {
	if long < 0 {
		ever := []time.Duration{forever}
		return &pauses{long: forever, window: rejectedFor, holds: ever, retries: ever}
	}
	if long == 0 {
		long = rejectedFor
	}
	const minute = time.Minute
	return &pauses{
		long: long, window: long,
		holds:   []time.Duration{20 * time.Second, minute, 2 * minute, 4 * minute, 8 * minute, max(8*minute, long)},
		retries: []time.Duration{20 * time.Second, 2 * minute, max(2*minute, long)},
	}
}

// A pause is the time between tries, which grows. A try begins the next pause at once,
// so that only one is made, and the answer to it begins that pause again.
type pause struct {
	next time.Time // when the next try may be made; zero: there is nothing to try
	step int       // how many tries there were
	try  *place    // the last one
}

func (p *pause) begin(now time.Time, steps []time.Duration) {
	p.next = now.Add(steps[min(p.step, len(steps)-1)])
}

// claim begins a try.
func (p *pause) claim(now time.Time, steps []time.Duration, try *place) {
	p.step++
	p.try = try
	p.begin(now, steps)
}

// giveBack undoes a try that did not take place, if it is the last one.
func (p *pause) giveBack(now time.Time, try *place) {
	if try == p.try {
		*p = pause{next: now, step: p.step - 1}
	}
}
