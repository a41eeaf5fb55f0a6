package proxyauth

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
)

// A Scheme is a way to authenticate to a proxy: [Basic], [Digest], [NTLM] or
// [Negotiate]. Its methods are for this package alone.
type Scheme interface {
	// Name is the auth-scheme as the standards write it: "Basic", "Digest", …
	Name() string

	// traits returns what others have to know of the scheme.
	traits() traits

	// requires returns the parameters without which a challenge is malformed.
	requires() []string

	// secretsIn returns the parts of a Proxy-Authorization of this scheme, given
	// without the scheme's name, that are as good as the password by themselves.
	secretsIn(value string) []string

	// best returns offers, which are all of this scheme, with the one first that
	// accept is to answer.
	best(offers []challenge.Challenge) []challenge.Challenge

	// accept prepares to answer the best of offers, which are all of this
	// scheme, with credentials. No offers at all means that there was no
	// challenge yet; a scheme that needs one returns an error.
	accept(ctx context.Context, p proxyFacts, offers []challenge.Challenge, c Credentials) (answerer, error)
}

// schemeNamed returns the one of schemes that has the name, in any case, or nil.
func schemeNamed(schemes []Scheme, name string) Scheme {
	for _, s := range schemes {
		if strings.EqualFold(s.Name(), name) {
			return s
		}
	}
	return nil
}

// traits are what tells a scheme from others, where a policy or an error depends on
// it.
type traits struct {
	clearText bool // whoever reads the header has the password
	strength  int  // where a scheme has passed, none of less is used

	// needsChallenge: nothing can be sent before there is a challenge, and each is for
	// one conversation.
	needsChallenge bool

	ambient bool // may do without credentials of the source: it knows the user by other means
	byRealm bool // the proof depends on the realm
	logsIn  bool // accept may ask a KDC, which is an attempt at the account by itself
	large   bool // the header grows with the user's account, and may become too large for a proxy
}

// proxyFacts are what a scheme gets to know of the proxy.
type proxyFacts struct {
	host    string                                    // of its URL
	offered []string                                  // the schemes that it offers and the Transport allows, as far as known
	tickets func(negotiate.Options) *negotiate.Client // with the tickets that there are for the proxy
}

// An unproven is the error of a scheme about a proxy that fails to prove that it
// knows the credentials.
type unproven struct{ error }

func (e unproven) Unwrap() error { return e.error }

// A schemeError is a scheme's failure that is no refusal: another scheme may do.
type schemeError struct {
	err    error
	remedy string // "": to use another scheme
	once   bool   // where the scheme has passed before, only this request fails
}

func (e *schemeError) Error() string { return e.err.Error() }
func (e *schemeError) Unwrap() error { return e.err }

// A refusedElsewhere is the error of a scheme whose credentials somebody else than
// the proxy has refused, such as a KDC.
type refusedElsewhere struct{ error }

func (e refusedElsewhere) Unwrap() error { return e.error }

// DefaultSchemes returns the schemes in their order of preference when
// Transport.Schemes is nil: Negotiate, NTLM, Digest, Basic; in a new slice each
// time.
func DefaultSchemes() []Scheme { return []Scheme{Negotiate(), NTLM(), Digest(), Basic()} }

// An answerer answers challenges. Authentication is bound to the request or to the
// connection, and a scheme sets one of the two. Neither is set where requests go
// without credentials.
type answerer struct {
	auth  requestAuth
	bound connectionAuth

	// ticket: it proves itself by a ticket, with which no account can be locked.
	ticket bool
}

// A connectionAuth is the connection-bound nature: the legs of a handshake run
// on one connection, which then stays authenticated and costs nothing more.
type connectionAuth interface {
	// handshake begins on a connection to p.
	handshake(ctx context.Context, p peer) (handshake, error)

	// again reports whether an authenticated connection needs another
	// handshake for req.
	again(req *http.Request) bool

	// learned notes whether a request without a handshake passed on an
	// authenticated connection: the proxy remembers it.
	learned(remembered bool)

	// other reports whether a handshake would authenticate another user now, though
	// the credentials are the same: whoever has logged in, or has the tickets.
	other(ctx context.Context) bool

	// describe tells by what a handshake authenticates, for a report. with is the
	// text that names the source of the credentials; the scheme returns it as it
	// is, adds to it, or puts another one in its place.
	describe(ctx context.Context, with string) string
}

// A peer is the proxy at the other end of a connection.
type peer struct {
	host string               // of its URL
	tls  *tls.ConnectionState // nil: not reached by TLS
}

// A handshake makes the legs on one connection.
type handshake interface {
	// next returns the token that follows on the proxy's; at the beginning
	// that is "". last says that the proxy can let the request pass then.
	next(token68 string) (reply string, last bool, err error)

	// bare says what a challenge without a token means, in answer to the last leg or
	// to another one: nil is a refusal.
	bare(last bool) *schemeError

	// done checks the proxy's last token, which came with its consent; "" is
	// none.
	done(token68 string) error

	// close ends the handshake.
	close()
}

var errNotBase64 = errors.New("the proxy's token is not base64")

// A requestAuth is the request-bound nature: it computes a header for each
// request, on any connection of its route, and is used by many at once.
type requestAuth interface {
	// authorize returns the Proxy-Authorization for one request: the one that
	// is forwarded, or the CONNECT. own says that no other request uses this
	// requestAuth. An answer without a field means that the proxy must be
	// asked for a fresh challenge first.
	authorize(req *http.Request, own bool) (answer, error)

	// challenged returns what answers the challenge of a 407 to a request that
	// carried a, or nil if it cannot be answered; and how that challenge differs from
	// the one before. A request whose a has no field was to get a challenge.
	challenged(a answer, offers []challenge.Challenge) (requestAuth, difference)

	// used reports whether the challenge was answered before, if it is good for one
	// conversation only.
	used() bool

	// expires reports whether the proxy may refuse the right credentials at any
	// time, for a fresh challenge.
	expires() bool

	// accepted checks the proxy's reply to a, which let the request pass. It
	// returns what to use from now on if the proxy says so (else nil), and an
	// error if the proxy fails to prove itself.
	accepted(a answer, resp *http.Response) (requestAuth, error)
}

// A provesLater is the body of a response at whose end the proxy proves itself, and
// may give what to use from then on.
type provesLater interface {
	whenProved(adopt func(requestAuth))
}

// An answer is one Proxy-Authorization.
type answer struct {
	field []string // the field's values; nil: none is sent

	// For Digest:
	session *digest.Session
	digest  digest.Answer
}

// A difference is what a challenge says that the one before did not.
type difference struct {
	stale     bool // the nonce was too old
	fresh     bool // another nonce, algorithm, quality of protection or opaque
	overtaken bool // the nonce was perhaps used out of order
	own       bool // each request needs a nonce to itself, so this one is not shared
}
