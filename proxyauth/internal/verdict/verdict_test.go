package verdict_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// What went out, by the words of the table.
var (
	connect = Leg{Shown: true, Tunnel: true, Answered: true}
	forward = Leg{Shown: true, Answered: true}
)

func with(l Leg, change func(*Leg)) Leg { change(&l); return l }

func status(code int) Answer { return Answer{Status: code} }

// demand is a 407 that offers what the proxy offered at first, changed.
func demand(change func(*Demand)) Answer {
	d := Demand{Challenged: true, Familiar: true}
	change(&d)
	return Answer{Status: 407, Demand: d}
}

func same(*Demand)       {}
func stale(d *Demand)    { d.Stale = true }
func fresh(d *Demand)    { d.Fresh = true }
func other(d *Demand)    { d.OtherRealm = true }
func another(d *Demand)  { d.OtherRealm, d.OtherPair = true, true }
func foreign(d *Demand)  { d.Familiar = false }
func empty(d *Demand)    { *d = Demand{} }
func odd(d *Demand)      { *d = Demand{OtherRealm: true, Stale: true, Fresh: true, Challenged: true} }
func settled(l *Leg)     { l.Settled = true }
func renewed(l *Leg)     { l.Settled, l.Renewed = true, true }
func asked(l *Leg)       { l.Asked = true }
func byRealm(l *Leg)     { l.ProofByRealm = true }
func byRealmAsk(l *Leg)  { l.ProofByRealm, l.Asked = true, true }
func notShown(l *Leg)    { l.Shown = false }
func unasked(l *Leg)     { l.Answered = false }
func askedSettle(l *Leg) { l.Asked, l.Settled = true, true }

// R8, R13, R14, R21, R28, R29: what each answer to a leg with credentials means, row
// by row, for tunnels and for forwarded requests.
func TestOf(t *testing.T) {
	for _, row := range []struct {
		name            string
		leg             func(*Leg)
		answer          Answer
		tunnel, forward Verdict
	}{
		{"nothing went out: an answer", notShown, status(200), NotSent, NotSent},
		{"nothing went out: a 407", notShown, demand(same), NotSent, NotSent},
		{"nothing went out: a connection that ended", notShown, Answer{Ended: true}, NotSent, NotSent},

		{"the proxy's proof is wrong", nil, Answer{Status: 200, Unproven: true}, Nothing, Nothing},

		{"200", nil, status(200), Passed, Passed},
		{"204", nil, status(204), Passed, Passed},
		{"299", nil, status(299), Passed, Passed},
		{"101", nil, status(101), Nothing, Passed},
		{"302", nil, status(302), Nothing, Passed},
		{"400", nil, status(400), Nothing, Passed},
		{"404", nil, status(404), Nothing, Passed},
		{"499", nil, status(499), Nothing, Passed},

		{"407 without a challenge", nil, demand(empty), Unclear, Nothing},
		{"the same, and no challenge was answered", unasked, demand(empty), Unclear, Unclear},
		{"407 that offers nothing of what was offered first", nil, demand(foreign), Unclear, Unclear},
		{"the same, whatever else is in it", nil, demand(odd), Unclear, Unclear},

		{"another realm, for which there is a pair", nil, demand(another), Asked, Asked},
		{"the same, with Digest", byRealm, demand(another), Asked, Asked},
		{"another realm, with Digest", byRealm, demand(other), Asked, Asked},
		{"another realm, with another scheme", nil, demand(other), Refused, Refused},
		{"another realm once more, with Digest", byRealmAsk, demand(other), Refused, Refused},
		{"another realm once more, and a pair", asked, demand(another), Refused, Refused},
		{"407 after it was asked", asked, demand(same), Refused, Refused},
		{"stale after it was asked", askedSettle, demand(stale), Refused, Refused},

		{"stale=true", nil, demand(stale), Renew, Renew},
		{"stale=true, and the session has passed", settled, demand(stale), Renew, Renew},
		{"a fresh challenge, and the session has passed", settled, demand(fresh), Renew, Renew},
		{"a fresh challenge for a session of which nothing is known", nil, demand(fresh), Refused, Refused},
		{"stale=true once more", renewed, demand(stale), Refused, Refused},
		{"a fresh challenge once more", renewed, demand(fresh), Refused, Refused},

		{"407", nil, demand(same), Refused, Refused},
		{"407, and the session has passed", settled, demand(same), Refused, Refused},

		{"401", nil, status(401), Unclear, Nothing},
		{"403", nil, status(403), UnclearTarget, Nothing},
		{"500", nil, status(500), Nothing, Nothing},
		{"503", nil, status(503), Nothing, Nothing},
		{"511", nil, status(511), Nothing, Nothing},

		{"the connection ends", nil, Answer{Ended: true}, Unclear, Unclear},
		{"the time is over, or the request is canceled", nil, Answer{Ended: true, GaveUp: true}, UnclearTarget, UnclearTarget},
		{"the same in a 407", nil, Answer{Ended: true, Status: 407}, Unclear, Unclear},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, way := range []struct {
				leg  Leg
				want Verdict
			}{{connect, row.tunnel}, {forward, row.forward}} {
				if row.leg != nil {
					way.leg = with(way.leg, row.leg)
				}
				require.Equal(t, way.want.String(), Of(way.leg, row.answer).String(), "tunnel: %v", way.leg.Tunnel)
			}
		})
	}
}
