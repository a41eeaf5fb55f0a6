package lockout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/require"
)

// A monkey does anything in any order: it asks, waits, reports early, late or
// never, frees, forgets, evicts. What it knows of the rules it counts in a way of
// its own.
type monkey struct {
	*rand.Rand
	t       *testing.T
	ledger  *Ledger
	now     time.Time
	known   map[Key]*seen
	sent    []*shot
	waiting []*asked
	log     []func() string
	fresh   int // targets so far that nobody else asks for
	pace    int // how long it waits
}

// seen is what it knows of an account, since that was forgotten.
type seen struct {
	luck     int // of ten answers so many are passes
	proven   map[string]bool
	refused  int
	unclear  int
	nothing  int
	answered time.Time // what was refused or unclear
	loose    bool      // it was evicted with attempts under way
}

// A shot is an attempt that was not reported.
type shot struct {
	Attempt
	at            time.Time
	freed, lapsed bool
	made          int // times, with Repeat; 0: once
}

// R8, R37, R38: reports in any order do no harm.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(70) {
		m := &monkey{
			Rand: rand.New(rand.NewPCG(seed, 2)), t: t, ledger: NewLedger(0), now: epoch, known: map[Key]*seen{}, pace: 4 + int(seed%7),
		}
		for range 200 {
			m.acts()
		}
		m.ends()
	}
}

func (m *monkey) say(format string, words ...any) {
	now := m.now
	m.log = append(m.log, func() string { return fmt.Sprint(now.Sub(epoch), " ") + fmt.Sprintf(format, words...) })
}

func (m *monkey) must(holds bool, why string, of any) {
	if !holds {
		m.t.Helper()
		m.say("BUT %s: %+v", why, of)
		for _, line := range m.log[max(0, len(m.log)-80):] {
			m.t.Log(line())
		}
		require.Fail(m.t, why)
	}
}

func (m *monkey) pick(of ...string) string { return of[m.IntN(len(of))] }

func (m *monkey) acts() {
	m.waits([]time.Duration{0, ms, 300 * ms, second, 4 * second, 5 * second, 20 * second, minute, 31 * minute, 2 * hour}[m.IntN(m.pace)])
	switch n := m.IntN(100); {
	case n < 50:
		user := m.pick("alice", "alice", "bob")
		r := &asked{Request: Request{
			Key:     Key{m.pick("proxy", "proxy", "second", "third"), user, NewPair(user, m.pick("one", "one", "two", "three"))},
			Schemes: [][]string{{"Basic"}, {"Basic"}, {"Digest"}, {"NTLM", "Basic"}, {"NTLM", "Digest", "Basic"}, nil}[m.IntN(6)],
			Target:  m.pick("a", "b", "c", m.another()), Unasked: m.IntN(3) == 0, Challenged: m.IntN(3) == 0, NoFormer: m.IntN(5) == 0,
		}}
		m.asks(r, 0)
	case n < 90 && len(m.sent) > 0:
		m.reports(m.sent[m.IntN(len(m.sent))])
	case n < 95 && len(m.sent) > 0:
		s := m.sent[m.IntN(len(m.sent))]
		m.lapse()
		m.say("%v frees", s)
		s.freed = true
		if s.place != nil {
			m.ledger.Free(m.now, s.Attempt)
			m.wakes(s.Key.User)
		}
	case n < 97 && len(m.sent) > 0:
		m.repeats(m.sent[m.IntN(len(m.sent))])
	case n < 98:
		m.forgets()
	case n < 99 && len(m.ledger.byKey) > 0:
		m.evicts()
	}
	m.rejected()
	m.inTime()
}

func (m *monkey) another() string {
	m.fresh++
	return fmt.Sprint("t", m.fresh)
}

func (s *shot) String() string {
	return fmt.Sprint(named{s.Key}, " by ", s.Scheme, " to ", s.Target, " of ", s.at.Sub(epoch))
}

type named struct{ Key }

func (n named) String() string {
	_, password := n.Pair.Reveal()
	return fmt.Sprint(n.User, " as ", password, " at ", n.Proxy)
}

type decided struct{ Decision }

func (d decided) String() string { return said(d.Decision, true) }

func (m *monkey) seen(k Key) *seen {
	if m.known[k] == nil {
		m.known[k] = &seen{proven: map[string]bool{}, luck: []int{0, 0, 1, 5, 9}[m.IntN(5)]}
	}
	return m.known[k]
}

// waits lets time go on. Those who wait ask again when they must.
func (m *monkey) waits(d time.Duration) {
	for end := m.now.Add(d); ; {
		i := -1
		for j, r := range m.waiting {
			if !r.until.After(end) && (i < 0 || r.until.Before(m.waiting[i].until)) {
				i = j
			}
		}
		if i < 0 {
			m.now = end
			return
		}
		r := m.waiting[i]
		m.waiting = slices.Delete(m.waiting, i, i+1)
		m.now = r.until
		m.again(r)
	}
}

func (m *monkey) again(r *asked) {
	r.Waited += m.now.Sub(r.since)
	m.asks(r, 0)
}

func (m *monkey) wakes(user string) {
	waiting := m.waiting
	m.waiting = nil
	for _, r := range waiting {
		if user == "" || r.Key.User == user {
			m.again(r)
		} else {
			m.waiting = append(m.waiting, r)
		}
	}
}

// lapse counts what has no answer.
func (m *monkey) lapse() {
	for _, s := range m.sent {
		if k := m.seen(s.Key); s.place != nil && !s.freed && !s.lapsed && m.now.Sub(s.at) >= minute && !k.proven[s.Scheme] {
			s.lapsed = true
			k.unclear += s.made
			k.answered = s.at.Add(minute)
		}
	}
}

func (m *monkey) asks(r *asked, depth int) {
	m.lapse()
	freely := false
	if a := m.ledger.byKey[r.Key]; a != nil && len(r.Schemes) == 1 {
		f := a.freely.Load()
		freely = f.lets(m.now, r.Schemes[0], r.Target)
		if freely && m.IntN(2) == 0 {
			m.say("%v asks %v %s: goes freely", named{r.Key}, r.Schemes, r.Target)
			m.sent = append(m.sent, &shot{Attempt{Key: r.Key, Scheme: r.Schemes[0], Target: r.Target, account: a, mark: f.mark}, m.now, false, false, 1})
			return
		}
	}
	d := m.ledger.Ask(m.now, r.Request)
	m.say("%v asks %v %s: %v", named{r.Key}, r.Schemes, r.Target, decided{d})
	m.must(d.Answer == Go || !freely, "what goes freely would go", d)
	switch d.Answer {
	case Go:
		m.must(slices.Contains(r.Schemes, d.Attempt.Scheme) && d.Attempt.Target == r.Target && d.Attempt.Key == r.Key, "it is what was asked for", d)
		s := &shot{d.Attempt, m.now, false, false, 1}
		m.sent = append(m.sent, s)
		m.few(s)
	case Wait:
		m.must(d.Until.After(m.now) && !d.Until.After(m.now.Add(patience-r.Waited)), "it waits for some time", d)
		r.until, r.since = d.Until, m.now
		m.waiting = append(m.waiting, r)
	case Bare:
		m.must(!r.Challenged && !r.Unasked, "it can begin bare", r)
		r.Challenged = true
		m.asks(r, depth)
	case Former:
		m.must(depth == 0 && !r.NoFormer && d.Former != r.Key && d.Former.User == r.Key.User && d.Former.Proxy == r.Key.Proxy, "it is a former pair", d)
		r.Key = d.Former
		m.asks(r, 1)
	case Held:
		m.must(d.Until.IsZero() || !d.Until.Before(m.now), "it is not over", d)
	default:
		m.must(false, "there is a decision", d)
	}
}

// few checks that it is right that an attempt was sent.
func (m *monkey) few(sent *shot) {
	k := m.seen(sent.Key)
	if len(k.proven) > 0 || k.loose {
		return
	}
	underWay := 0
	for _, s := range m.sent {
		if s.Key == sent.Key && !s.freed && !s.lapsed {
			underWay += s.made
		}
	}
	room := min(2+k.nothing, 4)
	if sent.made > 1 {
		m.must(k.refused+underWay <= 2 && k.refused+k.unclear+underWay <= 4, "two attempts, or four where the others were unclear", k)
		return
	}
	m.must(underWay == 1 || k.refused+k.unclear+underWay <= room, "two attempts", k)
	former := false
	for other, seen := range m.known {
		former = former || other.Proxy == sent.Key.Proxy && other.User == sent.Key.User && len(seen.proven) > 0
	}
	since := m.now.Sub(k.answered)
	switch {
	case former:
	case k.refused >= 2, k.refused > 0 && k.refused+k.unclear >= 4:
		m.must(since >= 31*minute, "31 minutes", k)
	case k.refused+k.unclear >= 4:
		m.must(since >= 5*minute, "5 minutes", k)
	case k.refused+k.unclear == 3:
		m.must(since >= minute, "a minute", k)
	case k.refused+k.unclear == 2:
		m.must(since >= 5*second, "5 seconds", k)
	}
}

// repeats makes an attempt once more in its place.
func (m *monkey) repeats(s *shot) {
	m.lapse()
	if s.place == nil {
		return // Guard.Repeat does not ask
	}
	may := m.ledger.Repeat(m.now, s.Attempt, s.made)
	m.say("%v repeats: %v", s, may)
	s.at = m.now
	if may {
		s.made++
		m.few(s)
	}
}

func (m *monkey) reports(s *shot) {
	m.lapse()
	k := m.seen(s.Key)
	v := []verdict.Verdict{verdict.Refused, verdict.Refused, verdict.Refused, verdict.Unclear, verdict.Unclear, verdict.UnclearTarget, verdict.Nothing, verdict.NotSent}[m.IntN(8)]
	if m.IntN(10) < k.luck {
		v = verdict.Passed
	}
	e := Evidence{Verdict: v, Legs: s.made}
	m.say("%v is answered %d (legs %d)", s, v, e.Legs)
	m.sent = slices.DeleteFunc(m.sent, func(other *shot) bool { return other == s })
	if s.needless(m.now, v) {
		return // as Guard.Report does
	}
	first := v == verdict.Passed && len(k.proven) == 0 && !k.loose
	switch {
	case v == verdict.Passed:
		k.proven[s.Scheme] = true
	case v == verdict.Refused:
		k.refused += max(1, e.Legs)
		k.answered = m.now
	case s.lapsed || v == verdict.NotSent:
	case v == verdict.Unclear || v == verdict.UnclearTarget:
		k.unclear += s.made
		k.answered = m.now
	case s.place.challenged:
		k.nothing++
	}
	was, is := m.ledger.Report(m.now, s.Attempt, e)
	if matters(s.Attempt, e, was, is) {
		m.wakes(s.Key.User)
	}
	if first {
		m.must(is == Trusted, "a pass frees", is)
		d := m.ledger.Ask(m.now, Request{Key: s.Key, Schemes: []string{s.Scheme}, Target: m.another()})
		m.must(d.Answer == Go, "a pass frees", d)
		m.sent = append(m.sent, &shot{d.Attempt, m.now, false, false, 1})
	}
}

func (m *monkey) forgets() {
	m.say("forget")
	m.lapse()
	m.ledger.Forget(m.now)
	for _, k := range m.known {
		k.refused, k.unclear, k.nothing = 0, 0, 0
	}
	m.must(len(m.ledger.refused) == 0, "nothing is rejected", nil)
	m.wakes("")
}

func (m *monkey) evicts() {
	m.lapse()
	before := map[Key]*account{}
	for k, a := range m.ledger.byKey {
		before[k] = a
	}
	m.ledger.evict(m.now)
	for k, a := range before {
		if m.ledger.byKey[k] == nil {
			m.say("evicts %v", named{k})
			s := m.seen(k)
			s.refused, s.unclear, s.nothing = 0, 0, 0
			s.loose = s.loose || len(a.underWay) > 0
		}
	}
	m.wakes("") // the guard leaves them until their time: there are hardly 2,048 accounts under way
}

// rejected compares what is rejected with all accounts.
func (m *monkey) rejected() {
	for _, proxy := range []string{"proxy", "second"} {
		got := m.ledger.Rejected(m.now, proxy)
		var want []*account
		for k, a := range m.ledger.byKey {
			a.expire(m.now)
			u := m.ledger.byUser[k.User]
			if k.Proxy == proxy && u.state(m.now, a) == HeldOff && a.refused+a.sum().refused > 0 && u.heldUntil(m.now, a).After(m.now) {
				want = append(want, a)
			}
		}
		m.must(len(got) == len(want), "all that is rejected", got)
		slices.SortFunc(want, func(a, b *account) int { return a.refusal - b.refusal })
		for i, a := range want {
			m.must(got[i] == a.key.Pair, "in its order", got)
		}
	}
}

// inTime checks that nobody waits whose turn has come.
func (m *monkey) inTime() {
	for _, r := range m.waiting {
		u := m.ledger.user(m.now, r.Key.User)
		a := m.ledger.byKey[r.Key]
		if a == nil {
			a = m.ledger.of(m.now, r.Key)
		}
		_, t := u.choose(m.now, a, r.Schemes, r.Target)
		m.must(t.at.After(m.now), "nobody waits whose turn has come", *r)
		m.must(r.until.After(m.now), "nobody was left behind", *r)
	}
}

// ends lets a day pass, after which nobody waits and everything goes.
func (m *monkey) ends() {
	m.waits(24 * hour)
	m.must(len(m.waiting) == 0, "nobody waits for ever", m.waiting)
	for k := range m.known {
		d := m.ledger.Ask(m.now, Request{Key: k, Schemes: basic, Target: m.another(), Challenged: true})
		m.must(d.Answer == Go, "the next day it goes", d)
		m.ledger.Report(m.now, d.Attempt, Evidence{Verdict: verdict.NotSent})
	}
}
