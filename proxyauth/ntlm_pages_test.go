package proxyauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A page between the legs that is long, or comes slowly, as after a lost packet, is
// waited for: the handshake can go on nowhere else.
func TestNTLMPages(t *testing.T) {
	o := newOrigin(t)
	const header = "HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + "%s" + "\r\n"
	for name, answer := range map[string]string{
		"slow":          header + "Content-Length: 10\r\n\r\n01234" + pause + "56789",
		"long":          header + "Content-Length: 300000\r\n\r\n" + strings.Repeat("<br>", 75000),
		"long, chunked": header + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("<br>", 256)+"\r\n", 300) + "0\r\n\r\n",
		// RFC 9112 §2.2: a line may end without a carriage return.
		"bare line feeds":           strings.ReplaceAll(header+"Content-Length: 2\r\n\r\nno", "\r\n", "\n"),
		"bare line feeds, HTTP/1.0": strings.ReplaceAll(strings.Replace(header, "1.1", "1.0", 1)+"Proxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\nno", "\r\n", "\n"),
	} {
		for way, url := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := scriptedProxy(t, func(req *http.Request) string {
					token := req.Header.Get("Proxy-Authorization")
					switch {
					case token == "":
						return "HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
					case strings.HasPrefix(token, "NTLM TlRMTVNTUAAB"): // type 1
						return strings.Replace(answer, "%s", stubType2, 1)
					}
					return "HTTP/1.1 403 But no\r\nContent-Length: 0\r\n\r\n" // it is the handshake that counts
				})
				fetch(s.transport(t, o), url)
				last := s.requests()[len(s.requests())-1]
				require.True(t, strings.HasPrefix(last.Header.Get("Proxy-Authorization"), "NTLM TlRMTVNTUAAD"), "a type 3 ends it")
			})
		}
	}
}

// A page that ends with the connection is not waited for: the handshake cannot go
// on after it.
func TestNTLMPageToTheEnd(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			s := scriptedProxy(t, func(req *http.Request) string {
				if req.Header.Get("Proxy-Authorization") == "" {
					return "HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
				}
				return "HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + stubType2 + "\r\n\r\n<p>" + stall
			})
			begin := time.Now()
			_, _, err := fetch(s.transport(t, o), url)
			require.ErrorContains(t, err, "closes the connection between the legs")
			require.Less(t, time.Since(begin), 5*time.Second)
		})
	}
}
