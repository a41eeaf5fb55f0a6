package lockout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
)

const (
	ms     = time.Millisecond
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

func bareFirst(s *sim) { s.Unasked = false }

// crowd is n goroutines and one who asks every ten seconds, for three hours.
func crowd(w *world, n int, change func(*sim)) {
	w.goroutines("crowd", n, 0, 3*hour, hour, change, names("t", 40)...)
	w.every("crowd", 0, 3*hour, 10*second, change, names("u", 7)...)
	w.until(3 * hour)
}

// R8, R38: a wrong password gets two attempts, by clean refusals of any delay,
// by each scheme or two of them; then one after 31 minutes, and the double.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{10 * ms, 3 * second, 30 * second, 59 * second} {
		for _, schemes := range [][]string{{"Basic"}, {"NTLM", "Basic"}} {
			t.Run(fmt.Sprint(after, schemes), func(t *testing.T) {
				w := newWorld(1, func(leg) reply { return refuses(after) })
				crowd(w, 1000, func(s *sim) { s.Schemes = schemes })
				assert.Equal(t, 2, w.in(0, 31*minute))
				assert.Equal(t, 4, len(w.attempts), "%v", w.attempts)
				assert.LessOrEqual(t, w.class("crowd").longest, 30*second)
				t.Log(w.attempts)
			})
		}
	}
}

// R38: refusals in other words: two at once, then at the pace of the design.
func TestRefusalsInOtherWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		r    reply
		most int // in any 30 minutes
	}{
		{"refused once, then 403", unclear(20*ms, verdict.UnclearTarget), 4},
		{"401", unclear(10*ms, verdict.Unclear), 4},
		{"closed", unclear(10*ms, verdict.Unclear), 4},
		{"closed late", unclear(59*second, verdict.Unclear), 4},
		{"stale for ever", refuses(50 * ms), 4},
		{"403", unclear(10*ms, verdict.UnclearTarget), 10},
		{"403 late", unclear(20*second, verdict.UnclearTarget), 10},
		{"never answered", unclear(60*second, verdict.UnclearTarget), 10},
		{"given up after 5 s", unclear(5*second, verdict.UnclearTarget), 10},
	} {
		for name, change := range map[string]func(*sim){"at once": nil, "bare first": bareFirst} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				n := 0
				w := newWorld(1, func(l leg) reply {
					if l.password == "" {
						return refuses(10 * ms)
					}
					if n++; n == 1 && test.most == 4 && test.r.verdict == verdict.UnclearTarget {
						return refuses(10 * ms)
					}
					return test.r
				})
				crowd(w, 200, change)
				assert.LessOrEqual(t, w.in(0, minute), 4)
				assert.LessOrEqual(t, w.most(30*minute), test.most)
				assert.LessOrEqual(t, w.class("crowd").longest, 30*second)
				t.Log(w.in(0, minute), w.most(30*minute), len(w.attempts))
			})
		}
	}
}

// R38: a load balancer's 503s in front do not open the gate.
func TestWrongPasswordBehind503(t *testing.T) {
	t.Parallel()
	for _, first := range []int{1, 3, 20} {
		for name, change := range map[string]func(*sim){"at once": nil, "bare first": bareFirst} {
			for _, after := range []time.Duration{10 * ms, 3 * second, 30 * second} {
				for kind, r := range map[string]reply{"refused": refuses(after), "closed": unclear(after, verdict.Unclear)} {
					for _, all := range []bool{false, true} {
						t.Run(fmt.Sprint(first, name, after, kind, all), func(t *testing.T) {
							legs := 0
							w := newWorld(1, func(l leg) reply {
								if l.password != "" || all {
									legs++
									if legs <= first {
										return says503(10 * ms)
									}
								}
								if l.password == "" {
									return refuses(10 * ms)
								}
								return r
							})
							w.goroutines("crowd", 50, 0, 40*minute, 10*minute, change, names("t", 40)...)
							w.every("crowd", 0, 40*minute, 10*second, change, names("u", 7)...)
							w.until(hour)
							assert.LessOrEqual(t, w.in(0, minute), 4)
							assert.LessOrEqual(t, w.most(30*minute), 4)
							if kind == "refused" && change == nil { // no 407 says that the proxy is there
								assert.LessOrEqual(t, w.most(30*minute), 2)
							}
						})
					}
				}
			}
		}
	}
}

// R8, R38: a source that rotates wrong passwords, one that has them for many
// names, and one wrong pair at many proxies.
func TestRotation(t *testing.T) {
	n := 0
	w := newWorld(1, func(leg) reply { return refuses(10 * ms) })
	w.source = func() string { n++; return fmt.Sprint(n) }
	w.every("rotating", 0, 3*hour, 3*second, nil, names("t", 40)...)
	w.until(3 * hour)
	assert.LessOrEqual(t, w.most(30*minute), 4)
	assert.LessOrEqual(t, len(w.ledger.byKey), mostAccounts)

	w = newWorld(1, func(leg) reply { return refuses(10 * ms) })
	proxies := names("p", 10)
	i := 0
	w.every("proxies", 0, 3*hour, 3*second, func(s *sim) { i++; s.Key.Proxy = proxies[i%len(proxies)] }, names("t", 40)...)
	w.until(3 * hour)
	assert.LessOrEqual(t, w.most(30*minute), 4, "%v", w.attempts)
}

// R38: a password that ends at night: at most four attempts before it is held.
func TestPasswordEndsAtNight(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{10 * ms, 250 * ms, 3 * second} {
		for _, targets := range []int{1, 2, 3, 40} {
			t.Run(fmt.Sprint(after, targets), func(t *testing.T) {
				most := 0
				for seed := range uint64(12) {
					w := newWorld(seed, func(l leg) reply {
						if l.at < hour {
							return passes(20 * ms)
						}
						return refuses(after)
					})
					w.every("day", 0, minute, second, nil, "a")
					morning := names("t", targets)
					w.random.Shuffle(len(morning), func(i, j int) { morning[i], morning[j] = morning[j], morning[i] })
					w.goroutines("morning", 1000/(1+9*int(seed)), 9*hour, 10*hour, 40*minute, func(s *sim) { s.Target = morning[w.random.IntN(targets)] }, "")
					w.every("morning", 9*hour, 10*hour, 10*second, nil, morning...)
					w.until(9*hour + 19*second)
					most = max(most, len(w.attempts))
					w.until(10 * hour)
					assert.LessOrEqual(t, w.class("morning").longest, 30*second)
					assert.LessOrEqual(t, w.in(9*hour+minute, 10*hour), 6)
				}
				t.Log(most)
				assert.LessOrEqual(t, most, 4)
			})
		}
	}
}

// R38: a password that ends under load: after the first refusal was read one
// more attempt, or two if that meets the same target, and the tries.
func TestPasswordEndsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{10 * ms, second, 3 * second} {
		for _, targets := range []int{1, 2, 40} {
			t.Run(fmt.Sprint(after, targets), func(t *testing.T) {
				w := newWorld(1, func(l leg) reply {
					switch {
					case l.at >= hour:
						return refuses(after)
					case l.number%50 == 0: // a slow origin
						return passes(5 * second)
					}
					return passes(20 * ms)
				})
				w.every("load", hour-20*second, hour+10*second, 10*ms, func(s *sim) { s.Target = fmt.Sprint(w.random.IntN(targets)) }, "")
				w.every("load", hour+10*second, hour+30*minute, 3*second, func(s *sim) { s.Target = fmt.Sprint(w.random.IntN(targets)) }, "")
				w.until(hour + after + 15*second)
				assert.LessOrEqual(t, w.after, 2)
				assert.Less(t, w.refused, hour+after+20*ms)
				w.until(hour + 30*minute)
				assert.LessOrEqual(t, w.after, 2+6)
			})
		}
	}
}

// R37, R38: the same, hours after the proxy could not make up its mind.
func TestPasswordEndsAfterRallies(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.at >= hour || l.at < 10*second && strings.HasPrefix(l.target, "denied") {
			return refuses(10 * ms)
		}
		return passes(20 * ms)
	})
	w.every("good", 0, 20*second, 100*ms, nil, names("t", 40)...)
	w.every("good", hour-10*second, hour+minute, 100*ms, nil, names("t", 40)...)
	w.every("denied", 2*second, 8*second, second, nil, names("denied", 6)...)
	w.until(hour)
	before := len(w.attempts)
	w.until(hour + 15*second)
	assert.LessOrEqual(t, len(w.attempts)-before, 2)
}

// R38: the same, where the requests meet nothing but targets that the proxy
// had denied before.
func TestPasswordEndsAtDeniedTargets(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.at >= minute || strings.HasPrefix(l.target, "denied") && l.at < 10*second {
			return refuses(10 * ms)
		}
		return passes(20 * ms)
	})
	denied := names("denied", 2)
	w.every("denied", second, 10*second, second, nil, denied...)
	w.every("good", 0, minute, 500*ms, nil, "a")
	w.until(minute)
	before := len(w.attempts)
	w.every("denied", minute, 10*minute, 500*ms, nil, denied...)
	w.until(10 * minute)
	assert.LessOrEqual(t, len(w.attempts)-before, 3+2+5)
	t.Log(w.attempts[before:])
}

// R38: the same, where some requests have another scheme that never passed.
func TestPasswordEndsWithTwoSchemes(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.at < minute {
			return passes(20 * ms)
		}
		return refuses(500 * ms)
	})
	w.every("basic", 0, 2*minute, second, nil, names("t", 40)...)
	w.every("digest", minute+100*ms, 2*minute, second, func(s *sim) { s.Schemes = []string{"Digest"} }, names("d", 40)...)
	w.until(minute + 15*second)
	t.Log(w.attempts)
	assert.LessOrEqual(t, len(w.attempts), 3)
}
