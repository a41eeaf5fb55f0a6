package proxyauth

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/lockout"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// settings are what the fields of a Transport say, with their defaults, as of its first
// use; and the guard, the counters and the connections of all its routes.
type settings struct {
	original    *http.Transport
	base        *http.Transport // the original's clone
	proxy       func(*http.Request) (*url.URL, error)
	source      CredentialSource
	environment CredentialFunc // asked where source is nil
	variables   *env.Proxies   // of which FromEnvironment has made proxy; nil: it has not
	schemes     []scheme.Scheme
	proxyTLS    *tls.Config
	noClearText bool
	resolver    *net.Resolver // nil: the proxy resolves names
	retry       *RetryPolicy  // nil: nothing is repeated
	log         *slog.Logger

	guard       *lockout.Guard
	counters    counters
	connections connections
}

// defaultIdle is how many idle connections are kept where Base sets no limit.
// net/http's default of two for a host would throw handshakes away.
const defaultIdle = 100

// maxIdle returns how many authenticated connections may be idle on a route.
func (s *settings) maxIdle() int {
	switch b := s.base; {
	case b.DisableKeepAlives || b.MaxIdleConnsPerHost < 0:
		return 0
	case b.MaxIdleConnsPerHost > 0:
		return b.MaxIdleConnsPerHost
	case b.MaxIdleConns > 0:
		return b.MaxIdleConns
	}
	return defaultIdle
}

// unasked reports whether the only scheme allowed needs no challenge, so that it can be
// used before the proxy has asked.
func (s *settings) unasked() bool {
	return len(s.schemes) == 1 && !s.schemes[0].Traits().NeedsChallenge
}
