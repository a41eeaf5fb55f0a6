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

// The bounds of what an error shows of a denial's header. That is made only when there is an
// error: a proxy may send 10 MiB of header, in as many fields as it likes.
const (
	maxShownFields = 64
	maxShownBytes  = 16 << 10 // of names and values

	// An error of net/http may quote a line of any length. With more bytes than
	// maxShownError it is cut to maxShownText, as a status or a realm is.
	maxShownError = 2 << 10
	maxShownText  = 256
)

// firstShown are the names of the fields that are shown first: they say who has answered, and
// why.
func firstShown() []string {
	return []string{
		"Location", "Proxy-Authenticate", "Proxy-Status", "Retry-After", "Server", "Via", "X-Squid-Error",
		"Content-Type", "Content-Length", "Connection", "Proxy-Connection", "Date",
	}
}

// shownPart returns a copy of a header. Of one that is larger than the bounds it returns a
// part: the fields of firstShown, and then the others in the order of their names, or none of
// them where there are more names than are shown.
func shownPart(header http.Header) http.Header {
	if header == nil {
		return nil
	}
	names := firstShown()
	if len(header) <= maxShownFields {
		for _, name := range slices.Sorted(maps.Keys(header)) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	part, fields, size := make(http.Header), 0, 0
	for _, name := range names {
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

// shown returns a text of the proxy, or its first maxShownText bytes and "…", in one line and
// without the secrets that were sent.
func shown(text string, sent *secret.Sent) string {
	if len(text) <= maxShownText {
		return printable.Line(sent.StrikeString(text))
	}
	return printable.Line(string(sent.StrikeCut([]byte(text[:maxShownText])))) + "…"
}
