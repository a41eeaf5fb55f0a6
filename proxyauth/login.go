package proxyauth

import (
	"context"
	"errors"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
)

// logsIn returns what asks the guard for a login at a KDC by password, which is an
// attempt at the account like any other.
func (r *route) logsIn(c Credentials) func(context.Context) (func(error), error) {
	account, negotiated := r.account(c), []string{Negotiate().Name()}
	return func(ctx context.Context) (func(error), error) {
		d, _, err := account.Wait(ctx, lockout.Request{Schemes: negotiated, Target: "KDC", Challenged: true, NoFormer: true})
		if err != nil {
			return nil, err
		}
		if d.Answer != lockout.Go {
			return nil, &notAdmitted{d}
		}
		return func(err error) {
			e := lockout.Evidence{Verdict: lockout.NotSent, Cause: err}
			var failed *negotiate.Error
			switch {
			case err == nil:
				e.Verdict = lockout.Passed
			case errors.As(err, &failed) && failed.Rejected:
				e.Verdict = lockout.Refused
			}
			r.t.guard.Report(d.Attempt, e)
		}, nil
	}
}

// A notAdmitted is the error of a login at a KDC that the guard does not allow now.
type notAdmitted struct{ decision lockout.Decision }

func (e *notAdmitted) Error() string { return "the password is held back for now" }
