package proxyauth

import (
	"context"
	"errors"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// EnvironmentCredentials returns the source that is used when Transport.Credentials is
// nil, except for the hops of a [Chain]. The user name is in PROXY_USER. The password is
// in PROXY_PASS, or in the file that PROXY_PASS_FILE names (see [PasswordFile]). The
// variables are read each time the source is asked; if none is set there are no
// credentials. It is an error if PROXY_PASS and PROXY_PASS_FILE are both set, or a user
// name without a password or the reverse. For an empty password set PROXY_PASS to the
// empty string.
func EnvironmentCredentials() CredentialSource { return environmentCredentials(env.ReadCredentials) }

// environmentCredentials returns the source of what read returns. It is a
// function so that nothing prints what it holds.
func environmentCredentials(read func() env.Credentials) CredentialFunc {
	var mu sync.Mutex
	var last env.Credentials
	get, problem := last.Get()
	return func(context.Context, CredentialRequest) (Credentials, error) {
		mu.Lock()
		if now := read(); now != last {
			last = now
			get, problem = now.Get()
		}
		get, problem := get, problem
		mu.Unlock()
		if problem != nil {
			return Credentials{}, problem
		}
		if get == nil {
			return Credentials{}, ErrNoCredentials
		}
		username, password, err := get()
		if err != nil {
			return Credentials{}, err
		}
		return Credentials{username, password}, nil
	}
}

// mistake returns what is wrong with a source, for which it is no mistake to have
// no credentials.
func mistake(source CredentialFunc) error {
	if _, err := source(context.Background(), CredentialRequest{}); !errors.Is(err, ErrNoCredentials) {
		return err
	}
	return nil
}
