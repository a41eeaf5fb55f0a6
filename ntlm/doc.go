// Package ntlm is the client side of an NTLM handshake (MS-NLMP), independent
// of what carries it: messages in, messages out, no I/O.
//
// It speaks NTLMv2 only. The messages are encoded by go-ntlmssp; this package checks the
// server's messages before go-ntlmssp reads them, and adds what go-ntlmssp lacks: channel
// bindings and the target name, which tie the handshake to one connection and one
// service, and the message integrity code.
//
//	h := ntlm.New(`CORP\alice`, "secret", ntlm.Options{})
//	negotiate, err := h.Next(nil)          // type 1, to the server
//	authenticate, err := h.Next(challenge) // type 2 from it, type 3 to it
package ntlm
