package carrier

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// A Carrier sends one request to a proxy, in as many legs as its authentication takes: a
// [Tunnel] the CONNECT, a [Forward] a request that the proxy forwards. It is used by one
// goroutine.
type Carrier interface {
	// Request returns the request for which the leg carries credentials: the one that is
	// forwarded, or the CONNECT.
	Request() *http.Request

	// Open takes a connection for all following legs. Those that are authenticated
	// belong to an owner, which is only compared; connections of other owners are never
	// used. There is no connection (nil) if only an authenticated one is wanted, and
	// none is idle. Without Open each leg goes on any connection. The error is a *Fault.
	Open(owner any, want Wanted) (*Connection, error)

	// Send runs one leg, and returns when the header of the answer is there. The error
	// is a *Fault.
	Send(Leg) (Reply, error)

	// Keep reads an answer to its end. It returns nil if the next leg can go on the
	// connection that Open took, or else why it cannot: ErrEnds or ErrSurplus.
	Keep(*http.Response) error

	// HangUp ends reading of an answer's body, at any time.
	HangUp(*http.Response)

	// Drop closes the connection that Open took, if there is one.
	Drop()
}

// Why a connection is not kept for the next leg.
var (
	ErrEnds    = errors.New("the connection ends with the answer")
	ErrSurplus = errors.New("the answer is longer than it says")
)

// A Connection is what Open took.
type Connection struct {
	TLS           *tls.ConnectionState // nil: not to an https:// proxy
	Authenticated bool
}

// A Wanted says which connection Open takes.
type Wanted int

const (
	AnyConnection Wanted = iota
	Authenticated        // an idle one that its owner has authenticated, or none
	NewConnection
)

// A Leg says how the request is sent once.
type Leg struct {
	Authorization []string // the values of Proxy-Authorization; nil: none
	Owner         any      // whose they are, as in Open; nil: nobody's
	Body          verdict.Body

	// Trial: the leg carries credentials that have never passed. It is written once at
	// most. Continued is called if the proxy asks for the body. Where the caller of a
	// tunnel gives up, Late takes in the answer that comes afterwards.
	Trial     bool
	Continued func()
	Late      func(Reply, error)
}

// A Reply is the answer to a leg.
type Reply struct {
	*http.Response

	// Twice: net/http may have written the leg again, on another connection, since one
	// to the proxy has ended meanwhile.
	Twice bool
}
