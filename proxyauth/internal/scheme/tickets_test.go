package scheme_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

const realm = "TEST.EXAMPLE"

// A service has a key, and a ticket cache with tickets for itself, so that no KDC is
// needed.
type service struct {
	name    string
	keys    *keytab.Keytab
	options scheme.NegotiateOptions
}

func newService(t testing.TB, name string) *service {
	t.Helper()
	s := &service{name: name, keys: keytab.New()}
	require.NoError(t, s.keys.AddEntry(name, realm, "the service's password", time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96))
	s.options.ConfigPath, s.options.CachePath = krb5Conf(t), filepath.Join(t.TempDir(), "cache")
	return s
}

// krb5Conf writes the configuration of a client whose KDC is not there.
func krb5Conf(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = " + realm + "\n udp_preference_limit = 1\n[realms]\n " + realm + " = {\n  kdc = 127.0.0.1:1\n }\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// kinit writes a ticket cache of MIT Kerberos, version 4, with a ticket of the user.
func (s *service) kinit(t testing.TB, user string) {
	t.Helper()
	client, server := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, user), types.NewPrincipalName(nametype.KRB_NT_SRV_INST, s.name)
	begin, end := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	ticket, key, err := messages.NewTicket(client, realm, server, realm, types.NewKrbFlags(), s.keys, etypeID.AES256_CTS_HMAC_SHA1_96, 1, begin, begin, end, end)
	require.NoError(t, err)
	encoded, err := ticket.Marshal()
	require.NoError(t, err)

	b := []byte{5, 4, 0, 0}
	number := func(n int) { b = binary.BigEndian.AppendUint32(b, uint32(n)) }
	data := func(d []byte) {
		number(len(d))
		b = append(b, d...)
	}
	principal := func(p types.PrincipalName) {
		number(int(p.NameType))
		number(len(p.NameString))
		data([]byte(realm))
		for _, part := range p.NameString {
			data([]byte(part))
		}
	}
	principal(client)
	principal(client)
	principal(server)
	b = binary.BigEndian.AppendUint16(b, uint16(key.KeyType))
	data(key.KeyValue)
	for _, at := range []time.Time{begin, begin, end, end} {
		number(int(at.Unix()))
	}
	b = append(b, make([]byte, 13)...) // no session key of another, flags, addresses, authorization data
	data(encoded)
	data(nil) // no second ticket
	require.NoError(t, os.WriteFile(s.options.CachePath, b, 0o600))
}

// accept returns whose ticket is in a token of SPNEGO, and the channel binding.
func (s *service) accept(t testing.TB, token []byte) (user string, binding []byte) {
	t.Helper()
	var got spnego.SPNEGOToken
	require.NoError(t, got.Unmarshal(token))
	require.True(t, got.Init)
	require.True(t, got.NegTokenInit.MechTypes[0].Equal(gssapi.OIDKRB5.OID()))
	var krb spnego.KRB5Token
	require.NoError(t, krb.Unmarshal(got.NegTokenInit.MechTokenBytes))
	require.True(t, krb.IsAPReq())
	require.NoError(t, krb.APReq.Ticket.DecryptEncPart(s.keys, nil))
	require.NoError(t, krb.APReq.DecryptAuthenticator(krb.APReq.Ticket.DecryptedEncPart.Key))
	return krb.APReq.Authenticator.CName.PrincipalNameString(), krb.APReq.Authenticator.Cksum.Checksum[4:20]
}

// begin returns the session of whoever has the tickets.
func (s *service) begin(t testing.TB) scheme.Session {
	t.Helper()
	session, err := scheme.Negotiate(s.options).Begin(t.Context(), scheme.Proxy{Host: "proxy.example", Tickets: negotiate.NewClient}, nil, scheme.Credentials{})
	require.NoError(t, err)
	return session
}

// answered returns what Negotiate makes of a KDC that answers a login with err.
func answered(t testing.TB, err error, offered []string, c scheme.Credentials) (scheme.Session, error) {
	t.Helper()
	// What a login ends in is what ends the wait for it.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(err)
	p := scheme.Proxy{Host: "proxy.example", Offered: offered, Tickets: func(o negotiate.Options) *negotiate.Client {
		o.Username, o.Password = "alice@"+realm, "open sesame"
		client := negotiate.NewClient(o)
		client.BeforeLogin(func(ctx context.Context) (func(error), error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		return client
	}}
	return scheme.Negotiate(scheme.NegotiateOptions{ConfigPath: krb5Conf(t), CachePath: filepath.Join(t.TempDir(), "none")}).Begin(ctx, p, nil, c)
}
