// Package digest is the client side of HTTP Digest access authentication:
// RFC 7616 whole, with the older RFC 2069 and RFC 2617 forms that servers and
// proxies still send. It does no I/O of its own: parameters of a challenge go
// in, the value of an Authorization or Proxy-Authorization field comes out.
//
// A [Session] holds what belongs to one nonce and may be used by many
// goroutines and connections at once, which is how one challenge serves all of
// them:
//
//	params, err := digest.ParseParams(`realm="r", nonce="n", qop="auth"`)
//	challenge, err := digest.ParseChallenge(params)
//	session, err := digest.NewSession(challenge, "alice", "secret", digest.Options{})
//	answer, err := session.Authorize("GET", "/path?query", nil)
//	req.Header.Set("Authorization", answer.Value)
package digest
