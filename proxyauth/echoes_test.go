package proxyauth_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// An echoed is where in an answer a proxy repeats a text: the head of the answer with it,
// without Content-Length, and its page.
type echoed func(offer, text string) (head, page string)

var (
	inQuotes  = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	noLineEnd = strings.NewReplacer("\r\n", " ", "\n", " ", "\x00", "")
	noField   = strings.NewReplacer("\r\n\t", "\r\n\t", "\r\n", "\r\n ", "\n", " ", "\x00", "")
	noName    = strings.NewReplacer("\r\n", "", "\n", "", "\t", "", " ", "", ":", "")
)

// echoedIn are the places. Those of which net/http's parser makes an error are among them.
var echoedIn = map[string]echoed{
	"status": func(offer, text string) (string, string) {
		return "HTTP/1.1 407 " + noLineEnd.Replace(text) + "\r\nProxy-Authenticate: " + offer + "\r\n", ""
	},
	"refusal's status": func(_, text string) (string, string) {
		return "HTTP/1.1 403 " + noLineEnd.Replace(text) + "\r\n", ""
	},
	"status code": func(_, text string) (string, string) {
		return "HTTP/1.1 " + noLineEnd.Replace(text) + "\r\n", ""
	},
	"realm": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\nProxy-Authenticate: Other realm=\"%s\"\r\nProxy-Authenticate: %s\r\n", inQuotes.Replace(noField.Replace(text)), offer), ""
	},
	"own realm": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\nProxy-Authenticate: %s\r\n", strings.Replace(offer, `realm="r"`, `realm="`+inQuotes.Replace(noField.Replace(text))+`"`, 1)), ""
	},
	"scheme": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\nProxy-Authenticate: %s\r\nProxy-Authenticate: %s\r\n", noField.Replace(text), offer), ""
	},
	"value": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\nX-Echo: %s\r\nProxy-Authenticate: %s\r\n", noField.Replace(text), offer), ""
	},
	"name": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\n%s: x\r\nProxy-Authenticate: %s\r\n", noName.Replace(text), offer), ""
	},
	"Content-Length": func(_, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 502 No\r\nContent-Length: %s\r\n", noField.Replace(text)), ""
	},
	"Location": func(_, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 302 Found\r\nLocation: http://%s/\r\n", noLineEnd.Replace(text)), ""
	},
	"page": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\nProxy-Authenticate: %s\r\n", offer), "<p>You sent: " + text + "</p>"
	},
	"end of page": func(offer, text string) (string, string) {
		return fmt.Sprintf("HTTP/1.1 407 No\r\nProxy-Authenticate: %s\r\n", offer), strings.Repeat("x", 4096-len(text)+3) + text
	},
}

// R44, R35: what a proxy repeats of the password, of the pair, of the field or of Digest's
// response is in nothing that can be printed, whatever encoding it is in and wherever it is.
func TestEchoes(t *testing.T) {
	t.Parallel()
	for name, offer := range map[string]string{"Basic": `Basic realm="r"`, "Digest": `Digest realm="r", nonce="n", qop="auth"`} {
		for place, echo := range echoedIn {
			if name == "Digest" && place != "own realm" && place != "value" && place != "page" {
				continue // it is the same code
			}
			for _, way := range ways {
				t.Run(strings.Join([]string{name, place, way}, "/"), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						turn := 0 // over what is repeated
						for encoding, encode := range scripted.Encodings() {
							requireNoEcho(t, w, way, encoding, offer, turn, encode, echo)
							turn++
						}
					})
				})
			}
		}
	}
}

// requireNoEcho has a proxy repeat something of what it was sent.
func requireNoEcho(t *testing.T, w *world, way, encoding, offer string, turn int, encode func(string) string, echo echoed) {
	t.Helper()
	var repeated string
	s := w.scripted(func(req *http.Request) scripted.Answer {
		field := req.Header.Get("Proxy-Authorization")
		if field == "" {
			return scripted.Challenges(offer)
		}
		_, token, _ := strings.Cut(field, " ")
		sent := []string{token, "alice:" + hush, hush}
		if _, response, ok := strings.Cut(field, ` response="`); ok {
			sent = []string{token, response[:32]}
		}
		repeated = encode(sent[turn%len(sent)])
		head, page := echo(offer, repeated)
		return scripted.Raw(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(page), page)).Then(scripted.HangUp())
	})
	defer s.Close()
	tr := w.through(s)
	tr.Credentials = proxyauth.UserPassword("alice", hush)
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.ways()[way], nil)
	require.NoError(t, err)
	if resp, err := tr.RoundTrip(req); err == nil { // a forwarded answer may be the origin's
		resp.Body.Close()
	}
	require.NotEmpty(t, repeated)
	tr.watch.printed("Stats", tr.Stats())
	for _, shape := range printed(repeated) {
		for text := range tr.watch.shown {
			if strings.Contains(text, shape) {
				t.Fatalf("what was sent is in %q as %s: %q", text, encoding, shape)
			}
		}
	}
}

// R35: a proxy may repeat, to a request without credentials, what an earlier one has sent.
// All that is told is searched (see [watch]).
func TestEchoesOfEarlierRequests(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				last := "nothing"
				s := w.scripted(func(req *http.Request) scripted.Answer {
					if field := req.Header.Get("Proxy-Authorization"); field != "" {
						last = field
					}
					return scripted.Page(407, "You sent "+last, `Proxy-Authenticate: Basic realm="`+inQuotes.Replace(last)+`"`, "X-Last: "+last)
				})
				var none bool
				tr := w.through(s)
				tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
					if none {
						return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
					}
					return proxyauth.Credentials{Username: "alice", Password: hush}, nil
				})
				_, _, err := fetch(tr, w.ways()[way])
				require.ErrorIs(t, err, proxyauth.ErrRejected)
				none = true
				_, _, err = fetch(tr, w.ways()[way])
				require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
				var e *proxyauth.AuthError
				require.ErrorAs(t, err, &e)
				require.Equal(t, "REDACTED", e.Realm)
				require.Equal(t, []string{"REDACTED"}, e.Header["X-Last"])
				require.Equal(t, "You sent REDACTED", string(e.Body))
			})
		})
	}
}

// printed returns a text as it may be printed: as it is, without line ends, quoted, once
// and again, and by %x.
func printed(text string) (shapes []string) {
	for _, text := range []string{text, noLineEnd.Replace(text), noName.Replace(text), http.CanonicalHeaderKey(noName.Replace(text))} {
		quoted := strings.Trim(strconv.Quote(text), `"`)
		inJSON, _ := json.Marshal(text)
		shapes = append(shapes, text, quoted, strings.Trim(strconv.Quote(quoted), `"`), strings.Trim(string(inJSON), `"`), hex.EncodeToString([]byte(text)))
	}
	slices.Sort(shapes)
	return slices.Compact(shapes)
}
