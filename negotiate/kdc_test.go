package negotiate_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"
)

const (
	etype      = etypeID.AES256_CTS_HMAC_SHA1_96
	keyVersion = 1

	corp = "CORP.EXAMPLE"
	spn  = "HTTP/proxy.corp.example"

	// askedLifetime is for how long gokrb5 asks for tickets. A request's end less
	// this is the client's clock, which the KDC goes by: so its tickets fit the
	// clock of a synctest bubble too.
	askedLifetime = 24 * time.Hour
)

// A kdc is a Kerberos KDC on a port of this machine, of one or more realms.
type kdc struct {
	addr     string
	keys     *keytab.Keytab // of all principals
	lifetime time.Duration  // of its tickets

	// open says that it gives TGTs without pre-authentication.
	open bool
	// ahead is by how much its clock is.
	ahead time.Duration
	// change, if set, changes each answer with a service ticket.
	change func(rep *messages.TGSRep)

	mu      sync.Mutex
	refusal int32             // if it is not 0, the error code of each answer
	asked   []string          // "AS alice", "TGS HTTP/…": what was asked, each time
	hold    map[string]func() // before the next answer in an exchange, "AS" or "TGS"
}

// newKDC runs a KDC until the end of the test. Its principals are alice and bob
// of CORP.EXAMPLE, with the passwords "alice's" and "bob's", the service spn, and
// the services that are named, such as "krbtgt/EU.EXAMPLE@CORP.EXAMPLE".
func newKDC(t *testing.T, services ...string) *kdc {
	k := &kdc{keys: keytab.New(), lifetime: time.Hour, hold: map[string]func(){}}
	k.keys.Entries = slices.Clone(usualKeys().Entries)
	for _, service := range services {
		k.add(t, service, service)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k.addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { k.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return k
}

// usualKeys are the keys of the principals that each KDC has. They take a while
// to make, above all under the race detector.
var usualKeys = sync.OnceValue(func() *keytab.Keytab {
	keys := keytab.New()
	for principal, password := range map[string]string{
		"alice": "alice's", "bob": "bob's", spn: spn, "krbtgt/" + corp: "krbtgt",
	} {
		must(0, keys.AddEntry(principal, corp, password, time.Unix(1, 0), keyVersion, etype))
	}
	return keys
})

func (k *kdc) add(t *testing.T, principal, password string) {
	name, realm, _ := strings.Cut(principal, "@")
	require.NoError(t, k.keys.AddEntry(name, realm, password, time.Unix(1, 0), keyVersion, etype))
}

// since returns what was asked since the last call.
func (k *kdc) since() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	asked := k.asked
	k.asked = nil
	return asked
}

// refuse has all answers be an error from now on, none if the code is 0.
func (k *kdc) refuse(code int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refusal = code
}

// holdNext holds the next answer in an exchange back, "AS" or "TGS". held is closed
// when it is asked for.
func (k *kdc) holdNext(t *testing.T, kind string) (held <-chan struct{}, release func()) {
	asked, free := make(chan struct{}), make(chan struct{})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hold[kind] = func() {
		close(asked)
		<-free
	}
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	return asked, release
}

// serve answers one question (RFC 4120 §7.2.2).
func (k *kdc) serve(c net.Conn) {
	defer c.Close()
	var size uint32
	if binary.Read(c, binary.BigEndian, &size) != nil {
		return
	}
	question := make([]byte, size)
	if _, err := io.ReadFull(c, question); err != nil {
		return
	}
	var answer []byte
	var asReq messages.ASReq
	var tgsReq messages.TGSReq
	switch {
	case asReq.Unmarshal(question) == nil:
		answer = k.giveTGT(asReq)
	case tgsReq.Unmarshal(question) == nil:
		answer = k.giveService(tgsReq)
	}
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
}

// note keeps what is asked, holds the answer if it is to be held, and returns the
// error that all are given, if any.
func (k *kdc) note(kind string, name types.PrincipalName) int32 {
	k.mu.Lock()
	k.asked = append(k.asked, kind+" "+name.PrincipalNameString())
	refusal, hold := k.refusal, k.hold[kind]
	delete(k.hold, kind)
	k.mu.Unlock()
	if hold != nil {
		hold()
	}
	return refusal
}

func (k *kdc) key(name types.PrincipalName, realm string) (types.EncryptionKey, bool) {
	key, _, err := k.keys.GetEncryptionKey(name, realm, keyVersion, etype)
	return key, err == nil
}

// giveTGT is the AS exchange (RFC 4120 §3.1).
func (k *kdc) giveTGT(req messages.ASReq) []byte {
	body := req.ReqBody
	i := slices.IndexFunc(req.PAData, func(p types.PAData) bool { return p.PADataType == patype.PA_ENC_TIMESTAMP })
	if i < 0 && !k.open {
		hint := must(asn1.Marshal([]types.ETypeInfo2Entry{{EType: etype, Salt: body.CName.GetSalt(body.Realm)}}))
		e := messages.NewKRBError(body.SName, body.Realm, errorcode.KDC_ERR_PREAUTH_REQUIRED, "")
		e.EData = must(asn1.Marshal([]types.PAData{{PADataType: patype.PA_ETYPE_INFO2, PADataValue: hint}}))
		return must(e.Marshal())
	}
	refuse := func(code int32) []byte { return refused(body, code) }
	if code := k.note("AS", body.CName); code != 0 {
		return refuse(code)
	}
	key, known := k.key(body.CName, body.Realm)
	if !known {
		return refuse(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN)
	}
	if i >= 0 {
		var proof types.EncryptedData
		if err := proof.Unmarshal(req.PAData[i].PADataValue); err != nil {
			return refuse(errorcode.KRB_ERR_GENERIC)
		}
		if _, err := crypto.DecryptEncPart(proof, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP); err != nil {
			return refuse(errorcode.KDC_ERR_PREAUTH_FAILED)
		}
	}
	fields := k.ticket(body, body.CName, body.Realm, body.SName, key, keyusage.AS_REP_ENCPART)
	fields.MsgType = msgtype.KRB_AS_REP
	rep := messages.ASRep{KDCRepFields: fields}
	return must(rep.Marshal())
}

// giveService is the TGS exchange (RFC 4120 §3.3).
func (k *kdc) giveService(req messages.TGSReq) []byte {
	body := req.ReqBody
	code := k.note("TGS", body.SName)
	refuse := func(code int32) []byte { return refused(body, code) }
	if code != 0 {
		return refuse(code)
	}
	var ap messages.APReq
	if err := ap.Unmarshal(req.PAData[0].PADataValue); err != nil {
		return refuse(errorcode.KRB_ERR_GENERIC)
	}
	if ap.Ticket.DecryptEncPart(k.keys, nil) != nil || ap.DecryptAuthenticator(ap.Ticket.DecryptedEncPart.Key) != nil {
		return refuse(errorcode.KRB_AP_ERR_BAD_INTEGRITY)
	}
	tgt := ap.Ticket.DecryptedEncPart
	// The ticket must be one for this realm, be it of another realm.
	if realm := ap.Ticket.SName.NameString[1]; realm != body.Realm {
		return refuse(errorcode.KRB_AP_ERR_NOT_US)
	}
	if _, known := k.key(body.SName, body.Realm); !known {
		return refuse(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN)
	}
	fields := k.ticket(body, tgt.CName, tgt.CRealm, body.SName, tgt.Key, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	fields.MsgType = msgtype.KRB_TGS_REP
	rep := messages.TGSRep{KDCRepFields: fields}
	if k.change != nil {
		k.change(&rep)
	}
	return must(rep.Marshal())
}

// ticket returns an answer with a ticket, encrypted with a key for a purpose.
func (k *kdc) ticket(body messages.KDCReqBody, client types.PrincipalName, realm string, service types.PrincipalName, key types.EncryptionKey, usage uint32) messages.KDCRepFields {
	begin := body.Till.Add(k.ahead - askedLifetime)
	end := begin.Add(k.lifetime)
	ticket, session, err := messages.NewTicket(client, realm, service, body.Realm, types.NewKrbFlags(), k.keys, etype, keyVersion, begin, begin, end, end)
	part := messages.EncKDCRepPart{
		Key: session, Nonce: body.Nonce, Flags: types.NewKrbFlags(),
		AuthTime: begin, StartTime: begin, EndTime: end, RenewTill: end, SRealm: body.Realm, SName: service,
		LastReqs: []messages.LastReq{{LRValue: begin}},
	}
	encrypted := must(crypto.GetEncryptedData(must(part.Marshal()), key, usage, keyVersion))
	return messages.KDCRepFields{PVNO: 5, CRealm: realm, CName: client, Ticket: must(ticket, err), EncPart: encrypted}
}

func refused(body messages.KDCReqBody, code int32) []byte {
	e := messages.NewKRBError(body.SName, body.Realm, code, "in\r\ntwo\x1b lines\x00")
	return must(e.Marshal())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// conf writes a krb5.conf that names the KDC for its realms, and has these lines too.
func (k *kdc) conf(t *testing.T, lines ...string) (path string) {
	var b strings.Builder
	b.WriteString("[libdefaults]\n udp_preference_limit = 1\n dns_lookup_kdc = false\n[realms]\n")
	for _, realm := range []string{corp, "EU.EXAMPLE"} {
		fmt.Fprintf(&b, " %s = {\n  kdc = %s\n }\n", realm, k.addr)
	}
	return write(t, b.String()+strings.Join(lines, "\n"))
}

// keytab writes a keytab with the keys of principals.
func (k *kdc) keytab(t *testing.T, principals ...string) (path string) {
	some := keytab.New()
	for _, principal := range principals {
		for _, e := range k.keys.Entries {
			if e.Principal.String() == principal {
				some.Entries = append(some.Entries, e)
			}
		}
	}
	require.Len(t, some.Entries, len(principals))
	path = filepath.Join(t.TempDir(), "keytab")
	require.NoError(t, os.WriteFile(path, must(some.Marshal()), 0o600))
	return path
}

// A credential is an entry of a ticket cache.
type credential struct {
	service    string // such as spn
	begin, end time.Time
	ticket     []byte // the KDC makes one if it is nil
}

// cache writes a ticket cache of MIT Kerberos, version 4, for a user of
// CORP.EXAMPLE.
func (k *kdc) cache(t *testing.T, path, user string, credentials ...credential) {
	client := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, user)
	b := bytes.NewBuffer([]byte{5, 4, 0, 0})
	number := func(n int, bits int) {
		if bits == 16 {
			binary.Write(b, binary.BigEndian, uint16(n))
		} else {
			binary.Write(b, binary.BigEndian, uint32(n))
		}
	}
	data := func(d []byte) {
		number(len(d), 32)
		b.Write(d)
	}
	principal := func(p types.PrincipalName) {
		number(int(p.NameType), 32)
		number(len(p.NameString), 32)
		data([]byte(corp))
		for _, s := range p.NameString {
			data([]byte(s))
		}
	}
	principal(client)
	for _, c := range credentials {
		service := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, c.service)
		ticket, key, err := messages.NewTicket(client, corp, service, corp, types.NewKrbFlags(), k.keys, etype, keyVersion, c.begin, c.begin, c.end, c.end)
		require.NoError(t, err)
		if c.ticket == nil {
			c.ticket = must(ticket.Marshal())
		}
		principal(client)
		principal(service)
		number(int(key.KeyType), 16)
		data(key.KeyValue)
		for _, at := range []time.Time{c.begin, c.begin, c.end, c.end} {
			number(int(at.Unix()), 32)
		}
		b.Write(make([]byte, 13)) // no session key of another, flags, addresses, authorization data
		data(c.ticket)
		data(nil) // no second ticket
	}
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
}
