package proxyauth_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A countedBody is a body that can be read once, and must be closed once.
type countedBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *countedBody) Close() error { b.closed.Add(1); return nil }

func post(t testing.TB, rt http.RoundTripper, url string, body io.ReadCloser) (*http.Response, error) {
	req, err := http.NewRequest("POST", url, body)
	require.NoError(t, err)
	resp, err := rt.RoundTrip(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return resp, err
}

// R32: a body is sent whole exactly once, whatever is not known of the proxy yet.
func TestBodies(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for name, auth := range map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}} {
		for behaviour, b := range map[string]proxytest.Behaviour{
			"": {}, "close": {CloseAfter407: true}, "chunked 407": {Chunked407: true}, "HTTP/1.0": {HTTP10: true}, "417": {Expect417: true},
		} {
			for _, way := range ways {
				t.Run(name+"/"+behaviour+"/"+way, func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						url := w.ways()[way]
						p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice, Behaviour: b})
						tr := w.newTransport(p)
						before := len(w.bodies)
						stream := &countedBody{Reader: bytes.NewReader(want)}
						resp, err := post(t, tr, url, stream) // cold
						require.NoError(t, err)
						require.Equal(t, 200, resp.StatusCode)
						require.Len(t, w.bodies, before+1, "no empty POST, no double")
						require.Equal(t, string(want), w.bodies[before])
						synctest.Wait()
						require.EqualValues(t, 1, stream.closed.Load())
						if way == "forward" {
							require.EqualValues(t, len(want), p.Counts().BodyBytes)
						}

						// A body that can be rewound.
						_, err = post(t, tr, url, io.NopCloser(bytes.NewReader(want)))
						require.NoError(t, err)
						resp, err = (&http.Client{Transport: tr}).Post(url, "text/plain", bytes.NewReader(want))
						require.NoError(t, err)
						resp.Body.Close()
						require.Len(t, w.bodies, before+3)
					})
				})
			}
		}
	}
}

// R32: a proxy that does not know Expect: what can be replayed is, and for a
// stream a leg without a body asks first.
func TestBodiesWithoutExpect(t *testing.T) {
	want := strings.Repeat("x", 100_000)
	for name, auth := range map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				config := proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice, Behaviour: proxytest.Behaviour{IgnoreExpect: true}}
				p := w.newProxy(config)
				tr := w.newTransport(p)
				resp, err := (&http.Client{Transport: tr}).Post(w.HTTP.URL, "text/plain", strings.NewReader(want))
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, []string{want}, w.bodies)

				p = w.newProxy(config)
				tr = w.newTransport(p)
				stream := &countedBody{Reader: strings.NewReader(want)}
				_, err = post(t, tr, w.HTTP.URL, stream)
				require.NoError(t, err)
				require.Equal(t, []string{want, want}, w.bodies)
				require.EqualValues(t, len(want), p.Counts().BodyBytes)
				require.Equal(t, []string{"OPTIONS 407", "POST 200"}, legs(p))
				synctest.Wait()
				require.EqualValues(t, 1, stream.closed.Load())
			})
		})
	}
}

// legs returns method and status of each request that a proxy got.
func legs(p *proxytest.Proxy) (legs []string) {
	for _, leg := range p.Transcript() {
		legs = append(legs, fmt.Sprint(leg.Method, " ", leg.Status))
	}
	return legs
}

// R32: where OPTIONS needs no authentication, as for the preflights of browsers,
// the legs before the last are the request without its body, once that was
// refused.
func TestBodiesWhereOptionsAreExempt(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"replayed": func() io.Reader { return strings.NewReader("the body") },
		"stream":   func() io.Reader { return io.MultiReader(strings.NewReader("the body")) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				type passed struct{ method, body string }
				var origin []passed
				s := w.scriptedBy(scripted.Config{KeepBodies: true, Script: func(req *http.Request) scripted.Answer {
					switch step := ntlmStep(req); {
					case req.Method == http.MethodOptions || step == 3:
						b, _ := io.ReadAll(req.Body)
						origin = append(origin, passed{req.Method, string(b)})
						return scripted.PassWith("origin")
					case step == 0:
						return scripted.Status(407, "Proxy-Authenticate: NTLM", "Connection: close").Then(scripted.HangUp())
					}
					assert.Zero(t, req.ContentLength, "a body goes with the last leg")
					return scripted.Challenges("NTLM " + stubType2)
				}})
				tr := w.through(s)
				tr.Schemes = []proxyauth.Scheme{proxyauth.NTLM()}
				req, err := http.NewRequest("POST", "http://origin.example/", body())
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				resp.Body.Close()
				for _, p := range origin[:len(origin)-1] {
					require.Equal(t, http.MethodOptions, p.method)
				}
				require.Equal(t, passed{"POST", "the body"}, origin[len(origin)-1])
			})
		})
	}
}

// R32, R34: the connection ends behind the OPTIONS, when the body is about to go,
// be it that the proxy sends what nobody has asked for: each body is closed once.
func TestBodiesBehindAProbeThatEnds(t *testing.T) {
	for name, replayed := range map[string]bool{"replayed": true, "stream": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 300 { // the end is noticed before the request is written, or after
				inBubble(t, func(t *testing.T, w *world) {
					probes := 0
					s := w.scripted(func(req *http.Request) scripted.Answer {
						answer := scripted.PassWith("origin")
						if req.Method == http.MethodOptions {
							if probes++; probes == 1 {
								return answer.Then(scripted.Status(401)) // unasked: net/http takes it for the end
							}
						}
						return answer
					})
					tr := w.through(s)
					tr.Schemes = []proxyauth.Scheme{proxyauth.NTLM()}
					var bodies []*countedBody
					body := func() (io.ReadCloser, error) {
						bodies = append(bodies, &countedBody{Reader: strings.NewReader("the body")})
						return bodies[len(bodies)-1], nil
					}
					req, err := http.NewRequest("PUT", "http://origin.example/", nil)
					require.NoError(t, err)
					req.Body, _ = body()
					if replayed {
						req.GetBody = body
					}
					if resp, err := tr.RoundTrip(req); err == nil { // with whichever answer
						resp.Body.Close()
					}
					synctest.Wait()
					for _, b := range bodies {
						require.EqualValues(t, 1, b.closed.Load())
					}
				})
			}
		})
	}
}

// R32: RoundTrip closes the body on every path.
func TestBodyIsClosedOnErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
		for name, change := range map[string]func(*proxyauth.Transport){
			"no credentials": func(tr *proxyauth.Transport) { tr.Credentials = nil },
			"rejected":       func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.UserPassword("alice", "open barley") },
			"no scheme":      func(tr *proxyauth.Transport) { tr.Schemes = []proxyauth.Scheme{} },
			"no proxy": func(tr *proxyauth.Transport) {
				tr.Proxy = func(*http.Request) (*neturl.URL, error) { return nil, errors.New("x") }
			},
			"bad proxy": func(tr *proxyauth.Transport) { tr.Proxy = http.ProxyURL(&neturl.URL{Scheme: "ftp", Host: "x"}) },
			"unreachable": func(tr *proxyauth.Transport) {
				tr.Proxy = http.ProxyURL(&neturl.URL{Scheme: "http", Host: "127.0.0.1:1"})
			},
		} {
			for _, url := range w.ways() {
				tr := w.newTransport(p)
				change(tr.Transport)
				for range 2 { // the second one may be answered from memory
					stream := &countedBody{Reader: strings.NewReader("x")}
					_, err := post(t, tr, url, stream)
					require.Error(t, err, name)
					synctest.Wait()
					require.EqualValues(t, 1, stream.closed.Load(), name)
				}
			}
		}
		require.Empty(t, w.bodies)
	})
}

// R30: a user's own Expect is left alone.
func TestOwnExpect(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	req, err := http.NewRequest("POST", o.HTTP.URL, strings.NewReader("body"))
	require.NoError(t, err)
	req.Header.Set("Expect", "100-continue")
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "body", o.bodies[len(o.bodies)-1])
	require.Same(t, req, resp.Request)
	require.Equal(t, http.Header{"Expect": {"100-continue"}}, req.Header, "the caller's request is not changed")
}

// R13, R32: a 417 is the proxy's that knows no Expect (RFC 9110 §10.1.1): the
// request goes again, with another nonce count.
func TestExpectationFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		counted := regexp.MustCompile(`nonce="([^"]*)".*nc=(\w+)`)
		var mu sync.Mutex
		seen, nonces := map[string]bool{}, 0
		s := w.scripted(func(req *http.Request) scripted.Answer {
			mu.Lock()
			defer mu.Unlock()
			m := counted.FindStringSubmatch(req.Header.Get("Proxy-Authorization"))
			if m == nil || seen[m[1]+m[2]] {
				nonces++
				return scripted.Challenge("Digest", "realm", "r", "qop", "auth", "nonce", fmt.Sprint("n", nonces))
			}
			seen[m[1]+m[2]] = true
			if req.Header.Get("Expect") != "" {
				return scripted.Status(417, "Connection: close").Then(scripted.HangUp())
			}
			return scripted.PassWith("origin")
		})
		tr := w.through(s)
		requireOK(t, tr, w.HTTP.URL)
		stream := &countedBody{Reader: strings.NewReader("a stream")}
		resp, err := post(t, tr, w.HTTP.URL, stream)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, 1, nonces)
		synctest.Wait()
		require.EqualValues(t, 1, stream.closed.Load())
	})
}

// R30, R32: a 417 of the origin that has taken the body is the answer.
func TestOriginExpectationFailed(t *testing.T) {
	o := newOrigin(t)
	o.handler = func(w http.ResponseWriter, req *http.Request) { w.WriteHeader(http.StatusExpectationFailed) }
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
	resp, err := post(t, tr, o.HTTP.URL, &countedBody{Reader: strings.NewReader("a stream")})
	require.NoError(t, err)
	require.Equal(t, 417, resp.StatusCode)
	require.Equal(t, []string{"a stream"}, o.bodies)
}
