package proxyauth

import "sync/atomic"

// Stats are a Transport's counts since its first use, over all its proxies.
// They only grow. Marshalled by encoding/json they fit expvar:
//
//	expvar.Publish("proxyauth", expvar.Func(func() any { return transport.Stats() }))
type Stats struct {
	Exchanges  int64 // requests sent to a proxy to be forwarded, and CONNECTs; each counts once, however many legs it takes
	Reused     int64 // exchanges that passed in one leg, by what was known of the proxy
	Tunnels    int64 // opened by CONNECT
	Challenges int64 // answers 407
	Handshakes int64 // begun, by NTLM and Negotiate
	Attempts   int64 // at an account: answers to credentials by which a directory can check a password; a Kerberos ticket makes none
	Rejections int64 // of the attempts, those that were refused
	Unclear    int64 // of the attempts, answers that may be a refusal or not: 401 and 403 to CONNECT, a connection that ended, a timeout
	NotSent    int64 // requests that failed without being sent, since their credentials are held back
	Retries    int64 // attempts repeated by Transport.Retry

	// Bytes between the Transport and its proxies, TLS included. Connections
	// from DialContext are not counted: they are the raw TCP connection.
	BytesSent, BytesReceived int64
}

// counters are the Stats as they grow.
type counters struct {
	exchanges, reused, tunnels, challenges, handshakes, notSent, retries, sent, received atomic.Int64
}

// traffic is the [carrier.Traffic] of one proxy: bytes count in the Stats, lost
// connections for the route.
type traffic struct {
	counters *counters
	lost     atomic.Uint64 // connections that ended instead of an answer
}

func (t *traffic) Sent(n int64)     { t.counters.sent.Add(n) }
func (t *traffic) Received(n int64) { t.counters.received.Add(n) }
func (t *traffic) Lost()            { t.lost.Add(1) }

// Stats returns the counts so far, zero before the first use.
func (t *Transport) Stats() Stats {
	c := t.core.Load()
	if c == nil {
		return Stats{}
	}
	n, account := &c.counters, c.guard.Counts()
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
