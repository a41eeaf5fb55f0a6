package lockout

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
)

// R8, R38: what may not be sent now, by any scheme.
func TestRejected(t *testing.T) {
	for name, text := range map[string]string{
		"the latest refused last, for a proxy": `
			0s     1 asks Basic a of bob as one : goes
			0s     1 refused
			0s     1 asks Basic a of bob as one : goes
			0s     rejected : (it may be right)
			0s     2 asks Basic a as two : goes
			0s     2 refused twice
			0s     3 asks Basic a of carol as three : goes
			0s     3 refused twice
			0s     4 asks Basic a of dave as four at elsewhere : goes
			0s     4 refused twice
			0s     rejected : two three
			0s     1 refused
			0s     rejected : two three one
			0s     rejected at elsewhere : four
			31m    5 asks Basic b as two : goes
			31m    rejected :
			31m    5 refused
			31m    rejected : two
			31m    5 asks Basic b of carol as three : goes
			31m    5 passed
			92m59s rejected : two
			93m    rejected :`,

		"not what has passed, before it is held; its tries do not end that": `
			0s     1 asks Basic a : goes
			0s     1 passed
			0s     1 asks Basic a : goes
			0s     1 refused
			0s     rejected :
			0s     1 asks Basic b : goes
			0s     1 refused
			0s     rejected : secret
			20s    rejected :
			20s    1 asks Basic c : goes
			20s    rejected : secret
			20s    1 unclear
			79.9s  rejected : secret
			80s    rejected :
			80s    1 asks Basic d : goes
			80s    1 passed
			80s    rejected :`,

		"nor what is unclear": `
			0s     1 asks Basic a challenged : goes
			0s     1 unclear
			0s     1 asks Basic a challenged : goes
			0s     1 unclear
			0s     rejected :
			5s     1 asks Basic b challenged : goes
			5s     1 refused
			5s     rejected : secret
			1m5s   rejected :
			1m5s   2 asks Basic c challenged : goes
			1m5s   2 403
			1m5s   rejected : secret`,

		"a new pair beside a former one, between its tries; longer where that passes no more": `
			0s     1 asks Basic a as old : goes
			0s     1 passed
			58m    1 asks Basic a as new : goes
			58m    1 refused
			58m    1 asks Basic a as new : goes on as old
			58m    rejected : new
			58m20s rejected :
			58m20s 1 asks Basic a as new : goes
			58m20s 1 refused
			59m    rejected : new
			1h     rejected : new
			1h29m20s rejected :`,

		"also if nobody asked meanwhile": `
			0s     1 asks Basic a as old : goes
			0s     1 passed
			59m    1 asks Basic a as new : goes
			59m    1 refused twice
			59m30s rejected : (the former passed)
			1h     rejected : new
			1h30m  rejected :`,

		"for good": `
			0s     1 asks Basic a : goes
			0s     1 refused twice
			0s     rejected : secret
			0s     forget
			0s     rejected :`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R8: which accounts are looked at: those whose pauses are not over.
func TestRefusedAccounts(t *testing.T) {
	l := NewLedger(0)
	target := 0
	send := func(at time.Duration, user, scheme string, v verdict.Verdict) {
		k := Key{"proxy", user, NewPair(user, "")}
		target++
		d := l.Ask(epoch.Add(at), Request{Key: k, Schemes: []string{scheme}, Target: fmt.Sprint(target), Unasked: true})
		assert.Equal(t, Go, d.Answer)
		if v != 0 {
			l.Report(epoch.Add(at), d.Attempt, Evidence{Verdict: v})
		}
	}
	looks := func(at time.Duration) int {
		l.Rejected(epoch.Add(at), "proxy")
		return len(l.refused)
	}
	for i := range 100 {
		send(0, fmt.Sprint(i), "Basic", verdict.Verdict(i%2)*verdict.Unclear)
	}
	assert.Zero(t, looks(0))
	send(0, "alice", "Basic", verdict.Refused)
	assert.Len(t, l.refused, 1)
	assert.Equal(t, 1, looks(20*second-1), "beside a former pair that would pass now it waited")
	assert.Zero(t, looks(20*second), "the next attempt may be made")
	send(minute, "alice", "Basic", verdict.Refused)
	assert.Equal(t, 1, looks(32*minute-1))
	assert.Zero(t, looks(32*minute))
	send(32*minute, "alice", "Basic", 0)
	assert.Equal(t, 1, looks(32*minute), "its answer may be a refusal")
	send(32*minute, "bob", "Basic", verdict.Passed)
	send(32*minute, "bob", "Digest", verdict.Refused)
	send(32*minute, "bob", "Digest", verdict.Refused)
	assert.Equal(t, 1, looks(32*minute), "by Basic it may be sent")
	for range 102 {
		l.evict(epoch.Add(33 * minute))
	}
	assert.Empty(t, l.byKey)
	assert.Empty(t, l.refused)
}

// R8: while no refusal counts the source is asked without lock and allocation.
func TestGuardRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(0)
		a := g.Account(alice)
		free := func() {
			g.mu.Lock() // so that it would never return
			assert.Zero(t, testing.AllocsPerRun(10, func() { assert.Nil(t, g.Rejected("proxy")) }))
			g.mu.Unlock()
		}
		free()
		g.Report(goes(t, a, "t"), Evidence{Verdict: verdict.Refused, Legs: 2})
		assert.Equal(t, []Pair{alice.Pair}, g.Rejected("proxy"))
		assert.Empty(t, g.Rejected("another"))
		g.Forget()
		free()
		g.Report(goes(t, a, "t"), Evidence{Verdict: verdict.Refused, Legs: 2})
		time.Sleep(31 * time.Minute)
		assert.Empty(t, g.Rejected("another"))
		free()
		time.Sleep(time.Second)
		d := a.Ask(toTarget("t"))
		assert.True(t, g.refused.Load())
		g.Report(d.Attempt, Evidence{Verdict: verdict.Passed})
		free()
	})
}
