package proxyauth

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// describeEnvironment tells which variables that matter on the way to a target
// are set, without what is secret in them.
func describeEnvironment() (details []string, wrong bool) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
		lower := strings.ToLower(name)
		for _, name := range []string{name, lower} {
			value := os.Getenv(name)
			if value == "" {
				continue
			}
			shown, valid := value, !strings.Contains(value, "@")
			if lower != "no_proxy" {
				shown, valid = showProxy(value)
			} else if !valid {
				shown = "(not shown: there is an @ in it)"
			}
			wrong = wrong || !valid
			details = append(details, name+"="+shown)
		}
		if a, b := os.Getenv(name), os.Getenv(lower); a != "" && b != "" && a != b {
			wrong = true
			details = append(details, fmt.Sprintf("%s and %s differ, and programs disagree which of them counts", name, lower))
		}
	}
	for _, name := range []string{"PROXY_USER", "PROXY_PASS"} {
		if os.Getenv(name) != "" {
			details = append(details, name+" is set")
		}
	}
	for _, name := range []string{"PROXY_PASS_FILE", "USE_PROXY", "KRB5CCNAME", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		detail := name + "=" + value
		switch name {
		case "PROXY_PASS_FILE", "KRB5_CLIENT_KTNAME", "SSL_CERT_FILE":
			if _, err := os.Stat(strings.TrimPrefix(value, "FILE:")); err != nil {
				wrong = true
				detail += ", which cannot be read"
			}
		}
		details = append(details, detail)
	}
	return details, wrong
}

// showProxy returns the value of HTTP_PROXY and the like without userinfo.
func showProxy(value string) (shown string, valid bool) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	// An "@" further behind is from a password with a "/", "?" or "#" in it.
	if err != nil || u.Hostname() == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return "(not a valid URL, and not shown)", false
	}
	shown = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	if u.User != nil {
		shown += " (and user name and password, not shown)"
	}
	return shown, true
}

// environmentProxy returns what net/http's rules make of the environment for a
// target.
func environmentProxy(target *url.URL) *url.URL {
	u, err := httpproxy.FromEnvironment().ProxyFunc()(target)
	if err != nil {
		return nil
	}
	return u
}

// environmentVariable returns the variable that has the proxy for a target, and
// whether it is valid; "" if none has.
func environmentVariable(target *url.URL) (name string, valid bool) {
	name = strings.ToUpper(target.Scheme) + "_PROXY"
	for _, name := range []string{name, strings.ToLower(name)} {
		if value := os.Getenv(name); value != "" {
			_, valid = showProxy(value)
			return name, valid
		}
	}
	return "", false
}

// whyDirect tells why there is no proxy for a target, as far as that can be
// known, and what to do if there should be one.
func (c *core) whyDirect(target *url.URL) (why, remedy string) {
	variable := strings.ToUpper(target.Scheme) + "_PROXY"
	other := "HTTP_PROXY"
	if variable == other {
		other = "HTTPS_PROXY"
	}
	remedy = "set " + variable + ", or Transport.Proxy"
	if c.proxy == nil {
		return "Transport.Proxy is nil, and Base.Proxy too: a Base of one's own does not read the environment",
			"set Base.Proxy to http.ProxyFromEnvironment, or begin with http.DefaultTransport.(*http.Transport).Clone()"
	}
	e := httpproxy.FromEnvironment()
	value := e.HTTPProxy
	if target.Scheme == "https" {
		value = e.HTTPSProxy
	}
	host := target.Hostname()
	ip := net.ParseIP(host)
	switch {
	case value == "" && (os.Getenv(other) != "" || os.Getenv(strings.ToLower(other)) != ""):
		return fmt.Sprintf("%s is set, but %s is not, and that one counts for %s:// targets", other, variable, target.Scheme), remedy
	case value == "" && (os.Getenv("ALL_PROXY") != "" || os.Getenv("all_proxy") != ""):
		return "ALL_PROXY is set, but net/http does not read it", remedy
	case value == "":
		return variable + " is not set", remedy
	case strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback():
		return "the environment's proxy is never used for localhost and loopback addresses (a rule of net/http)",
			"name the host otherwise, or set Transport.Proxy"
	case environmentProxy(target) == nil:
		return "NO_PROXY excludes " + host, "change NO_PROXY"
	}
	return "Transport.Proxy (or Base.Proxy) gives none, though the environment has one", "look into that function; net/http reads the environment once for the process"
}
