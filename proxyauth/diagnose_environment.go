package proxyauth

import (
	"net/url"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// fromEnvironment returns what the environment says about proxies, by the rules
// of FromEnvironment if that made the Transport, else by those of net/http.
func (c *settings) fromEnvironment() *env.Proxies {
	if c.variables != nil {
		return c.variables
	}
	return env.NetHTTPProxies()
}

// describeEnvironment tells which variables that matter on the way to a target
// are set, without what is secret in them, and what is wrong with them.
func (c *settings) describeEnvironment() (details []string, wrong bool) {
	details, wrong = c.fromEnvironment().Describe()
	if c.source != nil { // which takes their place
		return details, wrong
	}
	if err := mistake(c.environment); err != nil {
		return append(details, strings.TrimPrefix(err.Error(), "proxyauth: ")), true
	}
	return details, wrong
}

// whyDirect tells why there is no proxy for a target, as far as that can be
// known, and what to do if there should be one.
func (c *settings) whyDirect(target *url.URL) (why, remedy string) {
	if c.proxy == nil {
		return "Transport.Proxy is nil, and Base.Proxy too: a Base of one's own does not read the environment",
			"set Base.Proxy to http.ProxyFromEnvironment, or begin with http.DefaultTransport.(*http.Transport).Clone()"
	}
	return c.fromEnvironment().WhyNone(target)
}
