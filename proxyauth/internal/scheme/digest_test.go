package scheme_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

var plainDigest = scheme.Digest(scheme.DigestOptions{})

// sent returns the parameters of the answer that goes out next.
func sent(t testing.TB, talk scheme.Talk) digest.Params {
	t.Helper()
	value, last := next(t, talk)
	require.True(t, last)
	rest, ok := strings.CutPrefix(value, "Digest ")
	require.True(t, ok, value)
	params, err := digest.ParseParams(rest)
	require.NoError(t, err)
	return params
}

// digestOf is the response of RFC 7616 §3.4.1 by MD5 with alice's password, or for no
// method the rspauth of §3.5; body counts for auth-int.
func digestOf(answer digest.Params, method, body string) string {
	h := func(parts ...string) string {
		sum := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum[:])
	}
	a1 := h(alice.Username, answer.Get("realm"), alice.Password)
	switch qop := answer.Get("qop"); qop {
	case "":
		return h(a1, answer.Get("nonce"), h(method, answer.Get("uri")))
	case "auth-int":
		return h(a1, answer.Get("nonce"), answer.Get("nc"), answer.Get("cnonce"), qop, h(method, answer.Get("uri"), h(body)))
	default:
		return h(a1, answer.Get("nonce"), answer.Get("nc"), answer.Get("cnonce"), qop, h(method, answer.Get("uri")))
	}
}

// R11: the strongest algorithm is answered, the first of equals, and what cannot be
// answered is answered last.
func TestDigestBest(t *testing.T) {
	const (
		md5     = `Digest realm="md5", nonce="n"`
		also    = `Digest realm="also", nonce="n", algorithm=MD5`
		sha     = `Digest realm="sha", nonce="n", algorithm=SHA-256`
		unknown = `Digest realm="unknown", nonce="n", algorithm=SHA-3`
		broken  = `Digest realm="broken", nonce=""`
	)
	for name, test := range map[string]struct{ offered, want []string }{
		"none":                  {nil, nil},
		"the strongest is last": {[]string{md5, also, sha}, []string{"sha", "md5", "also"}},
		"between others":        {[]string{md5, sha, also}, []string{"sha", "md5", "also"}},
		"the first of equals":   {[]string{md5, also}, []string{"md5", "also"}},
		"an unknown one":        {[]string{unknown, md5}, []string{"md5", "unknown"}},
		"one without nonce":     {[]string{broken, unknown}, []string{"unknown", "broken"}},
		"only broken":           {[]string{broken}, []string{"broken"}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := scheme.ParseChallenges(test.offered)
			require.NoError(t, err)
			var before, after []string
			for _, c := range all {
				before = append(before, c.Params.Get("realm"))
			}
			var got []string
			for _, c := range plainDigest.Best(all) {
				got = append(got, c.Params.Get("realm"))
			}
			require.Equal(t, test.want, got)
			for _, c := range all {
				after = append(after, c.Params.Get("realm"))
			}
			require.Equal(t, before, after, "the caller's slice stays as it is")
		})
	}
}

// What cannot be answered is told.
func TestDigestBeginErrors(t *testing.T) {
	for text, test := range map[string]struct {
		offer []string
		user  string
	}{
		"no challenge":                                  {nil, "alice"},
		"digest: challenge without nonce":               {[]string{`Digest realm="r", nonce=""`}, "alice"},
		`digest: algorithm "SHA-3": not supported`:      {[]string{`Digest realm="r", nonce="n", algorithm=SHA-3`}, "alice"},
		`digest: the user name has a control character`: {[]string{`Digest realm="r", nonce="n"`}, "\n"},
	} {
		session, err := plainDigest.Begin(t.Context(), scheme.Proxy{}, offers(t, plainDigest, test.offer...), scheme.Credentials{Username: test.user})
		require.EqualError(t, err, text)
		require.Nil(t, session)
	}
}

// A better algorithm protects better than a better qop.
func TestDigestNature(t *testing.T) {
	before := 0
	for _, test := range []struct{ params, protectedBy string }{
		{`realm="r", nonce="n"`, "MD5, no qop"},
		{`realm="r", nonce="n", algorithm=MD5, qop="auth"`, "MD5, qop auth"},
		{`realm="r", nonce="n", algorithm=MD5-sess, qop="auth-int"`, "MD5, qop auth-int"},
		{`realm="r", nonce="n", algorithm=SHA-256`, "SHA-256, no qop"},
		{`realm="r", nonce="n", algorithm=sha-256-sess, qop="other,auth-int,auth"`, "SHA-256, qop auth"},
		{`realm="r", nonce="n", algorithm=SHA-256, qop="auth-int"`, "SHA-256, qop auth-int"},
		{`realm="r", nonce="n", algorithm=SHA-512-256`, "SHA-512-256, no qop"},
		{`realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"`, "SHA-512-256, qop auth"},
		{`realm="r", nonce="n", algorithm=SHA-512-256, qop="auth-int"`, "SHA-512-256, qop auth-int"},
	} {
		nature := begin(t, plainDigest, "Digest "+test.params).Nature()
		require.Greater(t, nature.Protection, before)
		require.Equal(t, scheme.Nature{Expires: true, Protection: nature.Protection, ProtectedBy: test.protectedBy}, nature)
		before = nature.Protection
	}
	prefers := scheme.Digest(scheme.DigestOptions{PreferAuthInt: true})
	require.Equal(t, "MD5, qop auth-int", begin(t, prefers, `Digest realm="r", nonce="n", qop="auth,auth-int"`).Nature().ProtectedBy)
}

// R15: the digest-uri, and whatever else an answer says of the request.
func TestDigestAnswer(t *testing.T) {
	connect := request(t, "CONNECT", "http://origin.example")
	connect.Host = "origin.example:443"
	opaque := request(t, "GET", "http://origin.example/")
	opaque.URL.Opaque = "//origin.example/opaque"
	noMethod := request(t, "", "http://origin.example/x")
	noMethod.Method = ""
	for name, test := range map[string]struct {
		req         *http.Request
		uri         string
		absoluteURI string
	}{
		"GET":       {request(t, "GET", "http://origin.example/path?query"), "/path?query", "http://origin.example/path?query"},
		"POST":      {request(t, "POST", "http://bücher.example:8080"), "/", "http://xn--bcher-kva.example:8080/"},
		"CONNECT":   {connect, "origin.example:443", "origin.example:443"},
		"opaque":    {opaque, "http://origin.example/opaque", "http://origin.example/opaque"},
		"no method": {noMethod, "/x", "http://origin.example/x"},
	} {
		for absolute, uri := range map[bool]string{false: test.uri, true: test.absoluteURI} {
			session := begin(t, scheme.Digest(scheme.DigestOptions{AbsoluteURI: absolute}), `Digest realm="r", nonce="n", opaque="o", qop="auth"`)
			answer := sent(t, session.Talk(t.Context(), scheme.Peer{}, test.req, false))
			require.Equal(t, uri, answer.Get("uri"), name)
			method := test.req.Method
			if method == "" {
				method = "GET"
			}
			require.Equal(t, digestOf(answer, method, ""), answer.Get("response"), name)
			require.Equal(t, "o", answer.Get("opaque"))
		}
	}
}

// R11: auth-int hashes the body ahead of sending it, if that can be read twice.
func TestDigestBody(t *testing.T) {
	unreadable := errors.New("unreadable")
	for name, test := range map[string]struct {
		body    io.ReadCloser
		getBody func() (io.ReadCloser, error)
		hashed  string
		failure *scheme.Failure
	}{
		"none":            {body: nil},
		"http.NoBody":     {body: http.NoBody},
		"replayable":      {io.NopCloser(strings.NewReader("body")), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }, "body", nil},
		"stream":          {io.NopCloser(strings.NewReader("body")), nil, "", &scheme.Failure{Err: digest.ErrBodyNeeded, Remedy: "set Request.GetBody"}},
		"failing GetBody": {io.NopCloser(strings.NewReader("body")), func() (io.ReadCloser, error) { return nil, unreadable }, "", &scheme.Failure{Err: unreadable}},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "POST", "http://origin.example/")
			req.Body, req.GetBody = test.body, test.getBody
			for options, qop := range map[scheme.DigestOptions]string{{}: "auth", {PreferAuthInt: true}: "auth-int"} {
				session := begin(t, scheme.Digest(options), `Digest realm="r", nonce="n", qop="auth,auth-int"`)
				conversation := session.Talk(t.Context(), scheme.Peer{}, req, false)
				if test.failure != nil && qop == "auth-int" {
					field, last, err := conversation.Next()
					require.Equal(t, test.failure, err)
					require.Nil(t, field)
					require.False(t, last)
					require.False(t, session.Used())
					continue
				}
				answer := sent(t, conversation)
				require.Equal(t, qop, answer.Get("qop"))
				require.Equal(t, digestOf(answer, "POST", test.hashed), answer.Get("response"))
			}
		})
	}
}

// R16: a session is used by any number of requests, each at the cost of the value and
// of one object beside.
func TestDigestSession(t *testing.T) {
	session := begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`)
	require.False(t, session.Used())
	require.Equal(t, "00000001", sent(t, talk(t, session)).Get("nc"))
	require.True(t, session.Used())
	require.Equal(t, "00000002", sent(t, talk(t, session)).Get("nc"))
	require.False(t, session.Other(t.Context()))
	require.Equal(t, "with them", session.Describe(t.Context(), "with them"))

	req := request(t, "GET", "http://origin.example/")
	resp := reply(req, 200, "")
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		talk := session.Talk(t.Context(), scheme.Peer{}, req, false)
		talk.Next()
		talk.Passed(resp, nil)
		talk.Close()
	}), 2.0)
}
