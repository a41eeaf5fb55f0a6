package proxytest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //lint:ignore SA1019 NTLM is made of it
)

// NTLM offers the NTLM scheme (MS-NTHT) with the messages of MS-NLMP, of
// which it knows NTLMv2 and Unicode only. It authenticates a connection, not
// a request.
//
// A request on a connection that is not authenticated is answered 407 with a
// bare "NTLM" beside the other challenges. One with a type 1 message is
// answered 407 with the type 2 as the only challenge, whatever else is
// offered. One with a type 3 that is right, next on the same connection,
// passes, and so do all later ones on it that have no Proxy-Authorization.
// That ends with the connection or with the next message of NTLM on it, but
// not when the user is removed or the password changed. A type 3 that is
// wrong, or that does not follow a type 1, is answered like no credentials.
//
// After the type 2 the connection is kept, whatever Behaviour.CloseAfter407
// and Behaviour.CloseSilently407 say; these close after a bare challenge. It
// is kept even if the client waits to be asked for a body (Expect): it gets
// the 407 at once, and must then send that body before its type 3, or leave.
//
// A user is looked up in Config.Users by the UserName and the DomainName of
// the type 3, the most exact name first:
//   - `DOMAIN\user` stands for that user of that domain only;
//   - "user@REALM" likewise, and then the UserName may have that form too, if
//     the DomainName is empty;
//   - "user" stands for that user of any domain.
//
// Domains are compared without regard to case.
//
// Messages that break a rule are answered 400, for instance if the response
// lacks an AV pair of the type 2, or has one altered. What is well-formed but
// proves nothing is a wrong answer: another password, a response of NTLMv1, a
// message integrity code (MIC) or a channel binding that is missing although
// required, or not right although not required.
type NTLM struct {
	// Domain is the domain of the proxy, named in the type 2. If it is empty
	// it is "TESTDOM".
	Domain string

	// RequireChannelBinding refuses responses which are not bound to the
	// certificate of this proxy (MsvAvChannelBindings, for the
	// tls-server-end-point of RFC 5929). It can be had with [NewTLS] only.
	RequireChannelBinding bool

	// RequireMIC refuses a type 3 without a MIC.
	RequireMIC bool

	// RequireTargetName refuses responses which do not name as their target
	// (MsvAvTargetName) "HTTP/" and the host in the proxy's URL.
	RequireTargetName bool

	// NoTimestamp leaves MsvAvTimestamp out of the type 2. Without it clients
	// do not send a MIC.
	NoTimestamp bool

	// NoTargetInfo leaves all AV pairs out of the type 2.
	NoTargetInfo bool

	// NoExtendedSecurity does not grant extended session security
	// (NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY).
	NoExtendedSecurity bool

	// RechallengeAfter is how many requests without credentials pass after a
	// handshake; the next is challenged again. If it is 0 there is no limit.
	RechallengeAfter int
}

// Flags of messages (MS-NLMP, section 2.2.2.5).
const (
	ntlmUnicode          = 0x00000001
	ntlmOEM              = 0x00000002
	ntlmRequestTarget    = 0x00000004
	ntlmSign             = 0x00000010
	ntlmSeal             = 0x00000020
	ntlmNTLM             = 0x00000200
	ntlmDomainSupplied   = 0x00001000
	ntlmWorkstation      = 0x00002000
	ntlmAlwaysSign       = 0x00008000
	ntlmTargetDomain     = 0x00010000
	ntlmExtendedSecurity = 0x00080000
	ntlmTargetInfo       = 0x00800000
	ntlm128              = 0x20000000
	ntlmKeyExchange      = 0x40000000
	ntlm56               = 0x80000000
)

// Identifiers of AV pairs (MS-NLMP, section 2.2.2.1).
const (
	avEnd             = 0
	avComputer        = 1
	avDomain          = 2
	avFlags           = 6
	avTimestamp       = 7
	avTargetName      = 9
	avChannelBindings = 10
)

const (
	ntlmSignature = "NTLMSSP\x00"
	avFlagMIC     = 0x2 // in MsvAvFlags: the type 3 has a MIC

	// Sizes of what precedes the payload of a message.
	negotiateSize    = 32
	challengeSize    = 56
	authenticateSize = 64 // of the oldest form, without a version and a MIC

	micOffset, micSize = 72, 16 // in a type 3 that has one
)

// ntlm is NTLM at work.
type ntlm struct {
	NTLM
	p        *Proxy
	accounts *accounts
	binding  []byte // MsvAvChannelBindings of the proxy; nil unless reached by TLS
}

// ntlmConn is what is known about one connection: a handshake under way, or
// who has made one.
type ntlmConn struct {
	handshake *handshake // nil unless under way
	user      string
	requests  int // how many have passed since the handshake
}

// handshake is what has gone before a type 3.
type handshake struct {
	negotiate, challenge []byte // the messages as they went over the wire
	flags                uint32 // of the challenge
	nonce                [8]byte
	pairs                []avPair
	session              ntlmSession // once the type 3 was right
}

// ntlmSession is what a handshake ends with.
type ntlmSession struct {
	key   []byte // ExportedSessionKey
	flags uint32
}

type avPair struct {
	id    uint16
	value []byte
}

func (a NTLM) start(p *Proxy, accounts *accounts) scheme {
	n := &ntlm{NTLM: a, p: p, accounts: accounts}
	if n.Domain == "" {
		n.Domain = "TESTDOM"
	}
	switch {
	case p.certificate != nil:
		// Its signature is made with SHA-256, hence so is its hash.
		n.binding = channelBinding(sha256.Sum256(p.certificate.Certificate[0]))
	case n.RequireChannelBinding:
		panic("proxytest: a channel binding needs NewTLS")
	}
	return n
}

func (n *ntlm) name() string { return "NTLM" }

func (n *ntlm) challenges(*exchange) []string { return []string{"NTLM"} }

// resume ends a handshake that is under way: its type 3 had to come now.
func (n *ntlm) resume(c *conn) (user string, ok bool) {
	s, ok := c.state[n].(*ntlmConn)
	if !ok {
		return "", false
	}
	if s.handshake != nil || n.RechallengeAfter > 0 && s.requests >= n.RechallengeAfter {
		delete(c.state, n)
		return "", false
	}
	s.requests++
	return s.user, true
}

func (n *ntlm) verify(x *exchange, credentials string) verdict {
	var before *handshake
	if s, ok := x.c.state[n].(*ntlmConn); ok {
		before = s.handshake
	}
	delete(x.c.state, n)
	message, err := base64.StdEncoding.Strict().DecodeString(credentials)
	if err != nil {
		return reject("NTLM: the message is not base64")
	}
	h, v := n.step(before, message)
	switch v.outcome {
	case underway:
		v.challenges = []string{"NTLM " + base64.StdEncoding.EncodeToString(h.challenge)}
		x.c.state[n] = &ntlmConn{handshake: h}
	case accepted:
		x.c.state[n] = &ntlmConn{user: v.user}
	}
	return v
}

// step judges a message that follows those of the handshake, which is nil if
// there is none. It returns the handshake which the message begins, if it does.
func (n *ntlm) step(before *handshake, message []byte) (*handshake, verdict) {
	if len(message) < 12 || string(message[:8]) != ntlmSignature {
		return nil, reject("NTLM: the message does not begin with the signature and a type")
	}
	switch kind := binary.LittleEndian.Uint32(message[8:]); kind {
	case 1:
		h, err := n.challenge(message)
		if err != nil {
			return nil, reject("NTLM: type 1: " + err.Error())
		}
		return h, verdict{outcome: underway, reason: "NTLM: a type 3 message is required"}
	case 3:
		a, err := readAuthenticate(message)
		if err != nil {
			return nil, reject("NTLM: type 3: " + err.Error())
		}
		if before == nil {
			user, _, _ := n.lookup(a.user, a.domain)
			return nil, verdict{outcome: again, user: user, reason: "NTLM: no type 1 message precedes on this connection"}
		}
		return nil, n.judge(before, a)
	default:
		return nil, reject(fmt.Sprintf("NTLM: type %d is not for a client", kind))
	}
}

// challenge answers a type 1 message with a type 2 (MS-NLMP, sections 2.2.1.2
// and 3.2.5.1.1).
func (n *ntlm) challenge(negotiate []byte) (*handshake, error) {
	if len(negotiate) < negotiateSize {
		return nil, fmt.Errorf("%d bytes are too few", len(negotiate))
	}
	offered := binary.LittleEndian.Uint32(negotiate[12:])
	if offered&(ntlmUnicode|ntlmOEM) == 0 {
		return nil, errors.New("neither Unicode nor OEM is offered")
	}
	for _, supplied := range []struct {
		name       string
		flag       uint32
		descriptor int
	}{{"DomainName", ntlmDomainSupplied, 16}, {"Workstation", ntlmWorkstation, 24}} {
		if offered&supplied.flag == 0 {
			continue
		}
		if _, err := payload(negotiate, supplied.descriptor, negotiateSize); err != nil {
			return nil, fmt.Errorf("%s: %v", supplied.name, err)
		}
	}
	// Unicode even if it is not offered: clients that offer OEM only, such as
	// curl, know it.
	granted := offered&(ntlmSign|ntlmSeal|ntlmAlwaysSign|ntlmExtendedSecurity|ntlm128|ntlmKeyExchange|ntlm56) |
		ntlmUnicode | ntlmRequestTarget | ntlmNTLM | ntlmTargetDomain
	if n.NoExtendedSecurity {
		granted &^= ntlmExtendedSecurity
	}
	domain := encodeUTF16(n.Domain)
	h := &handshake{negotiate: negotiate}
	var info []byte
	if !n.NoTargetInfo {
		granted |= ntlmTargetInfo
		h.pairs = []avPair{{avDomain, domain}, {avComputer, encodeUTF16("PROXY")}}
		if !n.NoTimestamp {
			h.pairs = append(h.pairs, avPair{avTimestamp, fileTime(time.Now())})
		}
		info = appendPairs(nil, h.pairs)
	}
	h.flags = granted
	rand.Read(h.nonce[:])

	le := binary.LittleEndian
	m := append([]byte(ntlmSignature), 2, 0, 0, 0)
	m = appendDescriptor(m, len(domain), challengeSize)
	m = le.AppendUint32(m, granted)
	m = append(m, h.nonce[:]...)
	m = le.AppendUint64(m, 0) // reserved
	m = appendDescriptor(m, len(info), challengeSize+len(domain))
	m = le.AppendUint64(m, 0) // no version
	m = append(m, domain...)
	h.challenge = append(m, info...)
	return h, nil
}

// authenticate is a type 3 message that is well-formed by itself (MS-NLMP,
// section 2.2.1.3).
type authenticate struct {
	message      []byte
	user, domain string
	flags        uint32
	encryptedKey []byte // EncryptedRandomSessionKey
	response     []byte // NtChallengeResponse
	proof        []byte // NTProofStr, which it begins with; nil unless of NTLMv2
	blob         []byte // what follows the proof
	pairs        map[uint16][]byte
	hasMIC       bool
}

func readAuthenticate(m []byte) (*authenticate, error) {
	if len(m) < authenticateSize {
		return nil, fmt.Errorf("%d bytes are too few", len(m))
	}
	a := &authenticate{message: m, flags: binary.LittleEndian.Uint32(m[60:])}
	if a.flags&ntlmUnicode == 0 {
		return nil, errors.New("the flag for Unicode is missing")
	}
	fields, err := a.payloads(authenticateSize)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"DomainName", "UserName", "Workstation"} {
		if _, ok := decodeUTF16(fields[name]); !ok {
			return nil, fmt.Errorf("%s is not UTF-16", name)
		}
	}
	a.user, _ = decodeUTF16(fields["UserName"])
	a.domain, _ = decodeUTF16(fields["DomainName"])
	if n := len(fields["LmChallengeResponse"]); n != 0 && n != 24 {
		return nil, fmt.Errorf("LmChallengeResponse has %d bytes", n)
	}
	a.encryptedKey = fields["EncryptedRandomSessionKey"]
	if a.flags&ntlmKeyExchange != 0 && len(a.encryptedKey) != 16 {
		return nil, fmt.Errorf("EncryptedRandomSessionKey has %d bytes", len(a.encryptedKey))
	}
	a.response = fields["NtChallengeResponse"]
	if n := len(a.response); n == 0 || n == 24 {
		return a, nil // anonymous, or of NTLMv1: nothing in it to be read
	}
	return a, a.readResponse()
}

// payloads returns the variable parts of the message by name. They must begin
// after its header.
func (a *authenticate) payloads(header int) (map[string][]byte, error) {
	fields := make(map[string][]byte)
	for i, name := range []string{
		"LmChallengeResponse", "NtChallengeResponse", "DomainName", "UserName", "Workstation", "EncryptedRandomSessionKey",
	} {
		value, err := payload(a.message, 12+8*i, header)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", name, err)
		}
		fields[name] = value
	}
	return fields, nil
}

// readResponse reads a response of NTLMv2 (MS-NLMP, sections 2.2.2.7 and
// 2.2.2.8).
func (a *authenticate) readResponse() (err error) {
	const blobHeader = 28
	if len(a.response) < md5.Size+blobHeader {
		return fmt.Errorf("NtChallengeResponse has %d bytes", len(a.response))
	}
	a.proof, a.blob = a.response[:md5.Size], a.response[md5.Size:]
	if a.blob[0] != 1 || a.blob[1] != 1 {
		return errors.New("NtChallengeResponse is not of version 1 of NTLMv2")
	}
	if a.pairs, err = readPairs(a.blob[blobHeader:]); err != nil {
		return err
	}
	if flags, ok := a.pairs[avFlags]; ok {
		if len(flags) != 4 {
			return fmt.Errorf("MsvAvFlags has %d bytes", len(flags))
		}
		a.hasMIC = binary.LittleEndian.Uint32(flags)&avFlagMIC != 0
	}
	if binding, ok := a.pairs[avChannelBindings]; ok && len(binding) != md5.Size {
		return fmt.Errorf("MsvAvChannelBindings has %d bytes", len(binding))
	}
	if _, ok := decodeUTF16(a.pairs[avTargetName]); !ok {
		return errors.New("MsvAvTargetName is not UTF-16")
	}
	if a.hasMIC {
		if len(a.message) < micOffset+micSize {
			return errors.New("MsvAvFlags announces a MIC, for which there is no room")
		}
		if _, err := a.payloads(micOffset + micSize); err != nil {
			return fmt.Errorf("MsvAvFlags announces a MIC, but %v", err)
		}
	}
	return nil
}

// judge verifies a type 3 message (MS-NLMP, section 3.2.5.1.2).
func (n *ntlm) judge(h *handshake, a *authenticate) verdict {
	if a.flags&ntlmKeyExchange&^h.flags != 0 {
		return reject("NTLM: type 3: a key exchange was not granted")
	}
	if a.proof != nil {
		for _, pair := range h.pairs {
			if value, ok := a.pairs[pair.id]; !ok || !bytes.Equal(value, pair.value) {
				return reject(fmt.Sprintf("NTLM: type 3: the AV pair %d is not that of the type 2", pair.id))
			}
		}
	}
	user, password, known := n.lookup(a.user, a.domain)
	refuse := func(reason string) verdict {
		return verdict{outcome: wrong, user: user, reason: "NTLM: " + reason}
	}
	if a.proof == nil {
		return refuse("the response is not of NTLMv2")
	}
	key := responseKey(a.user, a.domain, password)
	if !known || !bytes.Equal(a.proof, ntProof(key, h.nonce, a.blob)) {
		return refuse("wrong user name or password")
	}
	sessionKey := hmacMD5(key, a.proof)
	if a.flags&ntlmKeyExchange != 0 {
		sessionKey = rc4Once(sessionKey, a.encryptedKey)
	}
	binding, bound := a.pairs[avChannelBindings]
	if bytes.Equal(binding, make([]byte, md5.Size)) {
		bound = false // so clients say that they have none
	}
	target, _ := decodeUTF16(a.pairs[avTargetName])
	switch {
	case n.RequireMIC && !a.hasMIC:
		return refuse("no MIC")
	case a.hasMIC && !bytes.Equal(a.message[micOffset:micOffset+micSize], h.mic(sessionKey, a.message)):
		return refuse("wrong MIC")
	case n.RequireChannelBinding && !bound:
		return refuse("no channel binding")
	case bound && !bytes.Equal(binding, n.binding):
		return refuse("wrong channel binding")
	case n.RequireTargetName && !strings.EqualFold(target, "HTTP/"+n.p.URL.Hostname()):
		return refuse(fmt.Sprintf("%q is not the name of this target", target))
	}
	h.session = ntlmSession{sessionKey, a.flags}
	return verdict{outcome: accepted, user: user}
}

// lookup returns the user a type 3 message names, as in Config.Users or, if
// there is none, as in the message.
func (n *ntlm) lookup(user, domain string) (key, password string, known bool) {
	n.accounts.mu.Lock()
	defer n.accounts.mu.Unlock()
	if strings.Contains(user, `\`) {
		return user, "", false // which the client had to split
	}
	name, realm := splitRealm(user)
	for key, password := range n.accounts.passwords {
		if d, u, ok := strings.Cut(key, `\`); ok {
			if u == user && strings.EqualFold(d, domain) {
				return key, password, true
			}
			continue
		}
		u, r := splitRealm(key)
		if r != "" && (u == user && strings.EqualFold(r, domain) ||
			domain == "" && u == name && strings.EqualFold(r, realm)) {
			return key, password, true
		}
	}
	if realm == "" {
		password, known = n.accounts.passwords[user]
	}
	return user, password, known
}

// splitRealm splits "user@REALM". The realm is empty if there is none.
func splitRealm(name string) (user, realm string) {
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// mic returns the message integrity code of a type 3 message (MS-NLMP,
// section 3.1.5.1.2).
func (h *handshake) mic(sessionKey, authenticate []byte) []byte {
	return hmacMD5(sessionKey, h.negotiate, h.challenge,
		authenticate[:micOffset], make([]byte, micSize), authenticate[micOffset+micSize:])
}

// responseKey is NTOWFv2 (MS-NLMP, section 3.3.2).
func responseKey(user, domain, password string) []byte {
	h := md4.New()
	h.Write(encodeUTF16(password))
	return hmacMD5(h.Sum(nil), encodeUTF16(strings.ToUpper(user)+domain))
}

// ntProof is NTProofStr (MS-NLMP, section 3.3.2).
func ntProof(responseKey []byte, nonce [8]byte, blob []byte) []byte {
	return hmacMD5(responseKey, nonce[:], blob)
}

// channelBinding is the value of MsvAvChannelBindings: the MD5 of a
// gss_channel_bindings_struct which has no addresses (RFC 4121, section
// 4.1.1.2), for the hash of a certificate (RFC 5929, section 4).
func channelBinding(certificate [sha256.Size]byte) []byte {
	data := append([]byte("tls-server-end-point:"), certificate[:]...)
	b := make([]byte, 16) // types and lengths of two addresses
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	sum := md5.Sum(append(b, data...))
	return sum[:]
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// rc4Once is RC4K (MS-NLMP, section 6): the key is used for one message.
func rc4Once(key, message []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic("proxytest: " + err.Error())
	}
	out := make([]byte, len(message))
	c.XORKeyStream(out, message)
	return out
}

// payload returns the part of a message which a descriptor (length, maximum
// length, offset) speaks of. It must lie after the header.
func payload(m []byte, descriptor, header int) ([]byte, error) {
	length := uint64(binary.LittleEndian.Uint16(m[descriptor:]))
	offset := uint64(binary.LittleEndian.Uint32(m[descriptor+4:]))
	switch {
	case length == 0:
		return nil, nil // the offset does not matter
	case offset < uint64(header) || offset+length > uint64(len(m)):
		return nil, fmt.Errorf("%d bytes at %d are not in the payload, from %d to %d", length, offset, header, len(m))
	}
	return m[offset : offset+length], nil
}

func appendDescriptor(m []byte, length, offset int) []byte {
	m = binary.LittleEndian.AppendUint16(m, uint16(length))
	m = binary.LittleEndian.AppendUint16(m, uint16(length))
	return binary.LittleEndian.AppendUint32(m, uint32(offset))
}

// readPairs reads a list of AV pairs, each of which occurs once. Zeros may
// follow its end, as they do in a response.
func readPairs(b []byte) (map[uint16][]byte, error) {
	pairs := make(map[uint16][]byte)
	for {
		if len(b) < 4 {
			return nil, errors.New("the AV pairs have no end")
		}
		id, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if id == avEnd {
			if length != 0 || len(bytes.Trim(b, "\x00")) != 0 {
				return nil, errors.New("something follows the end of the AV pairs")
			}
			return pairs, nil
		}
		if length > len(b) {
			return nil, fmt.Errorf("the AV pair %d is cut", id)
		}
		if _, ok := pairs[id]; ok {
			return nil, fmt.Errorf("the AV pair %d occurs twice", id)
		}
		pairs[id], b = b[:length], b[length:]
	}
}

func appendPairs(b []byte, pairs []avPair) []byte {
	for _, pair := range append(pairs[:len(pairs):len(pairs)], avPair{avEnd, nil}) {
		b = binary.LittleEndian.AppendUint16(b, pair.id)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(pair.value)))
		b = append(b, pair.value...)
	}
	return b
}

// fileTime is a time in tenths of microseconds since 1601.
func fileTime(t time.Time) []byte {
	const unixEpoch = 116444736000000000
	return binary.LittleEndian.AppendUint64(nil, uint64(t.UnixNano()/100+unixEpoch))
}

func encodeUTF16(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// decodeUTF16 reports false for what encodeUTF16 does not make.
func decodeUTF16(b []byte) (string, bool) {
	if len(b)%2 != 0 {
		return "", false
	}
	var units []uint16
	for i := 0; i < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	s := string(utf16.Decode(units))
	return s, bytes.Equal(encodeUTF16(s), b)
}
