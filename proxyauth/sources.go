package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// A CredentialFunc makes a [CredentialSource] of a function, such as one that asks
// Vault, the secret manager of a cloud, or the user. See [Cached] for one that is slow.
type CredentialFunc func(ctx context.Context, req CredentialRequest) (Credentials, error)

// ProxyCredentials calls f(ctx, req).
func (f CredentialFunc) ProxyCredentials(ctx context.Context, req CredentialRequest) (Credentials, error) {
	return f(ctx, req)
}

// MarshalText returns a fixed text, so that encoding/json and the like can write a value
// that contains f.
func (f CredentialFunc) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// FirstOf returns a source that asks the given sources in their order and returns the
// first answer. Sources that have no credentials ([ErrNoCredentials], or the zero
// Credentials) are passed over, and so are nil sources. Any other error is returned, and
// no further source is asked: a vault that fails must not turn a request over to another
// identity. If no source has credentials, the error is ErrNoCredentials.
func FirstOf(sources ...CredentialSource) CredentialSource {
	sources = slices.Clone(sources)
	return CredentialFunc(func(ctx context.Context, req CredentialRequest) (Credentials, error) {
		for _, source := range sources {
			if source == nil {
				continue
			}
			c, err := source.ProxyCredentials(ctx, req)
			if errors.Is(err, ErrNoCredentials) || err == nil && c.empty() {
				continue
			}
			return c, err
		}
		return Credentials{}, ErrNoCredentials
	})
}

// PerProxy returns a source that asks another source for each proxy. The keys are
// "host" or "host:port" of proxy URLs, without regard to case; an IPv6 address with a
// port is in brackets. "host:port" goes before "host"; the port is that of the proxy URL
// or else of its scheme: 80, 443. A proxy that has no key, or a nil source, gets
// [ErrNoCredentials].
//
// If a key is neither of the two, or two keys mean the same proxy, the source returns an
// error for every proxy.
func PerProxy(sources map[string]CredentialSource) CredentialSource {
	byKey := make(map[string]CredentialSource, len(sources))
	var broken error
	for key, source := range sources {
		name, ok := proxyKey(key)
		_, twice := byKey[name]
		switch {
		case !ok:
			broken = errors.New("proxyauth: PerProxy: a key is not host or host:port")
		case twice:
			broken = fmt.Errorf("proxyauth: PerProxy: two keys for %s", name)
		}
		byKey[name] = source
	}
	return CredentialFunc(func(ctx context.Context, req CredentialRequest) (Credentials, error) {
		if broken != nil {
			return Credentials{}, broken
		}
		host := hostname.Key(req.Proxy.Hostname())
		_, port, _ := net.SplitHostPort(hostname.OfURL(req.Proxy))
		source := byKey[net.JoinHostPort(host, port)]
		if source == nil {
			source = byKey[host]
		}
		if source == nil {
			return Credentials{}, ErrNoCredentials
		}
		return source.ProxyCredentials(ctx, req)
	})
}

// proxyKey returns a key of PerProxy as it is looked up: by hostname.OfURL, or by
// hostname.Key where it has no port.
func proxyKey(key string) (name string, ok bool) {
	if ip := strings.Trim(key, "[]"); net.ParseIP(ip) != nil {
		return hostname.Key(ip), true
	}
	u, err := url.Parse("http://" + key)
	if err != nil || u.Host != key || u.Hostname() == "" || strings.HasSuffix(key, ":") {
		return "", false
	}
	name = hostname.Key(u.Hostname())
	if u.Port() != "" {
		name = net.JoinHostPort(name, u.Port())
	}
	return name, true
}
