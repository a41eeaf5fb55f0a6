package proxyauth

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
)

// A core is what a Transport becomes at its first use: its settings, and the route to
// each proxy that it has used.
type core struct {
	*settings

	mu     sync.RWMutex
	routes map[routeKey]*route
}

// routeFor returns the route that req takes.
func (c *core) routeFor(req *http.Request) (*route, error) {
	var proxy *url.URL
	if c.proxy != nil {
		var err error
		if proxy, err = c.proxy(req); err != nil {
			return nil, withoutUserinfo(err)
		}
	}
	return c.route(proxy)
}

// redirectedTo reports whether req was made by a redirect of another route:
// http.Client keeps the caller's Proxy-Authorization when a site sends on to a
// part of it, which may be behind another proxy.
func (c *core) redirectedTo(r *route, req *http.Request) bool {
	if req.Response == nil || req.Response.Request == nil || req.Response.Request.URL == nil {
		return false
	}
	before, err := c.routeFor(req.Response.Request)
	return err != nil || before != r
}

// maxRoutes bounds the routes of a Transport. Proxy services that take a
// session's name in the user name make a new one for every session.
const maxRoutes = 1024

// route returns the route for a proxy URL; nil means no proxy.
func (c *core) route(u *url.URL) (*route, error) {
	var key routeKey
	if u != nil {
		key = routeKey{scheme: u.Scheme, host: u.Host}
		if key.scheme == "" {
			key.scheme = "http" // as net/http does
		}
		if u.User != nil {
			key.hasUser = true
			key.username = u.User.Username()
			key.password, _ = u.User.Password()
		}
	}
	c.mu.RLock()
	r := c.routes[key]
	c.mu.RUnlock()
	if r != nil {
		if now := c.connections.clock.Load(); r.used.Load() != now {
			r.used.Store(now)
		}
		return r, nil
	}
	if u != nil && strings.Contains(u.Opaque+u.Path+u.RawQuery+u.Fragment, "@") {
		return nil, errProxyURL // there is no "//", or a raw "#" or the like in the password ended the host
	}
	r, err := newRoute(c.settings, key, dialTunnel)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.routes[key]; first != nil {
		return first, nil
	}
	if len(c.routes) >= maxRoutes {
		c.dropOldest()
	}
	r.used.Store(c.connections.clock.Add(1))
	c.routes[key] = r
	return r, nil
}

// dropOldest forgets the route that was used least recently. Requests under way on it go
// on. c.mu is held.
func (c *core) dropOldest() {
	var oldest *route
	for _, r := range c.routes {
		if oldest == nil || r.used.Load() < oldest.used.Load() {
			oldest = r
		}
	}
	delete(c.routes, oldest.key)
	oldest.retire()
}

// errProxyURL stands in place of an error about a proxy URL that is malformed, whose text
// repeats the URL with its password.
var errProxyURL = errors.New("proxyauth: invalid proxy URL, not shown because it has userinfo: " +
	"write special characters of the user name and password percent-encoded")

// withoutUserinfo returns an error of Transport.Proxy, which often is about a malformed
// HTTP_PROXY, without the userinfo that its text may repeat.
func withoutUserinfo(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) && parse.Op == "parse" {
		return errProxyURL
	}
	if strings.Contains(err.Error(), "@") {
		return printable.Told(errProxyURL.Error(), err)
	}
	return err
}
