package digest

import (
	"hash"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rfc7616Session returns a session of the example in RFC 7616 §3.9.1.
func rfc7616Session(t *testing.T, parameters string) *Session {
	c := mustChallenge(t, `realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"`+parameters)
	s, err := newSession(c, "Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", Options{})
	require.NoError(t, err)
	return s
}

// R13: rspauth is verified in every form of RFC 7616 §3.5. The values are from
// Python's hashlib, with H(A1) of §3.9.1 and A2 without a method.
func TestVerify(t *testing.T) {
	const (
		md5Auth     = "9b712497bc9f91499fbcca1dfc5f09a5"
		md5Reply    = "dc0baa1f3d1445cb37e57baf16252f49" // of "reply body"
		md5Empty    = "90784b078730942b2d8829a8635a46c5"
		sha256Auth  = "86d3b25618d41854ca5039a5d7e53ff6355d5134a9b1fb088a78ac3c462195a0"
		sha256Reply = "fc8fe775e1bfa2bfac4f6fbba6526f33bde27a44093974411bd8fe121651f18c"
		sha512Auth  = "c8f9593a4f49b95ce2c483cc3222ecd360a5c6ec52ca24a530b0aac18478de8c"
		sha512Empty = "cb4e3022c818eb8bac40a6738d141ee4cad5fb4d5d4eb9c0c3d1190513b65b1b"
		cnonce      = `cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"`
	)
	for _, test := range []struct {
		name, challenge string
		info            string
		reply           string // "" for no hash of a body
		wrong           bool
	}{
		{name: "none", challenge: "qop=auth", info: `nextnonce="x"`},
		{name: "no qop in the challenge", challenge: "", info: `rspauth="x"`},
		{name: "alone", challenge: "qop=auth", info: `rspauth="` + md5Auth + `"`},
		{name: "all parameters", challenge: "qop=auth", info: `rspauth="` + md5Auth + `", qop=auth, nc=00000001, ` + cnonce},
		{name: "upper case", challenge: "qop=auth", info: `rspauth="` + strings.ToUpper(md5Auth) + `", qop=AUTH`},
		{name: "SHA-256", challenge: "qop=auth, algorithm=SHA-256", info: `rspauth="` + sha256Auth + `"`},
		{name: "SHA-512-256", challenge: "qop=auth, algorithm=SHA-512-256", info: `rspauth="` + sha512Auth + `"`},
		{name: "a body that auth does not protect", challenge: "qop=auth", info: `rspauth="` + md5Auth + `"`, reply: "reply body"},
		{name: "auth-int", challenge: "qop=auth-int", info: `rspauth="` + md5Reply + `"`, reply: "reply body"},
		{name: "auth-int SHA-256", challenge: "qop=auth-int, algorithm=SHA-256", info: `rspauth="` + sha256Reply + `", qop=auth-int`, reply: "reply body"},
		{name: "auth-int without a body", challenge: "qop=auth-int", info: `rspauth="` + md5Empty + `"`},
		{name: "auth-int SHA-512-256 without a body", challenge: "qop=auth-int, algorithm=SHA-512-256", info: `rspauth="` + sha512Empty + `"`},
		{name: "auth-int in a reply to auth", challenge: "qop=auth", info: `rspauth="` + md5Reply + `", qop=auth-int`, reply: "reply body"},
		{name: "auth in a reply to auth-int", challenge: "qop=auth-int", info: `rspauth="` + md5Auth + `", qop=auth`, reply: "reply body"},

		{name: "zeros", challenge: "qop=auth", info: `rspauth="00000000000000000000000000000000"`, wrong: true},
		{name: "empty", challenge: "qop=auth", info: `rspauth=""`, wrong: true},
		{name: "cut short", challenge: "qop=auth", info: `rspauth="` + md5Auth[:31] + `"`, wrong: true},
		{name: "another body", challenge: "qop=auth-int", info: `rspauth="` + md5Reply + `"`, reply: "other body", wrong: true},
		{name: "another nc", challenge: "qop=auth", info: `rspauth="` + md5Auth + `", nc=00000002`, wrong: true},
		{name: "another cnonce", challenge: "qop=auth", info: `rspauth="` + md5Auth + `", cnonce="other"`, wrong: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.challenge != "" {
				test.challenge = ", " + test.challenge
			}
			s := rfc7616Session(t, test.challenge)
			a, err := s.Authorize("GET", "/dir/index.html", nil)
			require.NoError(t, err)
			var body hash.Hash
			if test.reply != "" {
				body = s.NewBodyHash()
				io.WriteString(body, test.reply)
			}
			info, err := ParseParams(test.info)
			require.NoError(t, err)
			err = s.Verify(info, a, body)
			if test.wrong {
				require.ErrorIs(t, err, ErrServer)
				return
			}
			require.NoError(t, err)
		})
	}
}

// R13: a proof belongs to one nonce count, written in either case.
func TestVerifyNonceCount(t *testing.T) {
	s := rfc7616Session(t, ", qop=auth")
	var a Answer
	for range 10 {
		var err error
		a, err = s.Authorize("GET", "/dir/index.html", nil)
		require.NoError(t, err)
	}
	right := string(s.response(nil, nil, "", a, "auth", nil))
	require.NoError(t, s.Verify(Params{{"rspauth", right}, {"nc", "0000000A"}}, a, nil))
	require.NoError(t, s.Verify(Params{{"rspauth", right}, {"nc", "0000000a"}}, a, nil))
	require.ErrorIs(t, s.Verify(Params{{"rspauth", right}, {"nc", "a"}}, a, nil), ErrServer)
}
