package main

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A cell is one contender at one scheme and way.
type cell struct {
	contender
	scheme scheme
	way    way
}

// cells returns, for each scheme and way, the contenders that get through, ours
// first.
func (w *world) cells() [][]cell {
	var rows [][]cell
	for _, s := range schemes {
		if s.name == digestSHA.name { // no other than MD5 in what follows
			continue
		}
		for _, way := range w.ways() {
			var row []cell
			for _, c := range contenders {
				if w.able[c.name][s.name+", "+way.name] {
					row = append(row, cell{c, s, way})
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (c cell) row() string { return c.scheme.name + ", " + c.way.name }

// reference returns the index of ours among the cells of a row that c is
// compared with.
func (c cell) reference() int {
	if c.told {
		return 1
	}
	return 0
}

// A rush is what a burst has cost.
type rush struct {
	counts   proxytest.Counts
	failures int
	took     time.Duration
}

// burst sends many goroutines at once through a proxy that nobody knows yet.
func burst(w *world, s scale) ([]*table, error) {
	t := &table{
		title: fmt.Sprintf("Cold burst of %d", s.burst),
		intro: "So many goroutines fetch at once through a proxy that the client does not know yet. The counts are the highest\n" +
			"of the rounds. How many connections a burst opens is net/http's doing and depends on the machine's load.",
		head: []string{"", "contender", "407s", "requests", "connections", "failures", "time"},
	}
	rounds := min(3, s.rounds)
	for _, row := range w.cells() {
		worst := make([]rush, len(row))
		times := make([][]time.Duration, len(row))
		for round := range rounds {
			for i := range row {
				i := (i + round) % len(row)
				r, err := row[i].rush(w, s.burst)
				if err != nil {
					return nil, err
				}
				a := &worst[i]
				a.counts.Challenges = max(a.counts.Challenges, r.counts.Challenges)
				a.counts.Requests = max(a.counts.Requests, r.counts.Requests)
				a.counts.Connections = max(a.counts.Connections, r.counts.Connections)
				a.failures = max(a.failures, r.failures)
				times[i] = append(times[i], r.took)
			}
		}
		for i, c := range row {
			mine, a := worst[c.reference()], worst[i]
			compared := func(theirs, ours int, slack float64) string {
				return t.lead(strconv.Itoa(theirs), c.row(), c.name, float64(theirs), float64(ours), slack)
			}
			t.add(c.row(), c.name,
				compared(a.counts.Challenges, mine.counts.Challenges, 0.02),
				compared(a.counts.Requests, mine.counts.Requests, 0.02),
				compared(a.counts.Connections, mine.counts.Connections, 0.2),
				compared(a.failures, mine.failures, 0),
				t.faster(ratioOf(times[i], times[c.reference()]), c.row(), c.name))
		}
	}
	return []*table{t}, nil
}

func (c cell) rush(w *world, n int) (rush, error) {
	st, p, err := w.site(c.scheme, proxytest.New)
	if err != nil {
		return rush{}, err
	}
	defer p.Close()
	base := st.base()
	rt, err := c.client(st, base)
	if err != nil {
		return rush{}, err
	}
	defer closeIdle(rt, base)
	var (
		wg       sync.WaitGroup
		failures atomic.Int64
	)
	start := time.Now()
	for range n {
		wg.Go(func() {
			if mustFetch(rt, c.way.url) != nil {
				failures.Add(1)
			}
		})
	}
	wg.Wait()
	return rush{p.Counts(), int(failures.Load()), time.Since(start)}, nil
}

// A ratio is what the rounds of a measurement say about a contender and ours.
type ratio struct{ median, upper float64 }

func (r ratio) String() string { return fmt.Sprintf("%.2f", r.median) }

// ratioOf returns the median and the upper quartile of the rounds' ratios.
func ratioOf(theirs, ours []time.Duration) ratio {
	ratios := make([]float64, len(theirs))
	for i := range theirs {
		ratios[i] = float64(theirs[i]) / float64(ours[i])
	}
	slices.Sort(ratios)
	return ratio{ratios[len(ratios)/2], ratios[(len(ratios)*3)/4]}
}
