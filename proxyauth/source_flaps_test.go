package proxyauth_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// onFailure is a log handler that calls a function when a credential source fails.
type onFailure struct {
	slog.Handler // for its other methods
	f            func()
}

func (h onFailure) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "source failed") {
		h.f()
	}
	return nil
}

// R23: a source that is well again for another request, while one looks how long it has
// failed, costs the latter nothing.
func TestSourceIsWellMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		good := tr.Credentials
		var fails atomic.Bool
		tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			if fails.Load() {
				return proxyauth.Credentials{}, errors.New("the vault is sealed")
			}
			return good.ProxyCredentials(ctx, req)
		})
		tr.Logger = slog.New(onFailure{slog.DiscardHandler, func() {
			fails.Store(false)
			requireOK(t, tr, w.HTTP.URL)
			fails.Store(true)
		}})
		requireOK(t, tr, w.HTTP.URL)
		fails.Store(true)
		requireOK(t, tr, w.HTTP.URL)
	})
}

func (onFailure) Enabled(context.Context, slog.Level) bool { return true }
