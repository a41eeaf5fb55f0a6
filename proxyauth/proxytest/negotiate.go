package proxytest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Negotiate offers the Negotiate scheme (RFC 4559): Kerberos (RFC 4120 and
// 4121) and, if asked to, NTLM, inside SPNEGO (RFC 4178) or bare.
//
// There is no KDC. The proxy is the realm: it makes the tickets for itself,
// and [Proxy.WriteTicketCache] writes them to a file for a client to use. The
// names of its service are HTTP/127.0.0.1, HTTP/localhost and
// HTTP/proxy.test; it has no part in canonicalizing any.
//
// A request with a token of Kerberos that is right passes, and so do all later
// ones on its connection that have no Proxy-Authorization, as with squid; see
// PerRequest. That ends with the connection or with the next token on it. A
// token that is wrong is answered 407 with a bare "Negotiate" beside the other
// challenges, and so is one of a mechanism that is not taken here. If the
// client names such a mechanism first, but one that is taken too, that one is
// chosen. The steps of a handshake are answered as those of [NTLM].
//
// The user is that of Config.Users with the name of the client's principal,
// "user@REALM" before "user", which stands for one of this realm only. The
// passwords do not matter to Kerberos.
//
// Tokens that break a rule are answered 400. Wrong are: a ticket for another
// service, or with another key; one that has expired, for which there is no
// grace, or is not valid yet; an authenticator for another client, or made
// more than five minutes ago or from now; a channel binding that is not right
// although not required. An authenticator that was taken before is refused
// too.
type Negotiate struct {
	// KerberosRealm is the realm. If it is empty it is "TEST.EXAMPLE".
	KerberosRealm string

	// EncType is the encryption type of all keys: 17 or 18 (AES-128 or
	// AES-256 with SHA-1, RFC 3962), 19 or 20 (AES-128 with SHA-256 or AES-256
	// with SHA-384, RFC 8009). If it is 0 it is 18.
	EncType int32

	// PerRequest asks for a token, or an NTLM handshake, with each request.
	PerRequest bool

	// FinalToken sends a token with the answer that lets a request pass, in
	// Proxy-Authenticate, as Apache does and squid does not: the AP-REP, if
	// the client asked for mutual authentication, and the mechListMIC, if it
	// sent one. If it did neither there is no token.
	FinalToken bool

	// BadFinalToken makes the FinalToken, which it implies, a wrong one: the
	// time in the AP-REP is not that of the authenticator, and the mechListMIC
	// is altered.
	BadFinalToken bool

	// RequireMutual refuses Kerberos without mutual authentication, which has
	// to be asked for twice: in the options of the AP-REQ and in the checksum
	// of the authenticator (RFC 4121, section 4.1.1).
	RequireMutual bool

	// RequireChannelBinding refuses Kerberos that is not bound to the
	// certificate of this proxy (tls-server-end-point of RFC 5929, in the
	// checksum of the authenticator). It can be had with [NewTLS] only. NTLM
	// has a switch of its own.
	RequireChannelBinding bool

	// RequireListMIC asks for a mechListMIC in each negotiation that takes more
	// than one token, and refuses those without. One that comes unasked is
	// verified all the same.
	RequireListMIC bool

	// NTLM, if it is not nil, is taken as a mechanism of SPNEGO. Its
	// RechallengeAfter is not heeded.
	NTLM *NTLM

	// RawNTLM takes messages of NTLM without SPNEGO too. It needs NTLM.
	RawNTLM bool

	// NoKerberos takes no Kerberos, as a proxy without a key.
	NoKerberos bool
}

const clockSkew = 5 * time.Minute

// krb5Version is the version of the protocol and of each of its messages.
const krb5Version = iana.PVNO

// negotiate is Negotiate at work.
type negotiate struct {
	Negotiate
	accounts *accounts
	ntlm     *ntlm    // nil unless taken
	binding  [16]byte // what the checksum of an authenticator must have; zero unless reached by TLS

	keys map[string]types.EncryptionKey // of the service, by its names

	mu     sync.Mutex // guards replay
	replay map[authenticatorID]struct{}
}

// authenticatorID is what no two authenticators have in common (RFC 4120,
// section 3.2.3).
type authenticatorID struct {
	client string
	time   time.Time
}

// negotiateConn is what is known about one connection: a negotiation under
// way, or who has made one.
type negotiateConn struct {
	negotiation *negotiation // nil unless under way
	user        string
}

func (a Negotiate) start(p *Proxy, accounts *accounts) scheme {
	n := &negotiate{
		Negotiate: a, accounts: accounts,
		keys: make(map[string]types.EncryptionKey), replay: make(map[authenticatorID]struct{}),
	}
	if n.KerberosRealm == "" {
		n.KerberosRealm = "TEST.EXAMPLE"
	}
	if n.EncType == 0 {
		n.EncType = etypeID.AES256_CTS_HMAC_SHA1_96
	}
	if keySizes[n.EncType] == 0 {
		panic(fmt.Sprintf("proxytest: no encryption type %d", n.EncType))
	}
	switch {
	case n.NTLM != nil:
		n.ntlm = n.NTLM.start(p, accounts).(*ntlm)
	case n.RawNTLM:
		panic("proxytest: RawNTLM needs NTLM")
	}
	switch {
	case p.certificate != nil:
		n.binding = [16]byte(channelBinding(sha256.Sum256(p.certificate.Certificate[0])))
	case n.RequireChannelBinding:
		panic("proxytest: a channel binding needs NewTLS")
	}
	for _, host := range []string{"127.0.0.1", "localhost", "proxy.test"} {
		n.keys["HTTP/"+host] = n.newKey()
	}
	return n
}

func (n *negotiate) name() string { return "Negotiate" }

func (n *negotiate) challenges(*exchange) []string { return []string{"Negotiate"} }

// resume ends a negotiation that is under way: its next token had to come now.
func (n *negotiate) resume(c *conn) (user string, ok bool) {
	s, ok := c.state[n].(*negotiateConn)
	if !ok {
		return "", false
	}
	if s.negotiation != nil {
		delete(c.state, n)
		return "", false
	}
	return s.user, true
}

func (n *negotiate) verify(x *exchange, credentials string) verdict {
	var before *negotiation
	if s, ok := x.c.state[n].(*negotiateConn); ok {
		before = s.negotiation
	}
	delete(x.c.state, n)
	token, err := base64.StdEncoding.Strict().DecodeString(credentials)
	if err != nil {
		return reject("Negotiate: the token is not base64")
	}
	g, v, final := n.take(before, token)
	switch v.outcome {
	case underway:
		v.challenges = []string{"Negotiate " + base64.StdEncoding.EncodeToString(final)}
		x.c.state[n] = &negotiateConn{negotiation: g}
	case accepted:
		if !n.PerRequest {
			x.c.state[n] = &negotiateConn{user: v.user}
		}
		if final != nil && (n.FinalToken || n.BadFinalToken) {
			value := "Negotiate " + base64.StdEncoding.EncodeToString(final)
			v.info = &info{field: "Proxy-Authenticate", value: func(string) string { return value }}
		}
	}
	return v
}

// take judges a token that follows those of the negotiation, which is nil if
// it is the first. It returns the negotiation if that goes on, and the token
// for the answer, which may be nil.
func (n *negotiate) take(g *negotiation, token []byte) (*negotiation, verdict, []byte) {
	switch {
	case bytes.HasPrefix(token, []byte(ntlmSignature)):
		if !n.RawNTLM {
			return nil, verdict{reason: "Negotiate: NTLM is not taken without SPNEGO"}, nil
		}
		if g == nil || !g.raw {
			g = &negotiation{raw: true, mech: oidNTLM, first: true}
		}
		return n.step(g, token, nil)
	case len(token) > 0 && token[0] == tagNegTokenResp:
		resp, err := readNegTokenResp(token)
		switch {
		case err != nil:
			return nil, reject("SPNEGO: NegTokenResp: " + err.Error()), nil
		case g == nil || g.raw:
			return nil, verdict{reason: "SPNEGO: no NegTokenInit precedes on this connection"}, nil
		case resp.State == negReject:
			return nil, verdict{reason: "SPNEGO: the client rejects"}, nil
		case resp.ResponseToken == nil:
			return nil, reject("SPNEGO: NegTokenResp: no responseToken"), nil
		}
		return n.step(g, resp.ResponseToken, resp.MechListMIC)
	}
	mech, inner, err := readInitialToken(token)
	switch {
	case err != nil:
		return nil, reject("Negotiate: " + err.Error()), nil
	case mech.Equal(oidKerberos):
		if n.NoKerberos {
			return nil, verdict{reason: "Negotiate: Kerberos is not taken"}, nil
		}
		return n.step(&negotiation{raw: true, mech: oidKerberos}, token, nil)
	case !mech.Equal(oidSPNEGO):
		return nil, verdict{reason: "Negotiate: the mechanism " + mech.String() + " is not taken"}, nil
	}
	init, err := readNegTokenInit(inner)
	if err != nil {
		return nil, reject("SPNEGO: NegTokenInit: " + err.Error()), nil
	}
	i := slices.IndexFunc(init.MechTypes, n.takes)
	if i < 0 {
		return nil, verdict{reason: "SPNEGO: none of the mechanisms is taken"}, nil
	}
	g = &negotiation{mech: init.MechTypes[i], list: mustMarshal(init.MechTypes), first: true} // DER is unambiguous
	if i == 0 && init.MechToken != nil {
		return n.step(g, init.MechToken, init.MechListMIC)
	}
	return g, verdict{outcome: underway, reason: "SPNEGO: a token of " + g.mech.String() + " is required"}, g.incomplete(n, nil)
}

// takes reports whether the mechanism is taken inside SPNEGO.
func (n *negotiate) takes(mech asn1.ObjectIdentifier) bool {
	if mech.Equal(oidNTLM) {
		return n.ntlm != nil
	}
	return isKerberos(mech) && !n.NoKerberos
}

// step judges a token of the mechanism; it returns what take does.
func (n *negotiate) step(g *negotiation, token, mic []byte) (*negotiation, verdict, []byte) {
	var v verdict
	var reply []byte // for the last token
	var s signer
	if isKerberos(g.mech) {
		var k *kerberos
		if k, v = n.judge(token); v.outcome == accepted && k.mutual {
			reply = k.reply(n.BadFinalToken)
		}
		s = k
	} else {
		h := g.ntlm
		next, w := n.ntlm.step(h, token)
		if next != nil {
			w.counted = h == nil && !g.first // with the choice of the mechanism
			g.ntlm = next
			return g, w, g.incomplete(n, next.challenge)
		}
		s, v = h, w
	}
	if v.outcome != accepted || g.raw {
		return nil, v, reply
	}
	refuse := func(reason string) (*negotiation, verdict, []byte) {
		return nil, verdict{outcome: wrong, user: v.user, reason: "SPNEGO: " + reason}, nil
	}
	switch {
	case mic != nil:
		if !s.verifyMIC(g.list, mic) {
			return refuse("wrong mechListMIC")
		}
		if mic = s.listMIC(g.list); n.BadFinalToken {
			mic[len(mic)-5] ^= 1
		}
	case n.RequireListMIC && !g.first:
		return refuse("no mechListMIC")
	}
	if reply == nil && mic == nil {
		return nil, v, nil
	}
	return nil, v, g.completed(reply, mic)
}

// signer is a mechanism that is done, and has keys.
type signer interface {
	// verifyMIC verifies the client's mechListMIC; listMIC makes that of the
	// proxy (RFC 4178, section 5).
	verifyMIC(list, mic []byte) bool
	listMIC(list []byte) []byte
}

// kerberos is an AP-REQ that was taken.
type kerberos struct {
	key           types.EncryptionKey // of the ticket
	authenticator types.Authenticator
	mutual        bool
}

// judge verifies a token with an AP-REQ (RFC 4120, section 3.2.3, and RFC
// 4121, section 4.1).
func (n *negotiate) judge(token []byte) (*kerberos, verdict) {
	user := "" // until the ticket tells
	reject := func(reason string) (*kerberos, verdict) { return nil, reject("Kerberos: " + reason) }
	refuse := func(reason string) (*kerberos, verdict) {
		return nil, verdict{outcome: wrong, user: user, reason: "Kerberos: " + reason}
	}

	req, err := readAPReq(token)
	if err != nil {
		return reject(err.Error())
	}
	ticket := &req.Ticket
	key, ok := n.serviceKey(principal{ticket.Realm, ticket.SName})
	if !ok {
		return refuse(fmt.Sprintf("the ticket is for %s@%s", ticket.SName.PrincipalNameString(), ticket.Realm))
	}
	plain, err := decrypt(ticket.EncPart, key, keyusage.KDC_REP_TICKET)
	if err != nil {
		return refuse("the ticket cannot be decrypted: " + err.Error())
	}
	part := &ticket.DecryptedEncPart
	if err := part.Unmarshal(plain); err != nil {
		return reject("the ticket: " + err.Error())
	}
	user, known := n.lookup(part.CName.PrincipalNameString(), part.CRealm)
	now := time.Now()
	switch {
	case now.After(part.EndTime):
		return refuse("the ticket has expired")
	case part.StartTime.After(now.Add(clockSkew)):
		return refuse("the ticket is not valid yet")
	}

	if plain, err = decrypt(req.EncryptedAuthenticator, part.Key, keyusage.AP_REQ_AUTHENTICATOR); err != nil {
		return refuse("the authenticator cannot be decrypted: " + err.Error())
	}
	k := &kerberos{key: part.Key}
	a := &k.authenticator
	if err := a.Unmarshal(plain); err != nil {
		return reject("the authenticator: " + err.Error())
	}
	if a.AVNO != krb5Version {
		return reject(fmt.Sprintf("the authenticator has the version %d", a.AVNO))
	}
	binding, gssFlags, err := readChecksum(a.Cksum)
	if err != nil {
		return reject("the checksum of the authenticator: " + err.Error())
	}
	k.mutual = gssFlags&gssapi.ContextFlagMutual != 0
	made := a.CTime.Add(time.Duration(a.Cusec) * time.Microsecond)
	switch {
	case !a.CName.Equal(part.CName) || a.CRealm != part.CRealm:
		return refuse("the authenticator is not of the client of the ticket")
	case now.Sub(made).Abs() > clockSkew:
		return refuse("the clocks differ too much")
	case n.RequireMutual && !(k.mutual && types.IsFlagSet(&req.APOptions, flags.APOptionMutualRequired)):
		return refuse("mutual authentication is not asked for")
	case n.RequireChannelBinding && binding == [16]byte{}:
		return refuse("no channel binding")
	case binding != [16]byte{} && binding != n.binding:
		return refuse("wrong channel binding")
	case !known:
		return refuse("there is no user " + user)
	case n.replayed(authenticatorID{part.CName.PrincipalNameString() + "@" + part.CRealm, made}):
		return nil, verdict{outcome: again, user: user, reason: "Kerberos: the authenticator was used before"}
	}
	return k, verdict{outcome: accepted, user: user}
}

// readAPReq reads a token with an AP-REQ.
func readAPReq(token []byte) (*messages.APReq, error) {
	mech, inner, err := readInitialToken(token)
	if err != nil {
		return nil, err
	}
	if !mech.Equal(oidKerberos) {
		return nil, errors.New("the token is not of Kerberos")
	}
	inner, ok := bytes.CutPrefix(inner, []byte{1, 0})
	if !ok {
		return nil, errors.New("the token has no AP-REQ")
	}
	if err := isOneValue(inner); err != nil {
		return nil, fmt.Errorf("AP-REQ: %v", err)
	}
	req := new(messages.APReq)
	if err := req.Unmarshal(inner); err != nil {
		return nil, err
	}
	switch {
	case req.PVNO != krb5Version || req.Ticket.TktVNO != krb5Version:
		return nil, errors.New("AP-REQ: the version is not 5")
	case len(req.APOptions.Bytes) < 4:
		return nil, errors.New("AP-REQ: the options have less than 32 bits")
	case types.IsFlagSet(&req.APOptions, flags.APOptionUseSessionKey):
		return nil, errors.New("AP-REQ: there is no session key to use for the ticket")
	}
	return req, nil
}

// readChecksum reads what an authenticator has in place of a checksum (RFC
// 4121, section 4.1.1).
func readChecksum(c types.Checksum) (binding [md5.Size]byte, gssFlags uint32, err error) {
	b, le := c.Checksum, binary.LittleEndian
	switch {
	case c.CksumType != chksumtype.GSSAPI:
		return binding, 0, fmt.Errorf("the type is not %#x", chksumtype.GSSAPI)
	case len(b) < 24:
		return binding, 0, fmt.Errorf("%d bytes are too few", len(b))
	case le.Uint32(b) != md5.Size:
		return binding, 0, errors.New("the Lgth is not 16")
	}
	gssFlags = le.Uint32(b[20:])
	if gssFlags&gssapi.ContextFlagDeleg != 0 {
		if len(b) < 28 || le.Uint16(b[24:]) != 1 || len(b) < 28+int(le.Uint16(b[26:])) {
			return binding, 0, errors.New("the credentials that are delegated are not there")
		}
	}
	return [md5.Size]byte(b[4:]), gssFlags, nil
}

// lookup returns the name of the user in Config.Users or, if there is none,
// that of the principal.
func (n *negotiate) lookup(name, realm string) (user string, known bool) {
	if _, ok := n.accounts.password(name + "@" + realm); ok {
		return name + "@" + realm, true
	}
	if realm != n.KerberosRealm {
		return name + "@" + realm, false
	}
	_, known = n.accounts.password(name)
	return name, known
}

// replayed reports whether the authenticator came before.
func (n *negotiate) replayed(id authenticatorID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.replay[id]
	n.replay[id] = struct{}{}
	for id := range n.replay {
		if time.Since(id.time) > clockSkew {
			delete(n.replay, id) // it is refused for its age
		}
	}
	return ok
}

// reply returns the token with the AP-REP (RFC 4120, section 3.2.4), or with
// one for another authenticator.
func (k *kerberos) reply(bad bool) []byte {
	part := messages.EncAPRepPart{
		CTime: k.authenticator.CTime.UTC(), Cusec: k.authenticator.Cusec,
		SequenceNumber: replySequence,
	}
	if bad {
		part.CTime = part.CTime.Add(time.Second)
	}
	plain := asn1tools.AddASNAppTag(mustMarshal(part), asnAppTag.EncAPRepPart)
	encrypted, err := crypto.GetEncryptedData(plain, k.key, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		panic("proxytest: " + err.Error())
	}
	rep := messages.APRep{PVNO: krb5Version, MsgType: msgtype.KRB_AP_REP, EncPart: encrypted}
	return initialToken(oidKerberos, append([]byte{2, 0}, asn1tools.AddASNAppTag(mustMarshal(rep), asnAppTag.APREP)...))
}

// replySequence is the first sequence number of the proxy. That of a client
// who did not ask for mutual authentication is its own.
const replySequence = 0x5eed

func (k *kerberos) micKey() types.EncryptionKey {
	if len(k.authenticator.SubKey.KeyValue) != 0 {
		return k.authenticator.SubKey
	}
	return k.key
}

func (k *kerberos) verifyMIC(list, mic []byte) bool {
	var t gssapi.MICToken
	if t.Unmarshal(mic, false) != nil || t.Flags != 0 || t.SndSeqNum != uint64(k.authenticator.SeqNumber) {
		return false
	}
	t.Payload = list
	ok, err := t.Verify(k.micKey(), keyusage.GSSAPI_INITIATOR_SIGN)
	return err == nil && ok
}

func (k *kerberos) listMIC(list []byte) []byte {
	t := gssapi.MICToken{Flags: gssapi.MICTokenFlagSentByAcceptor, SndSeqNum: replySequence, Payload: list}
	if !k.mutual {
		t.SndSeqNum = uint64(k.authenticator.SeqNumber)
	}
	if err := t.SetChecksum(k.micKey(), keyusage.GSSAPI_ACCEPTOR_SIGN); err != nil {
		panic("proxytest: " + err.Error()) // the client's MIC could not have been verified
	}
	mic, err := t.Marshal()
	if err != nil {
		panic("proxytest: " + err.Error())
	}
	return mic
}

// decrypt decrypts and verifies what was encrypted with the key.
func decrypt(e types.EncryptedData, key types.EncryptionKey, usage uint32) ([]byte, error) {
	if e.EType != key.KeyType {
		return nil, fmt.Errorf("its encryption type is %d, not %d", e.EType, key.KeyType)
	}
	etype, err := crypto.GetEtype(e.EType)
	if err != nil {
		return nil, err
	}
	if len(e.Cipher) < etype.GetConfounderByteSize()+etype.GetHMACBitLength()/8 {
		return nil, errors.New("it is too short")
	}
	return crypto.DecryptEncPart(e, key, usage)
}

// isKerberos reports whether the mechanism of SPNEGO is Kerberos, by its name
// or by the one that Windows gives it.
func isKerberos(mech asn1.ObjectIdentifier) bool {
	return mech.Equal(oidKerberos) || mech.Equal(oidKerberosMS)
}
