package negotiate

import (
	"bytes"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/ntlm"
)

// begun returns a handshake that has sent its AP-REQ.
func begun(t *testing.T) *Handshake {
	const etype = etypeID.AES128_CTS_HMAC_SHA1_96
	h := Kerberos(newService(t, etype).ticket(t, etype, time.Now().Add(time.Hour)), nil)
	_, _, err := h.Next(nil)
	require.NoError(t, err)
	return h
}

// mechToken returns a GSS-API token of Kerberos (RFC 4121 §4.1).
func mechToken(id byte, message []byte) []byte {
	return asn1tools.AddASNAppTag(append(append(bytes.Clone(oidKerberos), id, 0), message...), 0)
}

func krbError(t *testing.T) []byte {
	service := types.NewPrincipalName(nametype.KRB_NT_SRV_HST, "HTTP/proxy.example")
	e := messages.NewKRBError(service, realm, errorcode.KRB_AP_ERR_SKEW, "your\nclock")
	message, err := e.Marshal()
	require.NoError(t, err)
	return message
}

func negTokenResp(t *testing.T, resp spnego.NegTokenResp) []byte {
	token, err := resp.Marshal()
	require.NoError(t, err)
	return token
}

// R26: a token of a server that is not content is a refusal, in its own words
// where it has some.
func TestRefusal(t *testing.T) {
	for name, test := range map[string]struct {
		resp spnego.NegTokenResp
		says string
	}{
		"in so many words":     {spnego.NegTokenResp{NegState: 2}, ErrRefused.Error()},
		"KRB-ERROR":            {spnego.NegTokenResp{NegState: 2, ResponseToken: mechToken(3, krbError(t))}, "KRB_AP_ERR_SKEW"},
		"KRB-ERROR's text":     {spnego.NegTokenResp{NegState: 1, ResponseToken: mechToken(3, krbError(t))}, "your clock"},
		"KRB-ERROR, cut off":   {spnego.NegTokenResp{NegState: 2, ResponseToken: mechToken(3, krbError(t)[:20])}, ErrRefused.Error()},
		"another mechanism":    {spnego.NegTokenResp{NegState: 1, SupportedMech: oidNTLM}, "it wants NTLM inside Negotiate"},
		"the same mechanism":   {spnego.NegTokenResp{NegState: 1, SupportedMech: gssapi.OIDKRB5.OID()}, ErrRefused.Error()},
		"no token of Kerberos": {spnego.NegTokenResp{NegState: 1, ResponseToken: []byte("garbage")}, ErrRefused.Error()},
		"a MIC is asked for":   {spnego.NegTokenResp{NegState: 3}, ErrRefused.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			_, last, err := begun(t).Next(negTokenResp(t, test.resp))
			require.ErrorIs(t, err, ErrRefused)
			require.ErrorContains(t, err, test.says)
			require.False(t, last)
			if test.says == ErrRefused.Error() {
				require.EqualError(t, err, test.says)
			}
		})
	}
	// Nothing at all, by either mechanism.
	n := NTLM(ntlm.New("alice", "secret", ntlm.Options{}))
	_, _, err := n.Next(nil)
	require.NoError(t, err)
	for _, h := range []*Handshake{begun(t), n} {
		for _, nothing := range [][]byte{nil, {}} {
			_, _, err := h.Next(nothing)
			require.Equal(t, ErrRefused, err)
		}
	}
}

// R24: what comes with the server's consent is verified where there is
// something to verify.
func TestDone(t *testing.T) {
	for name, test := range map[string]struct {
		token []byte
		want  error
		says  string
	}{
		"nothing":          {},
		"content":          {token: negTokenResp(t, spnego.NegTokenResp{})},
		"reject":           {negTokenResp(t, spnego.NegTokenResp{NegState: 2}), ErrRefused, ""},
		"KRB-ERROR":        {negTokenResp(t, spnego.NegTokenResp{ResponseToken: mechToken(3, krbError(t))}), ErrServer, "no AP-REP"},
		"AP-REP, cut off":  {negTokenResp(t, spnego.NegTokenResp{ResponseToken: mechToken(2, []byte{0x6f, 0x02})}), nil, "malformed AP-REP"},
		"no mech token":    {negTokenResp(t, spnego.NegTokenResp{ResponseToken: []byte("garbage")}), nil, "malformed AP-REP"},
		"no SPNEGO":        {[]byte("garbage"), nil, "malformed token"},
		"a NegTokenInit":   {[]byte{0xa0, 0x04, 0x30, 0x02, 0xa0, 0x00}, nil, "malformed token"},
		"empty sequence":   {[]byte{0xa1, 0x00}, nil, "malformed token"},
		"another's choice": {[]byte{0xa2, 0x00}, nil, "malformed token"},
	} {
		t.Run(name, func(t *testing.T) {
			err := begun(t).Done(test.token)
			switch {
			case test.want != nil:
				require.ErrorIs(t, err, test.want)
				require.ErrorContains(t, err, test.says)
			case test.says != "":
				require.ErrorContains(t, err, test.says)
			default:
				require.NoError(t, err)
			}
		})
	}
	// By NTLM nothing is verified.
	require.NoError(t, NTLM(ntlm.New("alice", "secret", ntlm.Options{})).Done([]byte("garbage")))
}

// R19: a type 2 that is none is an error, in SPNEGO or bare.
func TestNTLMErrors(t *testing.T) {
	type2 := append([]byte("NTLMSSP\x00\x02\x00\x00\x00"), make([]byte, 36)...)
	type2[20] = 1 // Unicode
	for name, token := range map[string][]byte{
		"no SPNEGO":     []byte("garbage"),
		"no type 2":     negTokenResp(t, spnego.NegTokenResp{NegState: 1, ResponseToken: []byte("garbage")}),
		"cut off":       negTokenResp(t, spnego.NegTokenResp{NegState: 1, ResponseToken: type2[:20]}),
		"bare, cut off": type2[:20],
	} {
		h := NTLM(ntlm.New("alice", "secret", ntlm.Options{}))
		_, _, err := h.Next(nil)
		require.NoError(t, err, name)
		reply, _, err := h.Next(token)
		require.Error(t, err, name)
		require.Empty(t, reply, name)
	}
}
