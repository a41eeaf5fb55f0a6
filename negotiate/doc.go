// Package negotiate is the client side of the Negotiate scheme (RFC 4559):
// SPNEGO (RFC 4178) with Kerberos (RFC 4121) or NTLM in it, independent of what
// carries it: tokens in, tokens out. Only [Client] does I/O: it asks Kerberos KDCs.
//
// Tickets and cryptography are gokrb5's; this package composes the AP-REQ's
// authenticator checksum, so that it asks for mutual authentication and carries
// channel bindings, and verifies the server's AP-REP.
//
//	client := negotiate.NewClient(negotiate.Options{})         // ticket cache or keytab
//	ticket, err := client.Ticket(ctx, "HTTP/proxy.example")
//	h := negotiate.Kerberos(ticket, channelBinding)
//	token, last, err := h.Next(nil)                            // to the server
//	err = h.Done(answer)                                       // its last token, if any
package negotiate
