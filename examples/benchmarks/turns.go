package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// A contest is the times of contenders that took turns, by contender and round;
// in a second series too, if someone was ahead of us in the first.
type contest struct{ first, second [][]time.Duration }

// takeTurns runs the contenders in turn, each round beginning with another one.
// reference returns the index of ours that a contender is compared with.
func takeTurns(rounds int, reference func(i int) int, runs []func() (time.Duration, error)) (contest, error) {
	series := func() ([][]time.Duration, error) {
		times := make([][]time.Duration, len(runs))
		for round := range rounds {
			for i := range runs {
				i := (i + round) % len(runs)
				took, err := runs[i]()
				if err != nil {
					return nil, err
				}
				times[i] = append(times[i], took)
			}
		}
		return times, nil
	}
	var c contest
	var err error
	if c.first, err = series(); err != nil {
		return c, err
	}
	for i := range runs {
		if c.ratio(i, reference(i)).ahead() {
			c.second, err = series()
			break
		}
	}
	return c, err
}

// to is the reference of rows in which all are compared with one.
func to(i int) func(int) int { return func(int) int { return i } }

// timed makes a run of what is timed from its beginning to its end.
func timed(run func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		err := run()
		return time.Since(start), err
	}
}

// A ratio is what a contest says about a contender and ours.
type ratio struct {
	median float64
	upper  float64 // quartile, of the worse series
}

func (r ratio) String() string { return fmt.Sprintf("%.2f", r.median) }

// ahead: by a twentieth, in three rounds of four, in each series.
func (r ratio) ahead() bool { return r.upper < 0.95 }

func (c contest) ratio(theirs, ours int) ratio {
	var all []float64
	var r ratio
	for _, series := range [][][]time.Duration{c.first, c.second} {
		if series == nil {
			continue
		}
		var ratios []float64
		for round, took := range series[theirs] {
			ratios = append(ratios, float64(took)/float64(series[ours][round]))
		}
		slices.Sort(ratios)
		r.upper = max(r.upper, ratios[len(ratios)*3/4])
		all = append(all, ratios...)
	}
	slices.Sort(all)
	r.median = all[len(all)/2]
	return r
}

// median returns the median time of a contender.
func (c contest) median(i int) time.Duration {
	times := slices.Sorted(slices.Values(c.first[i]))
	return times[len(times)/2]
}

// allocations returns how many one step of a run of so many takes. Proxies are
// in other processes, and the best of some runs is the one that the runtime's own
// work, as after a collection, has added least to.
func allocations(run func() error, steps int) (float64, error) {
	best := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := run()
		runtime.ReadMemStats(&after)
		if err != nil {
			return 0, err
		}
		best = min(best, float64(after.Mallocs-before.Mallocs)/float64(steps))
	}
	return best, nil
}
