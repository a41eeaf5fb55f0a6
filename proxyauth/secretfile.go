package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// CredentialFile returns a source of credentials in a file: one line
// "username:password", in which the first colon separates. The line's end may
// be missing.
//
// The file is read when credentials are asked for, and again when it has changed, also
// by the swap of a symbolic link (Kubernetes). Replace it by renaming another file: a
// file that is being written may be read half finished.
//
// It is an error if the file does not exist, is larger than 1 MiB or not in UTF-8. Except
// on Windows it is also an error if others than its owner and group can read it, or
// others than its owner can write it. A secret mounted into a container has such a mode
// by default: write defaultMode: 0440 (Kubernetes) or mode: 0440 (Docker).
func CredentialFile(path string) CredentialSource {
	file := &env.File[Credentials]{Path: path, Parse: func(text string) (Credentials, error) {
		text, err := env.Line(text)
		if err != nil {
			return Credentials{}, err
		}
		username, password, ok := strings.Cut(text, ":")
		if !ok || username == "" {
			return Credentials{}, errors.New("it is not username:password")
		}
		return Credentials{username, password}, nil
	}}
	return CredentialFunc(func(context.Context, CredentialRequest) (Credentials, error) {
		c, err := file.Get()
		if err != nil {
			err = fmt.Errorf("proxyauth: %w", err)
		}
		return c, err
	})
}

// PasswordFile returns a source of a user whose password is the one line of a file,
// without the line's end. For the file's mode and changes see [CredentialFile].
func PasswordFile(username, path string) CredentialSource {
	file := env.PasswordFile(path)
	return CredentialFunc(func(context.Context, CredentialRequest) (Credentials, error) {
		password, err := file.Get()
		if err != nil {
			return Credentials{}, fmt.Errorf("proxyauth: %w", err)
		}
		return Credentials{username, password}, nil
	})
}
