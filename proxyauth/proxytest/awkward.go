package proxytest

import "time"

// Behaviour makes a proxy behave as some real ones do. Everything is off in
// the zero value: a well-behaved HTTP/1.1 proxy, which keeps its connections
// open, after a 407 too. The switches can be combined.
//
// What is said here of the proxy's own answers holds for the answers which
// are not forwarded from an origin: those to CONNECT, 407, and errors.
type Behaviour struct {
	// CloseAfter407 sends Connection: close with each 407, and closes. It does
	// not with a 407 in the middle of a handshake, such as that with the
	// type 2 message of [NTLM]: that handshake could never end.
	CloseAfter407 bool

	// CloseSilently407 closes the connection right after each 407 without
	// having said so, but not in the middle of a handshake either.
	CloseSilently407 bool

	// HTTP10 gives the proxy's own answers the version HTTP/1.0. The
	// connection is kept, with Proxy-Connection: keep-alive in the answer,
	// only if the client sent that field; otherwise it is closed.
	HTTP10 bool

	// Chunked407 sends the body of each 407 chunked, rather than with a
	// Content-Length. An HTTP/1.0 client, or HTTP10, turns it off.
	Chunked407 bool

	// Body407 is the size of the body of each 407, in bytes. If it is 0 the
	// body is one short line.
	Body407 int

	// ConnectBody is a header field such as "Content-Length: 10" or
	// "Transfer-Encoding: chunked", without line end, put in the answer that
	// opens a tunnel, where a client must ignore it (RFC 9110, section
	// 9.3.6). If it is empty there is none.
	ConnectBody string

	// EarlyBytes are sent into each tunnel before the origin's, in the same
	// write as the answer that opens it.
	EarlyBytes []byte

	// OneField sends all challenges in one Proxy-Authenticate field,
	// separated by commas, rather than in one field each.
	OneField bool

	// ConnectStatus is the status of the answer to each authorized CONNECT. A
	// 2xx opens the tunnel, any other is sent without trying to. If it is 0
	// it is 200.
	ConnectStatus int

	// RefuseWith is the status of the answer to wrong credentials, for
	// instance 401 or 403. If it is 0 it is 407; other answers carry no
	// challenge.
	RefuseWith int

	// Refusal is the answer to wrong credentials, where a status does not say
	// enough: late, by closing or resetting the connection, or never. Its
	// Status goes before RefuseWith; if both are 0 it is 407.
	Refusal Answer

	// Free are targets that are reached without credentials, each a host, or
	// a host and a port: squid's "http_access allow free". Credentials that
	// come all the same are not looked at.
	Free []string

	// Denied are targets to which users who have authenticated are not let,
	// but get 407 with fresh challenges: squid's "http_access deny blocked
	// authed", where the last list is one of users. The credentials are
	// right, so [Proxy.Refused] does not count them, but [Proxy.Denied] does.
	Denied []string

	// Access, if it is not nil, decides about each request that would pass
	// otherwise, after Free and Denied, as squid's http_access rules do. The
	// zero Answer lets it pass. The Leg has no Status yet, and its Header
	// must not be changed. Several goroutines call Access at once.
	//
	// It is for what a list cannot express: one of two proxies behind a name
	// refuses everybody (by Leg.Conn), no target can be reached for some time
	// (503), or CONNECT is answered by 401, or by a 407 without a challenge.
	Access func(Leg) Answer

	// DownInHandshake lets a directory that is down (see
	// [Proxy.SetDirectoryDown]) show in the first steps of a handshake: a
	// type 1 message gets 407 with bare challenges, as squid answers when its
	// helper for NTLM says BH to a YR.
	DownInHandshake bool

	// Second400 answers 400 to the second and later CONNECT of a connection.
	Second400 bool

	// Challenges are raw values of Proxy-Authenticate, sent before those of
	// Config.Auth. If Config.Auth is empty nothing satisfies them.
	Challenges []string

	// Delay is how long the proxy waits before each answer of its own.
	Delay time.Duration

	// IgnoreExpect never sends 100 (Continue), and does not forward the
	// Expect field: the body is read once the client sends it unasked.
	IgnoreExpect bool

	// Expect417 answers 417 to each request with an Expect field.
	Expect417 bool
}
