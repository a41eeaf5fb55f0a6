// Package verdict says what the answer to a leg means for the credentials that the
// leg carried: pure functions over values, the same for every scheme.
package verdict

import "net/http"

// A Verdict is what an answer means. The zero Verdict is none.
type Verdict int

const (
	// NotSent: nothing by which a directory could check a password went out.
	NotSent Verdict = iota + 1

	// Passed: the proxy took the credentials.
	Passed

	// Nothing: the answer says nothing about the credentials, and may be the origin's.
	Nothing

	// Unclear: the answer may be a refusal of the credentials, or not.
	Unclear

	// UnclearTarget: the same, but mostly the reason is the target: the proxy's policy, or
	// that it is slow.
	UnclearTarget

	// Asked: the proxy asks for credentials of another realm.
	Asked

	// Renew: the credentials may be right, and are to be sent once more, in answer to a
	// fresh challenge.
	Renew

	// Refused: the proxy refused the credentials.
	Refused
)

var names = [...]string{"", "not sent", "passed", "nothing", "unclear", "unclear: target", "asked", "renew", "refused"}

func (v Verdict) String() string { return names[v] }

// A Leg is one message to the proxy, as far as it matters for what the answer means.
type Leg struct {
	// Shown: the leg carried credentials that somebody can check: the field of Basic or
	// Digest, an NTLM type 3, or a ticket. It is false, too, if the leg was not sent, for
	// instance after a malformed token of the proxy or a dial error.
	Shown bool

	Tunnel bool // the leg is a CONNECT; otherwise a forwarded request

	// Answered: this leg, or one before it, answered a challenge of the proxy, or
	// carried credentials that had passed before.
	Answered bool

	// ProofByRealm: the proof depends on the realm, as that of Digest does.
	ProofByRealm bool

	// Settled: the session has passed before, or another request had used its nonce,
	// so that a fresh challenge may be all that the proxy wants.
	Settled bool

	// Renewed, Asked: this leg was sent since the answer to the one before it meant
	// Renew, or Asked.
	Renewed, Asked bool
}

// An Answer is what came back.
type Answer struct {
	// Ended: there is no answer. The connection was closed or reset, a timeout ended
	// the wait, or the request was canceled. GaveUp: it was one of the last two.
	Ended, GaveUp bool

	Status   int
	Unproven bool // the proxy's proof of itself is wrong (rspauth, AP-REP)
	Demand   Demand
}

// A Demand is what a 407 demands, compared with what the leg answered.
type Demand struct {
	Challenged bool // it has a challenge that is well-formed
	Familiar   bool // it offers a scheme that the proxy offered at first
	OtherRealm bool // its challenge for the scheme in use has another realm
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
	case a.Ended && a.GaveUp:
		return UnclearTarget
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
	case status == http.StatusUnauthorized:
		return Unclear
	case status == http.StatusForbidden:
		return UnclearTarget
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
