package scheme_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// R9: the vectors of RFC 7617 §2 and §2.1, and the form of what is beyond ASCII.
func TestBasicField(t *testing.T) {
	for name, test := range map[string]struct {
		cred  scheme.Credentials
		offer []string
		want  string
	}{
		"RFC 7617 §2":        {scheme.Credentials{Username: "Aladdin", Password: "open sesame"}, []string{`Basic realm="r"`}, "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		"RFC 7617 §2.1":      {scheme.Credentials{Username: "test", Password: "123£"}, []string{`Basic realm="r", charset="UTF-8"`}, "dGVzdDoxMjPCow=="},
		"colon in password":  {scheme.Credentials{Username: "a", Password: "b:c d"}, []string{`Basic realm="r"`}, "YTpiOmMgZA=="},
		"edges of control":   {scheme.Credentials{Username: " ", Password: "~\u00a0"}, []string{`Basic realm="r"`}, "IDp+wqA="},
		"NFC by charset":     {scheme.Credentials{Username: "u\u0308"}, []string{`Basic realm="r", charset=utf-8`}, "w7w6"},
		"NFC unasked":        {scheme.Credentials{Username: "u\u0308"}, nil, "w7w6"},
		"as it is":           {scheme.Credentials{Username: "u\u0308"}, []string{`Basic realm="r"`}, "dcyIOg=="},
		"the first of two":   {scheme.Credentials{Username: "u\u0308"}, []string{`Basic realm="r"`, `Basic realm="s", charset="UTF-8"`}, "dcyIOg=="},
		"nothing but a name": {scheme.Credentials{Username: "a"}, nil, "YTo="},
	} {
		t.Run(name, func(t *testing.T) {
			session, err := scheme.Basic().Begin(t.Context(), scheme.Proxy{}, offers(t, scheme.Basic(), test.offer...), test.cred)
			require.NoError(t, err)
			value, last := next(t, talk(t, session))
			require.Equal(t, "Basic "+test.want, value)
			require.True(t, last)
		})
	}
}

// R9: what Basic cannot send is an error before anything is sent.
func TestBasicCannotSend(t *testing.T) {
	for text, cred := range map[string]scheme.Credentials{
		"the user name has a colon, which Basic cannot send": {Username: "a:b"},

		"the user name or password has a control character, which Basic cannot send": {Username: "a", Password: "\n"},
	} {
		_, err := scheme.Basic().Begin(t.Context(), scheme.Proxy{}, nil, cred)
		require.EqualError(t, err, text)
	}
	for _, control := range []string{"\x00", "\x1f", "\x7f", "\u0080", "\u009f"} {
		for _, cred := range []scheme.Credentials{{Username: control}, {Username: "a", Password: control}} {
			_, err := scheme.Basic().Begin(t.Context(), scheme.Proxy{}, nil, cred)
			require.ErrorContains(t, err, "control character", "%q", control)
		}
	}
}

// R10: every request carries the same field, which costs nothing.
func TestBasicSession(t *testing.T) {
	session := begin(t, scheme.Basic(), `Basic realm="r"`)
	require.Equal(t, scheme.Nature{}, session.Nature())
	require.False(t, session.Used())
	require.False(t, session.Other(t.Context()))
	require.Equal(t, "with them", session.Describe(t.Context(), "with them"))

	req := request(t, "GET", "http://origin.example/")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		talk := session.Talk(t.Context(), scheme.Peer{}, req, false)
		talk.Next()
		talk.Close()
	}))
	require.False(t, session.Used(), "the challenge is good for any number of conversations")

	conversation := talk(t, session)
	require.Equal(t, scheme.Reading{Next: session}, conversation.Challenged(offers(t, scheme.Basic(), `Basic realm="other"`), false))
	other, err := conversation.Passed(reply(req, 200, ""), nil)
	require.NoError(t, err)
	require.Nil(t, other)
}
