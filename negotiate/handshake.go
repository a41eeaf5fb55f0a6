package negotiate

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/go-proxyauth/go-proxyauth/ntlm"
)

// A Handshake makes the tokens of one authentication. It is not safe for concurrent
// use.
type Handshake struct {
	ticket  *Ticket // of Kerberos, or
	ntlm    *ntlm.Handshake
	binding []byte

	begun bool
	sent  authenticator // of the AP-REQ, which the AP-REP proves to know
	mechs []byte        // the mechTypes as sent, for the mechListMIC of NTLM
}

var (
	// ErrRefused is returned when the server asks anew without a token, or its token
	// says that it rejects the client.
	ErrRefused = errors.New("negotiate: the server refused")

	// ErrServer is returned by [Handshake.Done] when the server fails to
	// prove that it is the service of the ticket.
	ErrServer = errors.New("negotiate: the server did not prove to have the service's key")
)

// kerberosMechs are the mechanisms offered with a ticket, Microsoft's old OID of
// Kerberos among them.
var kerberosMechs = append(spnego.NegTokenInit{}.MechTypes, gssapi.OIDKRB5.OID(), gssapi.OIDMSLegacyKRB5.OID())

// oidNTLM is the mechanism NTLMSSP, in the type of gokrb5's OIDs.
var oidNTLM = append(gssapi.OIDKRB5.OID()[:0:0], 1, 3, 6, 1, 4, 1, 311, 2, 2, 10)

// Kerberos returns a handshake that authenticates by a ticket. binding is the
// channel binding's application data (RFC 5929), or nil.
func Kerberos(t *Ticket, binding []byte) *Handshake { return &Handshake{ticket: t, binding: binding} }

// NTLM returns a handshake that authenticates by NTLM inside SPNEGO. Make h with
// ntlm.Options.Sign, since a server may ask for the mechListMIC.
func NTLM(h *ntlm.Handshake) *Handshake { return &Handshake{ntlm: h} }

// Format prints the same for every verb: a handshake holds a password or a key.
func (h *Handshake) Format(f fmt.State, _ rune) { io.WriteString(f, "negotiate.Handshake") }

// Next returns the client's next token. token is the server's last one, or nil to begin.
// last says that the server may need no further token.
func (h *Handshake) Next(token []byte) (reply []byte, last bool, err error) {
	switch {
	case !h.begun:
		h.begun = true
		return h.begin()
	case len(token) == 0:
		return nil, false, ErrRefused
	case h.ntlm == nil:
		return nil, false, h.refusal(token)
	}
	reply, err = h.nextNTLM(token)
	return reply, true, err
}

// begin returns the NegTokenInit, with the token of its one mechanism.
func (h *Handshake) begin() (reply []byte, last bool, err error) {
	init := spnego.NegTokenInit{}
	if h.ticket != nil {
		init.MechTypes = kerberosMechs
		init.MechTokenBytes, h.sent, err = h.ticket.apReq(h.binding)
	} else {
		init.MechTypes = append(init.MechTypes, oidNTLM)
		if init.MechTokenBytes, err = h.ntlm.Next(nil); err == nil {
			h.mechs, err = asn1.Marshal([]asn1.ObjectIdentifier{asn1.ObjectIdentifier(oidNTLM)})
		}
	}
	if err != nil {
		return nil, false, err
	}
	token := spnego.SPNEGOToken{Init: true, NegTokenInit: init}
	reply, err = token.Marshal()
	if err != nil {
		return nil, false, fmt.Errorf("negotiate: %w", err)
	}
	return reply, h.ticket != nil, nil
}

// nextNTLM answers the type 2, in SPNEGO or as some proxies send it, bare.
func (h *Handshake) nextNTLM(token []byte) ([]byte, error) {
	if bytes.HasPrefix(token, []byte("NTLMSSP\x00")) {
		return h.ntlm.Next(token)
	}
	resp, err := parseResp(token)
	if err != nil {
		return nil, err
	}
	message, err := h.ntlm.Next(resp.ResponseToken)
	if err != nil {
		return nil, err
	}
	answer := spnego.NegTokenResp{NegState: 1 /* accept-incomplete */, ResponseToken: message}
	if resp.State() == spnego.NegStateRequestMIC {
		if answer.MechListMIC, err = h.ntlm.Sign(h.mechs); err != nil {
			return nil, err
		}
	}
	reply, err := answer.Marshal()
	if err != nil {
		return nil, fmt.Errorf("negotiate: %w", err)
	}
	return reply, nil
}

// refusal returns what a server says that is not content with the AP-REQ.
func (h *Handshake) refusal(token []byte) error {
	resp, err := parseResp(token)
	if err != nil {
		return err
	}
	var krb spnego.KRB5Token
	if krb.Unmarshal(resp.ResponseToken) == nil && krb.IsKRBError() {
		return fmt.Errorf("%w: %s", ErrRefused, oneLine(krb.KRBError.Error()))
	}
	if resp.SupportedMech.Equal(oidNTLM) {
		return fmt.Errorf("%w: it wants NTLM inside Negotiate", ErrRefused)
	}
	return ErrRefused
}

// Done verifies the token in the answer by which the server accepts the client: with
// Kerberos the AP-REP, which is mutual authentication. Many servers send none; then
// token is nil, and so is the error. With NTLM there is nothing to verify.
func (h *Handshake) Done(token []byte) error {
	if len(token) == 0 || h.ticket == nil {
		return nil
	}
	resp, err := parseResp(token)
	if err != nil {
		return err
	}
	switch {
	case resp.State() == spnego.NegStateReject:
		return ErrRefused
	case len(resp.ResponseToken) == 0:
		return nil
	}
	return h.ticket.verify(resp.ResponseToken, h.sent)
}

// parseResp reads a NegTokenResp. gokrb5 takes well-formed tokens for granted.
func parseResp(token []byte) (resp spnego.NegTokenResp, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("negotiate: malformed token")
		}
	}()
	if err := resp.Unmarshal(token); err != nil {
		return resp, fmt.Errorf("negotiate: malformed token: %w", err)
	}
	return resp, nil
}
