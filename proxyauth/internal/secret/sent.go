// Package secret keeps credentials out of what can be printed: it strikes them out
// of texts in which a proxy may repeat them, and shortens header fields for logs.
package secret

import (
	"net/http"
	"slices"
	"strings"
)

// Withheld stands where a secret was.
const Withheld = "REDACTED"

// Sent holds the secrets that were sent to a proxy, which may repeat them in its answers.
// The zero value has none. It is used by one goroutine at a time.
type Sent struct {
	secrets []string
	work    *work // nil: a secret was added since the last text
}

// Add adds secrets; empty ones are ignored.
func (s *Sent) Add(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" && !slices.Contains(s.secrets, secret) {
			s.secrets, s.work = append(s.secrets, secret), nil
		}
	}
}

// Clone returns a copy of s.
func (s *Sent) Clone() Sent { return Sent{secrets: slices.Clone(s.secrets)} }

// Strike returns text with REDACTED in place of the secrets, in whatever encoding they are
// in it: see canonical and shapes. If there are none, it returns text itself.
func (s *Sent) Strike(text []byte) []byte {
	if len(s.secrets) == 0 {
		return text
	}
	w := s.prepared()
	for range maxPasses {
		spans := w.find(text)
		if len(spans) == 0 {
			break
		}
		text = withheld(text, spans)
	}
	return text
}

// maxPasses bounds how often a text is searched. A text before a secret may be read with it
// as an encoding, which hides a second secret until the first one is struck.
const maxPasses = 4

// withheld returns a copy of text with REDACTED in place of the spans, which are sorted, and
// may overlap.
func withheld(text []byte, spans []span) []byte {
	struck := make([]byte, 0, len(text))
	at := 0
	for i := 0; i < len(spans); {
		begin, end := spans[i].begin, spans[i].end
		for i++; i < len(spans) && spans[i].begin < end; i++ {
			end = max(end, spans[i].end)
		}
		struck = append(append(struck, text[at:begin]...), Withheld...)
		at = end
	}
	return append(struck, text[at:]...)
}

// StrikeString is Strike for a string.
func (s *Sent) StrikeString(text string) string {
	if len(s.secrets) == 0 || text == "" {
		return text
	}
	w := s.prepared()
	w.text = append(w.text[:0], text...)
	if struck := s.Strike(w.text); string(struck) != text {
		return string(struck)
	}
	return text // itself, which needs no memory
}

// StrikeAll is Strike for several strings.
func (s *Sent) StrikeAll(values []string) []string {
	safe := make([]string, len(values))
	for i, value := range values {
		safe[i] = s.StrikeString(value)
	}
	return safe
}

// StrikeHeader is Strike for the names and values of fields. It returns a copy of h.
func (s *Sent) StrikeHeader(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	safe := make(http.Header, len(h))
	for name, values := range h {
		name = s.strikeName(name)
		safe[name] = append(safe[name], s.StrikeAll(values)...)
	}
	return safe
}

// ordinary are names of fields that stay as they are, even where a secret is a part of one:
// every answer has them, and cannot be read without.
var ordinary = [...]string{
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection", "Proxy-Status", "Connection", "Keep-Alive",
	"Content-Type", "Content-Length", "Transfer-Encoding", "Date", "Server", "Via", "Location", "Cache-Control", "X-Cache", "X-Squid-Error",
}

func (s *Sent) strikeName(name string) string {
	if slices.Contains(ordinary[:], name) {
		return name
	}
	for _, secret := range s.secrets { // net/http changes the case of names
		if strings.EqualFold(name, secret) {
			return Withheld
		}
	}
	return s.StrikeString(name)
}

// StrikeCut is Strike for a text that was cut off: if it ends with the beginning of a
// secret, that is removed, too.
func (s *Sent) StrikeCut(text []byte) []byte {
	if len(s.secrets) == 0 {
		return text
	}
	text = s.Strike(text)
	return text[:s.prepared().cut(text)]
}

func (s *Sent) prepared() *work {
	if s.work == nil {
		s.work = &work{shapes: shapesOf(s.secrets)}
		for _, secret := range s.secrets {
			if len(secret) < shortSecret {
				s.work.short = append(s.work.short, secret)
			}
		}
	}
	return s.work
}
