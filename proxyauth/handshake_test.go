package proxyauth_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// ntlmStep returns the type of the NTLM message of a request, 0 for none.
func ntlmStep(req *http.Request) int {
	_, token, _ := strings.Cut(req.Header.Get("Proxy-Authorization"), " ")
	for step, begin := range map[int]string{1: "TlRMTVNTUAAB", 3: "TlRMTVNTUAAD"} {
		if strings.HasPrefix(token, begin) {
			return step
		}
	}
	return 0
}

// ntlmScript demands NTLM and answers its legs with these challenges, of which
// the first is to type 1, and then gives the last answer.
func ntlmScript(bare, type2, last scripted.Answer) scripted.Script {
	return func(req *http.Request) scripted.Answer {
		answer := map[int]scripted.Answer{0: bare, 1: type2, 3: last}[ntlmStep(req)]
		if req.Close && ntlmStep(req) != 3 {
			return answer.Then(scripted.HangUp())
		}
		return answer
	}
}

// byNTLM is a proxy that takes any NTLM.
func byNTLM(last scripted.Answer) scripted.Script {
	return ntlmScript(scripted.Challenge("NTLM"), scripted.Challenges("NTLM "+stubType2), last)
}

// What HTTP/1.0 proxies say in ISO-8859-1 is no UTF-8, and grows where its case
// is changed.
func TestNTLMLatin1(t *testing.T) {
	for name, reason := range map[string]string{
		"one": "Authentification n\xe9cessaire", "many": strings.Repeat("\xe9", 100), "more": strings.Repeat("\xe9", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			say := func(status, field, content string) scripted.Answer {
				return scripted.Raw(fmt.Sprintf("HTTP/1.0 %s\r\n%sProxy-Connection: keep-alive\r\nContent-Length: %d\r\n\r\n%s", status, field, len(content), content))
			}
			s := w.scripted(ntlmScript(
				say("407 "+reason, "Proxy-Authenticate: NTLM\r\n", ""),
				say("407 "+reason, "Proxy-Authenticate: NTLM "+stubType2+"\r\n", ""),
				say("200 OK", "", "origin")))
			requireOK(t, w.through(s), w.HTTP.URL)
			require.Equal(t, 2, s.Connections()) // to find out, and for the handshake
		})
	}
}

// A 407 to HEAD has no body, whatever it says of its length (RFC 9110 §9.3.2).
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

// A wish to close the connection is for the last leg, in whatever case the field
// is in the map.
func TestNTLMConnectionClose(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Connection", "connection"} {
		s := w.scripted(byNTLM(scripted.PassWith("origin")))
		req, err := http.NewRequest("GET", w.HTTP.URL, nil)
		require.NoError(t, err)
		req.Header[name] = []string{"close"}
		resp, err := w.through(s).RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
}

// After 101 the connection is the caller's, byte by byte, also where they look
// like the beginning of a response.
func TestNTLMUpgrade(t *testing.T) {
	for _, typed := range []string{"G", "H", "HTTP/1.0 x\nproxy-connection: y\n\n"} {
		inBubble(t, func(t *testing.T, w *world) { // who waits here, waits for ever
			s := w.scripted(byNTLM(scripted.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").Then(scripted.Echo())))
			req, err := http.NewRequest("POST", w.HTTP.URL, nil)
			require.NoError(t, err)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "tcp")
			resp, err := w.through(s).RoundTrip(req)
			require.NoError(t, err)
			stream := resp.Body.(io.ReadWriteCloser)
			defer stream.Close()
			io.WriteString(stream, typed)
			got := make([]byte, len(typed))
			_, err = io.ReadFull(stream, got)
			require.NoError(t, err, "no echo of %q", typed)
			require.Equal(t, typed, string(got))
		})
	}
}

// A request that cannot be written ends one connection at most, and not all that
// are authenticated.
func TestNTLMInvalidRequest(t *testing.T) {
	o := newOrigin(t)
	const n = 5
	var meet sync.WaitGroup
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/together" {
			meet.Done()
			meet.Wait()
		}
		io.WriteString(w, "origin")
	}
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	burst := func() {
		var wg sync.WaitGroup
		meet.Add(n)
		for range n {
			wg.Go(func() { requireOK(t, tr, o.HTTP.URL+"/together") })
		}
		wg.Wait()
	}
	burst()
	before := tr.Stats().Handshakes
	req, err := http.NewRequest("GET", o.HTTP.URL, nil)
	require.NoError(t, err)
	req.Header["X-Comment"] = []string{"two\nlines"}
	_, err = tr.RoundTrip(req)
	require.Error(t, err)
	burst()
	require.LessOrEqual(t, tr.Stats().Handshakes, before+1)
}
