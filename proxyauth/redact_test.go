package proxyauth_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

func TestRedact(t *testing.T) {
	const secret = "c2VjcmV0"
	h := http.Header{
		"Proxy-Authorization":       {"Basic " + secret, "Negotiate"},
		"proxy-authorization":       {secret},
		"Authorization":             {"Bearer " + secret},
		"Cookie":                    {"a=" + secret},
		"Set-Cookie":                {"a=" + secret},
		"Proxy-Authentication-Info": {`nextnonce="` + secret + `"`},
		"Accept":                    {"text/plain"},
	}
	safe := proxyauth.RedactHeader(h)
	require.Equal(t, http.Header{
		"Proxy-Authorization":       {"Basic REDACTED", "REDACTED"},
		"proxy-authorization":       {"REDACTED"},
		"Authorization":             {"Bearer REDACTED"},
		"Cookie":                    {"REDACTED"},
		"Set-Cookie":                {"REDACTED"},
		"Proxy-Authentication-Info": {"REDACTED"},
		"Accept":                    {"text/plain"},
	}, safe)
	require.Equal(t, []string{"Basic " + secret, "Negotiate"}, h["Proxy-Authorization"], "a copy")
	require.Nil(t, proxyauth.RedactHeader(nil))

	proxy := &url.URL{Scheme: "http", Host: "proxy:3128", User: url.UserPassword("alice", secret)}
	for _, handler := range []func(*bytes.Buffer, *slog.HandlerOptions) slog.Handler{
		func(b *bytes.Buffer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(b, o) },
		func(b *bytes.Buffer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(b, o) },
	} {
		var out bytes.Buffer
		log := slog.New(handler(&out, &slog.HandlerOptions{ReplaceAttr: proxyauth.RedactAttr}))
		log.Info("request", "header", h, "map", map[string][]string(h), "proxy", proxy, "none", (*url.URL)(nil), "value", *proxy, "authorization", secret,
			"request", &http.Request{URL: proxy, Header: h}, "response", &http.Response{Status: "200 OK", Header: h, Request: &http.Request{Header: h}}, "pointer", &h,
			"proxy_authorization", "Basic "+secret, "Cookie", []string{secret}, slog.Group("g", "set-cookie", secret), "n", 1)
		require.NotContains(t, out.String(), secret)
		require.Contains(t, out.String(), "Basic REDACTED")
		require.Contains(t, out.String(), "text/plain")
		require.Contains(t, out.String(), "proxy:3128")
	}
}

// What holds the same in another type.
func TestRedactAttrTypes(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: proxyauth.RedactAttr}))
	u, err := url.Parse("http://alice:secret@proxy:3128")
	require.NoError(t, err)
	log.Info("x", "u", u.User, "h", textproto.MIMEHeader{"Proxy-Authorization": {"Basic secret"}}, "urls", []*url.URL{u, nil},
		"Proxy-Authorization", []byte("Basic secret"), "other", []byte("kept"))
	require.NotContains(t, out.String(), "secret")
	require.Contains(t, out.String(), "kept")
}
