package proxytest

import (
	"encoding/base64"
	"strings"
)

// Basic offers the Basic scheme (RFC 7617).
type Basic struct {
	// Realm is the realm named in the challenge.
	Realm string

	// Charset is the charset parameter of the challenge, for which the only
	// value allowed is "UTF-8" (RFC 7617, section 2.1). If it is empty there
	// is none. It changes nothing in how credentials are compared.
	Charset string
}

type basic struct {
	Basic
	accounts *accounts
}

func (b Basic) start(_ *Proxy, accounts *accounts) scheme { return &basic{b, accounts} }

func (b *basic) name() string { return "Basic" }

func (b *basic) challenges(*exchange) []string {
	challenge := "Basic realm=" + quote(b.Realm)
	if b.Charset != "" {
		challenge += ", charset=" + quote(b.Charset)
	}
	return []string{challenge}
}

func (b *basic) verify(_ *exchange, credentials string) verdict {
	pair, err := base64.StdEncoding.Strict().DecodeString(credentials)
	if err != nil {
		return reject("Basic: the credentials are not base64")
	}
	user, password, ok := strings.Cut(string(pair), ":")
	if !ok {
		return reject("Basic: no colon after the user name")
	}
	if expected, ok := b.accounts.password(user); !ok || password != expected {
		return verdict{outcome: wrong, user: user, reason: "Basic: wrong user name or password"}
	}
	return verdict{outcome: accepted, user: user}
}
