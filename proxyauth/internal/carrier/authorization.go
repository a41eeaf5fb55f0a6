package carrier

import (
	"maps"
	"net/http"
	"strings"
)

const proxyAuthorization = "Proxy-Authorization"

// isAuthorization reports whether name is Proxy-Authorization, in whatever case a
// program may have put it into a header.
func isAuthorization(name string) bool { return strings.EqualFold(name, proxyAuthorization) }

// Authorization returns the values of Proxy-Authorization in a header.
func Authorization(h http.Header) []string {
	var all []string
	for name, values := range h {
		if isAuthorization(name) {
			all = append(all, values...)
		}
	}
	return all
}

// SetAuthorization sets Proxy-Authorization in a header, in place of what the caller
// may have set.
func SetAuthorization(h http.Header, values []string) {
	removeAuthorization(h)
	h[proxyAuthorization] = values
}

// WithoutAuthorization returns req without Proxy-Authorization: req itself where it
// has none.
func WithoutAuthorization(req *http.Request) *http.Request {
	for name := range req.Header {
		if isAuthorization(name) {
			bare := *req
			bare.Header = maps.Clone(req.Header)
			removeAuthorization(bare.Header)
			return &bare
		}
	}
	return req
}

func removeAuthorization(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return isAuthorization(name) })
}
