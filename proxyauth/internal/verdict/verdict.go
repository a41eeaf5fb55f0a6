// Package verdict says what the answer to a leg means for the credentials that the
// leg carried: pure functions over values, the same for every scheme.
package verdict

import "net/http"

// A Verdict is what an answer means.
type Verdict int

const (
	// NotSent: nothing by which a directory could check a password went out.
	NotSent Verdict = iota

	// Passed: the proxy took the credentials.
	Passed

	// Nothing: the answer is about something else, and may be the origin's.
	Nothing

	// Unclear: this may be a refusal in other words, or not.
	Unclear

	// Asked: the proxy asks for credentials of another realm.
	Asked

	// Renew: the credentials are right as far as is known, and are to be sent once
	// more for a fresh challenge.
	Renew

	// Refused: the proxy refused the credentials.
	Refused
)

var names = [...]string{"not sent", "passed", "nothing", "unclear", "asked", "renew", "refused"}

func (v Verdict) String() string { return names[v] }

// A Leg is what went to the proxy.
type Leg struct {
	// Shown: the leg carried what lets a directory check the password: the field of
	// Basic or Digest, a type 3, or a ticket in its place. False, too, if it did not
	// leave: a malformed token before it, a dial error, a body that was gone.
	Shown bool

	Tunnel bool // CONNECT; else a forwarded request

	// Answered: this leg, or one before it, answered a challenge of the proxy, or had
	// what the proxy is known to need: credentials that had passed before.
	Answered bool

	// ProofByRealm: the proof depends on the realm, as that of Digest does.
	ProofByRealm bool

	// Settled: the session has passed before, or another request had used its nonce,
	// so that a fresh challenge may be all that the proxy wants.
	Settled bool

	// Renewed and Asked: this leg was already sent for that verdict.
	Renewed, Asked bool
}

// An Answer is what came back.
type Answer struct {
	// Ended: there is no answer. The connection was closed or reset, the time was
	// over, or the request was canceled.
	Ended bool

	Status   int
	Unproven bool // the proxy's proof of itself is wrong (rspauth, AP-REP)
	Demand   Demand
}

// A Demand is what a 407 demands, compared with what the leg answered.
type Demand struct {
	Challenged bool // it has a challenge that is well-formed
	Familiar   bool // it offers something of what the proxy offered at first
	OtherRealm bool // of the scheme in use
	OtherPair  bool // the credential source has another pair for that realm
	Stale      bool // stale=true
	Fresh      bool // another nonce, algorithm, qop or opaque, or the nonce count was overtaken
}

// Of returns what the answer a to the leg l means. The first case that fits counts
// (RFC 9110 §11.7.1, §15.5.8; RFC 7616 §3.3).
func Of(l Leg, a Answer) Verdict {
	challenged := a.Status == http.StatusProxyAuthRequired && !a.Ended
	switch {
	case !l.Shown:
		return NotSent
	case a.Ended:
		return Unclear
	case a.Unproven:
		return Nothing
	case challenged:
		return ofChallenge(l, a.Demand)
	case l.Tunnel:
		return ofConnect(a.Status)
	}
	return ofForwarded(a.Status)
}

// ofChallenge returns what a 407 means.
func ofChallenge(l Leg, d Demand) Verdict {
	renewable := d.Stale || l.Settled && d.Fresh
	switch {
	case !d.Challenged && !l.Tunnel && l.Answered:
		return Nothing // it is the 407 of an origin, or of a proxy behind this one
	case !d.Challenged, !d.Familiar:
		return Unclear
	case l.Asked: // both were attempts
		return Refused
	case d.OtherRealm && (d.OtherPair || l.ProofByRealm):
		return Asked
	case d.OtherRealm:
		return Refused // the proof would be the same
	case renewable && !l.Renewed:
		return Renew
	}
	return Refused
}

// ofConnect returns what another answer to CONNECT means.
func ofConnect(status int) Verdict {
	switch {
	case status/100 == 2:
		return Passed
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Unclear
	}
	return Nothing
}

// ofForwarded returns what another answer to a forwarded request means. It is mostly the
// origin's, and then the proxy let the request pass. But 401, 403 and 5xx may as well be
// the proxy's own.
func ofForwarded(status int) Verdict {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status >= 500:
		return Nothing
	}
	return Passed
}
