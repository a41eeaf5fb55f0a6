package scheme_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// loggedIn skips a test on Windows, where who has no credentials is the logged-in user.
func loggedIn(t testing.TB) {
	if runtime.GOOS == "windows" {
		t.Skip("the logged-in user is asked first")
	}
}

var bound = scheme.Peer{Host: "proxy.example", TLS: &tls.ConnectionState{
	PeerCertificates: []*x509.Certificate{{SignatureAlgorithm: x509.SHA256WithRSA}},
}}

// R23, R25: the token of whoever has the tickets, bound to the channel (R20).
func TestKerberos(t *testing.T) {
	loggedIn(t)
	for name, spn := range map[string]string{"HTTP/proxy.example": "", "HTTP/other.example": "HTTP/other.example"} {
		s := newService(t, name)
		s.options.SPN = spn
		s.kinit(t, "alice")
		session := s.begin(t)
		require.Equal(t, scheme.Nature{Connection: true, Learns: true, Ticket: true}, session.Nature())
		require.False(t, session.Used())
		require.Regexp(t, `^with a ticket for `+name+`: ticket of alice@TEST\.EXAMPLE by the ticket cache, valid until \d`, session.Describe(t.Context(), "with them"))

		req := request(t, "GET", "http://origin.example/")
		var tokens [][]byte
		for _, peer := range []scheme.Peer{{Host: "proxy.example"}, bound} {
			conversation := session.Talk(t.Context(), peer, req, false)
			value, last := next(t, conversation)
			require.True(t, last, "a ticket is all that the proxy needs")
			tokens = append(tokens, token(t, "Negotiate", value))
			conversation.Close()
		}
		user, binding := s.accept(t, tokens[0])
		require.Equal(t, "alice", user)
		require.Equal(t, make([]byte, 16), binding)
		_, binding = s.accept(t, tokens[1])
		require.NotEqual(t, make([]byte, 16), binding)
		require.NotEqual(t, tokens[0], tokens[1], "no two are alike")
	}
}

// R23: kinit as another user is noticed, and that there is no ticket any more is
// not taken for that.
func TestKerberosOther(t *testing.T) {
	loggedIn(t)
	s := newService(t, "HTTP/proxy.example")
	s.kinit(t, "alice")
	session := s.begin(t)
	require.False(t, session.Other(t.Context()))
	s.kinit(t, "alice")
	require.False(t, session.Other(t.Context()))
	s.kinit(t, "somebody else")
	require.True(t, session.Other(t.Context()))
	require.True(t, session.Other(t.Context()), "also of a ticket that is kept")

	require.NoError(t, os.Remove(s.options.CachePath))
	require.False(t, session.Other(t.Context()))
	require.Equal(t, "with them", session.Describe(t.Context(), "with them"))
	field, last, err := talk(t, session).Next()
	require.Nil(t, field)
	require.False(t, last)
	require.IsType(t, (*negotiate.Error)(nil), requireFailure(t, err).Err)
}

// R23: where the tickets are from, and for whom.
func TestNegotiateOptions(t *testing.T) {
	var got negotiate.Options
	p := scheme.Proxy{Host: "proxy.example", Tickets: func(o negotiate.Options) *negotiate.Client {
		got = o
		return negotiate.NewClient(negotiate.Options{ConfigPath: krb5Conf(t), CachePath: krb5Conf(t), Username: "alice"})
	}}
	o := scheme.NegotiateOptions{ConfigPath: "conf", CachePath: "cache", KeytabPath: "keytab", Principal: "principal", SPN: "spn"}
	_, err := scheme.Negotiate(o).Begin(t.Context(), p, nil, alice)
	require.NoError(t, err)
	require.True(t, negotiate.Options{
		ConfigPath: "conf", CachePath: "cache", KeytabPath: "keytab", Principal: "principal", Username: "alice", Password: "open sesame",
	} == got)
}

// R24, R26: what becomes of it that there is no ticket.
func TestNoTicket(t *testing.T) {
	none, away := scheme.Credentials{}, errors.New("negotiate: away")
	wrong, barred, silent := &negotiate.Error{Rejected: true}, &negotiate.Error{Barred: true}, &negotiate.Error{SPN: "spn", Cause: "silence"}
	for name, test := range map[string]struct {
		err     error
		offered []string
		cred    scheme.Credentials
		want    error // nil: NTLM inside SPNEGO
	}{
		"wrong password":                 {wrong, nil, alice, scheme.Refused{Err: wrong}},
		"wrong password, NTLM beside":    {wrong, []string{"NTLM"}, alice, scheme.Refused{Err: wrong}},
		"wrong key of a keytab":          {wrong, nil, none, wrong},
		"barred":                         {barred, nil, alice, barred},
		"no KDC":                         {away, nil, alice, nil},
		"no KDC, told as it is":          {silent, nil, alice, nil},
		"no KDC, Digest beside":          {silent, []string{"Negotiate", "Digest"}, alice, nil},
		"no KDC, NTLM beside":            {silent, []string{"Negotiate", "NTLM"}, alice, silent},
		"no KDC, nobody for NTLM either": {silent, nil, none, silent},
		"not now":                        {fmt.Errorf("later: %w", scheme.ErrNotNow), nil, alice, fmt.Errorf("later: %w", scheme.ErrNotNow)},
	} {
		t.Run(name, func(t *testing.T) {
			if test.cred == none {
				loggedIn(t)
			}
			session, err := answered(t, test.err, test.offered, test.cred)
			if test.want != nil {
				require.Equal(t, test.want, err)
				require.Nil(t, session)
				return
			}
			require.NoError(t, err)
			require.Equal(t, scheme.Nature{Connection: true, Learns: true}, session.Nature())
		})
	}
}

// R8: what asks before a login may say that it may not be now.
func TestLoginIsNotAdmitted(t *testing.T) {
	p := scheme.Proxy{Host: "proxy.example", Tickets: func(o negotiate.Options) *negotiate.Client {
		client := negotiate.NewClient(o)
		client.BeforeLogin(func(context.Context) (func(error), error) { return nil, scheme.ErrNotNow })
		return client
	}}
	o := scheme.NegotiateOptions{ConfigPath: krb5Conf(t), CachePath: krb5Conf(t)}
	_, err := scheme.Negotiate(o).Begin(t.Context(), p, nil, scheme.Credentials{Username: "alice@" + realm, Password: "p"})
	require.ErrorIs(t, err, scheme.ErrNotNow)
}

// R24: NTLM inside SPNEGO, bound to the service and to the channel, with a key to sign
// by.
func TestNTLMInNegotiate(t *testing.T) {
	session, err := answered(t, errors.New("negotiate: no KDC"), nil, alice)
	require.NoError(t, err)
	require.False(t, session.Used())
	require.False(t, session.Other(t.Context()))
	require.Equal(t, "with them, as NTLM inside SPNEGO, since there is no KDC", session.Describe(t.Context(), "with them"))

	conversation := session.Talk(t.Context(), bound, request(t, "GET", "http://origin.example/"), false)
	value, last := next(t, conversation)
	require.False(t, last)
	var init spnego.SPNEGOToken
	require.NoError(t, init.Unmarshal(token(t, "Negotiate", value)))
	type1 := init.NegTokenInit.MechTokenBytes
	require.True(t, bytes.HasPrefix(type1, []byte("NTLMSSP\x00\x01")))
	const sign = 0x10 // NTLMSSP_NEGOTIATE_SIGN
	require.NotZero(t, binary.LittleEndian.Uint32(type1[12:])&sign)

	resp := spnego.NegTokenResp{NegState: 1, ResponseToken: type2}
	answer, err := resp.Marshal()
	require.NoError(t, err)
	more := offers(t, scheme.Negotiate(scheme.NegotiateOptions{}), "Negotiate "+base64.StdEncoding.EncodeToString(answer))
	require.Equal(t, scheme.Reading{More: true}, conversation.Challenged(more, false))
	value, last = next(t, conversation)
	require.True(t, last)
	type3 := string(token(t, "Negotiate", value))
	require.Contains(t, type3, string(inUTF16("HTTP/proxy.example")))
	require.Contains(t, type3, "\x0a\x00\x10\x00", "MsvAvChannelBindings")
	conversation.Close()
}
