package proxyauth_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// forged is an answer that a proxy's page smuggles in (response splitting, CWE-113).
const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"

// surpluses are what follows a 407's content, which is "no".
var surpluses = map[string]string{
	"a line end":       "\r\n",
	"rest of the page": "<p>longer than it says</p>",
	"a forged 200":     forged,
	"another 407":      "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"other\"\r\nContent-Length: 0\r\n\r\n",
	"100 Continue":     "HTTP/1.1 100 Continue\r\n\r\n",
	"101":              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
}

// framings are how a 407 says that its content is "no".
var framings = map[string]string{
	"length":  "Content-Length: 2\r\n\r\nno",
	"chunked": "Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
	"none":    "Content-Length: 0\r\n\r\n",
}

// reaches makes a request by way, and returns what was answered: the body, or what comes
// out of the tunnel.
func reaches(t *testing.T, tr *watchedTransport, way string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if way == "tunnel" {
		conn, err := tr.DialContext(ctx, "tcp", "origin.example:25")
		if err != nil {
			return "", err
		}
		defer conn.Close()
		got := make([]byte, 6)
		_, err = io.ReadFull(conn, got)
		return string(got), err
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://origin.example/", nil)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return string(got), err
}

// R28, R32, R34, R44: what follows the content of a 407, in the same segment, is never the
// answer to the next leg. The connection ends, and the request is answered on another one.
func TestSurplusBehind407(t *testing.T) {
	for scheme, challenges := range map[string][2]string{
		"NTLM":   {"NTLM", "NTLM " + stubType2},
		"Digest": {`Digest realm="r", nonce="n"`},
		"Basic":  {`Basic realm="r"`},
	} {
		for framing, content := range framings {
			for name, surplus := range surpluses {
				for _, way := range ways {
					t.Run(scheme+"/"+framing+"/"+name+"/"+way, func(t *testing.T) {
						t.Parallel()
						inBubble(t, func(t *testing.T, w *world) {
							var long atomic.Int32 // answers that are longer than they say
							s := w.scripted(func(req *http.Request) scripted.Answer {
								challenge := challenges[0]
								switch step := ntlmStep(req); {
								case step == 1:
									challenge = challenges[1]
								case step == 3, len(req.Header["Proxy-Authorization"]) > 0:
									return scripted.PassWith("origin")
								}
								answer := scripted.Head407(challenge).Then(scripted.Raw(content))
								if long.Add(1) <= 3 {
									answer = scripted.Head407(challenge).Then(scripted.Raw(content + surplus))
								}
								return answer
							})
							tr := w.through(s)
							for range 2 {
								got, err := reaches(t, tr, way)
								require.NoError(t, err)
								require.Equal(t, "origin", got)
								synctest.Wait()
							}
						})
					})
				}
			}
		}
	}
}

// R28, R34: a handshake begins on another connection as long as there is hope, and then
// the error says what the proxy does wrong. No password is shown for it.
func TestSurplusBehindEach407(t *testing.T) {
	for name, surplus := range surpluses {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					page := framings["length"] + surplus
					s := w.scripted(ntlmScript(scripted.Challenge("NTLM"), scripted.Head407("NTLM "+stubType2).Then(scripted.Raw(page)), scripted.PassWith("origin")))
					tr := w.through(s)
					for range 2 {
						_, err := reaches(t, tr, way)
						require.ErrorContains(t, err, "the proxy's 407 is longer than its header says, so the handshake cannot go on behind it")
					}
					for _, req := range s.Requests() {
						require.NotEqual(t, 3, ntlmStep(req))
					}
					require.Equal(t, 1+2*3, s.Connections())
				})
			})
		}
	}
}

// R28, R34: the same where the surplus comes later, and is there by the time of the next
// leg.
func TestLateSurplus(t *testing.T) {
	for name, surplus := range surpluses {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var long atomic.Int32
				s := w.scripted(func(req *http.Request) scripted.Answer {
					switch {
					case len(req.Header["Proxy-Authorization"]) > 0:
						return scripted.PassWith("origin")
					case long.Add(1) == 1:
						return scripted.Challenge("Basic", "realm", "r").Then(scripted.After(time.Second, scripted.Raw(surplus)))
					}
					return scripted.Challenge("Basic", "realm", "r")
				})
				tr := w.through(s)
				source := tr.Credentials
				tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
					time.Sleep(2 * time.Second)
					return source.ProxyCredentials(ctx, req)
				})
				got, err := reaches(t, tr, "forward")
				require.NoError(t, err)
				require.Equal(t, "origin", got)
			})
		})
	}
}

// R32, R34: what follows any other answer, or comes while nothing was asked, is not the
// answer to the next request either, by whatever scheme the connection is kept.
func TestSurplusBehindAnswers(t *testing.T) {
	const length = "Content-Length: 6\r\n\r\norigin"
	for name, answer := range map[string]string{
		"200":         "HTTP/1.1 200 OK\r\n" + length,
		"200 chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\norigin\r\n0\r\nA: b\r\n\r\n",
		"403":         "HTTP/1.1 403 No\r\n" + length,
		"502":         "HTTP/1.1 502 No\r\n" + length,
		"204":         "HTTP/1.1 204 Nothing\r\n\r\n",
		"304":         "HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n",
		"103, 200":    "HTTP/1.1 103 Wait\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\n" + length,
	} {
		for _, late := range []time.Duration{0, time.Second} {
			for scheme, script := range map[string]func(scripted.Answer) scripted.Script{
				"NTLM":  byNTLM,
				"Basic": func(a scripted.Answer) scripted.Script { return scripted.Demand(askBasic, a) },
			} {
				for kind, surplus := range surpluses {
					t.Run(strings.Join([]string{name, late.String(), scheme, kind}, "/"), func(t *testing.T) {
						inBubble(t, func(t *testing.T, w *world) {
							last := scripted.Raw(answer + surplus)
							if late > 0 {
								last = scripted.Raw(answer).Then(scripted.After(late, scripted.Raw(surplus)))
							}
							s := w.scripted(script(last))
							tr := w.through(s)
							for range 3 {
								got, err := reaches(t, tr, "forward")
								require.NoError(t, err)
								require.NotEqual(t, "forged", got)
								if !strings.HasPrefix(name, "204") && !strings.HasPrefix(name, "304") {
									require.Equal(t, "origin", got)
								}
								time.Sleep(2 * late)
								synctest.Wait()
							}
						})
					})
				}
			}
		}
	}
}
