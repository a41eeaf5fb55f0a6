package proxytest

import "net/http"

// A Leg is one request a proxy received, and its answer.
type Leg struct {
	Conn   int         // number of the client's connection: 1, 2, 3 in order of arrival
	Method string      // as received
	Target string      // the request target, as received
	Proto  string      // "HTTP/1.1" or "HTTP/1.0"
	Host   string      // the Host field
	Header http.Header // the other fields as received, Proxy-Authorization included

	// Status is the status of the answer, 0 until there is one, and for good
	// if there never is. It is set before the answer is sent, so a client that
	// has the answer finds it.
	Status int

	// User is the identity that was verified, "" if none was.
	User string

	// BodyBytes is how many bytes of the request's body were received, not
	// counting chunk framing. The bytes of a tunnel are not counted.
	BodyBytes int64
}

// Counts says what a proxy has done since it started, or since the last
// [Proxy.Reset].
type Counts struct {
	Connections int   // connections accepted
	Requests    int   // requests received, CONNECT included
	Challenges  int   // answers 407 of the proxy itself
	Handshakes  int   // handshakes begun: answers 407 to a first message of NTLM or Negotiate
	Tunnels     int   // tunnels opened by CONNECT
	BodyBytes   int64 // bytes of request bodies received, without chunk framing
}

// record is what a proxy remembers of its past; Proxy.mu guards it.
type record struct {
	legs                      []*Leg
	counts                    Counts
	attempts, refused, denied map[string]int // by user
}

func newRecord() record {
	return record{attempts: make(map[string]int), refused: make(map[string]int), denied: make(map[string]int)}
}

// Transcript returns a copy of the requests received so far, in order of
// arrival.
func (p *Proxy) Transcript() []Leg {
	p.mu.Lock()
	defer p.mu.Unlock()
	legs := make([]Leg, len(p.record.legs))
	for i, leg := range p.record.legs {
		legs[i] = *leg
		legs[i].Header = leg.Header.Clone()
	}
	return legs
}

// copyLeg returns a copy of a leg, but for the fields of its header.
func (p *Proxy) copyLeg(leg *Leg) Leg {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *leg
}

// Counts returns what the proxy has done so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.counts
}

// Attempts returns how many requests came with well-formed credentials of the
// user, right or wrong: it is what a proxy that locks accounts would see. The
// user need not exist. Credentials with a hashed name (RFC 7616, section
// 3.4.4) count for the user they stand for or, if there is none, under the
// hash. Of NTLM only type 3 messages count, for the name in Config.Users that
// they match or, if there is none, for their UserName. Of Negotiate, tokens of
// Kerberos count for the user of their ticket, or for "" if it cannot be
// decrypted; those of a mechanism that is not taken do not count.
func (p *Proxy) Attempts(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.attempts[user]
}

// Refused returns how many of the Attempts were wrong: no such user, or
// another password, or what else [NTLM] and [Negotiate] call wrong. A right
// answer refused for its nonce or its nonce count is not among them, nor is an
// authenticator that was used before, nor a type 3 message that follows no
// type 1.
func (p *Proxy) Refused(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.refused[user]
}

// Denied returns how many requests of the user did not pass although their
// credentials were right, or their connection was authenticated, because of
// Behaviour.Denied or Behaviour.Access or because the directory was down.
func (p *Proxy) Denied(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.denied[user]
}

// Reset clears the transcript and all counters. Connections keep their
// numbers and their authentication, and nonces their state.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = newRecord()
}
