package proxyauth

import (
	"maps"
	"net/http"
	"slices"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
)

// What an error shows of a denial's header. It is made when there is an error, and of no
// more than this: a proxy may send 10 MiB of header, in as many fields as it likes.
const (
	maxShownFields = 64
	maxShownBytes  = 16 << 10 // of names and values
	maxShownText   = 256      // of a status, a realm, or an error with more than maxShownError
	maxShownError  = 2 << 10  // of an error of net/http, which may quote a line of any length
)

// tellingFields are shown first: they say who has answered, and why.
func tellingFields() []string {
	return []string{
		"Location", "Proxy-Authenticate", "Proxy-Status", "Retry-After", "Server", "Via", "X-Squid-Error",
		"Content-Type", "Content-Length", "Connection", "Proxy-Connection", "Date",
	}
}

// shownPart returns a copy of a header, or of one that is larger than the bounds a part of
// it: what tells most, then the others in the order of the alphabet. Where there are more
// names than it may show, the others are left out.
func shownPart(header http.Header) http.Header {
	if header == nil {
		return nil
	}
	names := tellingFields()
	telling := len(names)
	if len(header) <= maxShownFields {
		names = append(names, slices.Sorted(maps.Keys(header))...)
	}
	part, fields, size := make(http.Header), 0, 0
	for i, name := range names {
		if slices.Contains(names[:min(i, telling)], name) {
			continue
		}
		for _, value := range header[name] {
			if fields++; fields > maxShownFields {
				return part
			}
			if n := len(name) + len(value); size+n <= maxShownBytes { // a shorter one may follow
				size += n
				part[name] = append(part[name], value)
			}
		}
	}
	return part
}

// faults returns why challenges of the denial cannot be read. An error about a challenge
// shortens what it quotes, so the secrets that were sent are struck out of the fields
// first: a part of one could not be found any more.
func (d *denial) faults(sent *secret.Sent) []finding {
	if !d.malformed {
		return nil
	}
	fields, excess := challenge.Bounded(d.resp.Header["Proxy-Authenticate"])
	_, err := scheme.ParseChallenges(sent.StrikeAll(fields))
	found := malformed(err)
	if excess != nil {
		found = append(found, finding{"", excess})
	}
	return found
}

// shown returns the beginning of a text of the proxy in one line, without the secrets that
// were sent.
func shown(text string, sent *secret.Sent) string {
	if len(text) <= maxShownText {
		return printable.Line(sent.StrikeString(text))
	}
	return printable.Line(string(sent.StrikeCut([]byte(text[:maxShownText])))) + "…"
}
