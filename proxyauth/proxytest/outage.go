package proxytest

// outage is what goes wrong for some time with whatever stands beside a proxy.
// Proxy.mu guards it.
type outage struct {
	front   Answer
	inFront countdown // answered by front
	down    countdown // credentials that come while the directory is down
}

// countdown is how many requests are concerned; negative: all.
type countdown int

// next counts a request, and reports whether it is concerned.
func (n *countdown) next() bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

// AnswerNext answers the next n requests by a, without a look at their credentials, as a
// load balancer does that finds no proxy behind it:
//
//	p.AnswerNext(3, proxytest.Answer{Status: 503})
//
// If n is negative, all requests are answered by a until AnswerNext is called again; 0
// ends that. Such requests are in the transcript, but are not counted as attempts.
func (p *Proxy) AnswerNext(n int, a Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage.front, p.outage.inFront = a, countdown(n)
}

// frontAnswer returns what stands in front of the proxy answers, the zero value
// if there is nothing.
func (p *Proxy) frontAnswer() Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outage.inFront.next() {
		return p.outage.front
	}
	return Answer{}
}

// SetDirectoryDown takes the directory of the users away: the next n requests
// with credentials, right or wrong, are answered 407 with fresh challenges, as
// squid does when its helper says BH or ERR, or "NA NT_STATUS_NO_LOGON_SERVERS".
// If n is negative it is away until the next call; with 0 it is back.
//
// A connection that is authenticated stays so, since nobody is asked for it.
// The steps of a handshake before its last are answered as ever, unless
// Behaviour.DownInHandshake says otherwise. [Proxy.Attempts] counts the
// credentials, and [Proxy.Refused] those that were wrong, although no directory
// saw them; [Proxy.Denied] counts the others. In the transcript they have no
// user.
func (p *Proxy) SetDirectoryDown(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage.down = countdown(n)
}

// askDirectory returns the verdict, unless the directory that is asked for it
// is down.
func (x *exchange) askDirectory(v verdict) verdict {
	p := x.c.p
	switch v.outcome {
	case accepted, wrong:
	case underway:
		if !p.behaviour.DownInHandshake {
			return v
		}
	default:
		return v
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.outage.down.next() {
		return v
	}
	delete(x.c.state, x.tried)
	if v.outcome == underway {
		return verdict{reason: "the directory of users cannot be reached"} // nobody has shown credentials
	}
	return verdict{outcome: unknown, user: v.user, reason: "the directory of users cannot be reached", right: v.outcome == accepted}
}
