package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
	"golang.org/x/net/http/httpproxy"
)

// FromEnvironment returns a Transport with proxies and credentials of the
// environment as it is now. Each mistake in it is an error of one line that
// names the variable, and never a secret; several are joined ([errors.Join]).
//
//   - HTTP_PROXY and HTTPS_PROXY are the proxies for http:// and https:// URLs:
//     "http://host:port", "https://…", "socks5://…", "socks5h://…", or
//     "host:port" for http://. [Transport.DialContext] takes that for https://.
//   - ALL_PROXY is the proxy where one of these is not set.
//   - NO_PROXY excludes hosts, separated by commas: a domain with all below it,
//     ".domain" without itself, an IP address, a network ("10.0.0.0/8"), each
//     but the last also with ":port"; "*" is all. localhost and loopback
//     addresses are always excluded.
//   - PROXY_USER and PROXY_PASS, or a file that PROXY_PASS_FILE names (see
//     [PasswordFile]; read again when it has changed), are the credentials for
//     proxies whose URL has no userinfo, except SOCKS. Nothing in them is
//     percent-encoded. Transport.Credentials, if it is set, takes their place.
//   - USE_PROXY=false switches proxies off; nothing else is then read. It is
//     true, false, yes, no, on, off, 1 or 0.
//
// The first four can be in lower case, too, which counts if both are set: these
// are the rules of [golang.org/x/net/http/httpproxy]. In a CGI program
// (REQUEST_METHOD is set) http:// requests by HTTP_PROXY fail, since a client
// of the server may have set it.
//
// The zero value of Transport leaves the proxies to net/http, which reads the
// environment once for the process, does not say what is wrong with it, prefers
// upper case (as of Go 1.26) and does not know ALL_PROXY and USE_PROXY.
func FromEnvironment() (*Transport, error) {
	v, err := readProxies()
	if err != nil {
		return nil, err
	}
	if v.off {
		return &Transport{Proxy: http.ProxyURL(nil), variables: &v}, nil
	}
	environment := readEnvironment()
	credentials := environmentCredentials(func() credentialVariables { return environment })
	if mistakes := append(v.mistakes(), mistake(credentials)); errors.Join(mistakes...) != nil {
		return nil, errors.Join(mistakes...)
	}
	proxyFor := v.proxyFunc()
	return &Transport{
		Proxy: func(req *http.Request) (*url.URL, error) {
			u, err := proxyFor(req.URL)
			if err != nil {
				err = fmt.Errorf("proxyauth: %w", err)
			}
			return u, err
		},
		environment: credentials,
		variables:   &v,
	}, nil
}

// A variable is one of the environment, by the name under which it is set.
type variable struct{ name, value string }

// lookup reads a variable that is set under one of several names.
func lookup(names ...string) variable {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return variable{name, value}
		}
	}
	return variable{names[len(names)-1], ""}
}

// proxyVariables are what the environment says about proxies, by the rules of
// who reads it.
type proxyVariables struct {
	off                        bool // by USE_PROXY; then there are no others
	all                        bool // ALL_PROXY counts where one of these is not set
	forHTTP, forHTTPS, noProxy variable
	cgi                        bool // HTTP_PROXY may come from a request
}

// readProxies reads by the rules of FromEnvironment.
func readProxies() (proxyVariables, error) {
	use, err := useProxy()
	if err != nil || !use {
		return proxyVariables{off: !use}, err
	}
	v := proxyVariables{
		all:      true,
		forHTTP:  lookup("http_proxy", "HTTP_PROXY"),
		forHTTPS: lookup("https_proxy", "HTTPS_PROXY"),
		noProxy:  lookup("no_proxy", "NO_PROXY"),
	}
	// The header field "Proxy" of a request to a CGI program is HTTP_PROXY.
	v.cgi = v.forHTTP.value != "" && os.Getenv("REQUEST_METHOD") != ""
	all := lookup("all_proxy", "ALL_PROXY")
	if v.forHTTP.value == "" {
		v.forHTTP = all
	}
	if v.forHTTPS.value == "" {
		v.forHTTPS = all
	}
	return v, nil
}

// of returns the variable for the scheme of a URL.
func (v *proxyVariables) of(scheme string) variable {
	if scheme == "https" {
		return v.forHTTPS
	}
	return v.forHTTP
}

func (v *proxyVariables) proxyFunc() func(*url.URL) (*url.URL, error) {
	c := httpproxy.Config{HTTPProxy: v.forHTTP.value, HTTPSProxy: v.forHTTPS.value, NoProxy: v.noProxy.value, CGI: v.cgi}
	return c.ProxyFunc()
}

func (v *proxyVariables) mistakes() (all []error) {
	for i, p := range []variable{v.forHTTP, v.forHTTPS} {
		if i == 0 || p != v.forHTTP {
			if err := checkProxy(p.value); err != nil {
				all = append(all, fmt.Errorf("proxyauth: %s: %w", p.name, err))
			}
		}
	}
	for _, err := range checkNoProxy(v.noProxy.value) {
		all = append(all, fmt.Errorf("proxyauth: %s: %w", v.noProxy.name, err))
	}
	return all
}

// mistake returns what is wrong with a source, for which it is no mistake to have
// no credentials.
func mistake(source CredentialFunc) error {
	if _, err := source(context.Background(), CredentialRequest{}); !errors.Is(err, ErrNoCredentials) {
		return err
	}
	return nil
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

var (
	errRawUserinfo = errors.New("a special character in the user name or password is not percent-encoded: " +
		`write "@" as %40, "/" as %2F, "\" as %5C, "#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`)
	errProxyForm = errors.New("it is not of the form http://host:port")
)

var proxySchemes = []string{"http", "https", "socks5", "socks5h"}

var errOneProxy = errors.New("its host has a character that no name has: write one proxy, http://host:port")

// checkProxy says what is wrong with the value of HTTP_PROXY and the like; ""
// is right. What url.Parse says would repeat the password.
func checkProxy(value string) error {
	switch {
	case value == "":
		return nil
	case strings.TrimSpace(value) != value:
		return errors.New("it begins or ends with white space")
	case strings.ContainsAny(value[:1], `"'`):
		return errors.New("it is in quotation marks: remove them")
	}
	for _, form := range []string{"http=", "https="} {
		if strings.HasPrefix(strings.ToLower(value), form) {
			return errors.New("it has the form of the settings of Windows: write http://host:port")
		}
	}
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok || strings.ContainsAny(scheme, ":@/?#") { // ://, if at all, is in the password
		scheme, rest = "http", value
		if i := strings.IndexAny(value, ":/"); i >= 0 && slices.Contains(proxySchemes, strings.ToLower(value[:i])) {
			return errProxyForm // http:/proxy, http//proxy
		}
	}
	if !slices.Contains(proxySchemes, strings.ToLower(scheme)) {
		return fmt.Errorf("scheme %q is not supported: use http, https, socks5 or socks5h", scheme)
	}
	authority, after := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, after = rest[:i], rest[i:]
	}
	host := authority
	if userinfo, h, ok := cutLast(authority, "@"); ok {
		if err := checkUserinfo(userinfo); err != nil {
			return err
		}
		host = h
	}
	if strings.Contains(after, "@") {
		return errRawUserinfo
	}
	name, port, hasPort := cutLast(host, ":")
	if strings.HasSuffix(host, "]") || !hasPort {
		name, hasPort = host, false
	}
	switch n, err := strconv.ParseUint(port, 10, 16); {
	case strings.ContainsAny(host, "$(){}"):
		return errors.New("a variable in it was not expanded: write http://host:port")
	case strings.ContainsAny(host, ",;"):
		return errOneProxy
	case strings.Contains(name, ":") && !strings.HasPrefix(name, "["):
		return errors.New("its host has colons: write an IPv6 address in brackets, http://[::1]:3128")
	case name == "":
		return errors.New("it has no host: write http://host:port")
	case hasPort && (err != nil || n == 0):
		return errors.New("its port is not a number from 1 to 65535")
	}
	if u, err := url.Parse("http://" + host); err != nil || u.Hostname() == "" {
		return errProxyForm
	}
	if strings.ContainsAny(name, ";,= <>|\"'") {
		return errOneProxy
	}
	if _, err := hostname.ASCII(name); err != nil {
		return errors.New("its host is not a name")
	}
	if after != "" && after != "/" {
		return errors.New("something follows on the host: write http://host:port (the address of a PAC file is not that of a proxy)")
	}
	return nil
}

func checkUserinfo(userinfo string) error {
	u, err := url.Parse("http://" + userinfo + "@host")
	var escape url.EscapeError
	switch {
	case errors.As(err, &escape):
		return errors.New(`a "%" in the user name or password is not followed by two hexadecimal digits: write "%" itself as %25`)
	case err != nil, strings.Contains(userinfo, "@"): // which Go takes, and others cut there
		return errRawUserinfo
	case u.User.Username() == "":
		return errors.New(`it has no user name before the "@"`)
	}
	password, _ := u.User.Password()
	if hasControl(u.User.Username() + password) {
		return errors.New("the user name or password has a line break or another control character")
	}
	return nil
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// cutLast is strings.Cut at the last sep. Without one, after is empty.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// checkNoProxy says which entries of NO_PROXY can never match, and why.
func checkNoProxy(value string) (mistakes []error) {
	for i, entry := range strings.Split(value, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "*" { // no other counts
			return nil
		}
		if err := checkNoProxyEntry(entry); err != nil {
			mistakes = append(mistakes, fmt.Errorf("entry %d %w", i+1, err))
		}
	}
	return mistakes
}

func checkNoProxyEntry(entry string) error {
	if entry == "" {
		return nil
	}
	show := strconv.Quote(entry)
	if strings.Contains(entry, "@") {
		show = "(not shown)"
	}
	never := func(why string) error { return fmt.Errorf("%s can never match: %s", show, why) }
	if strings.Contains(entry, "://") {
		return never("write the host of the URL alone")
	}
	if strings.ContainsFunc(entry, unicode.IsSpace) || strings.ContainsAny(entry, ";|") {
		return never("separate entries by commas")
	}
	if strings.ContainsAny(entry, "\"'") {
		return never("remove the quotation marks")
	}
	if strings.ContainsAny(entry, "$(){}") {
		return never("a variable in it was not expanded")
	}
	if strings.ContainsAny(entry, "<>") {
		return never("it is a form of Windows; localhost is always excluded, other names without a dot one by one")
	}
	if _, _, err := net.ParseCIDR(entry); err == nil {
		return nil
	}
	if strings.Contains(entry, "/") {
		return never("it is not a network such as 10.0.0.0/8, and has a slash")
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil {
		host, port = entry, ""
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return never("its port is not a number from 1 to 65535")
	}
	switch label := strings.TrimPrefix(host, "*."); {
	case net.ParseIP(host) != nil:
		return nil
	case strings.Trim(label, ".") == "":
		return never("it has no host")
	case strings.Contains(label, "*"):
		return never("* stands alone or in *.domain only, and a network is written 10.0.0.0/8")
	case strings.ContainsAny(host, "[]:"):
		return never("write an IPv6 address without brackets, or as [address]:port")
	}
	return nil
}

// EnvironmentCredentials returns the source that is there when
// Transport.Credentials is nil: PROXY_USER and PROXY_PASS of the environment,
// or the file that PROXY_PASS_FILE names instead of the latter (see
// [PasswordFile]); except for the hops of a [Chain]. The variables are read each
// time it is asked. It is an error if both or only one of user name and password
// are set; for an empty password PROXY_PASS is set and empty.
func EnvironmentCredentials() CredentialSource { return environmentCredentials(readEnvironment) }

// credentialVariables are what the environment says about credentials.
type credentialVariables struct {
	user, pass, passFile string
	passSet              bool // to the empty string, if pass is empty
}

func readEnvironment() credentialVariables {
	pass, set := os.LookupEnv("PROXY_PASS")
	return credentialVariables{os.Getenv("PROXY_USER"), pass, os.Getenv("PROXY_PASS_FILE"), set}
}

// environmentCredentials returns the source of what read returns. It is a
// function so that nothing prints what it holds.
func environmentCredentials(read func() credentialVariables) CredentialFunc {
	var mu sync.Mutex
	var last credentialVariables
	source, problem := last.source()
	return func(ctx context.Context, req CredentialRequest) (Credentials, error) {
		mu.Lock()
		if now := read(); now != last {
			last = now
			source, problem = now.source()
		}
		source, problem := source, problem
		mu.Unlock()
		if problem != nil {
			return Credentials{}, problem
		}
		return source.ProxyCredentials(ctx, req)
	}
}

func (v credentialVariables) source() (CredentialSource, error) {
	switch {
	case v.user == "" && v.pass == "" && v.passFile == "":
		return FirstOf(), nil
	case v.user == "" && v.pass != "":
		return nil, errors.New("proxyauth: PROXY_USER is not set, but PROXY_PASS is")
	case v.user == "":
		return nil, errors.New("proxyauth: PROXY_USER is not set, but PROXY_PASS_FILE is")
	case v.pass != "" && v.passFile != "":
		return nil, errors.New("proxyauth: PROXY_PASS and PROXY_PASS_FILE are both set: keep one")
	case hasControl(v.user):
		return nil, errors.New("proxyauth: PROXY_USER has a line break or another control character")
	case hasControl(v.pass):
		return nil, errors.New("proxyauth: PROXY_PASS has a line break or another control character")
	case v.passFile != "":
		file := passwordFile(v.passFile)
		return CredentialFunc(func(context.Context, CredentialRequest) (Credentials, error) {
			password, err := file.get()
			if err != nil {
				return Credentials{}, fmt.Errorf("proxyauth: PROXY_PASS_FILE: %w", err)
			}
			return Credentials{v.user, password}, nil
		}), nil
	case !v.passSet:
		return nil, errors.New("proxyauth: PROXY_USER is set, but neither PROXY_PASS nor PROXY_PASS_FILE " +
			"(if the password is empty, or a ticket of this user is meant: set PROXY_PASS to the empty string)")
	}
	return UserPassword(v.user, v.pass), nil
}
