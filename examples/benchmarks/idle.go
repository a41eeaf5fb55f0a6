package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// idle measures what an authenticated connection costs while it waits.
func idle(w *world, s scale) ([]*table, error) {
	t := &table{
		title: fmt.Sprintf("Memory per idle authenticated connection, of %d", s.idle),
		intro: "So many requests are held until all have their answer, then let go. Heap and stacks after two collections, above\n" +
			"what they were before, for each connection; the proxy is in another process. \"Kept\" are those that a second wave of\n" +
			"as many requests found there. The better of two rounds.",
		head: []string{"", "contender", "KiB", "ratio", "goroutines", "kept"},
	}
	all, err := w.startStubs()
	if err != nil {
		return nil, err
	}
	defer all.stop()
	for _, row := range w.warmCells() {
		got := make([]rest, len(row))
		for round := range 2 {
			for i, c := range row {
				r, err := c.rest(all[c.scheme.kind], s.idle)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.name, c.row(), err)
				}
				if round == 0 || r.bytes < got[i].bytes {
					got[i] = r
				}
			}
		}
		mine := got[1]
		for i, c := range row {
			kib, goroutines := fmt.Sprintf("%.1f", got[i].bytes/1024), fmt.Sprintf("%.1f", got[i].goroutines)
			if i > 0 {
				kib = t.lead(kib, row[1].row()+", memory", c.name, got[i].bytes, mine.bytes, 0.05)
				goroutines = t.lead(goroutines, row[1].row()+", goroutines", c.name, got[i].goroutines, mine.goroutines, 0.03)
			}
			t.add(row[1].row(), c.name, kib, fmt.Sprintf("%.2f", got[i].bytes/mine.bytes), goroutines, fmt.Sprint(got[i].kept))
		}
	}
	return []*table{t}, nil
}

// rest is what connections at rest cost.
type rest struct {
	bytes, goroutines float64 // for each
	kept              int
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
	memory, goroutines := inUse()
	if err := hold(rt, url, n); err != nil {
		return rest{}, err
	}
	memory2, goroutines2 := inUse()
	before, err1 := st.process.connections()
	err2 := hold(rt, url, n)
	after, err3 := st.process.connections()
	if err := errors.Join(err1, err2, err3); err != nil {
		return rest{}, err
	}
	r := rest{float64(memory2-memory) / float64(n), float64(goroutines2-goroutines) / float64(n), n - (after - before)}
	closeIdle(rt, base)
	for deadline := time.Now().Add(timeout); runtime.NumGoroutine() > goroutines+10; time.Sleep(time.Millisecond) { // nothing tells the end of net/http's goroutines
		if time.Now().After(deadline) {
			return rest{}, errors.New("connections do not end")
		}
	}
	return r, nil
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

func inUse() (bytes, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}
