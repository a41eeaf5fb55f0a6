// Package env reads what the environment of a program says about proxies and credentials:
// its variables, netrc, and files with secrets. Errors name the variable, or the file and
// the line, and never a secret.
package env

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// A Variable is a variable of the environment, with the name under which it is set.
type Variable struct{ Name, Value string }

// lookup returns the first of several variables that is set and not empty. If there is
// none, the Variable has the last name and no value.
func lookup(names ...string) Variable {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return Variable{name, value}
		}
	}
	return Variable{names[len(names)-1], ""}
}

// Proxies are what the environment says about proxies, by the rules of FromEnvironment
// or of net/http, which differ.
type Proxies struct {
	Off                        bool // USE_PROXY switches proxies off; the other fields are zero
	all                        bool // ALL_PROXY takes the place of HTTP_PROXY or HTTPS_PROXY if that is not set
	forHTTP, forHTTPS, noProxy Variable
	cgi                        bool // this is a CGI program, and HTTP_PROXY may come from a request
}

// ReadProxies reads the variables by the rules of proxyauth.FromEnvironment. The error is
// about USE_PROXY; for the other variables see Mistakes.
func ReadProxies() (Proxies, error) {
	use, err := useProxy()
	if err != nil || !use {
		return Proxies{Off: !use}, err
	}
	v := Proxies{
		all:      true,
		forHTTP:  lookup("http_proxy", "HTTP_PROXY"),
		forHTTPS: lookup("https_proxy", "HTTPS_PROXY"),
		noProxy:  lookup("no_proxy", "NO_PROXY"),
	}
	// A CGI program gets the field "Proxy" of a request as the variable HTTP_PROXY.
	v.cgi = v.forHTTP.Value != "" && os.Getenv("REQUEST_METHOD") != ""
	all := lookup("all_proxy", "ALL_PROXY")
	if v.forHTTP.Value == "" {
		v.forHTTP = all
	}
	if v.forHTTPS.Value == "" {
		v.forHTTPS = all
	}
	return v, nil
}

// NetHTTPProxies reads the variables by the rules of net/http.
func NetHTTPProxies() *Proxies {
	return &Proxies{
		forHTTP:  lookup("HTTP_PROXY", "http_proxy"),
		forHTTPS: lookup("HTTPS_PROXY", "https_proxy"),
		noProxy:  lookup("NO_PROXY", "no_proxy"),
		cgi:      os.Getenv("REQUEST_METHOD") != "",
	}
}

// For returns the variable for the scheme of a URL.
func (v *Proxies) For(scheme string) Variable {
	if scheme == "https" {
		return v.forHTTPS
	}
	return v.forHTTP
}

// ProxyFunc returns a function that returns the proxy for a URL, or nil if there is none.
func (v *Proxies) ProxyFunc() func(*url.URL) (*url.URL, error) {
	c := httpproxy.Config{HTTPProxy: v.forHTTP.Value, HTTPSProxy: v.forHTTPS.Value, NoProxy: v.noProxy.Value, CGI: v.cgi}
	return c.ProxyFunc()
}

// Mistakes returns what is wrong with the variables.
func (v *Proxies) Mistakes() (all []error) {
	for i, p := range []Variable{v.forHTTP, v.forHTTPS} {
		if i == 0 || p != v.forHTTP {
			if err := CheckProxy(p.Value); err != nil {
				all = append(all, fmt.Errorf("proxyauth: %s: %w", p.Name, err))
			}
		}
	}
	for _, err := range checkNoProxy(v.noProxy.Value) {
		all = append(all, fmt.Errorf("proxyauth: %s: %w", v.noProxy.Name, err))
	}
	return all
}

// useProxy reads USE_PROXY.
func useProxy() (bool, error) {
	value := os.Getenv("USE_PROXY")
	switch strings.ToLower(value) {
	case "", "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("proxyauth: USE_PROXY: %q is neither true nor false", value)
}
