package proxytest

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// An Answer is an answer that a test prescribes, by [Behaviour].Access for instance: a
// status, or no answer at all. The zero value prescribes nothing: the proxy does what it
// would have done.
type Answer struct {
	// Status is the status of the answer. A 407 comes with Challenges, any
	// other status without. If Status is 0, and Close, Reset and Never are false,
	// only the Delay matters.
	Status int

	// Challenges are the values of Proxy-Authenticate in a 407, for instance
	// those of an origin. If it is nil the proxy makes fresh ones, of all its
	// schemes. If it is empty but not nil there are none.
	Challenges []string

	// Delay is how long the proxy waits before it answers, in addition to
	// Behaviour.Delay. Meanwhile it does not notice that the client has left;
	// many proxies do not.
	Delay time.Duration

	// Close ends the connection in good order, without an answer.
	Close bool

	// Reset resets the connection, without an answer. A connection that is
	// not of TCP, from Config.Listener, needs a method Break(error) for it;
	// it is closed if it has none.
	Reset bool

	// Never gives no answer: the proxy reads what the client sends until the
	// client leaves or the proxy ends.
	Never bool
}

// decides reports whether there is anything but a Delay.
func (a Answer) decides() bool { return a.Status != 0 || a.Close || a.Reset || a.Never }

// give gives an answer, and reports whether that has decided the request. The
// text is for the content.
func (x *exchange) give(a Answer, text string) bool {
	c := x.c
	c.p.wait(a.Delay)
	if a.Status == http.StatusProxyAuthRequired {
		x.info = nil // it is for those who pass
	}
	switch {
	case a.Never:
		x.readBody()
		io.Copy(io.Discard, c.br)
		x.gone = true
	case a.Reset:
		reset(c.nc)
		x.gone = true
	case a.Close:
		x.readBody()
		x.close = true
	case a.Status == http.StatusProxyAuthRequired && a.Challenges == nil:
		x.challenge(text)
	case a.Status == http.StatusProxyAuthRequired:
		x.answer(a.Status, http.Header{"Proxy-Authenticate": a.Challenges}, text)
	case a.Status != 0:
		x.answer(a.Status, nil, text)
	default:
		return false
	}
	return true
}

// challenge answers 407 with the challenges of all schemes. Those of the scheme
// that the client tried are x.own, unless that is nil.
func (x *exchange) challenge(text string) {
	b := &x.c.p.behaviour
	challenges := append([]string(nil), b.Challenges...)
	for _, s := range x.schemes {
		if s == x.tried && x.own != nil {
			challenges = append(challenges, x.own...)
		} else {
			challenges = append(challenges, s.challenges(x)...)
		}
	}
	if b.OneField {
		challenges = []string{strings.Join(challenges, ", ")}
	}
	x.answer(http.StatusProxyAuthRequired, http.Header{"Proxy-Authenticate": challenges}, text)
}

// wait waits for a time, or for the end of the proxy.
func (p *Proxy) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.ctx.Done():
	}
}

// reset ends a connection by a reset.
func reset(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = t.NetConn()
	}
	switch nc := nc.(type) {
	case interface{ SetLinger(sec int) error }:
		nc.SetLinger(0)
	case interface{ Break(err error) }:
		nc.Break(syscall.ECONNRESET)
	}
	nc.Close()
}
