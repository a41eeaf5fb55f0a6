package proxytest

import (
	"cmp"
	"net/http"
	"strings"
)

// Auth is a scheme of authentication as a proxy offers it: [Basic], [Digest],
// [NTLM] or [Negotiate].
type Auth interface {
	// start returns the scheme at work in one proxy, with its state and with
	// the users that it asks for.
	start(p *Proxy, accounts *accounts) scheme
}

// scheme is one offered scheme at work in one proxy. State that a scheme
// keeps for a connection goes into conn.state, under the scheme itself.
type scheme interface {
	// name is the auth-scheme, compared without regard to case.
	name() string

	// challenges returns the values of Proxy-Authenticate for a client that
	// did not try this scheme, or did so in vain.
	challenges(x *exchange) []string

	// verify judges the credentials, which are all that follows the name of
	// the scheme and a space.
	verify(x *exchange, credentials string) verdict
}

// connScheme is a scheme that authenticates a connection.
type connScheme interface {
	scheme

	// resume is called for each request without credentials. It returns the
	// user as whom the connection is authenticated, and whether it is.
	resume(c *conn) (user string, ok bool)
}

// verdict is what a scheme says of the credentials in a request.
type verdict struct {
	outcome    outcome
	user       string   // who is claimed to ask; known unless malformed
	reason     string   // for the body of the answer, unless accepted
	challenges []string // for the 407, instead of scheme.challenges; nil: those
	info       *info    // for the answer if accepted; may be nil
	right      bool     // unknown, but they are right
	counted    bool     // underway, in a handshake that was counted before
}

type outcome int

const (
	missing   outcome = iota // no credentials, or of a scheme not offered: 407
	accepted                 // right
	resumed                  // no credentials, nor a need of any: accepted before
	underway                 // a step of a handshake: 407 with verdict.challenges alone
	wrong                    // 407, Behaviour.RefuseWith or Behaviour.Refusal
	unknown                  // nobody can tell whether they are right: 407
	again                    // not wrong, but of an old nonce or the like: 407
	malformed                // breaks a rule: 400
	tooLarge                 // content that cannot be kept in memory: 413
)

func reject(reason string) verdict {
	return verdict{outcome: malformed, reason: reason}
}

// authenticate reports whether the request may pass. If not it has answered
// it.
func (x *exchange) authenticate() bool {
	p, b := x.c.p, &x.c.p.behaviour
	x.schemes = x.space().schemes
	if x.give(p.frontAnswer(), "answered in front of the proxy") {
		return false
	}
	if len(x.schemes) == 0 && len(b.Challenges) == 0 || x.isFor(b.Free) {
		return x.admit("")
	}
	tried, v := x.verify()
	x.tried = tried
	v = x.askDirectory(v)
	x.note(v)
	x.own = v.challenges
	switch v.outcome {
	case accepted, resumed:
		x.info = v.info
		return x.admit(v.user)
	case underway:
		x.handshake = true
		x.answer(http.StatusProxyAuthRequired, http.Header{"Proxy-Authenticate": v.challenges}, v.reason)
	case malformed:
		x.answer(http.StatusBadRequest, nil, v.reason)
	case tooLarge:
		x.answer(http.StatusRequestEntityTooLarge, nil, v.reason)
	case wrong:
		a := b.Refusal
		a.Status = cmp.Or(a.Status, b.RefuseWith, http.StatusProxyAuthRequired)
		x.give(a, v.reason)
	default:
		x.challenge(v.reason)
	}
	return false
}

// verify finds the scheme of the credentials and asks it. If there are none it
// asks those that authenticate a connection.
func (x *exchange) verify() (tried scheme, v verdict) {
	fields := x.r.Header["Proxy-Authorization"]
	switch {
	case len(fields) == 0:
		for _, s := range x.schemes {
			if s, ok := s.(connScheme); ok {
				if user, ok := s.resume(x.c); ok {
					return s, verdict{outcome: resumed, user: user}
				}
			}
		}
		return nil, verdict{reason: "credentials are required"}
	case len(fields) > 1:
		return nil, reject("more than one Proxy-Authorization field")
	}
	name, credentials, _ := strings.Cut(fields[0], " ")
	for _, s := range x.schemes {
		if strings.EqualFold(name, s.name()) {
			return s, s.verify(x, credentials)
		}
	}
	return nil, verdict{reason: "the scheme of the credentials is not offered"}
}

// note records a verdict.
func (x *exchange) note(v verdict) {
	p := x.c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch v.outcome {
	case wrong:
		p.record.refused[v.user]++
		p.record.attempts[v.user]++
	case again:
		p.record.attempts[v.user]++
	case unknown:
		p.record.attempts[v.user]++
		if v.right {
			p.record.denied[v.user]++
		} else {
			p.record.refused[v.user]++
		}
	case accepted:
		p.record.attempts[v.user]++
		x.leg.User = v.user
	case resumed:
		x.leg.User = v.user
	case underway:
		if !v.counted {
			p.record.counts.Handshakes++
		}
	}
}
