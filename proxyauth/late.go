package proxyauth

import (
	"context"
	"net/http"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A lateAnswer takes in the proxy's answer to a CONNECT that carried credentials, when
// its caller has given up. It has a copy of the exchange, as it was when the leg was sent,
// since the exchange itself may have ended or gone on by then.
type lateAnswer struct{ x exchange }

// lateFor bounds how long the credential source may take to say whether it has other
// credentials for the answer's realm.
const lateFor = time.Minute

// newLate returns what takes in the answer to the leg that x is about to send; nil for a
// forwarded request.
func newLate(x *exchange) func(carrier.Reply, error) {
	if x.req.Method != http.MethodConnect {
		return nil
	}
	late := &lateAnswer{*x}
	late.x.req = x.req.WithContext(context.WithoutCancel(x.req.Context()))
	late.x.trail.sent = x.trail.sent.Clone()
	late.x.trail.tried = []string{x.p.Scheme.Name()}
	return late.take
}

func (l *lateAnswer) take(reply carrier.Reply, err error) {
	x := &l.x
	ctx, cancel := context.WithTimeout(x.req.Context(), lateFor)
	defer cancel()
	x.req = x.req.WithContext(ctx)
	x.report(l.meaning(reply, err))
}

// meaning says what an answer means that nobody waits for any longer.
func (l *lateAnswer) meaning(reply carrier.Reply, err error) (verdict.Verdict, error) {
	x := &l.x
	x.trail.secrets(x.leg.Authorization)
	if err != nil {
		return verdict.Of(x.facts(), verdict.Answer{Ended: true, GaveUp: gaveUp(err)}), x.trail.struck(err)
	}
	resp := reply.Response
	status := &statusError{x.r.name, resp.StatusCode}
	if resp.StatusCode != http.StatusProxyAuthRequired {
		v := verdict.Of(x.facts(), verdict.Answer{Status: resp.StatusCode})
		if v == verdict.Passed {
			x.accepted(x.p)
		}
		return v, status
	}
	x.trail.denies(resp, func(*http.Response) {}, nil)
	x.trail.last.ended = true // its page is not waited for
	var reading scheme.Reading
	if !x.p.Nature.Connection {
		reading = x.talk.Challenged(x.offersOf(x.p.Scheme), false)
	}
	switch v, _ := x.judge(reading, false); v {
	case verdict.Refused:
		return verdict.Refused, x.trail.refusal(x.p.From)
	case verdict.Renew, verdict.Asked: // nobody sends them once more, and this may be a refusal
		return verdict.Unclear, status
	default:
		return v, x.trail.noRefusal(x.known())
	}
}
