package proxyauth

import (
	"log/slog"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// RedactHeader returns a copy of h for logs, in which credentials and cookies are
// redacted; of Proxy-Authorization and Authorization the scheme is left. Names of fields
// are compared without regard to case. A nil h gives nil.
func RedactHeader(h http.Header) http.Header { return secret.RedactHeader(h) }

// RedactAttr is a [slog.HandlerOptions] ReplaceAttr for programs that log requests. It
// replaces an [http.Header] by what [RedactHeader] returns for it, a [url.URL] by one
// without password, and a [*http.Request] or [*http.Response] by its first line. A
// string attribute whose key is the name of a field that RedactHeader redacts (in any
// case, with "_" or "-") is redacted as that field is. Groups do not matter.
func RedactAttr(groups []string, a slog.Attr) slog.Attr { return secret.RedactAttr(groups, a) }
