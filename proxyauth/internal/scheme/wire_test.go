package scheme_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

var alice = scheme.Credentials{Username: "alice", Password: "open sesame"}

// offers returns what of the challenges of a response is of one scheme, the best first.
func offers(t testing.TB, s scheme.Scheme, fields ...string) []challenge.Challenge {
	t.Helper()
	all, err := scheme.ParseChallenges(fields)
	require.NoError(t, err)
	var own []challenge.Challenge
	for _, c := range all {
		if c.Is(s.Name()) {
			own = append(own, c)
		}
	}
	return s.Best(own)
}

// begin returns the session by which alice answers the challenges of a response.
func begin(t testing.TB, s scheme.Scheme, fields ...string) scheme.Session {
	t.Helper()
	session, err := s.Begin(t.Context(), scheme.Proxy{Host: "proxy.example"}, offers(t, s, fields...), alice)
	require.NoError(t, err)
	return session
}

// request returns a request without a body.
func request(t testing.TB, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	return req
}

// talk begins a conversation about a request that is forwarded.
func talk(t testing.TB, s scheme.Session) scheme.Talk {
	t.Helper()
	return s.Talk(t.Context(), scheme.Peer{Host: "proxy.example"}, request(t, "GET", "http://origin.example/path?query"), false)
}

// next returns the one value of the field that goes out next.
func next(t testing.TB, talk scheme.Talk) (value string, last bool) {
	t.Helper()
	field, last, err := talk.Next()
	require.NoError(t, err)
	require.Len(t, field, 1)
	return field[0], last
}

// token returns the token of a field's value.
func token(t testing.TB, name, value string) []byte {
	t.Helper()
	token68, ok := strings.CutPrefix(value, name+" ")
	require.True(t, ok, value)
	token, err := base64.StdEncoding.DecodeString(token68)
	require.NoError(t, err)
	return token
}

// reply returns the response to a request, with header fields "Name: value".
func reply(req *http.Request, status int, body string, fields ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		resp.Header.Add(name, value)
	}
	return resp
}

// requireFailure requires the error of a Talk, and returns it.
func requireFailure(t testing.TB, err error) *scheme.Failure {
	t.Helper()
	require.Error(t, err)
	require.IsType(t, (*scheme.Failure)(nil), err)
	return err.(*scheme.Failure)
}
