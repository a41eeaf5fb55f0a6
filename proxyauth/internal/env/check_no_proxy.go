package env

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"
)

// checkNoProxy says which entries of NO_PROXY can never match, and why.
func checkNoProxy(value string) (mistakes []error) {
	for i, entry := range strings.Split(value, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "*" { // excludes all hosts, whatever the other entries are
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
