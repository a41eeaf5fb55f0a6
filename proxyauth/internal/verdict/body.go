package verdict

// A Body says what of a message's body goes with a leg.
type Body int

const (
	Whole    Body = iota
	Held          // it is held back until the proxy asks for it; the connection ends with the answer
	Withheld      // all but the body
	Probe         // an OPTIONS in place of the request, which does no harm if the proxy lets it pass
)

// A Sending is a leg that is about to be sent with a request that has a body, as far as
// it matters for when the body goes.
type Sending struct {
	Stream bool // the body can be read only once

	// A leg without credentials:
	Bare   bool
	Free   bool // the target is known to pass without credentials
	Own    bool // the caller has set Proxy-Authorization
	Probed bool // an OPTIONS without credentials has passed

	// A leg by a scheme:
	Trusted    bool // its credentials have passed for the target's realm before
	Expires    bool // the proxy may refuse right credentials at any time, for a fresh challenge
	Connection bool // the scheme authenticates the connection
	Last       bool // the proxy can let the request pass after this leg

	// An OPTIONS has passed in a handshake that is not done:
	Ready      bool // this leg is the request itself, after the OPTIONS
	ProbesTell bool // with this proxy, a request passes where an OPTIONS before it passed
	Exempt     bool // the proxy let an OPTIONS of this request pass, and not the request after it
}

// When says what of the body goes with a leg. A body that can be read only once is lost
// if the proxy answers 407 to it; any other is sent in vain, which costs time. A body
// that is held back costs a connection.
func When(s Sending) Body {
	switch {
	case s.Bare && s.Free:
		return Whole
	case s.Bare && s.Stream && !s.Probed && !s.Own:
		// Expect would do, if all proxies knew it.
		return Probe
	case s.Ready && !s.ProbesTell:
		return Held
	case s.Connection && s.Last:
		return Whole
	case s.Connection && s.Exempt:
		return Withheld
	case s.Connection:
		return Probe
	case !s.Trusted, !s.Last, s.Expires && s.Stream: // a leg without credentials is never the last
		return Held
	}
	return Whole
}
