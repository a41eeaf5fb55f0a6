package secret

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
)

// secretFields are the fields that hold credentials, or what can be used like credentials
// for some time.
var secretFields = [...]string{
	"Proxy-Authorization", "Proxy-Authentication-Info", "Authorization", "Authentication-Info", "Cookie", "Set-Cookie",
}

// RedactHeader returns a copy of h for logs, in which credentials and cookies are
// redacted; of Proxy-Authorization and Authorization the scheme is left. Names of fields
// are compared without regard to case. A nil h gives nil.
func RedactHeader(h http.Header) http.Header {
	safe := h.Clone()
	for name, values := range safe {
		for i, value := range values {
			values[i] = redactField(name, value)
		}
	}
	return safe
}

func redactField(name, value string) string {
	for _, secret := range secretFields {
		if !strings.EqualFold(name, secret) {
			continue
		}
		scheme, _, found := strings.Cut(value, " ")
		if !found || !strings.HasSuffix(strings.ToLower(name), "authorization") {
			return Withheld
		}
		return scheme + " " + Withheld
	}
	return value
}

// RedactAttr is a [slog.HandlerOptions] ReplaceAttr for programs that log requests. It
// replaces an [http.Header] by what [RedactHeader] returns for it, a [url.URL] by one
// without password, and a [*http.Request] or [*http.Response] by its first line. A
// string attribute whose key is the name of a field that RedactHeader redacts (in any
// case, with "_" or "-") is redacted as that field is.
func RedactAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case http.Header:
		a.Value = slog.AnyValue(RedactHeader(v))
	case *http.Header:
		if v != nil {
			a.Value = slog.AnyValue(RedactHeader(*v))
		}
	case textproto.MIMEHeader:
		a.Value = slog.AnyValue(RedactHeader(http.Header(v)))
	case map[string][]string:
		a.Value = slog.AnyValue(RedactHeader(v))
	case *url.URL:
		if v != nil {
			a.Value = slog.StringValue(v.Redacted())
		}
	case []*url.URL:
		safe := make([]string, len(v))
		for i, u := range v {
			if u != nil {
				safe[i] = u.Redacted()
			}
		}
		a.Value = slog.AnyValue(safe)
	case *url.Userinfo:
		if v != nil {
			a.Value = slog.StringValue(Withheld)
		}
	case url.URL:
		a.Value = slog.StringValue(v.Redacted())
	case *http.Request:
		if v != nil && v.URL != nil {
			a.Value = slog.StringValue(cmp.Or(v.Method, http.MethodGet) + " " + v.URL.Redacted())
		}
	case *http.Response:
		if v != nil {
			a.Value = slog.StringValue(printable.Line(v.Proto + " " + v.Status))
		}
	case []string:
		safe := make([]string, len(v))
		for i := range v {
			safe[i] = redactField(strings.ReplaceAll(a.Key, "_", "-"), v[i])
		}
		a.Value = slog.AnyValue(safe)
	case []byte:
		if safe := redactField(strings.ReplaceAll(a.Key, "_", "-"), string(v)); safe != string(v) {
			a.Value = slog.StringValue(safe)
		}
	case string:
		a.Value = slog.StringValue(redactField(strings.ReplaceAll(a.Key, "_", "-"), v))
	}
	return a
}
