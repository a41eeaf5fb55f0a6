package lockout

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/assert"
)

// R35: a pair is equal to another, and is not printed by any verb at any depth.
func TestPair(t *testing.T) {
	p := NewPair("alice", "sesame")
	assert.Equal(t, p, NewPair("alice", "sesame"))
	assert.NotEqual(t, p, NewPair("alice", "Sesame"))
	assert.NotEqual(t, p, NewPair("alic", "esesame"))
	user, password := p.Reveal()
	assert.Equal(t, []string{"alice", "sesame"}, []string{user, password})

	g := NewGuard(0)
	a := g.Account(Key{"proxy", "alice", p})
	d := g.ledger.Ask(epoch, Request{Key: a.key, Schemes: basic})
	for _, v := range []any{p, &p, a.key, &a.key, a, g, g.ledger, d, &d, d.Attempt.account, []Pair{p}, map[Pair]Key{p: a.key}} {
		for _, verb := range "vsdxXqbotTpc" {
			for _, flag := range []string{"", "+", "#"} {
				assert.NotContains(t, fmt.Sprintf("%"+flag+string(verb), v), "sesame")
			}
		}
		text, _ := json.Marshal(v)
		assert.NotContains(t, string(text), "sesame")
	}
}

// R37, R38: what Diagnose says of an account.
func TestStatus(t *testing.T) {
	l := NewLedger(0)
	cause := errors.New("407")
	status := func(after time.Duration) Status {
		s := l.Status(epoch.Add(after), alice)
		return s
	}
	send := func(at time.Duration, target string) Attempt {
		d := l.Ask(epoch.Add(at), Request{Key: alice, Schemes: basic, Target: target, Unasked: true})
		assert.Equal(t, Go, d.Answer)
		return d.Attempt
	}
	report := func(at time.Duration, sent Attempt, v verdict.Verdict) {
		l.Report(epoch.Add(at), sent, Evidence{Verdict: v, Cause: cause})
	}
	assert.Equal(t, Status{}, status(0))
	sent := send(0, "a")
	assert.Equal(t, Status{UnderWay: 1}, status(0))
	report(0, sent, verdict.Unclear)
	unclear := Evidence{Verdict: verdict.Unclear, Cause: cause}
	assert.Equal(t, Status{Unclear: 1, Last: unclear}, status(0))
	report(0, send(0, "b"), verdict.Unclear)
	assert.Equal(t, Status{State: HeldOff, Unclear: 2, Next: epoch.Add(5 * second), Last: unclear}, status(4*second))
	assert.Equal(t, Status{Unclear: 2, Last: unclear}, status(5*second))
	report(5*second, send(5*second, "c"), verdict.Passed)
	passed := epoch.Add(5 * second)
	assert.Equal(t, Status{State: Trusted, Passed: passed, Last: unclear}, status(6*second))
	report(6*second, send(6*second, "d"), verdict.Refused)
	refused := Evidence{Verdict: verdict.Refused, Cause: cause}
	assert.Equal(t, Status{State: Suspect, Passed: passed, Refused: 1, Last: refused}, status(6*second))
	report(7*second, send(7*second, "e"), verdict.Refused)
	assert.Equal(t, Status{State: HeldOff, Passed: passed, Refused: 2, Next: epoch.Add(27 * second), Last: refused}, status(8*second))
	report(27*second, send(27*second, "f"), verdict.Passed)
	assert.Equal(t, Status{State: Trusted, Passed: epoch.Add(27 * second), Last: refused}, status(27*second))

	l = NewLedger(-1)
	report(0, send(0, "a"), verdict.Refused)
	assert.Equal(t, Status{Refused: 1, Last: refused}, status(0))
	report(0, send(0, "a"), verdict.Refused)
	assert.Equal(t, Status{State: HeldOff, Refused: 2, Last: refused}, status(9*hour))
}

// What is needed least is forgotten first: what has expired, what is good, what
// is unclear, live refusals last; never what is under way.
func TestEvict(t *testing.T) {
	l := NewLedger(0)
	at := func(user string, at time.Duration, verdicts ...verdict.Verdict) {
		k := Key{"proxy", user, NewPair(user, "")}
		for i, v := range verdicts {
			d := l.Ask(epoch.Add(at), Request{Key: k, Schemes: basic, Target: fmt.Sprint(i), Unasked: true, Challenged: true})
			assert.Equal(t, Go, d.Answer, "%s %d", user, i)
			if v != 0 {
				l.Report(epoch.Add(at), d.Attempt, Evidence{Verdict: v})
			}
		}
	}
	at("hanging", -second, 0)
	at("expired refusal", 0, verdict.Refused)
	at("expired pass", second, verdict.Passed)
	const now = 5 * hour
	at("four hours old", hour+4*second, verdict.Refused)
	at("good", now, verdict.Passed)
	at("good later", now+second, verdict.Passed)
	at("not sent", now+2*second, verdict.NotSent)
	at("unclear", now, verdict.Unclear)
	at("nothing", now+second, verdict.Nothing)
	at("refused", now, verdict.Refused, verdict.Refused)
	at("suspect", now+second, verdict.Passed, verdict.Refused)
	at("refused later", now+3*second, verdict.Refused)
	at("under way", now, 0)
	for _, want := range []string{
		"hanging", "expired refusal", "expired pass", "good", "good later", "not sent", "unclear", "nothing",
		"four hours old", "refused", "suspect", "refused later", "under way",
	} {
		before := len(l.byKey)
		l.evict(epoch.Add(now + 4*second))
		assert.Len(t, l.byKey, before-1)
		assert.NotContains(t, l.byKey, Key{"proxy", want, NewPair(want, "")})
		assert.NotContains(t, l.byUser, want)
	}
}

// R8, R37: what is reported about an account that was evicted.
func TestReportEvicted(t *testing.T) {
	good := `
			0s   1 asks Basic a : goes
			0s   1 passed
			1s   1 asks Basic x : goes
			1s   2 asks Basic y : goes
			1s   evict
			1s   state : new`
	for name, text := range map[string]string{
		"it is back with what has passed": good + `
			1s   1 refused
			1s   state : suspect
			1s   2 refused
			1s   state : suspect
			1s   3 asks Basic b : goes
			1s   4 asks Basic b : waits until 5s
			1s   3 passed
			1s   4 asks again : goes`,

		"also beside another in its place, as from before that": good + `
			1s   3 asks Basic b : goes
			2s   1 refused
			2s   state : suspect
			2s   2 refused
			2s   state : suspect
			3s   4 asks Basic c : waits until 5s
			5s   4 asks again : goes
			5s   4 passed
			5s   state : trusted`,

		"a late pass there frees": `
			0s   1 asks Basic a : goes
			0s   evict
			0s   2 asks Basic b : goes
			0s   3 asks Basic c : waits until 4s
			1s   1 passed
			1s   3 asks again : goes`,

		"what was held against it is forgotten": `
			0s   1 asks Basic a unasked : goes
			0s   1 refused
			0s   1 asks Basic a unasked : goes
			0s   evict
			0s   1 refused
			0s   state : new
			0s   2 asks Basic a unasked : goes
			0s   3 asks Basic a unasked : waits until 30s`,

		"and so is what has no answer": `
			0s   1 asks Basic a unasked : goes
			4s   2 asks Basic b unasked : goes
			4s   evict
			62s  1 passed
			62s  3 asks Basic b unasked : goes
			62s  4 asks Basic b unasked : goes
			65s  2 unclear
			65s  state : trusted`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R8: the ledger is bounded, with 1,500 user names and a source that rotates
// names; one pair of several that a user name has is forgotten alone.
func TestBounds(t *testing.T) {
	l := NewLedger(0)
	send := func(i int, user, password string, v verdict.Verdict) Answer {
		now := epoch.Add(time.Duration(i) * time.Millisecond)
		d := l.Ask(now, Request{Key: Key{"proxy", user, NewPair(user, password)}, Schemes: basic, Target: "t"})
		if d.Answer == Go {
			l.Report(now, d.Attempt, Evidence{Verdict: v})
		}
		return d.Answer
	}
	for i := range 1500 {
		assert.Equal(t, Go, send(i, fmt.Sprint("user", i), "", verdict.Passed))
	}
	assert.Len(t, l.byKey, 1500)
	for i := range 2 {
		assert.Equal(t, Go, send(2000, "live", "", verdict.Refused), i)
	}
	for i := range 650 {
		send(3000+i, fmt.Sprint("wrong", i), "", verdict.Refused)
		assert.LessOrEqual(t, len(l.byKey), mostAccounts)
	}
	assert.Len(t, l.byUser, len(l.byKey))

	l = NewLedger(0)
	for i, password := range []string{"one", "two", "three"} {
		assert.Equal(t, Go, send(i, "alice", password, verdict.Passed))
	}
	l.evict(epoch)
	assert.Len(t, l.byUser["alice"], 2)
	assert.Equal(t, Go, send(0, "alice", "one", verdict.Passed))
	assert.Len(t, l.byUser["alice"], 3)

	var several list
	for i := range 100 {
		several.add(fmt.Sprint(i))
		several.add(fmt.Sprint(i))
	}
	assert.Len(t, several, 64)
	assert.True(t, several.has("36"))
	assert.False(t, several.has("35"))
	several.remove("36")
	assert.Len(t, several, 63)
}
