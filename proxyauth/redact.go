package proxyauth

import (
	"log/slog"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// RedactHeader returns a copy of h for logs: of Proxy-Authorization,
// Authorization, cookies and the like only the scheme is left. Names of fields
// count in any case. A nil h gives nil.
func RedactHeader(h http.Header) http.Header { return secret.RedactHeader(h) }

// RedactAttr is a [slog.HandlerOptions] ReplaceAttr for programs that log
// requests: it shows an [http.Header] by [RedactHeader], a [url.URL] without its
// password, of a [*http.Request] and a [*http.Response] the first line, and a
// string attribute named as one of those fields (in any case, "_" for "-" too)
// redacted.
func RedactAttr(groups []string, a slog.Attr) slog.Attr { return secret.RedactAttr(groups, a) }
