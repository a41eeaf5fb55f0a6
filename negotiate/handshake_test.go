package negotiate

import (
	"context"
	"crypto/md5"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/ntlm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const realm = "TEST.EXAMPLE"

// A service has a key, issues tickets for itself, and verifies AP-REQs.
type service struct{ keytab *keytab.Keytab }

func newService(t testing.TB, etype int32) *service {
	s := &service{keytab.New()}
	require.NoError(t, s.keytab.AddEntry("HTTP/proxy.example", realm, "service key", time.Now(), 1, etype))
	return s
}

func (s *service) ticket(t testing.TB, etype int32, end time.Time) *Ticket {
	now := time.Now().UTC()
	name := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "alice")
	ticket, key, err := messages.NewTicket(name, realm, types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "HTTP/proxy.example"), realm,
		types.NewKrbFlags(), s.keytab, etype, 1, now, now.Add(-time.Minute), end, end)
	require.NoError(t, err)
	return &Ticket{ticket: ticket, key: key, realm: realm, name: name, end: end}
}

// apReq returns the AP-REQ of a token, decrypted.
func (s *service) apReq(t testing.TB, token []byte) messages.APReq {
	var got spnego.SPNEGOToken
	require.NoError(t, got.Unmarshal(token))
	require.True(t, got.Init)
	require.True(t, got.NegTokenInit.MechTypes[0].Equal(gssapi.OIDKRB5.OID()))
	var krb spnego.KRB5Token
	require.NoError(t, krb.Unmarshal(got.NegTokenInit.MechTokenBytes))
	require.True(t, krb.IsAPReq())
	req := krb.APReq
	require.True(t, types.IsFlagSet(&req.APOptions, flags.APOptionMutualRequired))
	require.NoError(t, req.Ticket.DecryptEncPart(s.keytab, nil))
	require.NoError(t, req.DecryptAuthenticator(req.Ticket.DecryptedEncPart.Key))
	require.Equal(t, "alice", req.Authenticator.CName.PrincipalNameString())
	return req
}

// accept verifies a token and returns the checksum's parts and the AP-REP.
func (s *service) accept(t testing.TB, token []byte) (binding []byte, gssFlags uint32, apRep func(change func(*messages.EncAPRepPart)) []byte) {
	req := s.apReq(t, token)
	key := req.Ticket.DecryptedEncPart.Key
	sum := req.Authenticator.Cksum
	require.EqualValues(t, 0x8003, sum.CksumType)
	require.Len(t, sum.Checksum, 24)
	require.EqualValues(t, 16, binary.LittleEndian.Uint32(sum.Checksum))

	return sum.Checksum[4:20], binary.LittleEndian.Uint32(sum.Checksum[20:]), func(change func(*messages.EncAPRepPart)) []byte {
		part := messages.EncAPRepPart{CTime: req.Authenticator.CTime, Cusec: req.Authenticator.Cusec}
		change(&part)
		plain, err := asn1.Marshal(struct {
			CTime time.Time `asn1:"generalized,explicit,tag:0"`
			Cusec int       `asn1:"explicit,tag:1"`
		}{part.CTime.UTC(), part.Cusec})
		require.NoError(t, err)
		enc, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(plain, asnAppTag.EncAPRepPart), key, keyusage.AP_REP_ENCPART, 0)
		require.NoError(t, err)
		encoded, err := enc.Marshal()
		require.NoError(t, err)
		rep, err := asn1.Marshal(struct {
			PVNO    int           `asn1:"explicit,tag:0"`
			MsgType int           `asn1:"explicit,tag:1"`
			EncPart asn1.RawValue // gokrb5 encodes it
		}{5, 15, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: encoded}})
		require.NoError(t, err)
		oid, err := asn1.Marshal(asn1.ObjectIdentifier(gssapi.OIDKRB5.OID()))
		require.NoError(t, err)
		mech := asn1tools.AddASNAppTag(append(append(oid, 2, 0), asn1tools.AddASNAppTag(rep, asnAppTag.APREP)...), 0)
		resp := spnego.NegTokenResp{NegState: 0, SupportedMech: gssapi.OIDKRB5.OID(), ResponseToken: mech}
		token, err := resp.Marshal()
		require.NoError(t, err)
		return token
	}
}

// R24: an AP-REQ asks for mutual authentication and is bound to the channel
// (RFC 4121 §4.1.1); an AP-REP, where one comes, must be of the service's key and
// for this AP-REQ (RFC 4120 §3.2.5).
func TestKerberos(t *testing.T) {
	for name, etype := range map[string]int32{
		"aes256-sha1": etypeID.AES256_CTS_HMAC_SHA1_96, "aes128-sha1": etypeID.AES128_CTS_HMAC_SHA1_96,
		// aes256-sha384 is for the tests with a KDC: gokrb5 makes keys for it
		// that are too short.
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, etype)
			data := []byte("tls-server-end-point:0123456789")
			h := Kerberos(s.ticket(t, etype, time.Now().Add(time.Hour)), data)
			token, last, err := h.Next(nil)
			require.NoError(t, err)
			require.True(t, last)

			binding, gssFlags, apRep := s.accept(t, token)
			sum := md5.Sum(append(append(make([]byte, 16), byte(len(data)), 0, 0, 0), data...))
			require.Equal(t, sum[:], binding)
			require.EqualValues(t, gssapi.ContextFlagMutual, gssFlags&gssapi.ContextFlagMutual)

			require.NoError(t, h.Done(nil), "a server need not prove itself")
			require.NoError(t, h.Done(apRep(func(*messages.EncAPRepPart) {})))
			require.ErrorIs(t, h.Done(apRep(func(p *messages.EncAPRepPart) { p.Cusec++ })), ErrServer)
			require.ErrorIs(t, h.Done(apRep(func(p *messages.EncAPRepPart) { p.CTime = p.CTime.Add(time.Second) })), ErrServer)

			_, _, err = h.Next(nil)
			require.ErrorIs(t, err, ErrRefused)
		})
	}
	// A proof by another key.
	s := newService(t, etypeID.AES256_CTS_HMAC_SHA1_96)
	end := time.Now().Add(time.Hour)
	h, other := Kerberos(s.ticket(t, etypeID.AES256_CTS_HMAC_SHA1_96, end), nil), Kerberos(s.ticket(t, etypeID.AES256_CTS_HMAC_SHA1_96, end), nil)
	_, _, err := h.Next(nil)
	require.NoError(t, err)
	token, _, err := other.Next(nil)
	require.NoError(t, err)
	_, _, apRep := s.accept(t, token)
	require.ErrorIs(t, h.Done(apRep(func(*messages.EncAPRepPart) {})), ErrServer)
}

// R25: none of the tokens of one ticket is a replay of another (RFC 4120 §3.2.3),
// however quickly they follow.
func TestAuthenticatorsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		const etype = etypeID.AES256_CTS_HMAC_SHA1_96
		s := newService(t, etype)
		ticket := s.ticket(t, etype, time.Now().Add(time.Hour))
		seen := make(map[time.Time]bool)
		for range 5 {
			token, _, err := Kerberos(ticket, nil).Next(nil)
			require.NoError(t, err)
			auth := s.apReq(t, token).Authenticator
			at := auth.CTime.Add(time.Duration(auth.Cusec) * time.Microsecond)
			require.False(t, seen[at])
			require.WithinDuration(t, time.Now(), at, time.Millisecond)
			seen[at] = true
		}
	})
}

// R26: what a server says that refuses the ticket is told.
func TestReject(t *testing.T) {
	s := newService(t, etypeID.AES256_CTS_HMAC_SHA1_96)
	for name, resp := range map[string]spnego.NegTokenResp{
		"reject":     {NegState: 2},
		"wants NTLM": {NegState: 1, SupportedMech: oidNTLM},
	} {
		h := Kerberos(s.ticket(t, etypeID.AES256_CTS_HMAC_SHA1_96, time.Now().Add(time.Hour)), nil)
		_, _, err := h.Next(nil)
		require.NoError(t, err)
		token, err := resp.Marshal()
		require.NoError(t, err)
		_, _, err = h.Next(token)
		require.ErrorIs(t, err, ErrRefused, name)
	}
	h := Kerberos(s.ticket(t, etypeID.AES256_CTS_HMAC_SHA1_96, time.Now().Add(time.Hour)), nil)
	h.Next(nil)
	_, _, err := h.Next([]byte("garbage"))
	require.ErrorContains(t, err, "malformed")
}

// R24: NTLM goes in a NegTokenInit and NegTokenResps, or bare as some send it.
func TestNTLM(t *testing.T) {
	type2 := append([]byte("NTLMSSP\x00\x02\x00\x00\x00"), make([]byte, 36)...)
	type2[20] = 1 // Unicode
	for name, state := range map[string]int{"incomplete": 1, "request-mic": 3, "bare": -1} {
		t.Run(name, func(t *testing.T) {
			h := NTLM(ntlm.New("alice", "secret", ntlm.Options{Sign: true}))
			token, last, err := h.Next(nil)
			require.NoError(t, err)
			require.False(t, last)
			var init spnego.SPNEGOToken
			require.NoError(t, init.Unmarshal(token))
			require.Len(t, init.NegTokenInit.MechTypes, 1)
			require.Equal(t, "NTLMSSP\x00\x01", string(init.NegTokenInit.MechTokenBytes[:9]))

			answer := type2
			if state >= 0 {
				resp := spnego.NegTokenResp{SupportedMech: oidNTLM, ResponseToken: type2}
				resp.NegState += 1
				if state == 3 {
					resp.NegState = 3
				}
				answer, err = resp.Marshal()
				require.NoError(t, err)
			}
			token, last, err = h.Next(answer)
			require.NoError(t, err)
			require.True(t, last)
			if state < 0 {
				require.Equal(t, "NTLMSSP\x00\x03", string(token[:9]))
				return
			}
			var resp spnego.NegTokenResp
			require.NoError(t, resp.Unmarshal(token))
			require.Equal(t, "NTLMSSP\x00\x03", string(resp.ResponseToken[:9]))
			require.Equal(t, state == 3, len(resp.MechListMIC) == 16)
		})
	}
}

// R26: without a ticket the error names the cause and the remedy.
func TestNoTicket(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "krb5.conf")
	write := func(text string) {
		require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	}
	write("[libdefaults]\n default_realm = TEST.EXAMPLE\n udp_preference_limit = 1\n[realms]\n TEST.EXAMPLE = {\n  kdc = 127.0.0.1:1\n }\n")
	t.Setenv("KRB5CCNAME", "")
	t.Setenv("KRB5_CLIENT_KTNAME", "")
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for name, test := range map[string]struct {
		o    Options
		text []string
	}{
		"nothing":         {Options{CachePath: filepath.Join(dir, "none")}, []string{"no ticket", "kinit"}},
		"malformed cache": {Options{CachePath: empty}, []string{"malformed"}},
		"kind of cache":   {Options{CachePath: "KEYRING:x"}, []string{"KEYRING", "FILE"}},
		"no KDC":          {Options{CachePath: empty, Username: "alice@TEST.EXAMPLE", Password: "x"}, []string{"KDC cannot be reached", "network"}},
		"no realm":        {Options{CachePath: empty, Username: "alice", Password: "x"}, []string{"user@REALM"}},
		"no such realm":   {Options{CachePath: empty, Username: "alice@OTHER.EXAMPLE", Password: "x"}, []string{"no KDC is known"}},
		"bad keytab":      {Options{CachePath: filepath.Join(dir, "none"), KeytabPath: empty}, []string{"keytab"}},
		"bad krb5.conf":   {Options{ConfigPath: filepath.Join(dir, "none.conf")}, []string{"krb5.conf"}},
	} {
		if test.o.ConfigPath == "" {
			test.o.ConfigPath = conf
		}
		_, err := NewClient(test.o).Ticket(context.Background(), "HTTP/proxy.example")
		var no *Error
		require.ErrorAs(t, err, &no, name)
		for _, text := range test.text {
			require.ErrorContains(t, err, text, name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := NewClient(Options{ConfigPath: conf, Username: "a", Password: "b"}).Ticket(ctx, "HTTP/x")
	require.True(t, errors.Is(err, context.Canceled) || err != nil)
}

// R34: no token of a server does more than fail.
func FuzzNext(f *testing.F) {
	resp := spnego.NegTokenResp{NegState: 1, SupportedMech: oidNTLM, ResponseToken: []byte("NTLMSSP\x00\x02")}
	token, err := resp.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add([]byte("NTLMSSP\x00\x02\x00\x00\x00"))
	f.Add([]byte{0xa1, 0x05, 0x30, 0x03})
	s := newService(f, etypeID.AES128_CTS_HMAC_SHA1_96)
	ticket := s.ticket(f, etypeID.AES128_CTS_HMAC_SHA1_96, time.Now().Add(time.Hour))
	f.Fuzz(func(t *testing.T, token []byte) {
		k := Kerberos(ticket, nil)
		k.begun = true
		k.Next(token)
		if err := k.Done(token); len(token) > 0 && err == nil {
			if resp, _ := parseResp(token); len(resp.ResponseToken) > 0 {
				t.Fatalf("%x proves nothing", token)
			}
		}
		n := NTLM(ntlm.New("alice", "secret", ntlm.Options{}))
		n.Next(nil)
		n.Next(token)
	})
}

// R35: files that are malformed are errors, which show nothing of keys.
func TestMalformedFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	none := filepath.Join(dir, "none")
	for _, text := range []string{"\x05\x02\x00\x00\x00\x40SECRETKEYBYTES", "SECRETKEYBYTES", ""} {
		_, err := NewClient(Options{CachePath: none, KeytabPath: write("keytab", text)}).Ticket(context.Background(), "HTTP/x")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "SECRET")
	}
	_, err := NewClient(Options{CachePath: none, ConfigPath: write("krb5.conf", "[realms]\nA = {}\n"), Username: "a@A", Password: "p"}).Ticket(context.Background(), "HTTP/x")
	require.Error(t, err)
}

// R35: nothing prints a password or a key.
func TestNothingPrintsSecrets(t *testing.T) {
	o := Options{Username: "alice", Password: "open sesame"}
	ticket := newService(t, etypeID.AES128_CTS_HMAC_SHA1_96).ticket(t, etypeID.AES128_CTS_HMAC_SHA1_96, time.Now().Add(time.Hour))
	for want, v := range map[string]any{
		"negotiate.Options(REDACTED)": o, "negotiate.Client": NewClient(o), ticket.String(): ticket,
		"negotiate.Handshake": NTLM(ntlm.New("alice", "open sesame", ntlm.Options{})),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			require.Equal(t, want, fmt.Sprintf(verb, v))
		}
		text, err := json.Marshal(v)
		require.NoError(t, err)
		require.NotContains(t, string(text), "open sesame")
		require.NotContains(t, string(text), "alice")
	}
}
