package proxyauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
)

// Credentials are a user name and a password for a proxy. The name may carry a
// domain: `CORP\alice` or "alice@CORP.EXAMPLE".
//
// Printing, logging or marshalling them shows neither name nor password.
type Credentials struct{ Username, Password string }

const redacted = "proxyauth.Credentials(REDACTED)"

// Format prints the same redacted text for every verb and flag.
func (c Credentials) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue is what [log/slog] shows.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is what encoding/json and the like write.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (c Credentials) empty() bool { return c == Credentials{} }

// A CredentialRequest says what credentials are asked for.
type CredentialRequest struct {
	// Proxy is the proxy's URL, without userinfo. It must not be changed.
	Proxy *url.URL

	// Scheme is the scheme that will use them: "Basic", "Digest", …
	Scheme string

	// Realm is the realm of the proxy's challenge, as received; "" where the
	// scheme or the challenge has none, or when Basic is sent without waiting for a
	// challenge.
	Realm string

	// Rejected are the credentials that may not be sent to this proxy now, by any
	// scheme, since it has refused them (Transport.RejectedFor); the latest refused
	// come last. A source that keeps credentials must get new ones if those that it
	// keeps are among them. Credentials that only one request saw refused after they
	// had passed, or that met an unclear answer, are not among them.
	Rejected []Credentials
}

// A CredentialSource supplies the user name and the password for a proxy. It is asked
// for each request to a proxy that demands credentials, by every scheme, and again
// after they were refused: see [Cached] for a source that is slow.
//
// What it returns counts at once. From the moment it names another user, no request
// goes on a connection or through a tunnel of the former user. A new password is tried
// with the next request; if the proxy refuses that, and has accepted the former one
// within the last hour, requests go on with the former one.
//
// It must return the same credentials to all requests of a Transport that ask at one
// time for one proxy and realm. A service that acts for several users needs a Transport
// for each of them. The source is called from many goroutines, and should return when
// ctx ends.
//
// A source that has no credentials returns [ErrNoCredentials], or the zero Credentials
// and no error. Then the userinfo of the proxy URL counts, and at last the ticket or the
// logged-in user of [Negotiate].
//
// Any other error says that the source has failed. If credentials of this source have
// passed at the proxy, requests go on with those that passed last, for 5 minutes from
// the first failure; Transport.Logger gets one event at level Warn. After that, and if
// none have passed, the request ends in an [*AuthError] that wraps the error. The first
// call that succeeds, or says that there are no credentials, ends this.
type CredentialSource interface {
	ProxyCredentials(ctx context.Context, req CredentialRequest) (Credentials, error)
}

// UserPassword returns a source of the same credentials for every proxy.
func UserPassword(username, password string) CredentialSource {
	// A function, because nothing prints what it holds. fmt gets around all
	// methods of a struct that is in an unexported field of another.
	return CredentialFunc(func(context.Context, CredentialRequest) (Credentials, error) {
		return Credentials{username, password}, nil
	})
}
