// Package lockout decides whether credentials may be sent to a proxy now. It holds two
// promises. A wrong password does not lock an account in the directory behind the proxy,
// however many requests there are and whatever the proxy answers. And no odd answer
// stops healthy traffic: credentials that have passed are held back only when a second,
// later request with them is refused too, and they are tried again without the caller
// doing anything.
//
// A [Ledger] is the rules alone. It knows neither HTTP nor time: each call says what
// time it is. A [Guard] adds a clock, a lock and waiting. What an answer of a proxy
// means is decided elsewhere, and comes here as a [verdict.Verdict].
//
// An attempt is what lets a directory check a password. Nothing else needs to ask: no
// ticket, no connection that is authenticated already, no first token of a handshake.
package lockout

import (
	"time"
	"unique"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A Key names an account: credentials at one proxy.
type Key struct {
	Proxy string
	User  string // as the directory tells users apart
	Pair  Pair
}

// A Pair is a user name and its password. Pairs can be compared, but not printed: fmt
// finds addresses in them, at any depth.
type Pair struct{ handle unique.Handle[secret] }

// A secret holds handles, not strings: for a verb that does not fit a pointer, fmt
// prints what the pointer leads to, but follows no further one.
type secret struct{ user, password unique.Handle[string] }

// NewPair returns the pair, which equals every other pair of the same two strings.
func NewPair(user, password string) Pair {
	return Pair{unique.Make(secret{unique.Make(user), unique.Make(password)})}
}

// Reveal returns the user name and the password.
func (p Pair) Reveal() (user, password string) {
	s := p.handle.Value()
	return s.user.Value(), s.password.Value()
}

// Evidence is an answer to an attempt.
type Evidence struct {
	Verdict verdict.Verdict // Passed, Refused, Unclear, UnclearTarget, Nothing or NotSent
	Legs    int             // how many attempts it took; zero means one
	Cause   error           // the answer, for requests that are held because of it
}

// A State is how an account stands.
type State int

const (
	New     State = iota // nothing has passed yet, and the credentials may be sent
	Trusted              // they have passed
	Suspect              // they have passed, and were refused since
	HeldOff              // they are not sent now, but for a try from time to time
)

// A Status describes an account.
type Status struct {
	State    State
	Passed   time.Time // last; zero: never
	Refused  int       // how often since then
	Unclear  int       // how often since then the answer was unclear
	UnderWay int       // attempts that others may have to wait for
	Next     time.Time // when an account that is held off is tried again; zero: never
	Last     Evidence  // the last answer that was Refused or unclear
}
