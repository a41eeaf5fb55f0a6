//go:build gate

package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The matrix of faults: what comes over the wire is cut, reset, stalled,
// trickled, corrupted and added to at every byte of every leg of every scheme
// on every way out:
//
//	go test -tags gate -run '^TestFaults$' -v ./proxyauth

// uploads returns the bodies that came whole, by path. A handler of HTTP/2 may
// still run when its server is closed.
func (a *arena) uploads() map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.bodies)
}

// patience is how long a request with the fault may take. What stalls, or may
// seem to after a change of bytes, ends with its deadline; nothing else may.
func (f fault) patience() time.Duration {
	switch f.kind {
	case stalls:
		return 150 * time.Millisecond
	case corrupt, insert:
		return 400 * time.Millisecond
	}
	return 20 * time.Second
}

// R8, R32, R34, R35: whatever fault hits a leg, at whatever byte, the request ends
// as it may, its body is closed once, the account is spared, and no error shows a
// secret.
func TestFaults(t *testing.T) {
	y := &faultCounts{outcomes: make(map[string]int)}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // runs leave much behind
	for _, scheme := range schemeNames() {
		running, descriptors := goleak.IgnoreCurrent(), openFiles()
		t.Run(scheme, func(t *testing.T) { runScheme(t, scheme, y) })
		if err := goleak.Find(running); err != nil {
			y.leaks++
			t.Errorf("%s: %v", scheme, err)
		}
		if !assert.Eventually(t, func() bool { return len(openFiles()) <= len(descriptors) }, 10*time.Second, 5*time.Millisecond, "%s: descriptors are left open", scheme) {
			y.leaks++
			t.Logf("before: %v\nafter: %v", descriptors, openFiles())
		}
	}
	t.Logf("faults: %d positions (%d not reached before the request ended), %d legs in %d journeys of %d schemes by 4 ways out; %d hangs, %d panics, %d leaks, %d other failures",
		y.positions, y.unreached, y.legs, y.journeys, len(faultSchemes), y.hangs, y.panics, y.leaks, y.broken)
	for _, kind := range slices.Sorted(maps.Keys(y.outcomes)) {
		t.Logf("%s: %d", kind, y.outcomes[kind])
	}
}

// openFiles returns what the descriptors of the process are, without those that
// the runtime makes when it first needs them and keeps: pipes for splice, and
// what it waits with. It returns nothing where that is not to be known.
func openFiles() []string {
	if runtime.GOOS != "linux" {
		return nil
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	var files []string
	for _, e := range entries {
		name, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.HasPrefix(name, "pipe:") && !strings.HasPrefix(name, "anon_inode:") {
			files = append(files, e.Name()+" "+name)
		}
	}
	return files
}

// lanes is how many runs are under way at a time: most of them wait.
const lanes = 96

// runScheme hits the journeys of a scheme at their positions.
func runScheme(t *testing.T, scheme string, y *faultCounts) {
	type run struct {
		*arena
		n int
		fault
	}
	var arenas []*arena
	var runs []run
	for i, j := range journeys(scheme) {
		a := newArena(t, nil, j)
		_, legs, total, requests := a.measure()
		y.journeys++
		y.legs += requests
		for n, f := range positions(j, legs, total, i) {
			runs = append(runs, run{a, n, f})
		}
		arenas = append(arenas, a)
	}
	work := make(chan run)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for r := range work {
				r.arena.run(r.n, r.fault, y)
			}
		})
	}
	for _, r := range runs {
		work <- r
	}
	close(work)
	wg.Wait()
	for _, a := range arenas {
		a.close() // waits for what the proxies had passed on
		for path, bodies := range a.uploads() {
			if len(bodies) != 1 || bodies[0] != uploaded {
				y.count(&y.broken)
				t.Errorf("%s: the origin got the bodies %q", path, bodies)
			}
		}
		require.Empty(t, a.o.proxyFields())
	}
}

// positions returns the faults of the matrix for a journey. They are not all there
// could be: every other byte of what the client sends; every fourth of
// resets and insertions, which go the ways of cuts and corruptions; few of the
// bytes in a tunnel that is open, which are no leg of ours, and of the bytes of
// TLS to https:// proxies, which are all alike.
func positions(j journey, legs, total mark, index int) []fault {
	var all []fault
	add := func(kind faultKind, up bool, from, to, step int) {
		for at := from + index%step; at < to; at += step {
			all = append(all, fault{kind, up, at})
		}
	}
	for _, kind := range []faultKind{cut, reset, stalls, trickle, corrupt, insert} {
		step, behind := 1, 128
		if kind == reset || kind == insert {
			step = 4
		}
		if j.tls {
			step = 64
		}
		if kind == stalls {
			behind = 256 // each waits for net/http to give up the TLS handshake
		}
		add(kind, false, 0, legs.down, step)
		add(kind, false, legs.down, total.down, behind)
		if kind == cut || kind == stalls {
			add(kind, true, 0, legs.up, 2*step)
			add(kind, true, legs.up, total.up, behind)
		}
	}
	return all
}

// run makes the journey with a fault, and judges what became of it.
func (a *arena) run(n int, f fault, y *faultCounts) {
	fail := func(count *int, format string, args ...any) {
		y.count(count)
		a.t.Errorf("%s %s of what is sent %s at byte %d: %s", a, f.kind, map[bool]string{true: "up", false: "down"}[f.up], f.at, fmt.Sprintf(format, args...))
	}
	p, err := a.newTrip(n + 1)
	if err != nil {
		fail(&y.broken, "%v", err)
		return
	}
	before, stop := context.WithTimeout(a.t.Context(), 20*time.Second)
	p.warmUp(before, f)
	stop()

	ctx, cancel := context.WithTimeout(a.t.Context(), f.patience())
	defer cancel()
	ended := make(chan outcome, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				fail(&y.panics, "panic: %v\n%s", v, debug.Stack())
				ended <- outcome{err: errors.New("panic")}
			}
		}()
		ended <- p.do(ctx, p.path)
	}()
	var out outcome
	select {
	case out = <-ended:
	case <-time.After(f.patience() + 10*time.Second):
		fail(&y.hangs, "hangs\n%s", stacks())
		p.close()
		return
	}
	left := false
	if kind := out.kind(p.path); kind == "deadline" && !a.warm && (a.way == "tunnel" || a.way == "dial") {
		// The answer to new credentials is still waited for, since it counts.
		if left = p.leaveWithin(100 * time.Millisecond); !left {
			y.note("waits for the answer to its credentials: " + f.kind.String())
			p.saboteur.hangUp()
		}
	}
	if !left && !p.leave() {
		fail(&y.leaks, "a connection is left open after %q", out.kind(p.path))
	}
	if !p.saboteur.struckYet() {
		y.count(&y.unreached)
	}
	p.close()
	for _, complaint := range p.judge(f, out) {
		fail(&y.broken, "%s", complaint)
	}
	y.note(f.kind.String() + ": " + out.kind(p.path))
}

func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// struckYet reports whether the fault has happened, or there was none.
func (s *saboteur) struckYet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hit
}
