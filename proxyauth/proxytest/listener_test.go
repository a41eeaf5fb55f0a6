package proxytest

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
)

// inMemory runs f in a bubble of testing/synctest, with a proxy that is reached
// through memory and a connection to it. http://origin.example answers with the
// values of Expect and the body that it got.
func inMemory(t *testing.T, config Config, f func(t *testing.T, p *Proxy, c *raw)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		origin := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, r.Header["Expect"], string(body))
		})}
		go origin.Serve(n.Listen("origin.example:80"))
		defer origin.Close()
		config.Listener, config.Dial = n.Listen("proxy.example:3128"), n.DialContext
		p := newProxy(t, config)
		c := dialRawBy(t, p, n.DialContext)
		c.SetDeadline(time.Time{}) // who waits here for ever fails the test
		f(t, p, c)
	})
}

// A proxy serves whatever listener it is given, and closes it.
func TestListener(t *testing.T) {
	inMemory(t, Config{Auth: []Auth{Basic{Realm: "r"}}, Users: users}, func(t *testing.T, p *Proxy, c *raw) {
		want(t, "URL", p.URL.String(), "http://proxy.example:3128")
		const line = "GET http://origin.example/ HTTP/1.1"
		resp, _ := c.do(line)
		want(t, "status", resp.StatusCode, 407)
		time.Sleep(5 * time.Second)
		_, body := c.do(line, "Proxy-Authorization: "+basicCredentials("alice", "secret"))
		want(t, "body", body, "[]")
		p.Close()
		c.ended()
		if _, err := p.listener.Accept(); err == nil {
			t.Error("the listener is open")
		}
	})
}
