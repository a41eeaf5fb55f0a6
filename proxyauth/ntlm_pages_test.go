package proxyauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A page between the legs that is long, or comes slowly, as after a lost packet, is
// waited for: the handshake can go on nowhere else.
func TestNTLMPages(t *testing.T) {
	const header = "HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + "%s" + "\r\n"
	raw := func(text string) scripted.Answer { return scripted.Raw(strings.Replace(text, "%s", stubType2, 1)) }
	bare := func(text string) scripted.Answer { return raw(strings.ReplaceAll(text, "\r\n", "\n")) }
	for name, type2 := range map[string]scripted.Answer{
		"slow":          raw(header + "Content-Length: 10\r\n\r\n01234").Then(scripted.After(700*time.Millisecond, scripted.Raw("56789"))), // longer than a page is usually waited for
		"long":          raw(header + "Content-Length: 300000\r\n\r\n" + strings.Repeat("<br>", 75000)),
		"long, chunked": raw(header + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("<br>", 256)+"\r\n", 300) + "0\r\n\r\n"),
		// RFC 9112 §2.2: a line may end without a carriage return.
		"bare line feeds":           bare(header + "Content-Length: 2\r\n\r\nno"),
		"bare line feeds, HTTP/1.0": bare(strings.Replace(header, "1.1", "1.0", 1) + "Proxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\nno"),
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					// It is the handshake that counts.
					s := w.scripted(ntlmScript(scripted.Challenge("NTLM"), type2, scripted.Status(403)))
					fetch(w.through(s), w.ways()[way])
					requests := s.Requests()
					require.Equal(t, 3, ntlmStep(requests[len(requests)-1]), "a type 3 ends it")
				})
			})
		}
	}
}

// A page that ends with the connection is not waited for: the handshake cannot go
// on after it.
func TestNTLMPageToTheEnd(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				page := scripted.Head407("NTLM " + stubType2).Then(scripted.Raw("\r\n<p>")).Then(scripted.Stall())
				s := w.scripted(scripted.Demand(scripted.Challenge("NTLM"), page))
				begin := time.Now()
				_, _, err := fetch(w.through(s), w.ways()[way])
				require.ErrorContains(t, err, "closes the connection between the legs")
				require.Less(t, time.Since(begin), time.Second)
			})
		})
	}
}
