package lockout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
)

// R37 (h): a new password that reaches the client before the proxy: no request
// fails, and the new one is in use soon after the proxy knows it.
func TestNewPasswordEarly(t *testing.T) {
	for _, early := range []time.Duration{2 * second, minute, 15 * minute} {
		for _, pace := range []time.Duration{10 * ms, 2 * second} {
			t.Run(fmt.Sprint(early, pace), func(t *testing.T) {
				change := minute + early
				w := newWorld(1, func(l leg) reply {
					if (l.password == "old") == (l.at < change) {
						return passes(20 * ms)
					}
					return refuses(50 * ms)
				})
				w.source = func() string {
					if w.now < minute {
						return "old"
					}
					return "new"
				}
				pace = max(pace, early/3000)
				w.every("traffic", 40*second, change+minute, pace, nil, names("t", 40)...)
				w.until(time.Hour)
				c := w.class("traffic")
				assert.Zero(t, c.failed, "%v", c.failures)
				assert.LessOrEqual(t, c.longest, second)
				assert.LessOrEqual(t, w.in(minute, change), 3)
				assert.Equal(t, Trusted, w.ledger.Status(w.time(), Key{"proxy", "alice", NewPair("alice", "new")}).State)
				t.Log(w.in(minute, change), len(w.attempts), c.longest)
			})
		}
	}
}

// R37 (h): the same, where the proxy takes the former password still: the new
// one is in use within two minutes.
func TestNewPasswordBesideTheFormer(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		if l.password == "old" || l.at >= 90*second {
			return passes(20 * ms)
		}
		return refuses(50 * ms)
	})
	w.source = func() string {
		if w.now < minute {
			return "old"
		}
		return "new"
	}
	w.every("traffic", 40*second, 6*minute, 100*ms, nil, names("t", 40)...)
	w.until(4 * minute)
	assert.Zero(t, w.class("traffic").failed)
	assert.Equal(t, Trusted, w.ledger.Status(w.time(), Key{"proxy", "alice", NewPair("alice", "new")}).State)
}

// R37 (h), R38: a former password that passed half an hour ago is good enough;
// one that passed two hours ago gives a wrong new one no more attempts.
func TestFormerPasswordAfterAPause(t *testing.T) {
	for _, pause := range []time.Duration{30 * minute, 2 * hour} {
		w := newWorld(1, func(l leg) reply {
			if l.password == "old" && l.at < hour {
				return passes(20 * ms)
			}
			return refuses(50 * ms)
		})
		password := "old"
		w.source = func() string { return password }
		w.begin("first", "a", nil, nil)
		w.until(pause)
		password = "new"
		w.begin("second", "b", nil, nil)
		w.until(pause + second)
		assert.Equal(t, pause < hour, w.class("second").passed == 1, pause)
		w.every("later", pause+second, pause+30*minute, second, nil, names("t", 40)...)
		w.until(pause + 30*minute)
		if pause > hour {
			assert.Len(t, w.attempts, 2)
		}
	}
}

// R37 (a), R38: a wrong new password beside a former one that meets a deny rule
// again and again: each refusal may mean that the former one has ended.
func TestWrongNewPasswordBesideADenyRule(t *testing.T) {
	w := newWorld(1, func(l leg) reply {
		switch {
		case strings.HasPrefix(l.target, "denied"):
			return reply{after: 20 * ms, verdict: verdict.Refused, checked: l.password == "new"}
		case l.password == "old":
			return passes(20 * ms)
		}
		return refuses(50 * ms)
	})
	w.source = func() string {
		if w.now < minute {
			return "old"
		}
		return "new"
	}
	w.every("good", 0, hour, second, nil, names("t", 40)...)
	w.every("denied", 2*minute, hour, 20*second, nil, names("denied", 200)...)
	w.until(hour)
	assert.Zero(t, w.class("good").failed)
	assert.LessOrEqual(t, w.most(30*minute), 5)
	t.Log(w.most(30 * minute))
}

// R37 (h): a directory that replicates: its servers learn the new password one
// after the other.
func TestDirectoryReplicates(t *testing.T) {
	var w *world
	w = newWorld(1, func(l leg) reply {
		learned := float64(l.at-minute) / float64(10*minute)
		if (l.password == "old") == (w.random.Float64() > learned) {
			return passes(20 * ms)
		}
		return refuses(50 * ms)
	})
	w.source = func() string {
		if w.now < minute {
			return "old"
		}
		return "new"
	}
	w.every("traffic", 40*second, 12*minute, 200*ms, nil, names("t", 40)...)
	w.until(time.Hour)
	c := w.class("traffic")
	t.Log(c.began, c.failed, len(w.attempts))
	assert.GreaterOrEqual(t, c.passed*3, c.began)
}
