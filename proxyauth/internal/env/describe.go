package env

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// Describe lists the variables that are set and matter on the way to a target, without
// their secrets, and what is wrong with them.
func (v *Proxies) Describe() (details []string, wrong bool) {
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
				shown, _ = ShowProxy(value)
			case strings.Contains(value, "@"):
				shown = "(not shown: there is an @ in it)"
			}
			if lower == "all_proxy" && !v.all && !v.Off {
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
			if !v.all && !v.Off {
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
	for _, err := range v.Mistakes() {
		wrong = true
		details = append(details, strings.TrimPrefix(err.Error(), "proxyauth: "))
	}
	return details, wrong
}

// ShowProxy returns the value of HTTP_PROXY and the like without userinfo. If the value is
// not a valid URL, shown says so in its place.
func ShowProxy(value string) (shown string, valid bool) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	// An "@" after the host means that the password has a "/", "?" or "#".
	if err != nil || u.Hostname() == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return "(not a valid URL, and not shown)", false
	}
	shown = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	if u.User != nil {
		shown += " (and user name and password, not shown)"
	}
	return shown, true
}

// WhyNone says why there is no proxy for a target, as far as the environment tells, and
// what to do if there should be one.
func (v *Proxies) WhyNone(target *url.URL) (why, remedy string) {
	variable := strings.ToUpper(target.Scheme) + "_PROXY"
	other := "HTTP_PROXY"
	if variable == other {
		other = "HTTPS_PROXY"
	}
	remedy = "set " + variable + ", or Transport.Proxy"
	set := v.For(target.Scheme)
	_, valid := ShowProxy(set.Value)
	host := target.Hostname()
	ip := net.ParseIP(host)
	switch {
	case v.Off:
		return "USE_PROXY=" + os.Getenv("USE_PROXY") + " switches proxies off", "unset USE_PROXY"
	case set.Value == "" && lookup(other, strings.ToLower(other)).Value != "":
		return fmt.Sprintf("%s is set, but %s is not, and that one counts for %s:// targets", other, variable, target.Scheme), remedy
	case set.Value == "" && !v.all && lookup("ALL_PROXY", "all_proxy").Value != "":
		return "ALL_PROXY is set, but net/http does not read it", remedy + ", or use FromEnvironment"
	case set.Value == "":
		return variable + " is not set", remedy
	case !valid:
		return "the value of " + set.Name + " is not a valid URL, and net/http passes over it", CorrectURL
	case strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback():
		return "the environment's proxy is never used for localhost and loopback addresses (a rule of net/http)",
			"name the host otherwise, or set Transport.Proxy"
	}
	if u, err := v.ProxyFunc()(target); u == nil && err == nil && v.noProxy.Value != "" {
		return v.noProxy.Name + " excludes " + host, "change " + v.noProxy.Name
	}
	return "Transport.Proxy (or Base.Proxy) gives none, though the environment has one", "look into that function; net/http reads the environment once for the process"
}

// CorrectURL says what to do about a malformed proxy URL.
const CorrectURL = "correct the proxy URL: http://host:port or https://host:port; in user name and password " +
	`write "@" as %40, "/" as %2F, "#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`
