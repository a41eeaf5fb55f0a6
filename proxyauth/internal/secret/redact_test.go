package secret_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// header has a secret, "c2VjcmV0", in each field that may hold one.
func header() http.Header {
	return http.Header{
		"Proxy-Authorization":       {"Basic c2VjcmV0", "Negotiate"},
		"proxy-authorization":       {"c2VjcmV0"},
		"Authorization":             {"Bearer c2VjcmV0"},
		"Cookie":                    {"a=c2VjcmV0; b=c2VjcmV0"},
		"Set-Cookie":                {"a=c2VjcmV0; Path=/"},
		"Proxy-Authentication-Info": {`qop=auth, nextnonce="c2VjcmV0"`},
		"Authentication-Info":       {`nextnonce="c2VjcmV0"`},
		"Accept":                    {"text/plain", "a b"},
	}
}

// R35: what may hold a secret in a header is struck.
func TestRedactHeader(t *testing.T) {
	h := header()
	require.Equal(t, http.Header{
		"Proxy-Authorization":       {"Basic REDACTED", "REDACTED"},
		"proxy-authorization":       {"REDACTED"},
		"Authorization":             {"Bearer REDACTED"},
		"Cookie":                    {"REDACTED"},
		"Set-Cookie":                {"REDACTED"},
		"Proxy-Authentication-Info": {"REDACTED"},
		"Authentication-Info":       {"REDACTED"},
		"Accept":                    {"text/plain", "a b"},
	}, secret.RedactHeader(h))
	require.Equal(t, header(), h, "a copy")
	require.Nil(t, secret.RedactHeader(nil))
}

// R35: what holds a secret in an attribute of a log, by its type or its name.
func TestRedactAttr(t *testing.T) {
	const token = "c2VjcmV0"
	u := &url.URL{Scheme: "http", Host: "proxy:3128", User: url.UserPassword("alice", token)}
	h := header()
	var none *http.Header
	for _, test := range []struct {
		key   string
		value any
		want  string // as it is printed
	}{
		{"h", h, "Basic REDACTED"},
		{"h", &h, "Basic REDACTED"},
		{"h", none, "<nil>"},
		{"h", textproto.MIMEHeader(h), "Basic REDACTED"},
		{"h", map[string][]string(h), "Basic REDACTED"},
		{"u", u, "http://alice:xxxxx@proxy:3128"},
		{"u", (*url.URL)(nil), "<nil>"},
		{"u", *u, "http://alice:xxxxx@proxy:3128"},
		{"u", []*url.URL{nil, u}, "[ http://alice:xxxxx@proxy:3128]"},
		{"u", u.User, "REDACTED"},
		{"u", (*url.Userinfo)(nil), ""},
		{"r", &http.Request{URL: u, Header: h}, "GET http://alice:xxxxx@proxy:3128"},
		{"r", &http.Request{Method: "PUT", URL: u}, "PUT http://alice:xxxxx@proxy:3128"},
		{"r", (*http.Request)(nil), "<nil>"},
		{"r", &http.Response{Proto: "HTTP/1.1", Status: "200 OK", Header: h}, "HTTP/1.1 200 OK"},
		{"r", (*http.Response)(nil), "<nil>"},
		{"Cookie", []string{token}, "[REDACTED]"},
		{"words", []string{"kept"}, "[kept]"},
		{"proxy_authorization", "Basic " + token, "Basic REDACTED"},
		{"Proxy-Authorization", []byte("Basic " + token), "Basic REDACTED"},
		{"set-cookie", token, "REDACTED"},
		{"SET_COOKIE", []string{token, token}, "[REDACTED REDACTED]"},
		{"word", "kept", "kept"},
		{"word", []byte("kept"), "[107 101 112 116]"},
		{"n", 407, "407"},
	} {
		got := secret.RedactAttr(nil, slog.Any(test.key, test.value)).Value.String()
		require.Contains(t, got, test.want, "%s %T", test.key, test.value)
		require.NotContains(t, got, token)
	}
	got := secret.RedactAttr(nil, slog.Any("r", &http.Request{Method: "GET"}))
	require.Equal(t, slog.KindAny, got.Value.Kind(), "one without a URL")
	require.Equal(t, header(), h, "unchanged")

	for _, handler := range []func(*bytes.Buffer, *slog.HandlerOptions) slog.Handler{
		func(b *bytes.Buffer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(b, o) },
		func(b *bytes.Buffer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(b, o) },
	} {
		var out bytes.Buffer
		log := slog.New(handler(&out, &slog.HandlerOptions{ReplaceAttr: secret.RedactAttr}))
		log.Info("request", "header", h, "proxy", u, slog.Group("g", "set-cookie", token), "n", 1)
		require.NotContains(t, out.String(), token)
		require.Contains(t, out.String(), "Basic REDACTED")
		require.Contains(t, out.String(), "proxy:3128")
	}
}
