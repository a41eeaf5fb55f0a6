package proxyauth

import (
	"maps"
	"net/http"
	"strings"
)

const proxyAuthorization = "Proxy-Authorization"

// authorizationIn returns the values of Proxy-Authorization in a header, in
// whatever case a program may have put it into the map.
func authorizationIn(h http.Header) []string {
	var all []string
	for name, values := range h {
		if strings.EqualFold(name, proxyAuthorization) {
			all = append(all, values...)
		}
	}
	return all
}

// setAuthorization sets the field, in place of one that the caller may have set
// in whatever case.
func setAuthorization(h http.Header, values []string) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.EqualFold(name, proxyAuthorization) })
	h[proxyAuthorization] = values
}

// withoutProxyAuthorization returns req itself where it has no such field, in
// whatever case a program may have put it into the map.
func withoutProxyAuthorization(req *http.Request) *http.Request {
	for name := range req.Header {
		if len(name) == len(proxyAuthorization) && strings.EqualFold(name, proxyAuthorization) {
			bare := *req
			bare.Header = maps.Clone(req.Header)
			maps.DeleteFunc(bare.Header, func(name string, _ []string) bool {
				return strings.EqualFold(name, proxyAuthorization)
			})
			return &bare
		}
	}
	return req
}

// secretsIn returns what of these values of Proxy-Authorization must not show up
// in an error, though the proxy may repeat it.
func secretsIn(authorization []string) []string {
	var all []string
	for _, value := range authorization {
		name, token, _ := strings.Cut(value, " ")
		all = append(all, value, token)
		// Not only the schemes in use count: the caller may have set the field, and
		// by a scheme of its own, which may have a response as Digest has.
		scheme := schemeNamed(DefaultSchemes(), name)
		if scheme == nil {
			scheme = Digest()
		}
		all = append(all, scheme.secretsIn(token)...)
	}
	return all
}
