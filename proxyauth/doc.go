// Package proxyauth lets net/http and anything else that dials get through
// HTTP proxies that demand authentication.
//
// A [Transport] is an [http.RoundTripper]. Its zero value takes proxies and
// credentials from the environment:
//
//	client := &http.Client{Transport: &proxyauth.Transport{}}
//
// or, for every user of the default client:
//
//	http.DefaultTransport = &proxyauth.Transport{
//		Credentials: proxyauth.UserPassword("alice", "secret"),
//	}
//
// It answers 407 Proxy Authentication Required on both ways through a proxy:
// http:// requests that the proxy forwards, and CONNECT tunnels for https://
// and for [Transport.DialContext]. What it learns from a proxy it keeps
// for that proxy: the first request costs one 407, and later ones none, however
// many begin at once. The protocols add their own: NTLM has one in the handshake
// of each connection, and Digest gets one when the proxy ends a nonce.
//
// Basic and Digest are a header for each request. NTLM and Negotiate
// (Kerberos) authenticate a connection, by a handshake whose legs all travel on
// it; such a connection serves one identity only.
//
// A request that cannot be authenticated ends in an [*AuthError], not in a 407
// response: whoever asked the origin must not take a proxy's page for the
// origin's answer. The error says why, and what to do; [Transport.Diagnose] looks
// for the reason step by step. A 407 of an origin is a response like any other; for
// one that the proxy forwards see [Transport.RoundTrip].
package proxyauth
