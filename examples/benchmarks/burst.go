package main

import (
	"fmt"
	"slices"
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
	for _, row := range w.cells() {
		got := make([][]rush, len(row))
		var runs []func() (time.Duration, error)
		for i, c := range row {
			runs = append(runs, func() (time.Duration, error) {
				r, err := c.rush(w, s.burst)
				got[i] = append(got[i], r)
				return r.took, err
			})
		}
		times, err := takeTurns(min(3, s.rounds), func(i int) int { return row[i].reference() }, runs)
		if err != nil {
			return nil, err
		}
		for i, c := range row {
			ref := c.reference()
			compared := func(slack float64, of func(rush) int) string {
				var theirs, ours []float64
				for round := range got[i] {
					theirs = append(theirs, float64(of(got[i][round])))
					ours = append(ours, float64(of(got[ref][round])))
				}
				return t.less(fmt.Sprint(slices.Max(theirs)), c.row(), c.name, theirs, ours, slack)
			}
			t.add(c.row(), c.name,
				compared(0.02, func(r rush) int { return r.counts.Challenges }),
				compared(0.02, func(r rush) int { return r.counts.Requests }),
				compared(0.2, func(r rush) int { return r.counts.Connections }),
				compared(0, func(r rush) int { return r.failures }),
				t.faster(times.ratio(i, ref), c.row(), c.name))
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
