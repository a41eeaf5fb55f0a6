package scripted_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// talk says text to a proxy with a script, and returns what it answers until it
// hangs up or a second has passed.
func talk(t *testing.T, script scripted.Script, text string) (answer string, took time.Duration, err error) {
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		origin := n.Listen("origin.example:80")
		defer origin.Close()
		go func() { // an origin that says what it was asked
			for {
				c, err := origin.Accept()
				if err != nil {
					return
				}
				line, _ := bufio.NewReader(c).ReadString('\n')
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\norigin: %s", len("origin: "+line), line)
				c.Close()
			}
		}()
		p := scripted.New(scripted.Config{Listener: n.Listen("proxy.example:3128"), Script: script, Dial: n.DialContext})
		defer p.Close()
		c, dialErr := n.DialContext(t.Context(), "tcp", p.URL().Host)
		require.NoError(t, dialErr)
		defer c.Close()
		begin := time.Now()
		go func() {
			io.WriteString(c, text)
			c.(*memconn.Conn).CloseWrite()
		}()
		c.SetReadDeadline(begin.Add(time.Second))
		var all []byte
		all, err = io.ReadAll(c)
		answer, took = string(all), time.Since(begin)
	})
	return answer, took, err
}

const (
	get     = "GET http://origin.example:80/x HTTP/1.1\r\nHost: origin.example\r\n\r\n"
	connect = "CONNECT origin.example:80 HTTP/1.1\r\nHost: origin.example:80\r\n\r\n"
)

func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		answer scripted.Answer
		text   string
		want   string
	}{
		"raw":        {scripted.Raw("HTTP/1.1 40").Then(scripted.HangUp()), get, "HTTP/1.1 40"},
		"status":     {scripted.Status(403).Then(scripted.HangUp()), get, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"},
		"challenge":  {scripted.Challenge("Digest", "realm", "r", "nonce", "n").Then(scripted.HangUp()), get, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\nContent-Length: 0\r\n\r\n"},
		"challenges": {scripted.Challenges("NTLM", scripted.List("Basic", "realm", "r")).Then(scripted.HangUp()), get, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n"},
		"head":       {scripted.Head407("NTLM").Then(scripted.HangUp()), get, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n"},
		"pass with":  {scripted.PassWith("origin").Then(scripted.HangUp()), get, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin"},
		"echo":       {scripted.Status(101).Then(scripted.Echo()), get + "hello", "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\nhello"},
		"tunnel":     {scripted.Pass(), connect + "hello\n", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\norigin: hello\n"},
		"forward":    {scripted.Pass(), get + get, strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\norigin: GET /x HTTP/1.1\r\n", 2)},
		"no origin":  {scripted.Pass().Then(scripted.HangUp()), strings.ReplaceAll(connect, "origin", "none"), "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 53\r\n\r\ndial tcp none.example:80: connect: connection refused"},
		"hang up":    {scripted.HangUp(), get, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer, _, err := talk(t, scripted.Always(test.answer), test.text)
			require.NoError(t, err)
			require.Equal(t, test.want, answer)
		})
	}
}

func TestAnswersInTime(t *testing.T) {
	answer, took, err := talk(t, scripted.Always(scripted.After(700*time.Millisecond, scripted.Status(200)).Then(scripted.HangUp())), get)
	require.NoError(t, err)
	require.Contains(t, answer, "200 OK")
	require.Equal(t, 700*time.Millisecond, took)

	answer, took, err = talk(t, scripted.Always(scripted.Raw("HTTP/1.1").Then(scripted.Stall())), get)
	require.True(t, isTimeout(err))
	require.Equal(t, "HTTP/1.1", answer)
	require.Equal(t, time.Second, took)

	_, _, err = talk(t, scripted.Always(scripted.Raw("lost").Then(scripted.Reset())), get)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// What was asked, and on which connection.
func TestScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		turns := scripted.InTurn(scripted.Challenge("Basic", "realm", "r"), scripted.Page(200, "one"), scripted.Status(204))
		p := scripted.New(scripted.Config{Listener: n.Listen("proxy.example:3128"), Script: turns})
		defer p.Close()
		rt := &http.Transport{DialContext: n.DialContext, Proxy: http.ProxyURL(p.URL())}
		defer rt.CloseIdleConnections()
		for i, want := range []int{407, 200, 204, 204} {
			if i == 2 {
				rt.CloseIdleConnections()
			}
			req, err := http.NewRequest("POST", "http://origin.example/", strings.NewReader("body"))
			require.NoError(t, err)
			req.Header.Set("Proxy-Authorization", "Basic abc")
			resp, err := rt.RoundTrip(req)
			require.NoError(t, err)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			require.Equal(t, want, resp.StatusCode)
		}
		require.Len(t, p.Requests(), 4)
		for _, req := range p.Requests() { // none begins with the body of the one before
			require.Equal(t, "POST", req.Method)
		}
		require.Equal(t, []int{1, 1, 2, 2}, p.RequestsOn())
		require.Equal(t, 2, p.Connections())
		require.Equal(t, []string{"Basic abc", "Basic abc", "Basic abc", "Basic abc"}, p.Authorizations())
	})
	demand := scripted.Demand(scripted.Status(407).Then(scripted.HangUp()), scripted.Status(204).Then(scripted.HangUp()))
	answer, _, _ := talk(t, demand, get)
	require.Contains(t, answer, "407")
	answer, _, _ = talk(t, demand, strings.Replace(get, "Host", "Proxy-Authorization: Basic abc\r\nHost", 1))
	require.Contains(t, answer, "204")
}

// A connection that is idle for too long ends, before a request and in a tunnel.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		var received strings.Builder
		opened := scripted.Raw("HTTP/1.1 200 OK\r\n\r\n").Then(scripted.Receive(&received))
		p := scripted.New(scripted.Config{Listener: n.Listen("proxy.example:3128"), Script: scripted.Always(opened), IdleTimeout: time.Minute})
		defer p.Close()
		for _, text := range []string{"", connect + "hello"} {
			c, err := n.DialContext(t.Context(), "tcp", p.URL().Host)
			require.NoError(t, err)
			defer c.Close()
			begin := time.Now()
			io.WriteString(c, text)
			_, err = io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, time.Minute, time.Since(begin))
		}
		require.Equal(t, "hello", received.String())
	})
}

func TestEndless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		p := scripted.New(scripted.Config{Listener: n.Listen("proxy.example:3128"), Script: scripted.Always(scripted.Endless("<p>"))})
		defer p.Close()
		c, err := n.DialContext(t.Context(), "tcp", p.URL().Host)
		require.NoError(t, err)
		io.WriteString(c, get)
		got, err := io.ReadAll(io.LimitReader(c, 1<<20))
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("<p>", len(got)/3), string(got[:len(got)/3*3]))
		c.Close()
		synctest.Wait()
		require.GreaterOrEqual(t, p.Flooded(), int64(1<<20))
	})
}
