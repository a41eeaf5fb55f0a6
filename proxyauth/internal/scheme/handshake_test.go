package scheme_test

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A handshake is begun by name: "NTLM", "NTLM in Negotiate" or "Kerberos".
func handshake(t testing.TB, name string) (scheme.Scheme, scheme.Talk) {
	t.Helper()
	if name == "NTLM" {
		return scheme.NTLM(), talk(t, begin(t, scheme.NTLM(), "NTLM"))
	}
	negotiated := scheme.Negotiate(scheme.NegotiateOptions{})
	if name == "Kerberos" {
		s := newService(t, "HTTP/proxy.example")
		s.kinit(t, "alice")
		return negotiated, talk(t, s.begin(t))
	}
	session, err := answered(t, errors.New("negotiate: no KDC"), nil, alice)
	require.NoError(t, err)
	return negotiated, talk(t, session)
}

// R42: the padding of a token may be missing, or too much (Chromium,
// http_auth_challenge_tokenizer_unittest.cc: Base64).
func TestTokenPadding(t *testing.T) {
	for _, more := range []string{"", "\x00", "\x00\x00"} {
		for _, padding := range []string{"", "=", "==", "==="} {
			s, conversation := handshake(t, "NTLM")
			next(t, conversation)
			token := base64.RawStdEncoding.EncodeToString([]byte(string(type2)+more)) + padding
			require.Equal(t, scheme.Reading{More: true}, conversation.Challenged(offers(t, s, "NTLM "+token), false), token)
		}
	}
}

// R6, R19: what a 407 says to a leg that is not the last one, or is the last one.
func TestHandshakeChallenged(t *testing.T) {
	failure := func(text string) *scheme.Failure { return &scheme.Failure{Err: errors.New(text)} }
	early := func(text string) *scheme.Failure { return &scheme.Failure{Err: errors.New(text), Early: true} }
	somethingElse := failure("the proxy answers the handshake with something else")
	notBase64 := failure("the proxy's token is not base64")
	token := base64.StdEncoding.EncodeToString(type2)
	for _, test := range []struct {
		handshake string
		answered  bool     // by all legs
		offers    []string // after the scheme's name; nil: it is not offered
		others    bool
		want      *scheme.Failure // nil: a refusal
	}{
		{"NTLM", false, nil, false, somethingElse},
		{"NTLM", false, nil, true, somethingElse},
		{"NTLM", false, []string{""}, true, early("the proxy does not answer the first message of the handshake")},
		{"NTLM", false, []string{" -"}, true, notBase64},
		{"NTLM", false, []string{" AAAA"}, true, failure("ntlm: the challenge is too short")},
		{"NTLM", true, nil, false, nil},
		{"NTLM", true, nil, true, nil},
		{"NTLM", true, []string{""}, true, nil},
		{"NTLM", true, []string{" -"}, true, nil},
		{"NTLM", true, []string{" " + token}, true, nil},

		{"NTLM in Negotiate", false, nil, true, somethingElse},
		{"NTLM in Negotiate", false, []string{""}, false, early("negotiate: no KDC, and it does not take NTLM inside Negotiate")},
		{"NTLM in Negotiate", false, []string{" -"}, false, notBase64},
		{"NTLM in Negotiate", true, nil, true, nil},
		{"NTLM in Negotiate", true, []string{""}, true, nil},
		{"NTLM in Negotiate", true, []string{" " + token}, true, nil},

		{"Kerberos", true, nil, false, nil},
		{"Kerberos", true, nil, true, somethingElse},
		{"Kerberos", true, []string{""}, true, scheme.RefusedTicket},
		{"Kerberos", true, []string{" -"}, true, scheme.RefusedTicket},
		{"Kerberos", true, []string{" " + token}, false, scheme.RefusedTicket},
		{"Kerberos", true, []string{"", " " + token}, false, scheme.RefusedTicket},
	} {
		if test.handshake == "Kerberos" {
			loggedIn(t)
		}
		s, conversation := handshake(t, test.handshake)
		_, last := next(t, conversation)
		if test.answered && !last {
			require.Equal(t, scheme.Reading{More: true}, conversation.Challenged(offers(t, s, s.Name()+" "+token), true))
			_, last = next(t, conversation)
		}
		require.Equal(t, test.answered, last)
		var challenges []challenge.Challenge
		for _, offer := range test.offers {
			challenges = append(challenges, offers(t, s, s.Name()+offer)...)
		}
		r := conversation.Challenged(challenges, test.others)
		if test.want == nil {
			require.Equal(t, scheme.Reading{}, r, "%+v", test)
			continue
		}
		require.EqualError(t, r.Err, test.want.Error(), "%+v", test)
		require.Equal(t, scheme.Reading{Err: r.Err}, r)
		require.Equal(t, test.want == scheme.RefusedTicket, r.Err == scheme.RefusedTicket)
		require.Equal(t, test.want.Early, r.Err.Early, "%+v", test)
		conversation.Close()
	}
}

// R24: what comes with the answer that lets the request pass is verified, by Kerberos.
func TestHandshakePassed(t *testing.T) {
	resp := spnego.NegTokenResp{}
	content, err := resp.Marshal()
	require.NoError(t, err)
	resp.NegState = 2
	reject, err := resp.Marshal()
	require.NoError(t, err)
	in64 := base64.StdEncoding.EncodeToString

	unproven := "negotiate: the server did not prove to have the service's key: "
	for _, test := range []struct {
		handshake string
		fields    []string // Proxy-Authenticate
		want      string   // "": content
	}{
		{"NTLM", nil, ""},
		{"NTLM", []string{"NTLM -"}, ""},
		{"NTLM in Negotiate", []string{"Negotiate " + in64(reject)}, ""},
		{"NTLM in Negotiate", []string{"Negotiate -"}, unproven + "the proxy's token is not base64"},
		{"Kerberos", nil, ""},
		{"Kerberos", []string{"Basic", "NTLM -"}, ""},
		{"Kerberos", []string{"Negotiate"}, ""},
		{"Kerberos", []string{"Negotiate " + in64(content)}, ""},
		{"Kerberos", []string{"Negotiate " + in64(content) + ", Negotiate -"}, ""},
		{"Kerberos", []string{"Basic", "nEGOTIATE " + in64(reject)}, unproven + "negotiate: the server refused"},
		{"Kerberos", []string{"Negotiate -"}, unproven + "the proxy's token is not base64"},
	} {
		if test.handshake == "Kerberos" {
			loggedIn(t)
		}
		_, conversation := handshake(t, test.handshake)
		next(t, conversation)
		resp := reply(request(t, "GET", "http://origin.example/"), 200, "")
		if test.fields != nil {
			resp.Header["Proxy-Authenticate"] = test.fields
		}
		session, err := conversation.Passed(resp, nil)
		require.Nil(t, session)
		if test.want == "" {
			require.NoError(t, err, "%+v", test)
			continue
		}
		require.IsType(t, scheme.Unproven{}, err)
		require.EqualError(t, err, test.want)
		require.ErrorIs(t, err, negotiate.ErrServer)
	}
}
