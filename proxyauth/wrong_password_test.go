package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A refusal is how a proxy answers a wrong password, and how often it may get that
// all the same (design: two attempts, and then at the pace that a directory which
// locks after five failures within 30 minutes does not mind).
type refusal struct {
	answer   proxytest.Answer
	stale    bool          // the challenge says stale=true: Digest alone
	front    int           // requests that a load balancer answers 503 before
	patience time.Duration // of the clients
	ways     []string

	early    int             // attempts in the first 31 minutes
	halfHour int             // in any 30
	later    []time.Duration // the pauses after the first two, if one attempt ends each
	pace     time.Duration   // the least time between attempts after the first four
	rejected bool            // a refusal decides, so that the error is ErrRejected
}

var (
	tunnelOnly  = []string{"tunnel"}
	forwardOnly = []string{"forward"}
	doubled     = []time.Duration{31 * time.Minute, 62 * time.Minute}
)

// refused is a refusal in plain words, after some time.
func refused(after time.Duration) refusal {
	return refusal{answer: proxytest.Answer{Delay: after}, ways: ways, early: 2, halfHour: 2, later: doubled, rejected: true}
}

// behind503 is one of a proxy whose load balancer finds it only after n requests.
func behind503(n int) refusal {
	r := refused(10 * time.Millisecond)
	r.front, r.early, r.halfHour, r.later = n, 4, 4, nil
	return r
}

// unclear is an answer that need not be about the password.
func unclear(a proxytest.Answer, ways []string) refusal {
	return refusal{answer: a, ways: ways, early: 4, halfHour: 4, pace: 31 * time.Minute}
}

// ofTarget is one that is mostly about the target.
func ofTarget(a proxytest.Answer, patience time.Duration, ways []string) refusal {
	return refusal{answer: a, patience: patience, ways: ways, early: 10, halfHour: 10, pace: 5 * time.Minute}
}

const late = 20 * time.Second

var refusals = map[string]refusal{
	"407 after 10ms": refused(10 * time.Millisecond),
	"407 after 3s":   refused(3 * time.Second),
	"407 after 30s":  refused(30 * time.Second),
	"407 after 59s":  refused(59 * time.Second),

	"401 to CONNECT":       unclear(proxytest.Answer{Status: 401}, tunnelOnly),
	"empty 407 to CONNECT": unclear(proxytest.Answer{Status: 407, Challenges: []string{}}, tunnelOnly),
	"407 offers another":   unclear(proxytest.Answer{Status: 407, Challenges: []string{"X-Other"}}, ways),
	"closed":               unclear(proxytest.Answer{Close: true}, ways),
	"reset":                unclear(proxytest.Answer{Reset: true}, ways),
	"closed after 20s":     unclear(proxytest.Answer{Close: true, Delay: late}, ways),

	"403 to CONNECT":           ofTarget(proxytest.Answer{Status: 403}, 0, tunnelOnly),
	"403 to CONNECT after 20s": ofTarget(proxytest.Answer{Status: 403, Delay: late}, 0, tunnelOnly),
	"given up after 20s":       ofTarget(proxytest.Answer{Never: true}, late, ways),
	"never answered":           ofTarget(proxytest.Answer{Never: true}, 0, ways),

	// A CONNECT goes on without its client, and its answer counts; a forwarded
	// request does not.
	"407 after 20s, CONNECT given up after 5s": {
		answer: proxytest.Answer{Delay: late}, patience: 5 * time.Second, ways: tunnelOnly,
		early: 2, halfHour: 2, later: doubled, rejected: true,
	},
	"407 after 20s, given up after 5s": ofTarget(proxytest.Answer{Delay: late}, 5*time.Second, forwardOnly),

	"stale for ever":             {stale: true, ways: ways, early: 2, halfHour: 4, rejected: true},
	"stale for ever, each in 3s": {answer: proxytest.Answer{Delay: 3 * time.Second}, stale: true, ways: ways, early: 4, halfHour: 4, rejected: true},

	"once 503":     behind503(1),
	"3 times 503":  behind503(3),
	"20 times 503": behind503(20),
}

// wrongWays are the schemes by which a password can be tried.
var wrongWays = map[string][]proxytest.Auth{
	"Basic":                 {proxytest.Basic{Realm: "r"}},
	"Digest":                {proxytest.Digest{Realm: "r"}},
	"NTLM":                  ntlmOnly(),
	"NTLM inside Negotiate": {proxytest.Negotiate{NTLM: &proxytest.NTLM{}}},
	"NTLM and Basic":        {proxytest.NTLM{}, proxytest.Basic{Realm: "r"}},
	"Digest and Basic":      {proxytest.Digest{Realm: "r"}, proxytest.Basic{Realm: "r"}},
	"Negotiate and Digest":  {proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, proxytest.Digest{Realm: "r"}},
}

// schemes returns by which schemes there is such a refusal, in a fixed order.
func (r refusal) schemes() []string {
	if r.stale {
		return []string{"Digest"}
	}
	return slices.Sorted(maps.Keys(wrongWays))
}

// R8, R38: a wrong password is tried twice, and then at the pace of a patient
// directory, whatever the proxy answers, however slow it is, by all schemes, and
// with any number of goroutines. Here each case has one of the schemes and ways;
// TestWrongPasswordEverywhere has all of them, and a larger crowd that asks more often.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	var table refusalTable
	run := func(t *testing.T, name, schemes, way string) {
		table.run(t, name, schemes, way, &askers{size: 300, grows: 8, longest: time.Hour})
	}
	t.Run("cases", func(t *testing.T) {
		for i, name := range slices.Sorted(maps.Keys(refusals)) {
			schemes, ways := refusals[name].schemes(), refusals[name].ways
			run(t, name, schemes[i%len(schemes)], ways[i/len(schemes)%len(ways)])
		}
		// net/http repeats a GET whose connection ends, on the next one that is idle.
		run(t, "closed", "Digest", "forward")
		run(t, "reset", "Basic", "forward")
		run(t, "closed after 20s", "Basic", "forward")
		// That a nonce was used by another attempt does not explain a refusal.
		run(t, "407 after 59s", "Digest", "forward")
		run(t, "407 after 20s, CONNECT given up after 5s", "Digest", "tunnel")
	})
	table.log(t)
}

// A refusalTable is what was counted, as a table of Markdown.
type refusalTable struct {
	mu   sync.Mutex
	rows []string
}

func (table *refusalTable) log(t *testing.T) {
	slices.Sort(table.rows)
	t.Log("\n| the proxy's answer | scheme | way | first minute | first 31 min | any 30 min | three hours | requests |\n" +
		"|---|---|---|---|---|---|---|---|\n" + strings.Join(table.rows, "\n"))
}

// run has a crowd ask with a wrong password for three hours, and counts.
func (table *refusalTable) run(t *testing.T, name, schemes, way string, c *askers) {
	r := refusals[name]
	t.Run(name+"/"+schemes+"/"+way, func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, w *world) {
			p := w.refusing(r, wrongWays[schemes])
			tr := w.newTransport(p)
			source := &latecomer{CredentialSource: proxyauth.UserPassword("alice", "open barley")}
			tr.Credentials = source
			c.tr, c.way, c.patience, c.lasts = tr.Transport, way, r.patience, 3*time.Hour
			c.attempts = func() int { return p.Attempts("alice") }
			c.judge = r.judge
			r.begin(t, p, c, source)
			c.run(t.Context())
			r.check(t, c)
			table.mu.Lock()
			defer table.mu.Unlock()
			table.rows = append(table.rows, fmt.Sprintf("| %s | %s | %s | %d | %d | %d | %d | %d |", name, schemes, way,
				c.within(time.Minute), c.within(31*time.Minute), c.most(30*time.Minute), len(c.seen), c.requests))
		})
	})
}

// refusing starts a proxy that refuses in this way.
func (w *world) refusing(r refusal, auth []proxytest.Auth) *proxytest.Proxy {
	if r.stale {
		auth = []proxytest.Auth{proxytest.Digest{Realm: "r", StaleWrong: true}}
	}
	return w.newProxy(proxytest.Config{Auth: auth, Users: alice, Behaviour: proxytest.Behaviour{Refusal: r.answer}})
}

// begin lets the crowd's source have its wrong password. Where a load balancer is
// to meet that, and not the request which asks what the proxy demands, it has none
// before that is known.
func (r refusal) begin(t *testing.T, p *proxytest.Proxy, c *askers, source *latecomer) {
	if r.front > 0 {
		require.ErrorIs(t, c.ask(t.Context(), "t.example"), proxyauth.ErrNoCredentials)
		p.AnswerNext(r.front, proxytest.Answer{Status: 503, Delay: 10 * time.Millisecond})
	}
	source.here.Store(true)
}

// judge says what is wrong with how a request ended, or "".
func (r refusal) judge(err error, took time.Duration) string {
	refused := errors.Is(err, proxyauth.ErrRejected)
	switch held := errors.Is(err, proxyauth.ErrHeld); {
	case (!r.answer.Never || r.patience > 0) && took > 31*time.Second+2*r.answer.Delay+r.patience:
		return "it waited for more than 30 s, and for two answers of its own"
	case r.front > 0: // its 503 is an answer, or a ConnectError
	case err == nil:
		return "it passed"
	case r.later != nil && r.answer.Delay < time.Second && !refused:
		return "not ErrRejected"
	case r.rejected && r.patience == 0 && !refused && !held && !errors.Is(err, proxyauth.ErrProxyFault):
		return "neither ErrRejected nor ErrHeld nor ErrProxyFault"
	case !r.rejected && refused:
		return "ErrRejected, and nothing was refused"
	}
	return ""
}

// check compares what the directory saw with what it may.
func (r refusal) check(t *testing.T, c *askers) {
	for complaint, n := range c.complaints {
		assert.Fail(t, complaint, "%d requests", n)
	}
	seen := fmt.Sprint(c.seen[:min(len(c.seen), 20)])
	assert.NotEmpty(t, c.seen)
	assert.LessOrEqual(t, c.within(time.Minute), 4, "in the first minute: %s", seen)
	assert.LessOrEqual(t, c.within(31*time.Minute), r.early, "in the first 31 minutes: %s", seen)
	assert.LessOrEqual(t, c.most(30*time.Minute), r.halfHour, "in 30 minutes: %s", seen)
	for i := 4; r.pace > 0 && i < len(c.seen); i++ {
		if pause := c.seen[i] - c.seen[i-1]; pause < r.pace-time.Second {
			assert.Fail(t, "too soon", "%v before attempt %d: %s", pause, i+1, seen)
			break
		}
	}
	if r.later != nil && assert.Equal(t, 2+len(r.later), len(c.seen), seen) {
		const slack = 15 * time.Second // until somebody asks
		for i, pause := range r.later {
			since := c.seen[i+2] - c.seen[i+1] - r.answer.Delay
			assert.InDelta(t, pause+slack/2, since, float64(slack/2+time.Second), seen)
		}
	}
}

// A latecomer is a source that has nothing at first.
type latecomer struct {
	proxyauth.CredentialSource
	here atomic.Bool
}

func (l *latecomer) ProxyCredentials(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	if !l.here.Load() {
		return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
	}
	return l.CredentialSource.ProxyCredentials(ctx, req)
}
