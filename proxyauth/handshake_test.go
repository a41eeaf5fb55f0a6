package proxyauth_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// ntlmProxy asks for NTLM, each leg with these lines, and then gives the answer.
func ntlmProxy(t *testing.T, status, fields, answer string) *scriptedServer {
	return scriptedProxy(t, func(req *http.Request) string {
		end := ""
		if req.Close {
			end = hangUp
		}
		switch ntlmStep(req) {
		case 3:
			return answer
		case 1:
			return status + "\r\nProxy-Authenticate: NTLM " + stubType2 + "\r\n" + fields + "\r\n" + end
		}
		return status + "\r\nProxy-Authenticate: NTLM\r\n" + fields + "\r\n" + end
	})
}

const (
	noBody  = "Content-Length: 0\r\n"
	passed  = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin"
	kept10  = noBody + "Proxy-Connection: keep-alive\r\n"
	passed0 = "HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\nContent-Length: 6\r\n\r\norigin"
)

// What HTTP/1.0 proxies say in ISO-8859-1 is no UTF-8, and grows where its case
// is changed.
func TestNTLMLatin1(t *testing.T) {
	o := newOrigin(t)
	for name, reason := range map[string]string{
		"one": "Authentification n\xe9cessaire", "many": strings.Repeat("\xe9", 100), "more": strings.Repeat("\xe9", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			s := ntlmProxy(t, "HTTP/1.0 407 "+reason, kept10, passed0)
			requireOK(t, s.transport(t, o), o.HTTP.URL)
			require.Equal(t, 2, s.conns) // to find out, and for the handshake
		})
	}
}

// A 407 to HEAD has no body, whatever it says of its length (RFC 9110 §9.3.2).
func TestNTLMHead(t *testing.T) {
	o := newOrigin(t)
	s := ntlmProxy(t, "HTTP/1.1 407 Who", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
	req, err := http.NewRequest("HEAD", o.HTTP.URL, nil)
	require.NoError(t, err)
	resp, err := s.transport(t, o).RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
}

// A wish to close the connection is for the last leg, in whatever case the field
// is in the map.
func TestNTLMConnectionClose(t *testing.T) {
	o := newOrigin(t)
	for _, name := range []string{"Connection", "connection"} {
		s := ntlmProxy(t, "HTTP/1.1 407 Who", noBody, passed)
		req, err := http.NewRequest("GET", o.HTTP.URL, nil)
		require.NoError(t, err)
		req.Header[name] = []string{"close"}
		resp, err := s.transport(t, o).RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
}

// After 101 the connection is the caller's, byte by byte, also where they look
// like the beginning of a response.
func TestNTLMUpgrade(t *testing.T) {
	o := newOrigin(t)
	s := scriptedProxy(t, func(req *http.Request) string {
		switch ntlmStep(req) {
		case 3:
			return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + echoes101
		case 1:
			return "HTTP/1.1 407 Who\r\n" + noBody + "Proxy-Authenticate: NTLM " + stubType2 + "\r\n\r\n"
		}
		return "HTTP/1.1 407 Who\r\n" + noBody + "Proxy-Authenticate: NTLM\r\n\r\n"
	})
	for _, typed := range []string{"G", "H", "HTTP/1.0 x\nproxy-connection: y\n\n"} {
		req, err := http.NewRequest("POST", o.HTTP.URL, nil)
		require.NoError(t, err)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "tcp")
		resp, err := s.transport(t, o).RoundTrip(req)
		require.NoError(t, err)
		stream := resp.Body.(io.ReadWriteCloser)
		stop := time.AfterFunc(5*time.Second, func() { stream.Close() })
		io.WriteString(stream, typed)
		got := make([]byte, len(typed))
		_, err = io.ReadFull(stream, got)
		require.NoError(t, err, "no echo of %q", typed)
		require.Equal(t, typed, string(got))
		stop.Stop()
		stream.Close()
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
