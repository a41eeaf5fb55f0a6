package proxyauth

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// fromEnvironment returns what the environment says about proxies, by the rules
// of FromEnvironment if that made the Transport, else by those of net/http.
func (c *core) fromEnvironment() *proxyVariables {
	if c.variables != nil {
		return c.variables
	}
	return &proxyVariables{
		forHTTP:  lookup("HTTP_PROXY", "http_proxy"),
		forHTTPS: lookup("HTTPS_PROXY", "https_proxy"),
		noProxy:  lookup("NO_PROXY", "no_proxy"),
		cgi:      os.Getenv("REQUEST_METHOD") != "",
	}
}

// describeEnvironment tells which variables that matter on the way to a target
// are set, without what is secret in them, and what is wrong with them.
func (c *core) describeEnvironment() (details []string, wrong bool) {
	v := c.fromEnvironment()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
		lower := strings.ToLower(name)
		for _, name := range []string{name, lower} {
			value := os.Getenv(name)
			if value == "" {
				continue
			}
			shown := value
			switch {
			case lower != "no_proxy":
				shown, _ = showProxy(value)
			case strings.Contains(value, "@"):
				shown = "(not shown: there is an @ in it)"
			}
			if lower == "all_proxy" && !v.all && !v.off {
				shown += ", which only FromEnvironment reads"
			}
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
		case "USE_PROXY":
			if c.variables == nil {
				wrong = true
				detail += ", which only FromEnvironment reads"
			}
		case "KRB5_CLIENT_KTNAME", "SSL_CERT_FILE":
			if _, err := os.Stat(strings.TrimPrefix(value, "FILE:")); err != nil {
				wrong = true
				detail += ", which cannot be read"
			}
		}
		details = append(details, detail)
	}
	mistakes := v.mistakes()
	if c.source == nil { // else it takes their place
		mistakes = append(mistakes, mistake(c.environment))
	}
	for _, err := range mistakes {
		if err != nil {
			wrong = true
			details = append(details, strings.TrimPrefix(err.Error(), "proxyauth: "))
		}
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
	v := c.fromEnvironment()
	set := v.of(target.Scheme)
	_, valid := showProxy(set.value)
	host := target.Hostname()
	ip := net.ParseIP(host)
	switch {
	case v.off:
		return "USE_PROXY=" + os.Getenv("USE_PROXY") + " switches proxies off", "unset USE_PROXY"
	case set.value == "" && lookup(other, strings.ToLower(other)).value != "":
		return fmt.Sprintf("%s is set, but %s is not, and that one counts for %s:// targets", other, variable, target.Scheme), remedy
	case set.value == "" && !v.all && lookup("ALL_PROXY", "all_proxy").value != "":
		return "ALL_PROXY is set, but net/http does not read it", remedy + ", or use FromEnvironment"
	case set.value == "":
		return variable + " is not set", remedy
	case !valid:
		return "the value of " + set.name + " is not a valid URL, and net/http passes over it", correctURL
	case strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback():
		return "the environment's proxy is never used for localhost and loopback addresses (a rule of net/http)",
			"name the host otherwise, or set Transport.Proxy"
	}
	if u, err := v.proxyFunc()(target); u == nil && err == nil && v.noProxy.value != "" {
		return v.noProxy.name + " excludes " + host, "change " + v.noProxy.name
	}
	return "Transport.Proxy (or Base.Proxy) gives none, though the environment has one", "look into that function; net/http reads the environment once for the process"
}

// correctURL is what to do about a proxy URL that is not one.
const correctURL = "correct the proxy URL: http://host:port or https://host:port; in user name and password " +
	`write "@" as %40, "/" as %2F, "#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`
