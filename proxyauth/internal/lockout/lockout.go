// Package lockout keeps the account of credentials: may they be sent to a proxy
// now? It holds two promises. A wrong password does not lock an account in the
// directory behind the proxy, however many requests there are and whatever the
// proxy answers. And no odd answer stops healthy traffic: credentials that have
// passed are held back only when a second, later request of theirs is refused
// too, and they are tried again without the caller doing anything.
//
// A [Ledger] is the rules alone: it knows neither HTTP nor time, each call says
// what time it is. A [Guard] adds a clock, a lock and waiting. What an answer
// of a proxy means is decided elsewhere; here it comes as a [Verdict].
//
// An attempt is what lets a directory check a password. Nothing else needs to
// ask: no ticket, no connection that is authenticated already, no first token.
// An attempt that gets no answer, at a dead target, keeps others from trying for a
// minute.
package lockout

import (
	"time"
	"unique"
)

// A Key names an account: credentials at one proxy.
type Key struct {
	Proxy string
	User  string // as the directory tells users apart
	Pair  Pair
}

// A Pair is a user name and its password. It can be compared, but not printed:
// fmt finds addresses in it, at any depth.
type Pair struct{ handle unique.Handle[secret] }

// A secret holds handles, not strings: a verb that fits no pointer makes fmt
// print what that points to, but no further.
type secret struct{ user, password unique.Handle[string] }

// NewPair returns the pair, equal to every other of the same two strings.
func NewPair(user, password string) Pair {
	return Pair{unique.Make(secret{unique.Make(user), unique.Make(password)})}
}

// Reveal returns what NewPair was given.
func (p Pair) Reveal() (user, password string) {
	s := p.handle.Value()
	return s.user.Value(), s.password.Value()
}

// A Request asks whether it may send credentials.
type Request struct {
	Key Key

	// Schemes are those by which it could, the strongest first, without those by
	// which it was refused. One of them is chosen, see Attempt.Scheme. Where none
	// is left the decision is Former or Held.
	Schemes []string

	Target string // host:port

	// Challenged: this request has got a 407 of its own.
	Challenged bool

	// Unasked: the only scheme allowed needs no challenge, so that it is of no
	// use to begin without credentials.
	Unasked bool

	// NoFormer: a former password of the user was refused to this request already.
	NoFormer bool

	// Waited is how long the request has waited before, for any answer.
	Waited time.Duration
}

// An Answer is what a request is to do.
type Answer int

const (
	Go     Answer = iota + 1 // send the credentials now, and report
	Wait                     // ask again at Decision.Until, or when anything is reported about this user name before
	Bare                     // send the request without credentials, and ask again after a 407
	Former                   // ask for the account Decision.Former: its password passes still
	Held                     // not now
)

// A Decision says what a request is to do.
type Decision struct {
	Answer  Answer
	Attempt Attempt   // to Go with
	Former  Key       // whom to ask for
	Until   time.Time // how long to Wait; when what is Held is tried again, zero: never

	// Last is the answer for which the credentials are Held. It has no Cause where an
	// attempt got no answer, and is zero where one under way takes too long.
	Last Evidence
}

// An Attempt is credentials on their way. Each must be reported, once. One by a
// scheme that has never passed counts as UnclearTarget if it was not reported within
// a minute; of what is reported later only Passed and Refused count.
type Attempt struct {
	Key    Key
	Scheme string
	Target string

	// Trusted: the scheme had passed before.
	Trusted bool

	account    *account
	place      *place // nil: the ledger does not know of it
	mark       int    // the number of the last refusal, of any account, that was read before it was sent
	paced      bool   // others may have to wait for it
	challenged bool   // as in Request
}

// A Verdict is what the answer to an attempt says about the password.
type Verdict int

const (
	Passed        Verdict = iota + 1
	Refused               // it is wrong
	Unclear               // it may be wrong: 401, closed, reset, a 407 without a challenge
	UnclearTarget         // the same, but mostly it is about the target: 403, a timeout
	Nothing               // another status
	NotSent               // nobody had a chance to check it, or nothing is to be held against it
)

// Evidence is an answer to an attempt.
type Evidence struct {
	Verdict Verdict
	Legs    int   // how many attempts it took, zero: 1
	Cause   error // the answer, for those who are held by it
}

// A State is how an account stands.
type State int

const (
	New     State = iota // nothing has passed yet, and it may be sent
	Trusted              // it has passed
	Suspect              // it has passed, but was refused since
	HeldOff              // it is not sent now, but for a try from time to time
)

// A Status describes an account.
type Status struct {
	State    State
	Passed   time.Time // last, zero: never
	Refused  int       // how often since then
	Unclear  int       // how often since then the answer was unclear
	UnderWay int       // attempts that others may have to wait for
	Next     time.Time // when an account that is held off is tried again, zero: never
	Last     Evidence  // the last answer that was Refused or unclear
}
