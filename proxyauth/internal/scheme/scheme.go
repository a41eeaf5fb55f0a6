// Package scheme is how a client proves to a proxy who it is: the conversation of
// each authentication scheme. It knows challenges, credentials and who the peer is. It
// knows no connection, and nothing of what was learned about a proxy.
package scheme

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// A Scheme is a way to authenticate: Basic, Digest, NTLM or Negotiate. Two values of
// one scheme with the same options are equal.
type Scheme interface {
	// Name is the auth-scheme as the standards write it: "Basic", "Digest", …
	Name() string

	// Traits returns what a policy has to know of the scheme.
	Traits() Traits

	// Requires returns the parameters that the scheme's standard demands of a challenge;
	// see challenge.Parse for what is excused. A scheme that demands some has no token.
	Requires() []string

	// SecretsIn returns the parts of a Proxy-Authorization of this scheme, given
	// without the scheme's name, that are as good as the password by themselves.
	SecretsIn(value string) []string

	// Best returns offers, which are all of this scheme, with the one first that Begin
	// is to answer.
	Best(offers []challenge.Challenge) []challenge.Challenge

	// Begin returns the session by which the best of offers, which are all of this
	// scheme, is answered with credentials. No offers at all means that there was no
	// challenge yet; a scheme that needs one returns an error then. Begin may ask a KDC
	// for a ticket; ctx ends that.
	//
	// The error is ErrNoCredentials, a Refused, or wraps ErrNotNow; any other says that
	// the scheme cannot be used.
	Begin(ctx context.Context, p Proxy, offers []challenge.Challenge, c Credentials) (Session, error)
}

// Traits are what tells a scheme from others, where a policy or an error depends on it.
type Traits struct {
	ClearText bool // whoever reads the header has the password
	Strength  int  // where a scheme has passed, none of less is used

	// NeedsChallenge: nothing can be sent before there is a challenge, and each is for
	// one conversation.
	NeedsChallenge bool

	Ambient bool // may do without credentials of the source: it knows the user by other means
	ByRealm bool // the proof depends on the realm
	LogsIn  bool // Begin may ask a KDC, which is an attempt at the account by itself
	Large   bool // the header grows with the user's account, and may become too large for a proxy
}

// Credentials are a user name and a password. The zero value is none.
type Credentials struct{ Username, Password string }

// A Proxy is what a scheme gets to know of the proxy.
type Proxy struct {
	Host    string                                    // of its URL
	Offered []string                                  // the schemes that it offers and that may be used, as far as known
	Tickets func(negotiate.Options) *negotiate.Client // with the tickets that there are for the proxy
}

// A Peer is the proxy at the other end of a connection.
type Peer struct {
	Host string               // of its URL
	TLS  *tls.ConnectionState // nil: not reached by TLS
}

// A Session is how one identity authenticates to one proxy. It is used by many
// goroutines at once, and compared: its type is a pointer, or comparable.
type Session interface {
	// Nature returns what a policy has to know of the session.
	Nature() Nature

	// Talk begins the conversation about req: the request that is forwarded, or the
	// CONNECT. It does no I/O; ctx is for Talk.Next. own says that no other request
	// uses this session. The peer counts only where the nature is of connections.
	Talk(ctx context.Context, p Peer, req *http.Request, own bool) Talk

	// Used reports whether the session's challenge was answered before, if it is good
	// for one conversation only.
	Used() bool

	// Other reports whether the next conversation would authenticate another user than
	// the first, though the credentials are the same: whoever has logged in, or has the
	// tickets now.
	Other(ctx context.Context) bool

	// Describe tells by what the session authenticates, for a report. with is the text
	// that names the source of the credentials; the session returns it as it is, adds
	// to it, or puts another one in its place.
	Describe(ctx context.Context, with string) string
}

// steady has methods for sessions whose user does not change, and which can answer a
// challenge any number of times.
type steady struct{}

func (steady) Used() bool { return false }

func (steady) Other(context.Context) bool { return false }

func (steady) Describe(_ context.Context, with string) string { return with }

// A Nature is what tells a session from others.
type Nature struct {
	// Connection: the legs of a conversation run on one connection, which then stays
	// authenticated. Otherwise each request carries its own proof, on any connection.
	Connection bool

	// Learns: some proxies remember that a connection is authenticated and some do not,
	// and it must be found out which this is.
	Learns bool

	// Ticket: it proves itself by a ticket, with which no account can be locked.
	Ticket bool

	// Expires: the proxy may refuse the right credentials at any time, for a fresh
	// challenge.
	Expires bool

	// Protection tells of two sessions of one scheme which protects better: the greater
	// one. ProtectedBy is what it stands for: the algorithm and the like.
	Protection  int
	ProtectedBy string
}

// A Talk is the legs of one conversation: one leg where each request carries its own
// proof. It is used by one goroutine.
type Talk interface {
	// Next returns the values of the Proxy-Authorization that goes out next. last says
	// that the proxy can let the request pass then: somebody can check who it is. No
	// values (nil) mean that the proxy must be asked for a fresh challenge first. Next
	// may ask a KDC. The error is a *Failure.
	Next() (field []string, last bool, err error)

	// Challenged takes in the 407 that answers the last leg: its challenges of this
	// scheme, the best first, perhaps none. others says that it has challenges of other
	// schemes. Where Next returned no values, it was asked for this challenge.
	Challenged(offers []challenge.Challenge, others bool) Reading

	// Passed checks what the proxy says of itself in an answer that lets the request
	// pass. It returns the session to use from now on if the proxy says so, else nil;
	// later, which may be nil, gets it where that stands in the trailer, after the body
	// has been read. The error is an Unproven.
	Passed(resp *http.Response, later func(Session)) (Session, error)

	// Close ends the conversation.
	Close()
}

// A Reading is what a 407 says to the last leg of a conversation. The zero value is a
// refusal.
type Reading struct {
	// More: the handshake goes on, with Talk.Next.
	More bool

	// Err: the handshake has failed, and that is no refusal.
	Err *Failure

	// Next answers the challenge, where each request carries its own proof; nil: it
	// cannot be answered.
	Next Session

	// How the challenge differs from the one that was answered:
	Stale     bool // the nonce was too old
	Fresh     bool // another nonce, algorithm, quality of protection or opaque
	Overtaken bool // the nonce was perhaps used out of order
	Own       bool // each request needs a nonce to itself, so Next is not to be shared
}

var (
	// ErrNoCredentials: the scheme has none, and knows no user by other means.
	ErrNoCredentials = errors.New("no credentials")

	// ErrNotNow: a KDC would have to be asked by password, and may not be now. What
	// negotiate.Client.BeforeLogin calls returns an error that wraps it.
	ErrNotNow = errors.New("the password is held back for now")
)

// A Refused is the error about credentials that somebody else than the proxy has
// refused, such as a KDC.
type Refused struct{ Err error }

func (e Refused) Error() string { return e.Err.Error() }
func (e Refused) Unwrap() error { return e.Err }

// An Unproven is the error about a proxy that fails to prove that it knows the
// credentials.
type Unproven struct{ Err error }

func (e Unproven) Error() string { return e.Err.Error() }
func (e Unproven) Unwrap() error { return e.Err }

// A Failure is why a scheme cannot be used, where that is no refusal.
type Failure struct {
	Err    error
	Remedy string // "": to use another scheme
	Once   bool   // where the scheme has passed before, only this request fails
	Early  bool   // the proxy ended the handshake before its last leg
}

func (e *Failure) Error() string { return e.Err.Error() }
func (e *Failure) Unwrap() error { return e.Err }
