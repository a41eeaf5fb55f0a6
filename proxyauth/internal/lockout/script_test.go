package lockout

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
	"github.com/stretchr/testify/require"
)

// A script is what happens to a ledger, a line for each event:
//
//	<time> <request> asks <schemes> <target> [as <password>] [of <user>] [at <proxy>] [challenged] [unasked] [barred] : <decision>
//	<time> <request> asks again [challenged] : <decision>
//	<time> <request> <verdict>
//	<time> <request> frees (its place)
//	<time> <request> repeats [again] : goes, or not (in its place, after an answer)
//	<time> forget
//	<time> evict (the account that is needed least)
//	<time> rejected [at <proxy>] : <passwords>
//	<time> state [as <password>] : <state>
//
// A request has a name of its own. Decisions are "goes", "goes by <scheme>",
// "waits until <time>", "begins bare", "goes on as <password>", "held until
// <time>", "held for good", the last two with "by <verdict>", where that is of
// interest. Barred is a request to which the former password was refused. Words in
// parentheses are comments.
type script struct {
	t        *testing.T
	ledger   *Ledger
	requests map[string]*asked
	line     string
}

type asked struct {
	Request
	attempt Attempt
	waiting bool
	since   time.Time
	until   time.Time
}

var epoch = time.Date(2026, 11, 2, 7, 0, 0, 0, time.UTC)

var verdicts = map[string]verdict.Verdict{
	"passed": verdict.Passed, "refused": verdict.Refused, "refused twice": verdict.Refused,
	"unclear twice": verdict.Unclear, "unclear": verdict.Unclear,
	"403": verdict.UnclearTarget, "503": verdict.Nothing, "not sent": verdict.NotSent,
}

var states = map[State]string{New: "new", Trusted: "trusted", Suspect: "suspect", HeldOff: "held off"}

func play(t *testing.T, rejectedFor time.Duration, text string) {
	t.Helper()
	s := &script{t: t, ledger: NewLedger(rejectedFor), requests: map[string]*asked{}}
	for line := range strings.Lines(text) {
		if s.line = strings.TrimSpace(line); s.line != "" && !strings.HasPrefix(s.line, "(") {
			s.play()
		}
	}
}

func (s *script) play() {
	line, want, _ := strings.Cut(s.line, " : ")
	want, _, _ = strings.Cut(want, "(")
	line, _, _ = strings.Cut(line, "(")
	words := strings.Fields(line)
	at, err := time.ParseDuration(words[0])
	require.NoError(s.t, err, s.line)
	now := epoch.Add(at)
	got := ""
	switch words[1] {
	case "forget":
		s.ledger.Forget(now)
	case "evict":
		s.ledger.evict(now)
	case "rejected":
		k := key(words[2:])
		var names []string
		for _, p := range s.ledger.Rejected(now, k.Proxy) {
			_, password := p.Reveal()
			names = append(names, password)
		}
		got = strings.Join(names, " ")
	case "state":
		got = states[s.ledger.Status(now, key(words[2:])).State]
	default:
		r := s.requests[words[1]]
		if words[2] != "asks" {
			switch words[2] {
			case "frees":
				s.ledger.Free(now, r.attempt)
				return
			case "repeats", "repeats again":
				made := 1 + strings.Count(line, "again")
				got = map[bool]string{true: "goes", false: "not"}[s.ledger.Repeat(now, r.attempt, made)]
				require.Equal(s.t, strings.TrimSpace(want), got, s.line)
				return
			}
			verdict := strings.Join(words[2:], " ")
			require.Contains(s.t, verdicts, verdict, s.line)
			e := Evidence{Verdict: verdicts[verdict], Cause: errors.New(verdict)}
			if strings.HasSuffix(verdict, " twice") {
				e.Legs = 2
			}
			s.ledger.Report(now, r.attempt, e)
			break
		}
		if words[3] != "again" {
			r = &asked{Request: Request{Key: key(words[5:]), Schemes: strings.Split(words[3], ","), Target: words[4]}}
			s.requests[words[1]] = r
		}
		r.Challenged = r.Challenged || strings.Contains(line, " challenged")
		r.Unasked = r.Unasked || strings.Contains(line, " unasked")
		r.NoFormer = r.NoFormer || strings.Contains(line, " barred")
		if r.waiting {
			r.Waited += now.Sub(r.since)
		}
		d := s.ledger.Ask(now, r.Request)
		r.since, r.waiting = now, d.Answer == Wait
		r.attempt = d.Attempt
		got = said(d, strings.Contains(want, " by "))
	}
	require.Equal(s.t, strings.TrimSpace(want), got, s.line)
}

func key(words []string) Key {
	user, password, proxy := "alice", "secret", "proxy"
	for i, word := range words[:max(0, len(words)-1)] {
		switch word {
		case "as":
			password = words[i+1]
		case "of":
			user = words[i+1]
		case "at":
			proxy = words[i+1]
		}
	}
	return Key{Proxy: proxy, User: user, Pair: NewPair(user, password)}
}

func said(d Decision, why bool) string {
	by := ""
	switch {
	case why && d.Answer == Go:
		by = " by " + d.Attempt.Scheme
	case why && d.Last.Cause != nil:
		by = " by " + d.Last.Cause.Error()
	}
	switch d.Answer {
	case Go:
		return "goes" + by
	case Wait:
		return fmt.Sprintf("waits until %v", d.Until.Sub(epoch))
	case Bare:
		return "begins bare"
	case Former:
		_, password := d.Former.Pair.Reveal()
		return "goes on as " + password
	case Held:
		if d.Until.IsZero() {
			return "held for good" + by
		}
		return fmt.Sprintf("held until %v", d.Until.Sub(epoch)) + by
	}
	return "?"
}
