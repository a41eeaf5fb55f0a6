package proxyauth

import (
	"context"
	"errors"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// tickets keep the Kerberos client of a proxy, and with it the tickets that it has got.
type tickets struct {
	// beforeLogin returns what negotiate.Client.BeforeLogin is called with, for a client
	// that has these credentials.
	beforeLogin func(scheme.Credentials) func(context.Context) (func(error), error)

	mu      sync.Mutex
	kept    *negotiate.Client
	options negotiate.Options // of the client that is kept
}

// client returns the client that is kept, if its options are o, or keeps and returns a new
// one.
func (t *tickets) client(o negotiate.Options) *negotiate.Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil || t.options != o {
		t.kept, t.options = negotiate.NewClient(o), o
		t.kept.BeforeLogin(t.beforeLogin(scheme.Credentials{Username: o.Username, Password: o.Password}))
	}
	return t.kept
}

// loginGuard returns what asks the guard for a login at a KDC by password, which is an
// attempt at the account like any other.
func loginGuard(guard *lockout.Guard, account func(scheme.Credentials) *lockout.Account) func(scheme.Credentials) func(context.Context) (func(error), error) {
	return func(c scheme.Credentials) func(context.Context) (func(error), error) {
		account, negotiated := account(c), []string{scheme.Negotiate(scheme.NegotiateOptions{}).Name()}
		return func(ctx context.Context) (func(error), error) {
			d, _, err := account.Wait(ctx, lockout.Request{Schemes: negotiated, Target: "KDC", Challenged: true, NoFormer: true})
			if err != nil {
				return nil, err
			}
			if d.Answer != lockout.Go {
				return nil, &notAdmitted{d}
			}
			return func(err error) { guard.Report(d.Attempt, lockout.Evidence{Verdict: loggedIn(err), Cause: err}) }, nil
		}
	}
}

// loggedIn is what the end of a login says about the password.
func loggedIn(err error) verdict.Verdict {
	var failed *negotiate.Error
	switch {
	case err == nil:
		return verdict.Passed
	case errors.As(err, &failed) && failed.Rejected:
		return verdict.Refused
	}
	return verdict.NotSent
}

// A notAdmitted is the error of a login at a KDC that the guard does not allow now.
type notAdmitted struct{ decision lockout.Decision }

func (e *notAdmitted) Error() string { return scheme.ErrNotNow.Error() }
func (e *notAdmitted) Unwrap() error { return scheme.ErrNotNow }
