package env

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

var (
	errRawUserinfo = errors.New("a special character in the user name or password is not percent-encoded: " +
		`write "@" as %40, "/" as %2F, "\" as %5C, "#" as %23, "?" as %3F, "%" as %25 and a blank as %20, or use PROXY_USER and PROXY_PASS`)
	errProxyForm = errors.New("it is not of the form http://host:port")
	errOneProxy  = errors.New("its host has a character that no name has: write one proxy, http://host:port")
)

var proxySchemes = []string{"http", "https", "socks5", "socks5h"}

// CheckProxy says what is wrong with the value of HTTP_PROXY and the like; the empty
// value is right. It does not quote errors of url.Parse, which repeat the password.
func CheckProxy(value string) error {
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
	if !ok || strings.ContainsAny(scheme, ":@/?#") { // no "://", or it is part of the password
		scheme, rest = "http", value
		if word := value[:max(0, strings.IndexAny(value, ":/"))]; slices.Contains(proxySchemes, strings.ToLower(word)) {
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
	case err != nil, strings.Contains(userinfo, "@"): // Go accepts an "@" there, other programs do not
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

// hasControl reports whether s has a control character.
func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// cutLast is like strings.Cut, but cuts around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
