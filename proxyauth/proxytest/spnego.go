package proxytest

import (
	"bytes"
	"crypto/md5"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
)

// Mechanisms of the GSS-API. That of Kerberos has a second name inside SPNEGO,
// by an error of old that Windows keeps.
var (
	oidSPNEGO     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	oidKerberos   = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	oidKerberosMS = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
	oidNTLM       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
)

// Values of negState (RFC 4178, section 4.2.2), which may be absent.
const (
	negAbsent           = -1
	negAcceptCompleted  = 0
	negAcceptIncomplete = 1
	negReject           = 2
	negRequestMIC       = 3
)

const (
	tagNegTokenInit = 0xa0
	tagNegTokenResp = 0xa1
)

// negTokenInit is the first token of a client (RFC 4178, section 4.2.1).
type negTokenInit struct {
	MechTypes   []asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
	ReqFlags    asn1.BitString          `asn1:"explicit,optional,tag:1"`
	MechToken   []byte                  `asn1:"explicit,optional,tag:2"`
	MechListMIC []byte                  `asn1:"explicit,optional,tag:3"`
}

// negTokenResp is any other token (RFC 4178, section 4.2.2).
type negTokenResp struct {
	State         asn1.Enumerated       `asn1:"explicit,optional,default:-1,tag:0"`
	SupportedMech asn1.ObjectIdentifier `asn1:"explicit,optional,tag:1"`
	ResponseToken []byte                `asn1:"explicit,optional,tag:2"`
	MechListMIC   []byte                `asn1:"explicit,optional,tag:3"`
}

// negotiation is a handshake of Negotiate under way.
type negotiation struct {
	mech  asn1.ObjectIdentifier // chosen
	raw   bool                  // without SPNEGO
	list  []byte                // mechTypes as they came, of which a mechListMIC is made
	first bool                  // nothing was answered yet
	ntlm  *handshake            // nil unless begun
}

// incomplete returns a token that asks for another, with one of the mechanism
// which may be nil.
func (g *negotiation) incomplete(n *negotiate, token []byte) []byte {
	if g.raw {
		return token
	}
	resp := negTokenResp{State: negAcceptIncomplete, ResponseToken: token}
	if g.first {
		resp.SupportedMech = g.mech
		if n.RequireListMIC {
			resp.State = negRequestMIC
		}
	}
	g.first = false
	return resp.marshal()
}

// completed returns the last token.
func (g *negotiation) completed(token, mic []byte) []byte {
	resp := negTokenResp{State: negAcceptCompleted, ResponseToken: token, MechListMIC: mic}
	if g.first {
		resp.SupportedMech = g.mech
	}
	return resp.marshal()
}

func (r negTokenResp) marshal() []byte {
	return mustMarshal(asn1.RawValue{
		Class: asn1.ClassContextSpecific, Tag: tagNegTokenResp & 0x1f, IsCompound: true, Bytes: mustMarshal(r),
	})
}

func readNegTokenInit(b []byte) (*negTokenInit, error) {
	body, err := readChoice(b, tagNegTokenInit)
	if err != nil {
		return nil, err
	}
	init := new(negTokenInit)
	if err := unmarshal(body, init); err != nil {
		return nil, err
	}
	if len(init.MechTypes) == 0 {
		return nil, errors.New("mechTypes is empty")
	}
	return init, nil
}

func readNegTokenResp(b []byte) (*negTokenResp, error) {
	body, err := readChoice(b, tagNegTokenResp)
	if err != nil {
		return nil, err
	}
	resp := new(negTokenResp)
	if err := unmarshal(body, resp); err != nil {
		return nil, err
	}
	if resp.State < negAbsent || resp.State > negRequestMIC {
		return nil, fmt.Errorf("there is no negState %d", resp.State)
	}
	return resp, nil
}

// readChoice returns what is in a NegotiationToken with the tag.
func readChoice(b []byte, tag byte) ([]byte, error) {
	var v asn1.RawValue
	if err := unmarshal(b, &v); err != nil {
		return nil, err
	}
	if v.FullBytes[0] != tag {
		return nil, fmt.Errorf("the tag is %#x, not %#x", v.FullBytes[0], tag)
	}
	return v.Bytes, nil
}

// readInitialToken returns the mechanism of a first token, and what is in it
// (RFC 2743, section 3.1).
func readInitialToken(token []byte) (mech asn1.ObjectIdentifier, inner []byte, err error) {
	var v asn1.RawValue
	if err := unmarshal(token, &v); err != nil {
		return nil, nil, fmt.Errorf("the token is not an InitialContextToken: %v", err)
	}
	if v.Class != asn1.ClassApplication || v.Tag != 0 || !v.IsCompound {
		return nil, nil, fmt.Errorf("the token begins with %#x, not with the tag of an InitialContextToken", token[0])
	}
	inner, err = asn1.Unmarshal(v.Bytes, &mech)
	if err != nil {
		return nil, nil, fmt.Errorf("the token has no mechanism: %v", err)
	}
	return mech, inner, nil
}

func initialToken(mech asn1.ObjectIdentifier, inner []byte) []byte {
	return asn1tools.AddASNAppTag(append(mustMarshal(mech), inner...), 0)
}

// unmarshal reads the value that b is.
func unmarshal(b []byte, v any) error {
	rest, err := asn1.Unmarshal(b, v)
	if err == nil && len(rest) != 0 {
		err = errors.New("something follows the end")
	}
	return err
}

func isOneValue(b []byte) error { return unmarshal(b, new(asn1.RawValue)) }

func mustMarshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic("proxytest: " + err.Error())
	}
	return b
}

// Directions in which NTLM signs.
const (
	ntlmFromClient = "client-to-server"
	ntlmFromServer = "server-to-client"
)

func (h *handshake) verifyMIC(list, mic []byte) bool {
	return len(mic) != 0 && bytes.Equal(mic, h.sign(ntlmFromClient, list))
}

func (h *handshake) listMIC(list []byte) []byte { return h.sign(ntlmFromServer, list) }

// sign returns the first signature in a direction (MS-NLMP, section
// 3.4.4.2). It is for extended session security only; without it is nil.
func (h *handshake) sign(direction string, message []byte) []byte {
	if h.session.flags&ntlmExtendedSecurity == 0 {
		return nil
	}
	const sequence = "\x00\x00\x00\x00"
	sum := hmacMD5(h.ntlmKey(direction, "signing", 16), []byte(sequence), message)[:8]
	if h.session.flags&ntlmKeyExchange != 0 {
		sum = rc4Once(h.ntlmKey(direction, "sealing", h.sealSize()), sum)
	}
	b := binary.LittleEndian.AppendUint32(nil, 1) // version
	return append(append(b, sum...), sequence...)
}

// ntlmKey is SIGNKEY or SEALKEY (MS-NLMP, sections 3.4.5.2 and 3.4.5.3), of
// the first bytes of the session key.
func (h *handshake) ntlmKey(direction, purpose string, size int) []byte {
	magic := "session key to " + direction + " " + purpose + " key magic constant\x00"
	sum := md5.Sum(append(h.session.key[:size:size], magic...))
	return sum[:]
}

func (h *handshake) sealSize() int {
	switch {
	case h.session.flags&ntlm128 != 0:
		return 16
	case h.session.flags&ntlm56 != 0:
		return 7
	}
	return 5
}
