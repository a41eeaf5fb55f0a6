package lockout

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
)

// R8, R38, R46: attempts that get no answer.
func TestExpiry(t *testing.T) {
	for name, text := range map[string]string{
		"after a minute one counts as unclear, and its place is free": `
			0s     1 asks Basic a unasked : goes
			4s     2 asks Basic b unasked : goes
			30s    3 asks Basic c unasked : waits until 1m0s
			59.9s  3 asks again : waits until 1m0s
			60s    3 asks again : held until 1m4s (one is unclear, one under way)
			60s    4 asks Basic c unasked : waits until 1m4s
			64s    4 asks again : waits until 1m9s (two are unclear)
			64s    5 asks Basic a unasked : waits until 1m10s (an odd target)
			68s    state : held off
			69s    4 asks again : goes
			69s    5 asks again : waits until 1m34s (30 s in all)
			1m39s  6 asks Basic c unasked : waits until 2m9s
			2m9s   6 asks again : held until 3m10s
			2m9s   2 403
			2m9s   6 asks again : held until 3m10s by 403 (which counts no more)
			3m10s  6 asks again : goes
			4m10s  7 asks Basic d unasked : held until 9m10s`,

		"the next begins without credentials": `
			0s   1 asks Basic a : goes
			60s  2 asks Basic b : begins bare
			60s  2 asks again challenged : goes
			60s  3 asks Basic c challenged : waits until 1m30s`,

		"a late pass counts": `
			0s   1 asks Basic a : goes
			4s   2 asks Basic b : goes
			65s  3 asks Basic c challenged : waits until 1m9s
			66s  1 passed
			66s  3 asks again : goes
			66s  4 asks Basic d : goes
			70s  2 unclear
			70s  4 asks Basic d : goes`,

		"a late refusal counts, the pauses run from it": `
			0s      1 asks Basic a : goes
			4s      2 asks Basic b : goes
			65s     1 refused
			65s     3 asks Basic c : held until 2m5s (unclear twice, refused once)
			65s     rejected : secret
			66s     2 refused
			66s     3 asks Basic c : held until 32m6s
			32m6s   3 asks Basic c challenged : goes
			33m6s   4 asks Basic d : held until 1h35m6s (whatever comes)
			34m     3 refused
			34m     4 asks Basic d : held until 1h36m0s (and not the double twice)`,

		"nothing else does": `
			0s   1 asks Basic a challenged : goes
			4s   2 asks Basic b challenged : goes
			64s  1 unclear
			64s  2 503
			65s  1 asks Basic c challenged : waits until 1m9s
			65s  2 asks Basic d challenged : waits until 1m9s
			69s  1 asks again : goes
			69s  2 asks again : waits until 1m35s (no 503 has made room)
			129s 1 not sent
			129s 2 asks Basic d challenged : held until 3m9s
			3m9s 2 asks again : goes
			4m9s 2 403
			4m9s 3 asks Basic e challenged : held until 9m9s`,

		"an earlier answer counts alone": `
			0s     1 asks Basic a unasked : goes
			59.9s  1 503
			60s    2 asks Basic b unasked : goes
			119s   2 unclear
			10m    3 asks Basic c unasked : goes
			10m    3 unclear
			10m    4 asks Basic d unasked : waits until 10m5s`,

		"each from its own minute on, though nobody asked": `
			0s     1 asks Basic a unasked : goes
			4s     2 asks Basic b unasked : goes
			1h     3 asks Basic a unasked : goes
			1h     4 asks Basic c unasked : waits until 1h0m30s
			1h30s  4 asks again : held until 1h1m0s
			1h1m   4 asks again : held until 1h2m0s`,

		"one that is not under way for others does not": `
			0s   1 asks Basic a unasked : goes
			59s  1 frees
			10m  2 asks Basic b unasked : goes
			10m  1 unclear
			10m  2 unclear
			10m  3 asks Basic c unasked : waits until 10m5s`,

		"unless it was too late": `
			0s   1 asks Basic a unasked : goes
			60s  1 frees
			61s  1 unclear
			61s  2 asks Basic b unasked : goes
			61s  2 unclear
			61s  3 asks Basic c unasked : waits until 1m6s`,

		"what was forgotten comes back by no later answer": `
			0s   1 asks Basic a unasked : goes
			61s  forget
			62s  1 unclear
			62s  2 asks Basic b unasked : goes
			62s  2 unclear
			62s  3 asks Basic c unasked : goes`,

		"where a scheme has passed, its attempts do not; another's do": `
			0s    1 asks Basic a : goes
			0s    1 passed
			60s   2 asks Basic a : goes
			64s   3 asks Digest a : goes
			65s   4 asks Digest b : waits until 1m35s (two are under way)
			95s   4 asks again : held until 2m0s
			119s  5 asks Digest b : waits until 2m0s
			120s  5 asks again : goes (the first is hardly refused any more)
			121s  6 asks Digest b : waits until 2m4s
			124s  6 asks again : begins bare
			124s  6 asks again challenged : waits until 2m31s
			124s  7 asks Basic c : goes
			124s  state : trusted
			125s  2 refused
			125s  state : suspect`,

		"an attempt whose scheme has passed meanwhile does not": `
			0s   1 asks Basic a : goes
			4s   2 asks Basic b : goes
			5s   2 passed
			2m   3 asks Basic c : goes
			2m   1 refused
			2m   state : suspect
			2m   3 refused
			2m   state : suspect`,

		"a try of what is held, by another scheme": `
			0s    1 asks Basic a : goes
			0s    1 passed
			0s    1 asks Basic a : goes
			0s    1 refused
			0s    1 asks Basic b : goes
			0s    1 refused
			20s   2 asks Digest c : goes
			80s   3 asks Basic d : held until 2m20s (the pause begins)
			100s  2 not sent
			100s  3 asks Basic d : held until 2m20s
			110s  2 refused
			110s  3 asks Basic d : held until 2m50s (and again)`,

		"also where other pairs of the user name wait for it": `
			0s   1 asks Basic a as one : goes
			1s   2 asks Basic b as two : goes
			30s  3 asks Basic c as three : waits until 1m0s
			60s  3 asks again : held until 32m0s
			60s  4 asks Basic d as one challenged : goes`,

		"and where the pair waits at other proxies": `
			0s   1 asks Basic a at first : goes
			1s   2 asks Basic a at second : goes
			4s   1 asks Basic b at first : goes
			5s   2 asks Basic b at second : goes
			6s   3 asks Basic a at third : waits until 36s
			36s  3 asks again : held until 1m0s
			60s  4 asks Basic a at third : waits until 1m30s
			90s  4 asks again : held until 32m4s`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// hangs is the answer that never comes.
var hangs = reply{checked: true}

// R38, R46: dead or long-polling targets that the very first requests meet:
// others get through after about a minute and the pause after two unclear
// answers.
func TestDeadTargetsFirst(t *testing.T) {
	for _, r := range []reply{hangs, passes(10 * minute), says503(5 * minute), unclear(2*minute, verdict.UnclearTarget)} {
		for _, dead := range []int{1, 2, 3} {
			for name, change := range map[string]func(*sim){"at once": nil, "bare first": bareFirst} {
				t.Run(fmt.Sprint(r, dead, name), func(t *testing.T) {
					w := newWorld(1, func(l leg) reply {
						switch {
						case l.password == "":
							return refuses(10 * ms)
						case strings.HasPrefix(l.target, "dead"):
							return r
						}
						return passes(20 * ms)
					})
					w.goroutines("dead", dead, 0, ms, hour, change, names("dead", dead)...)
					w.every("others", 10*second, 6*minute, second, change, names("t", 40)...)
					w.until(12 * minute)
					c := w.class("others")
					assert.LessOrEqual(t, c.longest, 30*second)
					first := map[int]time.Duration{1: 10 * second, 2: 69 * second, 3: 69 * second}[dead]
					assert.LessOrEqual(t, c.first, first+second)
					for _, at := range c.failures {
						assert.LessOrEqual(t, at, first)
					}
				})
			}
		}
	}
}

// R8, R38: a wrong password at a proxy that never answers.
func TestNeverAnswered(t *testing.T) {
	for _, refusals := range []int{0, 1, 2} {
		for name, change := range map[string]func(*sim){"at once": nil, "bare first": bareFirst} {
			t.Run(fmt.Sprint(refusals, name), func(t *testing.T) {
				n := 0
				w := newWorld(1, func(l leg) reply {
					if l.password == "" {
						return refuses(10 * ms)
					}
					if n++; n <= refusals {
						return refuses(2 * minute)
					}
					return hangs
				})
				crowd(w, 200, change)
				assert.LessOrEqual(t, w.in(0, minute), 2)
				assert.LessOrEqual(t, w.most(30*minute), []int{10, 4, 3}[refusals])
				assert.LessOrEqual(t, w.class("crowd").longest, 30*second)
				t.Log(w.in(0, minute), w.most(30*minute), len(w.attempts))
			})
		}
	}
}

// R46: who waits is woken in time.
func TestGuardExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		schemes := []string{"NTLM", "Basic"}
		first := goes(t, a, "dead")
		time.Sleep(4 * time.Second)
		goes(t, a, "deader")
		time.Sleep(40 * time.Second)
		d, waited, _ := a.Wait(t.Context(), toTarget("t"))
		assert.Equal(t, Go, d.Answer)
		assert.Equal(t, 25*time.Second, waited)
		assert.Equal(t, 1, a.Status().UnderWay)
		assert.Equal(t, 2, a.Status().Unclear)
		g.Report(first, Evidence{Verdict: verdict.Refused})
		time.Sleep(time.Minute)
		assert.Equal(t, []Pair{alice.Pair}, g.Rejected("proxy"), "refused once and unclear three times")
		assert.Zero(t, a.Status().UnderWay)
		time.Sleep(31 * time.Minute)
		assert.Empty(t, g.Rejected("proxy"))
		r := toTarget("u")
		r.Schemes = schemes
		assert.Equal(t, "NTLM", a.Ask(r).Attempt.Scheme)
	})
}
