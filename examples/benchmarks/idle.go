package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"
)

// idle measures what an authenticated connection costs while it waits.
func idle(w *world, s scale) ([]*table, error) {
	t := &table{
		title: fmt.Sprintf("Memory per idle authenticated connection, of %d", s.idle),
		intro: "So many requests are held until all have their answer, then let go. Bytes in the heap after a collection, above what\n" +
			"they were before, for each connection; the proxy is in another process. The stacks of its goroutines are as large as\n" +
			"the runtime has come to make them, not as what is on them. \"Kept\" are those connections that a second wave of as many\n" +
			"requests found there. Medians of three rounds.",
		head: []string{"", "contender", "heap, KiB", "stacks, KiB", "goroutines", "kept"},
	}
	all, err := w.startStubs()
	if err != nil {
		return nil, err
	}
	defer all.stop()
	for _, row := range w.warmCells() {
		got := make([][]rest, len(row))
		for range 3 {
			for i, c := range row {
				r, err := c.rest(all[c.scheme.kind], s.idle)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.name, c.row(), err)
				}
				got[i] = append(got[i], r)
			}
		}
		for i, c := range row {
			compared := func(format, what string, slack float64, of func(rest) float64) string {
				var theirs, ours []float64
				for round := range got[i] {
					theirs = append(theirs, of(got[i][round]))
					ours = append(ours, of(got[1][round]))
				}
				cell := fmt.Sprintf(format, slices.Sorted(slices.Values(theirs))[1])
				if i == 0 {
					return cell
				}
				return t.less(cell, row[1].row()+", "+what, c.name, theirs, ours, slack)
			}
			t.add(row[1].row(), c.name,
				compared("%.1f", "heap", 0.02, func(r rest) float64 { return r.heap / 1024 }),
				compared("%.1f", "stacks", 0.1, func(r rest) float64 { return r.stacks / 1024 }),
				compared("%.1f", "goroutines", 0.03, func(r rest) float64 { return r.goroutines }),
				fmt.Sprint(slices.MinFunc(got[i], func(a, b rest) int { return a.kept - b.kept }).kept))
		}
	}
	return []*table{t}, nil
}

// rest is what connections at rest cost.
type rest struct {
	heap, stacks, goroutines float64 // for each
	kept                     int
}

func (c cell) rest(st *stubSite, n int) (rest, error) {
	base := st.base()
	base.MaxIdleConns, base.MaxIdleConnsPerHost = 0, n
	rt, err := c.client(&st.site, base)
	if err != nil {
		return rest{}, err
	}
	url := warmURLs[c.way.name]
	if err := mustFetch(rt, url); err != nil {
		return rest{}, err
	}
	closeIdle(rt, base)
	before := inUse()
	if err := hold(rt, url, n); err != nil {
		return rest{}, err
	}
	after := inUse()
	first, err1 := st.process.connections()
	err2 := hold(rt, url, n)
	second, err3 := st.process.connections()
	if err := errors.Join(err1, err2, err3); err != nil {
		return rest{}, err
	}
	closeIdle(rt, base)
	for deadline := time.Now().Add(timeout); runtime.NumGoroutine() > before.goroutines; time.Sleep(time.Millisecond) { // nothing tells the end of net/http's goroutines
		if time.Now().After(deadline) {
			return rest{}, errors.New("connections do not end")
		}
	}
	each := func(before, after uint64) float64 { return float64(int64(after)-int64(before)) / float64(n) }
	return rest{each(before.heap, after.heap), each(before.stacks, after.stacks),
		float64(after.goroutines-before.goroutines) / float64(n), n - (second - first)}, nil
}

// hold makes n requests that are all under way at once.
func hold(rt http.RoundTripper, url string, n int) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		all   []*http.Response
	)
	for range n {
		wg.Go(func() {
			req, err := http.NewRequest("GET", url, nil)
			if err != nil {
				panic(err)
			}
			resp, err := rt.RoundTrip(req)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				first = err
				return
			}
			all = append(all, resp)
		})
	}
	wg.Wait()
	for _, resp := range all {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			first = errors.New(resp.Status)
		}
	}
	return first
}

// A usage is what the process has in use.
type usage struct {
	heap, stacks uint64
	goroutines   int
}

func inUse() usage {
	for range 4 {
		runtime.GC() // what is in a sync.Pool survives one; each halves the stacks that are too large
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{m.HeapAlloc, m.StackInuse, runtime.NumGoroutine()}
}
