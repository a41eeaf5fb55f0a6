package proxyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R27, R28: proxies that close, send long pages, answer CONNECT oddly or are slow
// cost one 407, and no error.
func TestAwkwardProxies(t *testing.T) {
	for name, b := range map[string]proxytest.Behaviour{
		"closes":            {CloseAfter407: true},
		"closes silently":   {CloseSilently407: true},
		"HTTP/1.0":          {HTTP10: true},
		"chunked 407":       {Chunked407: true},
		"long 407":          {Body407: 1 << 20},
		"second CONNECT":    {Second400: true},
		"201":               {ConnectStatus: 201},
		"Content-Length":    {ConnectBody: "Content-Length: 100"},
		"two lengths":       {ConnectBody: "Content-Length: 5\r\nContent-Length: 6"},
		"no number":         {ConnectBody: "Content-Length: x"},
		"unknown coding":    {ConnectBody: "Transfer-Encoding: gzip, chunked"},
		"Transfer-Encoding": {ConnectBody: "Transfer-Encoding: chunked"},
		"slow":              {Delay: 20 * time.Second},
	} {
		for _, auth := range []proxytest.Auth{proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}} {
			for _, way := range ways {
				t.Run(fmt.Sprintf("%s/%T/%s", name, auth, way), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						url := w.ways()[way]
						p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice, Behaviour: b})
						tr := w.newTransport(p)
						requireOK(t, tr, url)
						requireOK(t, tr, url)
						require.Equal(t, 1, p.Counts().Challenges)
					})
				})
			}
		}
	}
}

// R28: a page between the legs that is long, or comes slowly, as after a lost
// packet, is waited for: the handshake can go on nowhere else.
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

// R28: a page that ends with the connection is not waited for: the handshake
// cannot go on after it.
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

// R28, R30: a 407 to HEAD has no body, whatever it says of its length (RFC 9110
// §9.3.2).
func TestNTLMHead(t *testing.T) {
	w := newWorld(t)
	without := func(value string) scripted.Answer { return scripted.Head407(value).Then(scripted.Raw("\r\n")) }
	s := w.scripted(ntlmScript(without("NTLM"), without("NTLM "+stubType2), scripted.Raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")))
	req, err := http.NewRequest("HEAD", w.HTTP.URL, nil)
	require.NoError(t, err)
	resp, err := w.through(s).RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
}

// R34: a connection on which an answer had two lengths is not used again, whatever
// the answer was.
func TestTwoLengths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const lengths = "Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd"
	for name, text := range map[string]scripted.Answer{"407": denied(lengths), "final": scripted.Raw("HTTP/1.1 200 OK\r\n" + lengths)} {
		for stage, answered := range stages {
			t.Run(stage+"/"+name, func(t *testing.T) {
				s := w.scripted(after(answered, text, scripted.PassWith("origin")))
				tr := w.through(s)
				_, _, err := fetch(tr, w.HTTP.URL)
				require.ErrorContains(t, err, "Content-Length")
				for range 3 {
					requireOK(t, tr, w.HTTP.URL)
				}
				bad := len(answered)
				on := s.RequestsOn()
				require.NotContains(t, on[bad+1:], on[bad])
			})
		}
	}
}
