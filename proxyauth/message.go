package proxyauth

import (
	"errors"
	"net/http"
)

// A message is a request on its way to the proxy, which may take several legs.
type message interface {
	// request is what is authorized: the forwarded request, or the CONNECT.
	request() *http.Request

	// send runs one leg with these values of Proxy-Authorization; nil means
	// none. A careful leg holds the body back until the proxy asks for it.
	// errBodyGone means that the body cannot be sent once more.
	send(authorization []string, careful bool) (*http.Response, error)

	// probe asks for the same without the body, and without doing harm if the
	// proxy lets it pass.
	probe() (*http.Response, error)

	// hangUp ends reading of a reply's body, at any time.
	hangUp(resp *http.Response)

	// pin takes the connection on which all legs of a handshake run, and tells
	// whether it is authenticated already. ok is false if only an authenticated one
	// is wanted, and there is none.
	pin(p *plan, want wanted) (to peer, authenticated, ok bool, err error)

	// sendPinned runs a leg on it. errReconnect means that the connection had ended
	// before the leg, and that nothing is lost.
	sendPinned(authorization []string, what part) (*http.Response, error)

	// keep finishes a reply after which another leg is to follow on the
	// connection, and reports whether it can.
	keep(resp *http.Response) bool

	// unpin closes the connection.
	unpin()

	// tries announces that the next leg carries credentials which have never passed.
	// continued is called if the proxy asks for the body. Where the message can wait
	// for an answer for which its caller waits no longer, late takes that in.
	tries(continued func(), late func(*http.Response, error))

	// left reports whether the last leg may have reached the proxy. pending: its
	// answer is still waited for, and goes to the late of tries.
	left() (left, pending bool)

	// refusal returns the error about an answer that the caller does not get as a
	// response, or nil.
	refusal(resp *http.Response) *ConnectError
}

// A wanted says which connection is to be pinned.
type wanted int

const (
	anyConnection wanted = iota
	authenticatedOnly
	newOnly
)

// A part is what of a message goes on a pinned connection.
type part int

const (
	whole    part = iota
	held          // the body is held back until the proxy asks for it; the connection ends then
	bodyless      // all but the body, after the proxy has refused it
	probing       // an OPTIONS without the body, which does no harm if the proxy lets it pass
)

var (
	errBodyGone  = errors.New("body gone")
	errNoExpect  = errors.New("once more, without Expect")
	errAgain     = errors.New("once more, by another plan")
	errReconnect = errors.New("once more, on another connection")
)
