package proxyauth

import (
	"context"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// late returns what takes in the proxy's answer to a CONNECT that carries a, if its
// caller has given up. It is an exchange of its own, since x may have ended by then.
func (x *exchange) late(a answer) func(*http.Response, error) {
	y := exchange{
		r: x.r, m: x.m, req: x.req.WithContext(context.WithoutCancel(x.req.Context())), target: x.target, p: x.p,
		attempt: x.attempt, holds: true, attempts: x.attempts, shown: true,
		lost: x.lost, renewed: x.renewed, asked: x.asked, offers: x.offers,
	}
	y.denial.sent = x.denial.sent.Clone()
	y.denial.sent.Add(secretsIn(a.field)...)
	y.denial.tried = []string{x.p.scheme.Name()}
	return func(resp *http.Response, err error) {
		ctx, cancel := context.WithTimeout(y.req.Context(), connectTimeout) // for the source
		defer cancel()
		y.req = y.req.WithContext(ctx)
		if err != nil {
			y.report(meaning(verdict.Unclear, gaveUp(err)), struckFrom(err, &y.denial.sent, "proxyauth: proxy "+y.r.name))
			return
		}
		if resp.StatusCode != http.StatusProxyAuthRequired {
			v := verdict.Of(y.leg(), verdict.Answer{Status: resp.StatusCode})
			if v == verdict.Passed {
				y.r.works(y.p, y.target)
			}
			y.report(meaning(v, resp.StatusCode == http.StatusForbidden), &statusError{y.r.name, resp.StatusCode})
			return
		}
		y.denial.read(resp, func(*http.Response) {})
		y.denial.ended = true // its page is not waited for
		switch v, _, _ := y.judge(a); v {
		case verdict.Refused:
			y.report(lockout.Refused, y.refusal())
		case verdict.Renew, verdict.Asked: // nobody sends them once more, and this may be a refusal
			y.report(lockout.Unclear, &statusError{y.r.name, resp.StatusCode})
		default:
			y.report(meaning(v, false), y.noRefusal())
		}
	}
}
