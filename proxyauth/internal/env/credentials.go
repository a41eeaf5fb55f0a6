package env

import (
	"errors"
	"fmt"
	"os"
)

// Credentials are what the environment says about credentials.
type Credentials struct {
	user, pass, passFile string
	passSet              bool // PROXY_PASS is set, perhaps to the empty string
}

// ReadCredentials reads the variables as they are now.
func ReadCredentials() Credentials {
	pass, set := os.LookupEnv("PROXY_PASS")
	return Credentials{os.Getenv("PROXY_USER"), pass, os.Getenv("PROXY_PASS_FILE"), set}
}

// Get returns a function that returns the user name and the password, which it reads from
// the file that PROXY_PASS_FILE names if that is set. get is nil if there are no
// credentials. The error says what is wrong with the variables.
func (v Credentials) Get() (get func() (username, password string, err error), err error) {
	switch {
	case v.user == "" && v.pass == "" && v.passFile == "":
		return nil, nil
	case v.user == "" && v.pass != "":
		return nil, errors.New("proxyauth: PROXY_USER is not set, but PROXY_PASS is")
	case v.user == "":
		return nil, errors.New("proxyauth: PROXY_USER is not set, but PROXY_PASS_FILE is")
	case v.pass != "" && v.passFile != "":
		return nil, errors.New("proxyauth: PROXY_PASS and PROXY_PASS_FILE are both set: keep one")
	case hasControl(v.user):
		return nil, errors.New("proxyauth: PROXY_USER has a line break or another control character")
	case hasControl(v.pass):
		return nil, errors.New("proxyauth: PROXY_PASS has a line break or another control character")
	case v.passFile != "":
		file := PasswordFile(v.passFile)
		return func() (string, string, error) {
			password, err := file.Get()
			if err != nil {
				return "", "", fmt.Errorf("proxyauth: PROXY_PASS_FILE: %w", err)
			}
			return v.user, password, nil
		}, nil
	case !v.passSet:
		return nil, errors.New("proxyauth: PROXY_USER is set, but neither PROXY_PASS nor PROXY_PASS_FILE " +
			"(if the password is empty, or a ticket of this user is meant: set PROXY_PASS to the empty string)")
	}
	return func() (string, string, error) { return v.user, v.pass, nil }, nil
}
