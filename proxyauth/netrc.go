package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// Netrc returns a source of the credentials in a netrc file: login and password
// of the machine that is the proxy's host, without its port, else those of
// default. Names are compared without regard to case; an entry without a login
// does not count. Values with blanks stand in quotes, in which a backslash
// takes the next character as it is, except \n, \r and \t. Comments begin with
// #, where a keyword could stand; macros (macdef, to the next empty line) are
// skipped.
//
// The path "" means the file that the variable NETRC names, else .netrc (on Windows
// _netrc) in the home directory; if the latter does not exist there are no credentials.
// For the file's mode and changes see [CredentialFile].
func Netrc(path string) CredentialSource {
	optional := false
	if path == "" {
		path, optional = env.NetrcPath()
	}
	if path == "" {
		return FirstOf()
	}
	file := &env.File[[]env.NetrcEntry]{Path: path, Parse: env.ParseNetrc}
	return CredentialFunc(func(_ context.Context, req CredentialRequest) (Credentials, error) {
		entries, err := file.Get()
		if optional && errors.Is(err, fs.ErrNotExist) {
			return Credentials{}, ErrNoCredentials
		}
		if err != nil {
			return Credentials{}, fmt.Errorf("proxyauth: %w", err)
		}
		host := hostname.Key(req.Proxy.Hostname())
		entry := env.FindNetrc(entries, func(machine string) bool { return hostname.Key(machine) == host })
		if entry == nil {
			return Credentials{}, ErrNoCredentials
		}
		return Credentials{entry.Login, entry.Password}, nil
	})
}
