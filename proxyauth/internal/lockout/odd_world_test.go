package lockout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
)

func jitter(w *world, from, to time.Duration) time.Duration {
	return from + time.Duration(w.random.Int64N(int64(to-from)))
}

// R37 (a): a deny rule that says 407, asked beside good traffic.
func TestDenyRule(t *testing.T) {
	for _, test := range []struct {
		good, denied time.Duration // pace
		targets      int           // that are denied
	}{
		{10 * ms, 100 * ms, 1}, {10 * ms, 100 * ms, 5}, {100 * ms, 10 * ms, 1}, {second, 100 * ms, 1}, {10 * second, 7 * second, 1},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			var w *world
			w = newWorld(1, func(l leg) reply {
				if strings.HasPrefix(l.target, "denied") {
					return reply{after: jitter(w, 5*ms, 50*ms), verdict: verdict.Refused}
				}
				return passes(jitter(w, 10*ms, 60*ms))
			})
			w.begin("first", "a", nil, nil)
			length := max(10*second, 100*test.good, 100*test.denied)
			w.every("good", second, length, test.good, nil, names("t", 40)...)
			w.every("denied", 1100*ms, length, test.denied, nil, names("denied", test.targets)...)
			w.until(length + minute)
			good := w.class("good")
			assert.Zero(t, good.failed, "%v", good)
			assert.LessOrEqual(t, good.longest, 200*ms)
			t.Logf("%+v", *good)
		})
	}
}

// R37 (a): a page of six denied parts, at once, beside other traffic.
func TestDeniedPage(t *testing.T) {
	for seed := range uint64(10) {
		var w *world
		w = newWorld(seed, func(l leg) reply {
			if strings.HasPrefix(l.target, "denied") {
				return reply{after: jitter(w, 5*ms, 50*ms), verdict: verdict.Refused}
			}
			return passes(jitter(w, 10*ms, 60*ms))
		})
		w.every("good", 0, 10*second, 50*ms, nil, names("t", 40)...)
		for page := range 3 {
			w.at(time.Duration(1+page)*second, func() {
				for _, part := range names(fmt.Sprint("denied", page), 6) {
					w.begin("denied", part, nil, nil)
				}
			})
		}
		w.until(minute)
		good := w.class("good")
		assert.Zero(t, good.failed)
		assert.LessOrEqual(t, good.longest, 200*ms)
	}
}

// R37 (b): two targets were refused once each, then the directory is away for
// three minutes: traffic is back within a minute of its return.
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	const gone, back = 2 * minute, 5 * minute
	for _, pace := range []time.Duration{20 * ms, second, 7 * second} {
		for _, targets := range []int{2, 3, 200} {
			t.Run(fmt.Sprint(pace, targets), func(t *testing.T) {
				w := newWorld(1, func(l leg) reply {
					switch {
					case l.at >= gone && l.at < back:
						return reply{after: 20 * ms, verdict: verdict.Refused}
					case l.at > minute && l.at < minute+second && l.scheme == "once":
						return reply{after: 20 * ms, verdict: verdict.Refused}
					}
					return passes(20 * ms)
				})
				all := names("t", targets)
				for _, target := range all[:2] {
					w.at(minute, func() { w.refuseOnce(target) })
					w.at(minute+second, func() { w.begin("good", "other", nil, nil) })
				}
				w.every("good", 0, minute, second, nil, "other")
				w.every("good", minute+10*second, gone-10*second, second, nil, "other")
				w.every("traffic", gone-10*second, back+2*minute, pace, nil, all...)
				w.until(back + 2*minute)
				c := w.class("traffic")
				late := 0
				for _, at := range c.failures {
					if at > back+minute {
						late++
					}
				}
				assert.Zero(t, late)
				t.Log(c.began, c.failed, c.failures[len(c.failures)-1]-back)
			})
		}
	}
}

// refuseOnce lets the proxy refuse one request.
func (w *world) refuseOnce(target string) {
	proxy := w.proxy
	w.proxy = func(leg) reply { return reply{after: 20 * ms, verdict: verdict.Refused} }
	w.begin("odd", target, nil, nil)
	w.proxy = proxy
}

// R37 (b): the directory away for a moment.
func TestDirectoryAwayForAMoment(t *testing.T) {
	for _, length := range []time.Duration{50 * ms, second, 6 * second} {
		for _, targets := range []int{1, 40} {
			w := newWorld(1, func(l leg) reply {
				if l.at >= minute && l.at < minute+length {
					return reply{after: 20 * ms, verdict: verdict.Refused}
				}
				return passes(20 * ms)
			})
			w.every("traffic", 0, 3*minute, 50*ms, nil, names("t", targets)...)
			w.until(3 * minute)
			c := w.class("traffic")
			assert.Less(t, c.failures[len(c.failures)-1], minute+length+20*second)
			if length == 50*ms {
				assert.Equal(t, 1, c.failed)
			}
			t.Log(length, c.failed, c.failures[len(c.failures)-1]-minute-length)
		}
	}
}

// R46: bursts after less than a minute: nobody waits.
func TestBursts(t *testing.T) {
	w := newWorld(1, func(leg) reply { return passes(2 * second) })
	w.begin("first", "a", nil, nil)
	for i := range 10 {
		w.at(time.Duration(i+1)*50*second, func() {
			for _, target := range names("t", 10) {
				w.begin("burst", target, nil, nil)
			}
		})
	}
	w.until(hour)
	assert.Zero(t, w.class("burst").longest)
}

// R37 (e): a pair of proxies of which one refuses everybody: a third passes.
func TestPairOfProxies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		pace   time.Duration
		random bool // the pair takes no turns
	}{{"in turn", 50 * ms, false}, {"in turn", 2 * second, false}, {"at random", 2 * second, true}} {
		for _, targets := range []int{4, 40} {
			t.Run(fmt.Sprint(test, targets), func(t *testing.T) {
				passed, began := 0, 0
				for seed := range uint64(5) {
					var w *world
					n := 0
					w = newWorld(seed, func(l leg) reply {
						if n++; l.at > 10*second && (n%2 == 0 && !test.random || test.random && w.random.IntN(2) == 0) {
							return reply{after: 20 * ms, verdict: verdict.Refused}
						}
						return passes(jitter(w, 20*ms, 100*ms))
					})
					w.every("first", 0, 10*second, second, nil, "a")
					w.every("traffic", 10*second, 10*second+test.pace*1000, test.pace, nil, names("t", targets)...)
					w.until(hour)
					passed += w.class("traffic").passed
					began += w.class("traffic").began
				}
				assert.GreaterOrEqual(t, passed*3, began)
				t.Log(passed * 100 / began)
			})
		}
	}
}

// R46: after a pause nobody waits for others' slow targets.
func TestSlowTargetsAfterAPause(t *testing.T) {
	for _, slow := range []reply{passes(10 * second), says503(30 * second), unclear(60*second, verdict.UnclearTarget)} {
		for n := range 3 {
			w := newWorld(1, func(l leg) reply {
				if strings.HasPrefix(l.target, "slow") {
					return slow
				}
				return passes(30 * ms)
			})
			w.begin("first", "a", nil, nil)
			w.goroutines("slow", n, hour, hour+second, hour, nil, "slow1", "slow2")
			w.goroutines("good", 5-n, hour, hour+second, 100*ms, nil, names("t", 4)...)
			w.until(2 * hour)
			c := w.class("good")
			assert.Zero(t, c.failed)
			assert.LessOrEqual(t, c.longest, 700*ms, "%d %v", n, slow)
			t.Log(n, slow.verdict, c.longest)
		}
	}
}

// R37, R38: all targets answer 503 for ten minutes at the start, then well.
func TestAll503AtTheStart(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{10 * ms, 2 * second, 10 * second} {
		for _, bare := range []bool{false, true} {
			for name, change := range map[string]func(*sim){"at once": nil, "bare first": bareFirst} {
				t.Run(fmt.Sprint(after, bare, name), func(t *testing.T) {
					const well = 10 * minute
					w := newWorld(1, func(l leg) reply {
						switch {
						case l.at < well && (l.password != "" || bare):
							return says503(after)
						case l.password == "":
							return refuses(10 * ms)
						}
						return passes(20 * ms)
					})
					w.every("traffic", 0, well+minute, 2*second, change, names("t", 40)...)
					w.goroutines("crowd", 20, 0, well, 20*second, change, names("u", 10)...)
					w.until(well + 2*minute)
					c := w.class("traffic")
					assert.LessOrEqual(t, c.longest, 30*second)
					if change != nil && after < 10*second { // slow origins behind a proxy that asks
						assert.Zero(t, c.unsent+w.class("crowd").unsent)
					}
					assert.LessOrEqual(t, c.first, well+2*second+after+100*ms)
					t.Log(c.began, c.failed, c.unsent, c.longest, c.first-well)
				})
			}
		}
	}
}

// R38: a load balancer that closes every connection for a while at the start:
// no attempt is lost to it, where a request can begin without credentials.
func TestBalancerAwayAtTheStart(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		switch {
		case l.at < 10*second:
			return unclear(10*ms, verdict.Unclear)
		case l.password == "":
			return refuses(10 * ms)
		}
		return passes(20 * ms)
	})
	w.every("traffic", 0, minute, 200*ms, bareFirst, names("t", 40)...)
	w.until(2 * minute)
	c := w.class("traffic")
	t.Log(c.failed, c.first-10*second, c.longest)
	assert.LessOrEqual(t, c.first, 10*second+300*ms)
}

// R38: a proxy that closes every connection for a while at the start, to
// clients that begin with credentials.
func TestProxyClosesAtTheStart(t *testing.T) {
	for _, test := range []struct{ away, back time.Duration }{{3 * second, 6 * second}, {30 * second, 66 * second}} {
		w := newWorld(1, func(l leg) reply {
			if l.at < test.away {
				return unclear(10*ms, verdict.Unclear)
			}
			return passes(20 * ms)
		})
		w.every("traffic", 0, 2*minute, 200*ms, nil, names("t", 400)...)
		w.until(2 * minute)
		c := w.class("traffic")
		assert.LessOrEqual(t, c.first, test.back)
		if test.away == 3*second {
			assert.LessOrEqual(t, c.failed, 2)
		}
		t.Log(c.failed, c.first)
	}
}

// R38: targets that are forbidden by a 403, at the start.
func TestForbiddenAtTheStart(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if strings.HasPrefix(l.target, "denied") {
			return unclear(10*ms, verdict.UnclearTarget)
		}
		return passes(20 * ms)
	})
	w.every("denied", 0, 10*minute, 100*ms, nil, names("denied", 2)...)
	w.every("good", 500*ms, 10*minute, 300*ms, nil, names("t", 40)...)
	w.until(minute)
	assert.LessOrEqual(t, w.class("good").first, 6*second)
	assert.Zero(t, w.class("good").failed)

	w = newWorld(1, w.proxy)
	w.every("denied", 0, 90*second, second, nil, names("denied", 200)...)
	w.every("good", 2*minute, 10*minute, second, nil, names("t", 40)...)
	w.until(10 * minute)
	assert.LessOrEqual(t, w.class("good").first, 7*minute)
	t.Log(w.class("good").first)
}

// R6, R37: a stronger scheme that the proxy closes upon does not stop one that
// has passed.
func TestStrongerSchemeCloses(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.scheme == "NTLM" {
			return unclear(10*ms, verdict.Unclear)
		}
		return passes(20 * ms)
	})
	w.begin("first", "a", nil, nil)
	w.every("traffic", second, minute, 100*ms, func(s *sim) { s.Schemes = []string{"NTLM", "Basic"} }, names("t", 40)...)
	w.until(2 * minute)
	c := w.class("traffic")
	assert.LessOrEqual(t, c.failed, 3)
	assert.Zero(t, c.longest)
	t.Log(c.failed)
}

// R38, R46: a dead target that the very first request meets.
func TestDeadTargetFirst(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.target == "dead" {
			return unclear(60*second, verdict.UnclearTarget)
		}
		return passes(20 * ms)
	})
	w.begin("dead", "dead", nil, nil)
	w.every("traffic", ms, minute, 200*ms, nil, names("t", 40)...)
	w.until(2 * minute)
	c := w.class("traffic")
	assert.Zero(t, c.failed)
	assert.LessOrEqual(t, c.longest, 4*second)
}

// R37: credentials that are held are tried at a target that works, if somebody
// asks for one.
func TestTriesAtDeadTargets(t *testing.T) {
	const gone, back = minute, 3 * minute
	for _, denied := range []bool{false, true} {
		w := newWorld(1, func(l leg) reply {
			odd := strings.HasPrefix(l.target, "odd")
			switch {
			case odd && denied:
				return reply{after: 20 * ms, verdict: verdict.Refused}
			case odd:
				return unclear(60*second, verdict.UnclearTarget)
			case l.at >= gone && l.at < back:
				return reply{after: 20 * ms, verdict: verdict.Refused}
			}
			return passes(20 * ms)
		})
		w.every("traffic", 0, 6*minute, 500*ms, nil, names("t", 200)...)
		w.every("odd", 30*second, 6*minute, 300*ms, nil, names("odd", 3)...)
		w.until(6 * minute)
		c := w.class("traffic")
		t.Log(denied, c.failed, c.failures[len(c.failures)-1]-back)
		assert.Less(t, c.failures[len(c.failures)-1], back+2*minute)
	}
}

// R8: two schemes of which the first never works, at a cold start.
func TestFirstSchemeNeverWorks(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.scheme == "NTLM" {
			return refuses(50 * ms)
		}
		return passes(20 * ms)
	})
	w.goroutines("crowd", 1000, 0, second, minute, func(s *sim) { s.Schemes = []string{"NTLM", "Basic"} }, names("t", 40)...)
	w.until(minute)
	assert.Zero(t, w.class("crowd").failed)
	assert.Len(t, w.attempts, 1)
}
