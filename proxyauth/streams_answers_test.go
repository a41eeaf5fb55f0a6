package proxyauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// R28, R30: the answer to HEAD has no content, whatever it says of a length (RFC 9110
// §9.3.2), and yet proxies send the page of a 407. Either way the next leg is answered, on
// the same connection.
func TestHeadAnsweredByPage(t *testing.T) {
	const page = "<html>no</html>"
	length, chunked := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(page)), "Transfer-Encoding: chunked\r\n\r\n"
	pages := map[string]struct {
		head string
		then scripted.Answer // behind the header
		once bool            // all legs are on one connection
	}{
		"none":              {head: length, once: true},
		"none, chunked":     {head: chunked, once: true},
		"none, no length":   {head: "\r\n", once: true},
		"at once":           {head: length + page, once: true},
		"chunked":           {head: chunked + "f\r\n" + page + "\r\n0\r\nA: b\r\n\r\n", once: true},
		"a little later":    {head: length, then: scripted.Raw(page), once: true},
		"in two pieces":     {head: length + page[:3], then: scripted.After(time.Second, scripted.Raw(page[3:])), once: true},
		"much later":        {head: length, then: scripted.After(time.Second, scripted.Raw(page)), once: true},
		"large":             {head: "Content-Length: 100000\r\n\r\n" + strings.Repeat(page[:10], 10_000), once: true},
		"longer":            {head: length + page + page},
		"no length":         {head: "\r\n" + page},
		"no length, closes": {head: "Connection: close\r\n\r\n" + page, then: scripted.HangUp()},
		"bad chunks":        {head: chunked + page},
	}
	for name, p := range pages {
		for scheme, challenges := range map[string][2]string{"NTLM": {"NTLM", "NTLM " + stubType2}, "Digest": {`Digest realm="r", nonce="n"`}, "Basic": {`Basic realm="r"`}} {
			t.Run(scheme+"/"+name, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(func(req *http.Request) scripted.Answer {
						challenge := challenges[0]
						switch step := ntlmStep(req); {
						case step == 1:
							challenge = challenges[1]
						case step == 3, len(req.Header["Proxy-Authorization"]) > 0:
							return scripted.Raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\n")
						}
						answer := scripted.Head407(challenge).Then(scripted.Raw(p.head))
						if p.then != nil {
							answer = answer.Then(p.then)
						}
						return answer
					})
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, "HEAD", "http://origin.example/", nil)
					require.NoError(t, err)
					resp, err := w.through(s).RoundTrip(req)
					if scheme == "NTLM" && !p.once {
						require.ErrorContains(t, err, "NTLM: the proxy")
						return
					}
					require.NoError(t, err)
					require.Equal(t, 200, resp.StatusCode)
					require.Equal(t, "b", resp.Header.Get("A"))
					if scheme != "NTLM" {
						return
					}
					on := s.RequestsOn()
					require.Equal(t, on[len(on)-2], on[len(on)-1], "both messages")
				})
			})
		}
	}
}

// A refuser lets a GET pass, refuses the first PUT in the middle of its body, and resets
// the connection behind that. Of the next PUT it reads all.
type refuser struct {
	scheme string
	reset  time.Duration // so long after the 407

	mu   sync.Mutex
	puts int
	got  []string
}

func (r *refuser) script(req *http.Request) scripted.Answer {
	step := ntlmStep(req)
	switch {
	case r.scheme == "NTLM" && step == 1:
		return scripted.Challenges("NTLM " + stubType2)
	case r.scheme != "bare" && r.scheme != "NTLM" && len(req.Header["Proxy-Authorization"]) == 0:
		return scripted.Challenges(r.demand("n"))
	case req.Method == "GET" && r.scheme == "NTLM" && step != 3:
		return scripted.Challenges("NTLM")
	case req.Method != "PUT":
		return scripted.PassWith("origin")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.puts++; r.puts == 1 {
		io.CopyN(io.Discard, req.Body, 100_000)
		return scripted.Challenges(r.demand("m")).Then(scripted.After(r.reset, scripted.Reset()))
	}
	if body, err := io.ReadAll(req.Body); err == nil {
		r.got = append(r.got, string(body))
	}
	return scripted.PassWith("origin")
}

func (r *refuser) demand(nonce string) string {
	switch r.scheme {
	case "Digest":
		return scripted.List("Digest", "realm", "r", "nonce", nonce, "stale", "true")
	case "NTLM":
		return "NTLM"
	}
	return scripted.List("Basic", "realm", "r")
}

// R28, R32, R34: a 407 that comes in the middle of an upload counts, whatever becomes of
// the connection behind it: its challenge is answered, and a body that can be sent again
// is. (RFC 9112 §9.6: whoever closes early may lose its answer by a reset. net/http also
// gives up an answer that has come, if it sees first that it can write no more.)
func TestChallengeInUpload(t *testing.T) {
	text := strings.Repeat("0123456789", 2_000_000) // more than what is on the way
	for _, network := range []string{"TCP", "memory"} {
		for _, scheme := range []string{"bare", "Basic", "Digest", "NTLM"} {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/stream=%t", network, scheme, stream), func(t *testing.T) {
					for range 5 {
						r := &refuser{scheme: scheme, reset: time.Millisecond}
						config := scripted.Config{Script: r.script, KeepBodies: true}
						if network == "memory" {
							inBubble(t, func(t *testing.T, w *world) {
								uploads(t, w.through(w.scriptedBy(config)).Transport, r, text, stream)
								synctest.Wait()
							})
							continue
						}
						var err error
						config.Listener, err = net.Listen("tcp", "127.0.0.1:0")
						require.NoError(t, err)
						r.reset = 0
						s := scripted.New(config)
						tr := &proxyauth.Transport{Base: &http.Transport{Proxy: http.ProxyURL(s.URL()), ExpectContinueTimeout: 20 * time.Millisecond}, Credentials: proxyauth.UserPassword("alice", "open sesame")}
						uploads(t, tr, r, text, stream)
						tr.CloseIdleConnections()
						s.Close()
					}
				})
			}
		}
	}
}

func uploads(t *testing.T, tr *proxyauth.Transport, r *refuser, text string, stream bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, _, err := fetch(tr, "http://origin.example/")
	require.NoError(t, err)
	require.Equal(t, 200, got)
	var body io.Reader = strings.NewReader(text)
	if stream {
		body = struct{ io.Reader }{body}
	}
	req, err := http.NewRequestWithContext(ctx, "PUT", "http://origin.example/", body)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	switch {
	case r.scheme == "Basic": // the password had passed, and is refused now
		require.ErrorIs(t, err, proxyauth.ErrRejected)
		return
	case stream:
		require.ErrorIs(t, err, proxyauth.ErrBodyConsumed)
		return
	}
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	require.Len(t, r.got, 1)
	require.True(t, r.got[0] == text)
}

// R5, R27, R34: what is no status (RFC 9110 §15), or no HTTP, is an error that names the
// proxy, at once, and never a tunnel.
func TestOddStatus(t *testing.T) {
	for line, want := range map[string]string{
		"HTTP/1.1 000":     "malformed HTTP status code in",
		"HTTP/1.1 099 Low": "malformed HTTP status code in",
		"HTTP/1.1 99 Low":  "malformed HTTP status code",
		"HTTP/1.1 2":       "malformed HTTP",
		"HTTP/1.1 20 OK":   "malformed HTTP",
		"HTTP/1.1 +20 OK":  "malformed HTTP status code in",
		"HTTP/1.1 -20 OK":  "malformed HTTP status code",
		"HTTP/1.1 2000 OK": "malformed HTTP",
		"HTTP/1.1 2x0 OK":  "malformed HTTP",
		"HTTP/1.1  20 OK":  "malformed HTTP status code",
		"HTTP/1.1":         "malformed HTTP",
		"HTTX/1.1 200 OK":  "malformed HTTP version",
		"220 smtp.example": "malformed HTTP",
		"SSH-2.0-OpenSSH":  "malformed HTTP",
		"HTTP/1.1 600 Odd": "", // a status, though of no class
		"HTTP/1.1 999 Odd": "",
	} {
		for stage, answered := range stages {
			for _, way := range ways {
				t.Run(line+"/"+stage+"/"+way, func(t *testing.T) {
					inBubble(t, func(t *testing.T, w *world) {
						s := w.scripted(after(answered, scripted.Raw(line+"\r\nContent-Length: 0\r\n\r\n")))
						begin := time.Now()
						got, err := reaches(t, w.through(s), way)
						assert.Less(t, time.Since(begin), 5*time.Second)
						if want == "" && way == "forward" {
							require.NoError(t, err)
							return
						}
						require.ErrorContains(t, err, want, got)
						require.ErrorContains(t, err, "proxy "+s.URL().String())
						var refused *proxyauth.ConnectError
						require.Equal(t, want == "", errors.As(err, &refused), "%v", err)
					})
				})
			}
		}
	}
}

// R27: what the target sends together with the proxy's 2xx is the tunnel's, also if it
// looks like an answer of the proxy.
func TestTunnelBeginsWithAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		early := []byte("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=r\r\n\r\n")
		s := w.scripted(byNTLM(scripted.PassWith(string(early))))
		conn, err := w.through(s).DialContext(t.Context(), "tcp", "origin.example:25")
		require.NoError(t, err)
		defer conn.Close()
		got := make([]byte, len(early))
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(early, got))
	})
}
