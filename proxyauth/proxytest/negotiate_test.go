package proxytest

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gofork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// negotiateClient authenticates on one connection.
type negotiateClient struct {
	*raw
	line    string
	krb5    *client.Client
	ticket  messages.Ticket
	host    string // of the service
	mutual  bool
	binding []byte // 16 bytes, or nil

	subkey bool
	spoil  func(*types.Authenticator) // before it is encrypted

	authenticator types.Authenticator // the last
	key           types.EncryptionKey // of its ticket
}

// newNegotiate starts a proxy, and an origin, and dials it for a client who
// is alice.
func newNegotiate(t *testing.T, n Negotiate) (*Proxy, *negotiateClient) {
	t.Helper()
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{n}, Users: users})
	return p, newNegotiateClient(t, p, "GET "+origin.URL+"/ HTTP/1.1")
}

func newNegotiateClient(t *testing.T, p *Proxy, line string) *negotiateClient {
	t.Helper()
	c := &negotiateClient{raw: dialRaw(t, p), line: line, host: "127.0.0.1"}
	c.login(p, "alice", time.Hour)
	return c
}

// login gives the client tickets of the user.
func (c *negotiateClient) login(p *Proxy, user string, lifetime time.Duration, hosts ...string) {
	c.t.Helper()
	cache, conf := filepath.Join(c.t.TempDir(), "cache"), filepath.Join(c.t.TempDir(), "krb5.conf")
	if err := p.WriteTicketCache(cache, user, lifetime, hosts...); err != nil {
		c.t.Fatal(err)
	}
	if err := p.WriteKerberosConfig(conf); err != nil {
		c.t.Fatal(err)
	}
	tickets, err := credentials.LoadCCache(cache)
	if err != nil {
		c.t.Fatal(err)
	}
	loaded, err := config.Load(conf)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.krb5, err = client.NewFromCCache(tickets, loaded); err != nil {
		c.t.Fatal(err)
	}
	entry, ok := tickets.GetEntry(types.NewPrincipalName(0, "HTTP/"+c.host))
	if !ok { // the client of gokrb5 does not give those that have expired
		c.t.Fatal("no ticket for " + c.host)
	}
	c.key = entry.Key
	if err := c.ticket.Unmarshal(entry.Ticket); err != nil {
		c.t.Fatal(err)
	}
}

// kerberos makes a token with an AP-REQ.
func (c *negotiateClient) kerberos() []byte {
	c.t.Helper()
	a, err := types.NewAuthenticator(c.krb5.Credentials.Domain(), c.krb5.Credentials.CName())
	if err != nil {
		c.t.Fatal(err)
	}
	sum := make([]byte, 24)
	sum[0] = 16
	copy(sum[4:], c.binding)
	if c.mutual {
		sum[20] |= gssapi.ContextFlagMutual
	}
	a.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: sum}
	if c.subkey {
		if err := a.GenerateSeqNumberAndSubKey(c.key.KeyType, len(c.key.KeyValue)); err != nil {
			c.t.Fatal(err)
		}
	}
	if c.spoil != nil {
		c.spoil(&a)
	}
	c.authenticator = a
	req, err := messages.NewAPReq(c.ticket, c.key, a)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.mutual {
		types.SetFlag(&req.APOptions, flags.APOptionMutualRequired)
	}
	return apReqToken(c.t, &req)
}

func apReqToken(t testing.TB, req *messages.APReq) []byte {
	t.Helper()
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return initialToken(oidKerberos, append([]byte{1, 0}, b...))
}

func marshalInit(init negTokenInit) []byte {
	return initialToken(oidSPNEGO, mustMarshal(asn1.RawValue{
		Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: mustMarshal(init),
	}))
}

// initToken puts a token of the first mechanism into a NegTokenInit.
func initToken(token []byte, mechs ...asn1.ObjectIdentifier) []byte {
	return marshalInit(negTokenInit{MechTypes: mechs, MechToken: token})
}

func respToken(token, mic []byte) []byte {
	return negTokenResp{State: negAbsent, ResponseToken: token, MechListMIC: mic}.marshal()
}

// ask sends the request with a token, or without if that is nil.
func (c *negotiateClient) ask(token []byte) (*http.Response, string) {
	c.t.Helper()
	if token == nil {
		return c.do(c.line)
	}
	return c.do(c.line, "Proxy-Authorization: Negotiate "+base64.StdEncoding.EncodeToString(token))
}

// status asks, and checks the answer, that a 407 has a bare challenge, and
// that its reason is the one expected, "" for any.
func (c *negotiateClient) status(token []byte, code int, reason string) {
	c.t.Helper()
	resp, body := c.ask(token)
	if resp.StatusCode != code || !strings.Contains(body, reason) {
		c.t.Errorf("got %d %q, want %d %s", resp.StatusCode, body, code, reason)
	}
	want(c.t, "bare challenge", slices.Contains(resp.Header["Proxy-Authenticate"], "Negotiate"), code == 407)
}

// simple returns a token of Kerberos as most clients send it.
func (c *negotiateClient) simple() []byte { return initToken(c.kerberos(), oidKerberos) }

// final takes the token of an answer.
func (c *negotiateClient) final(resp *http.Response, code int) *negTokenResp {
	c.t.Helper()
	want(c.t, "status", resp.StatusCode, code)
	r, err := readNegTokenResp(answerToken(c.t, resp))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func answerToken(t testing.TB, resp *http.Response) []byte {
	t.Helper()
	fields := resp.Header["Proxy-Authenticate"]
	if len(fields) != 1 || !strings.HasPrefix(fields[0], "Negotiate ") {
		t.Fatalf("%s with the challenge %q", resp.Status, fields)
	}
	token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[0], "Negotiate "))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// checkReply reports whether the token has the AP-REP for the last
// authenticator.
func (c *negotiateClient) checkReply(token []byte) bool {
	c.t.Helper()
	var k spnego.KRB5Token
	if err := k.Unmarshal(token); err != nil || !k.IsAPRep() {
		c.t.Fatal("no AP-REP: ", err)
	}
	plain, err := crypto.DecryptEncPart(k.APRep.EncPart, c.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		c.t.Fatal(err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		c.t.Fatal(err)
	}
	return part.CTime.Equal(c.authenticator.CTime.Truncate(time.Second)) && part.Cusec == c.authenticator.Cusec
}

func TestNegotiate(t *testing.T) {
	for _, encType := range []int32{0, 17, 18, 19, 20} {
		p, c := newNegotiate(t, Negotiate{EncType: encType})
		want(t, "encryption type", c.key.KeyType, map[bool]int32{true: 18, false: encType}[encType == 0])
		c.status(nil, 407, "")
		token := c.simple()
		c.status(token, 200, "")
		c.status(nil, 200, "")
		c.status(token, 407, "used before") // which ends what was
		c.status(nil, 407, "")
		legs := p.Transcript()
		for i, user := range []string{"", "alice", "alice", "", ""} {
			want(t, fmt.Sprintf("user of leg %d", i), legs[i].User, user)
		}
		want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 5, Challenges: 3})
		want(t, "attempts", p.Attempts("alice"), 2)
		want(t, "refused", p.Refused("alice"), 0)

		other := newNegotiateClient(t, p, c.line)
		other.status(nil, 407, "")
		other.status(token, 407, "used before")
		other.status(other.simple(), 200, "")
		p.RemoveUser("alice")
		other.status(nil, 200, "")
		other.status(other.simple(), 407, "no user alice")
		want(t, "refused", p.Refused("alice"), 1)
	}
}

// All the forms of a token which clients send.
func TestNegotiateForms(t *testing.T) {
	_, c := newNegotiate(t, Negotiate{PerRequest: true})
	c.status(c.kerberos(), 200, "")
	c.status(nil, 407, "") // because of PerRequest
	c.status(initToken(c.kerberos(), oidKerberosMS, oidKerberos, oidNTLM), 200, "")
	c.status(initToken(c.kerberos(), oidKerberos, oidNTLM), 200, "")
	for _, host := range []string{"localhost", "proxy.test"} {
		p, c := newNegotiate(t, Negotiate{KerberosRealm: "OTHER.EXAMPLE"})
		c.host = host
		c.login(p, "alice@OTHER.EXAMPLE", time.Hour, host)
		c.status(c.simple(), 200, "")
	}

	// The client of gokrb5.
	g := spnego.SPNEGOClient(c.krb5, "HTTP/127.0.0.1")
	for range 2 {
		token, err := g.InitSecContext()
		if err != nil {
			t.Fatal(err)
		}
		b, err := token.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		c.status(b, 200, "")
	}
}

func TestNegotiateUsers(t *testing.T) {
	p, c := newNegotiate(t, Negotiate{})
	p.SetUser("alice@OTHER", "")
	p.SetUser("bob@TEST.EXAMPLE", "")
	p.SetUser("Jörg", "")
	p.SetUser("host/proxy", "")
	for _, test := range []struct {
		principal, user string
		code            int
	}{
		{"alice", "alice", 200},
		{"alice@TEST.EXAMPLE", "alice", 200},
		{"alice@OTHER", "alice@OTHER", 200},
		{"bob", "bob@TEST.EXAMPLE", 200},
		{"bob@OTHER", "bob@OTHER", 407},
		{"Alice", "Alice", 407},
		{"Jörg", "Jörg", 200},
		{"host/proxy", "host/proxy", 200},
	} {
		p.Reset()
		c.login(p, test.principal, time.Hour)
		c.status(c.simple(), test.code, "")
		want(t, "attempts of "+test.user, p.Attempts(test.user), 1)
		want(t, "refused of "+test.user, p.Refused(test.user), map[int]int{200: 0, 407: 1}[test.code])
		if test.code == 200 {
			want(t, "user of "+test.principal, p.Transcript()[0].User, test.user)
		}
	}
}

func TestNegotiateRefused(t *testing.T) {
	p, c := newNegotiate(t, Negotiate{})
	refused := func(reason string, change func()) {
		t.Helper()
		saved := *c
		defer func() { *c = saved }()
		change()
		c.status(c.simple(), 407, reason)
		c.status(nil, 407, "")
	}
	refused("the ticket has expired", func() { c.login(p, "alice", -time.Second) })
	refused("the ticket is for HTTP/other.test", func() { c.host = "other.test"; c.login(p, "alice", time.Hour, c.host) })
	refused("the ticket is for HTTP/127.0.0.1@OTHER", func() { c.ticket.Realm = "OTHER" })
	refused("the ticket cannot be decrypted", func() { // that of another service under this name
		name := c.ticket.SName
		c.host = "other.test"
		c.login(p, "alice", time.Hour, c.host)
		c.ticket.SName = name
	})
	refused("the ticket cannot be decrypted: its encryption type is 17", func() { c.ticket.EncPart.EType = 17 })
	refused("the ticket cannot be decrypted: it is too short", func() { c.ticket.EncPart.Cipher = []byte("short") })
	refused("the authenticator cannot be decrypted", func() { c.key.KeyValue = make([]byte, 32) })
	refused("not of the client", func() { c.spoil = func(a *types.Authenticator) { a.CName = types.NewPrincipalName(1, "bob") } })
	refused("not of the client", func() { c.spoil = func(a *types.Authenticator) { a.CRealm = "OTHER" } })
	refused("clocks", func() { c.spoil = func(a *types.Authenticator) { a.CTime = a.CTime.Add(6 * time.Minute) } })
	refused("clocks", func() { c.spoil = func(a *types.Authenticator) { a.CTime = a.CTime.Add(-6 * time.Minute) } })
	refused("channel binding", func() { c.binding = bytes.Repeat([]byte{1}, 16) })
	refused("no user carol", func() { c.login(p, "carol", time.Hour) })
	want(t, "refused for alice", p.Refused("alice"), 7)
	want(t, "refused for carol", p.Refused("carol"), 1)
	want(t, "refused for nobody", p.Refused(""), 5)

	// What is not taken is not an attempt.
	p.Reset()
	c.status(initToken(nil, oidNTLM), 407, "none of the mechanisms")
	c.status([]byte(ntlmSignature+"\x01\x00\x00\x00"), 407, "without SPNEGO")
	c.status(initialToken(oidNTLM, nil), 407, "is not taken")
	c.status(respToken([]byte("t"), nil), 407, "no NegTokenInit precedes")
	want(t, "attempts", p.Attempts(""), 0)
	c.status(c.simple(), 200, "")

	_, c = newNegotiate(t, Negotiate{NoKerberos: true})
	c.status(c.kerberos(), 407, "Kerberos is not taken")
	c.status(c.simple(), 407, "none of the mechanisms")

	q := newProxy(t, Config{Auth: []Auth{Basic{}}})
	if q.WriteTicketCache("", "alice", 0) == nil || q.WriteKerberosConfig("") == nil {
		t.Error("tickets without Negotiate")
	}
}

func TestNegotiateReplayPurged(t *testing.T) {
	p := newProxy(t, Config{})
	n := Negotiate{}.start(p, p.accounts).(*negotiate)
	old := authenticatorID{"alice", time.Now().Add(-6 * time.Minute)}
	now := authenticatorID{"alice", time.Now()}
	want(t, "replayed", n.replayed(old), false)
	want(t, "replayed", n.replayed(now), false)
	want(t, "replayed", n.replayed(now), true)
	want(t, "kept", len(n.replay), 1)
}

func TestNegotiateFinalToken(t *testing.T) {
	origin := newOrigin(t)
	for _, bad := range []bool{false, true} {
		p, c := newNegotiate(t, Negotiate{FinalToken: !bad, BadFinalToken: bad})
		c.mutual, c.subkey = true, true
		resp, _ := c.ask(c.simple())
		r := c.final(resp, 200)
		want(t, "negState", r.State, asn1.Enumerated(negAcceptCompleted))
		want(t, "supportedMech", r.SupportedMech.String(), oidKerberos.String())
		want(t, "right", c.checkReply(r.ResponseToken), !bad)
		resp, _ = c.ask(nil)
		want(t, "fields", len(resp.Header["Proxy-Authenticate"]), 0)

		resp, _ = c.ask(c.kerberos())
		want(t, "right", c.checkReply(answerToken(t, resp)), !bad)
		resp, _ = c.ask(initToken(c.kerberos(), oidKerberosMS, oidKerberos))
		want(t, "supportedMech", c.final(resp, 200).SupportedMech.String(), oidKerberosMS.String())

		c.mutual = false
		resp, _ = c.ask(c.simple())
		want(t, "fields", fmt.Sprint(resp.StatusCode, resp.Header["Proxy-Authenticate"]), "200 []")

		c.mutual = true
		c.line = "CONNECT " + origin.Listener.Addr().String() + " HTTP/1.1"
		resp, _ = c.ask(c.simple())
		want(t, "right", c.checkReply(c.final(resp, 200).ResponseToken), !bad)
		want(t, "users", p.Attempts("alice"), 5)
	}
	_, c := newNegotiate(t, Negotiate{}) // as squid
	c.mutual = true
	resp, _ := c.ask(c.simple())
	want(t, "fields", fmt.Sprint(resp.StatusCode, resp.Header["Proxy-Authenticate"]), "200 []")
}

func TestNegotiateMutual(t *testing.T) {
	_, c := newNegotiate(t, Negotiate{RequireMutual: true})
	c.status(c.simple(), 407, "mutual")
	c.mutual = true
	c.spoil = func(a *types.Authenticator) { a.Cksum.Checksum[20] = 0 }
	c.status(c.simple(), 407, "mutual")
	c.mutual = false
	c.spoil = func(a *types.Authenticator) { a.Cksum.Checksum[20] = gssapi.ContextFlagMutual }
	c.status(c.simple(), 407, "mutual")
	c.mutual = true
	c.status(c.simple(), 200, "")
}

func TestNegotiateChannelBinding(t *testing.T) {
	origin := newOrigin(t)
	for _, required := range []bool{false, true} {
		p := NewTLS(Config{Auth: []Auth{Negotiate{RequireChannelBinding: required, PerRequest: true}}, Users: users})
		defer p.Close()
		c := newNegotiateClient(t, p, "GET "+origin.URL+"/ HTTP/1.1")
		c.status(c.simple(), map[bool]int{false: 200, true: 407}[required], "")
		c.binding = clientBinding(p)
		c.status(c.simple(), 200, "")
		c.binding[15] ^= 1
		c.status(c.simple(), 407, "wrong channel binding")
		c.Close()
	}
	for _, n := range []Negotiate{{RequireChannelBinding: true}, {EncType: 23}, {RawNTLM: true}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v started", n)
				}
			}()
			New(Config{Auth: []Auth{n}})
		}()
	}
}

// ntlmInside is the client of NTLM on the connection of one of Negotiate.
func ntlmInside(c *negotiateClient) *ntlmClient {
	return &ntlmClient{
		raw: c.raw, user: "alice", domain: "CORP", pass: "secret", mic: true,
		flags: ntlmOffer | ntlmKeyExchange | ntlmSign | ntlm128,
	}
}

// session returns what the handshake of the client has ended with, for the
// signatures of both sides.
func (c *ntlmClient) session() *handshake {
	return &handshake{session: ntlmSession{[]byte("0123456789abcdef"), c.challengeFlags()}}
}

func TestNegotiateNTLM(t *testing.T) {
	p, c := newNegotiate(t, Negotiate{NTLM: &NTLM{RequireMIC: true}, RequireListMIC: true, FinalToken: true})
	list := mustMarshal([]asn1.ObjectIdentifier{oidNTLM, oidKerberos})
	begin := func() *ntlmClient {
		t.Helper()
		n := ntlmInside(c)
		n.type1 = n.negotiate()
		resp, _ := c.ask(initToken(n.type1, oidNTLM, oidKerberos))
		r := c.final(resp, 407)
		want(t, "supportedMech", r.SupportedMech.String(), oidNTLM.String())
		want(t, "negState", r.State, asn1.Enumerated(negRequestMIC))
		n.type2 = r.ResponseToken
		return n
	}
	n := begin()
	resp, _ := c.ask(respToken(n.authenticate(), n.session().sign(ntlmFromClient, list)))
	r := c.final(resp, 200)
	want(t, "negState", r.State, asn1.Enumerated(negAcceptCompleted))
	want(t, "supportedMech", len(r.SupportedMech), 0)
	want(t, "mechListMIC", hex.EncodeToString(r.MechListMIC), hex.EncodeToString(n.session().sign(ntlmFromServer, list)))
	c.status(nil, 200, "")
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 3, Challenges: 1, Handshakes: 1})
	want(t, "user", p.Transcript()[2].User, "alice")

	n = begin()
	c.status(respToken(n.authenticate(), nil), 407, "no mechListMIC")
	n = begin()
	c.status(respToken(n.authenticate(), n.session().sign(ntlmFromServer, list)), 407, "wrong mechListMIC")
	n = begin()
	n.pass = "wrong"
	c.status(respToken(n.authenticate(), n.session().sign(ntlmFromClient, list)), 407, "wrong user name or password")
	want(t, "refused", p.Refused("alice"), 3)
	n = begin()
	c.status(nil, 407, "")
	c.status(respToken(n.authenticate(), nil), 407, "no NegTokenInit precedes")
	begin()
	c.status(c.simple(), 200, "") // Kerberos, in one token
}

// A proxy that takes no Kerberos chooses NTLM, and the client begins anew.
func TestNegotiateNTLMChosen(t *testing.T) {
	for _, listMIC := range []bool{false, true} {
		p, c := newNegotiate(t, Negotiate{NTLM: &NTLM{}, NoKerberos: true, RequireListMIC: listMIC, FinalToken: true})
		resp, _ := c.ask(initToken(c.kerberos(), oidKerberosMS, oidKerberos, oidNTLM))
		r := c.final(resp, 407)
		want(t, "supportedMech", r.SupportedMech.String(), oidNTLM.String())
		want(t, "negState", r.State, map[bool]asn1.Enumerated{false: negAcceptIncomplete, true: negRequestMIC}[listMIC])
		want(t, "token", len(r.ResponseToken), 0)
		n := ntlmInside(c)
		n.type1 = n.negotiate()
		resp, _ = c.ask(respToken(n.type1, nil))
		r = c.final(resp, 407)
		want(t, "supportedMech", len(r.SupportedMech), 0)
		want(t, "negState", r.State, asn1.Enumerated(negAcceptIncomplete))
		n.type2 = r.ResponseToken
		var mic []byte
		if listMIC {
			mic = n.session().sign(ntlmFromClient, mustMarshal([]asn1.ObjectIdentifier{oidKerberosMS, oidKerberos, oidNTLM}))
		}
		c.status(respToken(n.authenticate(), mic), 200, "")
		want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 3, Challenges: 2, Handshakes: 1})
		want(t, "attempts", p.Attempts("alice"), 1)
	}
}

// Kerberos in the second token, with the mechListMIC that this asks for.
func TestNegotiateKerberosChosen(t *testing.T) {
	for _, subkey := range []bool{false, true} {
		for _, mutual := range []bool{false, true} {
			_, c := newNegotiate(t, Negotiate{RequireListMIC: true, FinalToken: true})
			c.subkey, c.mutual = subkey, mutual
			list := mustMarshal([]asn1.ObjectIdentifier{oidNTLM, oidKerberos})
			begin := func() {
				t.Helper()
				resp, _ := c.ask(initToken([]byte("of NTLM"), oidNTLM, oidKerberos))
				r := c.final(resp, 407)
				want(t, "supportedMech", r.SupportedMech.String(), oidKerberos.String())
				want(t, "negState", r.State, asn1.Enumerated(negRequestMIC))
			}
			sign := func() []byte {
				t.Helper()
				mic := gssapi.MICToken{Payload: list, SndSeqNum: uint64(c.authenticator.SeqNumber)}
				if err := mic.SetChecksum(c.micKey(), keyusage.GSSAPI_INITIATOR_SIGN); err != nil {
					t.Fatal(err)
				}
				b, err := mic.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			begin()
			c.status(respToken(c.kerberos(), nil), 407, "no mechListMIC")
			begin()
			token := c.kerberos()
			mic := sign()
			mic[20] ^= 1
			c.status(respToken(token, mic), 407, "wrong mechListMIC")
			begin()
			token = c.kerberos()
			resp, _ := c.ask(respToken(token, sign()))
			r := c.final(resp, 200)
			want(t, "AP-REP", mutual && c.checkReply(r.ResponseToken), mutual)
			var theirs gssapi.MICToken
			if err := theirs.Unmarshal(r.MechListMIC, true); err != nil {
				t.Fatal(err)
			}
			theirs.Payload = list
			if _, err := theirs.Verify(c.micKey(), keyusage.GSSAPI_ACCEPTOR_SIGN); err != nil {
				t.Error(err)
			}
		}
	}
}

func (c *negotiateClient) micKey() types.EncryptionKey {
	if c.subkey {
		return c.authenticator.SubKey
	}
	return c.key
}

func TestNegotiateRawNTLM(t *testing.T) {
	p, c := newNegotiate(t, Negotiate{NTLM: &NTLM{RequireMIC: true}, RawNTLM: true})
	n := ntlmInside(c)
	begin := func() {
		t.Helper()
		n.type1 = n.negotiate()
		resp, _ := c.ask(n.type1)
		want(t, "status", resp.StatusCode, 407)
		n.type2 = answerToken(t, resp)
	}
	begin()
	begin()
	c.status(n.authenticate(), 200, "")
	c.status(nil, 200, "")
	c.status(n.authenticate(), 407, "no type 1 message precedes")
	begin()
	n.pass = "wrong"
	c.status(n.authenticate(), 407, "wrong user name")
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 7, Challenges: 5, Handshakes: 3})
	want(t, "attempts", p.Attempts("alice"), 3)
	want(t, "refused", p.Refused("alice"), 1)
	c.status(c.simple(), 200, "")
}

// The keys of MS-NLMP, section 4.2.4.4.
func TestNTLMSigningKeys(t *testing.T) {
	h := handshake{session: ntlmSession{bytes.Repeat([]byte{0x55}, 16), 0xe28a8233}}
	want(t, "SignKey", hex.EncodeToString(h.ntlmKey(ntlmFromClient, "signing", 16)), "4788dc861b4782f35d43fd98fe1a2d39")
	want(t, "SealKey", hex.EncodeToString(h.ntlmKey(ntlmFromClient, "sealing", h.sealSize())), "59f600973cc4960a25480a7c196e4c58")
	h.session.flags &^= ntlmExtendedSecurity
	want(t, "signature without extended security", h.sign(ntlmFromClient, nil) == nil, true)
}

func TestNegotiateMalformed(t *testing.T) {
	_, c := newNegotiate(t, Negotiate{NTLM: &NTLM{}, RawNTLM: true})
	resp, body := c.do(c.line, "Proxy-Authorization: Negotiate !")
	want(t, "not base64", fmt.Sprint(resp.StatusCode, strings.Contains(body, "base64")), "400 true")
	right := c.kerberos()
	spoilt := func(f func(*messages.APReq)) []byte {
		req, err := readAPReq(right)
		if err != nil {
			t.Fatal(err)
		}
		f(req)
		return apReqToken(t, req)
	}
	for _, test := range []struct {
		names string
		token []byte
	}{
		{"InitialContextToken", []byte{}},
		{"InitialContextToken", []byte("token")},
		{"InitialContextToken", mustMarshal(1)},
		{"something follows", append(c.simple(), 0)},
		{"no mechanism", []byte{0x60, 0}},
		{"NegTokenInit: asn1", initialToken(oidSPNEGO, nil)},
		{"the tag is 0xa1", initialToken(oidSPNEGO, respToken(nil, nil))},
		{"mechTypes is empty", initToken(nil)},
		{"NegTokenResp: asn1", []byte{tagNegTokenResp, 1, 0}},
		{"no negState 4", negTokenResp{State: 4}.marshal()},
		{"the token is not of Kerberos", initToken(initToken(nil, oidKerberos), oidKerberos)},
		{"no AP-REQ", initToken(initialToken(oidKerberos, []byte{2, 0}), oidKerberos)},
		{"AP-REQ", initToken(initialToken(oidKerberos, []byte{1, 0, 1, 2, 3}), oidKerberos)},
		{"AP-REQ: something follows", initialToken(oidKerberos, append(slices.Clip(right[bytes.Index(right, []byte{1, 0, 0x6e}):]), 0))},
		{"version", spoilt(func(r *messages.APReq) { r.PVNO = 4 })},
		{"version", spoilt(func(r *messages.APReq) { r.Ticket.TktVNO = 4 })},
		{"options", spoilt(func(r *messages.APReq) { r.APOptions = gofork.BitString{Bytes: []byte{0}, BitLength: 8} })},
		{"session key", spoilt(func(r *messages.APReq) { types.SetFlag(&r.APOptions, flags.APOptionUseSessionKey) })},
		{"NTLM: type 1", []byte(ntlmSignature + "\x01\x00\x00\x00")},
		{"signature", initToken([]byte("not NTLM"), oidNTLM)},
	} {
		if len(test.token) == 0 {
			resp, body = c.do(c.line, "Proxy-Authorization: Negotiate")
		} else {
			resp, body = c.ask(test.token)
		}
		if resp.StatusCode != 400 || !strings.Contains(body, test.names) {
			t.Errorf("%x: got %d %q, want 400 %s", test.token, resp.StatusCode, body, test.names)
		}
	}
	for _, test := range []struct {
		names string
		spoil func(*types.Authenticator)
	}{
		{"version 4", func(a *types.Authenticator) { a.AVNO = 4 }},
		{"type", func(a *types.Authenticator) { a.Cksum = types.Checksum{} }},
		{"type", func(a *types.Authenticator) { a.Cksum.CksumType = chksumtype.HMAC_SHA1_96_AES256 }},
		{"23 bytes", func(a *types.Authenticator) { a.Cksum.Checksum = a.Cksum.Checksum[:23] }},
		{"Lgth", func(a *types.Authenticator) { a.Cksum.Checksum[0] = 15 }},
		{"delegated", func(a *types.Authenticator) { a.Cksum.Checksum[20] |= gssapi.ContextFlagDeleg }},
		{"delegated", func(a *types.Authenticator) {
			a.Cksum.Checksum[20] |= gssapi.ContextFlagDeleg
			a.Cksum.Checksum = binary.LittleEndian.AppendUint32(a.Cksum.Checksum, 1|1<<16)
		}},
	} {
		c.spoil = test.spoil
		c.status(c.simple(), 400, test.names)
	}
	resp, _ = c.ask(initToken(nil, oidKerberos))
	want(t, "negState", c.final(resp, 407).State, asn1.Enumerated(negAcceptIncomplete))
	c.status(respToken(nil, nil), 400, "no responseToken")
	c.ask(initToken(nil, oidKerberos))
	c.status(negTokenResp{State: negReject}.marshal(), 407, "rejects")
	c.spoil = nil
	c.ask(initToken(nil, oidKerberos))
	c.status(respToken(c.kerberos(), nil), 200, "")
}

// FuzzNegotiate shows the verifier one token after another. Those it has
// taken it takes no more.
func FuzzNegotiate(f *testing.F) {
	p := New(Config{Users: users})
	f.Cleanup(p.Close)
	n := Negotiate{NTLM: &NTLM{}, RawNTLM: true}.start(p, p.accounts).(*negotiate)
	key := n.newKey()
	alice := principal{n.KerberosRealm, types.NewPrincipalName(1, "alice")}
	b, err := n.newTicket(alice, principal{n.KerberosRealm, types.NewPrincipalName(3, "HTTP/localhost")}, key, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	var ticket messages.Ticket
	if err := ticket.Unmarshal(b); err != nil {
		f.Fatal(err)
	}
	a, err := types.NewAuthenticator(alice.realm, alice.PrincipalName)
	if err != nil {
		f.Fatal(err)
	}
	a.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: append([]byte{16}, make([]byte, 23)...)}
	req, err := messages.NewAPReq(ticket, key, a)
	if err != nil {
		f.Fatal(err)
	}
	token := apReqToken(f, &req)
	if _, v, _ := n.take(nil, token); v.outcome != accepted {
		f.Fatalf("%+v", v)
	}
	f.Add(token)
	f.Add(initToken(token, oidKerberos))
	f.Add(respToken(token, []byte("mic")))
	f.Add((&ntlmClient{flags: ntlmOffer}).negotiate())
	f.Fuzz(func(t *testing.T, token []byte) {
		for _, g := range []*negotiation{nil, {mech: oidKerberos, first: true}, {mech: oidNTLM}} {
			if _, v, _ := n.take(g, token); v.outcome == accepted {
				t.Errorf("%x: %+v", token, v)
			}
		}
	})
}
