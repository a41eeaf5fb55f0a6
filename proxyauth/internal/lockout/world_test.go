package lockout

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A world is a simulation: clients, a proxy and one ledger in virtual time, of
// discrete events. Nothing in it runs at the same time, so it is repeatable.
type world struct {
	ledger  *Ledger
	now     time.Duration // since epoch
	events  events
	count   int
	waiting []waiter // in the order of their asking
	random  *rand.Rand

	// proxy answers a leg; without credentials the password is "".
	proxy func(leg) reply
	// source is what the requests' source has, "secret" if nil.
	source func() string

	attempts []time.Duration // that the directory saw with a wrong password
	refused  time.Duration   // when the first refusal was read
	after    int             // wrong attempts sent since then
	classes  map[string]*class
}

// A leg is what the proxy sees.
type leg struct {
	at                              time.Duration
	proxy, scheme, password, target string
	number                          int // of legs so far, from 1
}

// A reply is what it does. A leg without credentials is answered by Refused
// (that is, 407) or ends the request as any other verdict would.
type reply struct {
	after   time.Duration
	verdict verdict.Verdict
	checked bool // the directory saw the attempt, and it was wrong
	fails   bool // the request fails, whatever that says of the password
}

// Replies.
func passes(after time.Duration) reply { return reply{after: after, verdict: verdict.Passed} }
func refuses(after time.Duration) reply {
	return reply{after: after, verdict: verdict.Refused, checked: true}
}
func unclear(after time.Duration, v verdict.Verdict) reply {
	return reply{after: after, verdict: v, checked: true, fails: true}
}
func says503(after time.Duration) reply {
	return reply{after: after, verdict: verdict.Nothing, fails: true}
}

// A class of requests, and what became of them.
type class struct {
	began, passed, failed int
	unsent                int           // of those that failed
	longest               time.Duration // waited for its turn
	first                 time.Duration // pass
	failures              []time.Duration
}

// A sim is a request.
type sim struct {
	Request
	class  string
	begun  time.Duration
	since  time.Duration // it waits
	then   func()        // after its end
	own    Key           // by its source
	all    []string      // schemes
	left   []string      // for its own pair, while the former one is used
	parked int           // counts its asking
}

// A waiter is a sim that waits, if it has not asked again since.
type waiter struct {
	sim    *sim
	parked int
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newWorld(seed uint64, proxy func(leg) reply) *world {
	return &world{
		ledger: NewLedger(0), proxy: proxy, classes: map[string]*class{},
		random: rand.New(rand.NewPCG(seed, 1)), refused: -1,
	}
}

func (w *world) at(when time.Duration, do func()) {
	w.count++
	heap.Push(&w.events, event{max(when, w.now), w.count, do})
}

// until lets the world run.
func (w *world) until(end time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *world) class(name string) *class {
	c := w.classes[name]
	if c == nil {
		c = &class{first: forever}
		w.classes[name] = c
	}
	return c
}

var (
	basic      = []string{"Basic"}
	secretPair = NewPair("alice", "secret")
)

// begin begins a request.
func (w *world) begin(name, target string, change func(*sim), then func()) {
	s := &sim{class: name, begun: w.now, since: -1, then: then}
	pair := secretPair
	if w.source != nil {
		pair = NewPair("alice", w.source())
	}
	s.Request = Request{Key: Key{"proxy", "alice", pair}, Schemes: basic, Target: target, Unasked: true}
	if change != nil {
		change(s)
	}
	s.own, s.all = s.Key, s.Schemes
	w.class(name).began++
	w.ask(s)
}

// every begins requests at a steady pace, and to the targets in turn.
func (w *world) every(name string, from, to, pace time.Duration, change func(*sim), targets ...string) {
	i := 0
	var next func()
	next = func() {
		if w.now >= to {
			return
		}
		w.begin(name, targets[i%len(targets)], change, nil)
		i++
		w.at(w.now+pace, next)
	}
	w.at(from, next)
}

// goroutines begin a request each, and the next some time after it has ended.
func (w *world) goroutines(name string, n int, from, to, pause time.Duration, change func(*sim), targets ...string) {
	for i := range n {
		target := targets[i%len(targets)]
		var next func()
		next = func() {
			if w.now < to {
				w.begin(name, target, change, func() { w.at(w.now+pause, next) })
			}
		}
		w.at(from, next)
	}
}

func (w *world) time() time.Time { return epoch.Add(w.now) }

func (w *world) ask(s *sim) {
	s.parked++
	if s.since >= 0 {
		s.Waited += w.now - s.since
		s.since = -1
	}
	if a := w.ledger.byKey[s.Key]; a != nil && len(s.Schemes) == 1 { // as Account.Wait does
		if f := a.freely.Load(); f.lets(w.time(), s.Schemes[0], s.Target) {
			w.send(s, Attempt{Key: s.Key, Scheme: s.Schemes[0], Target: s.Target, account: a, mark: f.mark})
			return
		}
	}
	d := w.ledger.Ask(w.time(), s.Request)
	switch d.Answer {
	case Go:
		w.send(s, d.Attempt)
	case Bare:
		w.count++
		r := w.proxy(leg{at: w.now, proxy: s.Key.Proxy, target: s.Target, number: w.count})
		w.at(w.now+r.after, func() {
			if r.verdict != verdict.Refused {
				w.end(s, !r.fails, true)
				return
			}
			s.Challenged = true
			w.ask(s)
		})
	case Former:
		s.Key, s.Schemes, s.left = d.Former, s.all, s.Schemes
		w.ask(s)
	case Held:
		w.end(s, false, false)
	case Wait:
		s.since = w.now
		parked := s.parked
		w.waiting = append(w.waiting, waiter{s, parked})
		w.at(d.Until.Sub(epoch), func() {
			if s.parked == parked {
				w.ask(s)
			}
		})
	}
}

func (w *world) send(s *sim, sent Attempt) {
	_, password := s.Key.Pair.Reveal()
	w.count++
	r := w.proxy(leg{w.now, s.Key.Proxy, sent.Scheme, password, s.Target, w.count})
	if r.checked {
		w.attempts = append(w.attempts, w.now)
		if w.refused >= 0 {
			w.after++
		}
	}
	if r.verdict == 0 { // no answer ever
		return
	}
	w.at(w.now+r.after, func() {
		if r.verdict == verdict.Passed && sent.needless(w.time(), verdict.Passed) {
			w.end(s, true, true)
			return
		}
		trusted := sent.account.trusts(sent.Scheme)
		was, is := w.ledger.Report(w.time(), sent, Evidence{Verdict: r.verdict})
		if r.verdict == verdict.Refused && w.refused < 0 {
			w.refused = w.now
		}
		if r.verdict == verdict.Refused {
			w.goesOn(s, sent, trusted)
		} else {
			w.end(s, !r.fails, true)
		}
		if matters(sent, Evidence{Verdict: r.verdict}, was, is) {
			w.wake()
		}
	})
}

// goesOn lets a refused request go on with the next scheme or another pair.
func (w *world) goesOn(s *sim, sent Attempt, trusted bool) {
	switch {
	case s.Key != s.own: // the former pair was: the new one may go now
		s.Key, s.Schemes = s.own, s.left
	case trusted:
		s.Schemes = nil
	default:
		s.Schemes = slices.DeleteFunc(slices.Clone(s.Schemes), func(scheme string) bool { return scheme == sent.Scheme })
	}
	w.ask(s)
}

// wake asks again for all that wait.
func (w *world) wake() {
	waiting := w.waiting
	w.waiting = nil
	for _, p := range waiting {
		if p.sim.parked == p.parked {
			w.ask(p.sim)
		}
	}
}

func (w *world) end(s *sim, passed, sent bool) {
	c := w.class(s.class)
	c.longest = max(c.longest, s.Waited)
	if passed {
		c.passed++
		c.first = min(c.first, w.now)
	} else {
		c.failed++
		c.failures = append(c.failures, w.now)
		if !sent {
			c.unsent++
		}
	}
	if s.then != nil {
		s.then()
	}
}

// most returns the most wrong attempts in any window of this length.
func (w *world) most(window time.Duration) (most int) {
	for i, from := range w.attempts {
		n := 0
		for _, at := range w.attempts[i:] {
			if at-from < window {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// in returns how many wrong attempts there were in a time.
func (w *world) in(from, to time.Duration) (n int) {
	for _, at := range w.attempts {
		if from <= at && at < to {
			n++
		}
	}
	return n
}

func names(prefix string, n int) (targets []string) {
	for i := range n {
		targets = append(targets, prefix+string(rune('A'+i/26))+string(rune('a'+i%26)))
	}
	return targets
}
