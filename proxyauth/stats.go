package proxyauth

import (
	"sync/atomic"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// Stats are a Transport's counts since its first use, over all its proxies.
// They only grow. Marshalled by encoding/json they fit expvar:
//
//	expvar.Publish("proxyauth", expvar.Func(func() any { return transport.Stats() }))
type Stats struct {
	Exchanges  int64 // requests sent to a proxy to be forwarded, and CONNECTs; each counts once, however many legs it takes
	Reused     int64 // exchanges that passed without a 407
	Tunnels    int64 // tunnels opened by CONNECT
	Challenges int64 // answers 407 of proxies
	Handshakes int64 // of NTLM and Negotiate that were begun
	Attempts   int64 // at an account, once the outcome is known: credentials were sent by which a directory can check a password; a Kerberos ticket is none
	Rejections int64 // attempts that were refused
	Unclear    int64 // attempts whose answer may be a refusal or not: 401 and 403 to CONNECT, a connection that ended, a timeout
	NotSent    int64 // requests that failed without being sent, since their credentials are held back
	Retries    int64 // repetitions by Transport.Retry

	// Bytes between the Transport and its proxies, TLS included. Connections
	// from DialContext are not counted: they are the raw TCP connection.
	BytesSent, BytesReceived int64
}

// counters are the numbers of Stats that the guard does not count. They are the
// [carrier.Traffic] of all proxies.
type counters struct {
	exchanges, reused, tunnels, challenges, handshakes, notSent, retries, sent, received atomic.Int64
}

func (c *counters) Sent(n int64)     { c.sent.Add(n) }
func (c *counters) Received(n int64) { c.received.Add(n) }

// stats returns the counts so far, with those of the guard.
func (n *counters) stats(account lockout.Counts) Stats {
	return Stats{
		Exchanges:     n.exchanges.Load(),
		Reused:        n.reused.Load(),
		Tunnels:       n.tunnels.Load(),
		Challenges:    n.challenges.Load(),
		Handshakes:    n.handshakes.Load(),
		Attempts:      account.Attempts,
		Rejections:    account.Refusals,
		Unclear:       account.Unclear,
		NotSent:       n.notSent.Load(),
		Retries:       n.retries.Load(),
		BytesSent:     n.sent.Load(),
		BytesReceived: n.received.Load(),
	}
}
