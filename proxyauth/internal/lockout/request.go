package lockout

import (
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A Request asks whether it may send credentials.
type Request struct {
	Key Key

	// Schemes are those by which the credentials could be sent, the strongest first,
	// without those by which this request was refused. One of them is chosen: see
	// Attempt.Scheme. If there is none the decision is Former or Held.
	Schemes []string

	Target string // host:port

	// Challenged: this request has got a 407 of its own.
	Challenged bool

	// Unasked: the only scheme allowed needs no challenge, so that it is of no use to
	// begin without credentials.
	Unasked bool

	// NoFormer: a former password of the user was refused to this request already.
	NoFormer bool

	// Waited is how long the request has waited before, whatever for.
	Waited time.Duration
}

// An Answer is what a request is to do.
type Answer int

const (
	Go     Answer = iota + 1 // send the credentials now, and report
	Wait                     // ask again at Decision.Until, or earlier after any report about this user name
	Bare                     // send the request without credentials, and ask again after a 407
	Former                   // ask for the account Decision.Former, whose password still passes
	Held                     // do not send the credentials now
)

// A Decision says what a request is to do.
type Decision struct {
	Answer  Answer
	Attempt Attempt   // for Go
	Former  Key       // for Former
	Until   time.Time // how long to Wait; or when Held credentials are tried again, zero: never

	// Last is the answer for which the credentials are Held. It has no Cause if an
	// attempt got no answer, and is zero if an attempt under way takes too long.
	Last Evidence
}

// An Attempt is credentials on their way. Each must be reported, once. If it is by a
// scheme that has never passed and is not reported within a minute it counts as
// UnclearTarget; a later report of it counts only if it is Passed or Refused.
type Attempt struct {
	Key    Key
	Scheme string
	Target string

	// Trusted: the scheme had passed before.
	Trusted bool

	account *account
	mark    int    // see place
	place   *place // nil if it was sent without asking the ledger
}

// needless reports whether the ledger need not hear of an answer to the attempt.
func (sent Attempt) needless(now time.Time, v verdict.Verdict) bool {
	return sent.place == nil && (v == verdict.Nothing || v == verdict.NotSent ||
		v == verdict.Passed && sent.account.freely.Load().knows(now, sent.Target, sent.mark))
}
