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
// Printing, logging or marshalling them shows neither.
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
	// scheme has none, or when Basic is sent without waiting for a challenge.
	Realm string

	// Rejected are the credentials that may not be sent to this proxy now, by any
	// scheme, since it has refused them (Transport.RejectedFor), the latest refused
	// last. A source that keeps what it once got can see here that it must get
	// anew. What is only suspect, or left open by an unclear answer, is not among
	// them.
	Rejected []Credentials
}

// A CredentialSource supplies credentials. It is asked for each request for which
// the proxy wants them, by every scheme, and again after they were refused: see
// [Cached] for one that is slow. What it gives counts at once. No request goes
// on a connection or through a tunnel of another user than the one it names now, and
// a new password is tried with the next request; if the proxy has not heard of that
// yet, requests go on with the former one.
//
// At any time it gives the same to all requests of a Transport, for a proxy and a
// realm: one for each user of a service takes a Transport for each. It may be called
// from many goroutines and should return when ctx ends.
//
// No credentials are told by [ErrNoCredentials], or by the zero Credentials.
// Another error ends the request with an [*AuthError] that wraps it, unless what it
// gave last for this proxy is in use: requests go on with that.
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
