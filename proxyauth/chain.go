package proxyauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// Chain returns a Transport for each proxy of a chain, given by their URLs from
// the first, which is reached directly, to the last, which reaches the targets.
// Each is reached through the one before: use the last.
//
// The user name and password of each hop are those of its URL, or of its Credentials;
// PROXY_USER and PROXY_PASS are not used, since they would go to each hop. Before the
// first use each Transport can get its own Credentials, Schemes, ProxyTLSClientConfig
// and all else. Each has a Base that no other shares; the Base of the last one has the
// TLS settings for targets. An error of a hop names the proxy of that hop.
//
// It is an error if there is no proxy, or if a URL is malformed or not http:// or
// https://.
func Chain(proxies ...string) ([]*Transport, error) {
	if len(proxies) == 0 {
		return nil, errors.New("proxyauth: a chain needs at least one proxy")
	}
	var hops []*Transport
	for i, proxy := range proxies {
		u, err := url.Parse(proxy)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("proxyauth: chain: the URL of proxy %d is not valid: write it as http://user:password@host:port, "+
				"special characters of the user name and password percent-encoded", i+1)
		}
		if u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("proxyauth: chain: proxy %d has URL scheme %q: use http or https", i+1, u.Scheme)
		}
		if err := env.CheckProxy(proxy); err != nil {
			return nil, fmt.Errorf("proxyauth: chain: proxy %d: %w", i+1, err)
		}
		base := &http.Transport{ForceAttemptHTTP2: true}
		if startTransport != nil {
			base = startTransport.Clone()
		}
		if i > 0 {
			base.DialContext = hops[i-1].DialContext
		}
		hops = append(hops, &Transport{Base: base, Proxy: http.ProxyURL(u), Credentials: FirstOf()})
	}
	return hops, nil
}
