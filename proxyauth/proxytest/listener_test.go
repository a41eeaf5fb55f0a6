package proxytest_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// With a listener in memory a proxy can be tried with virtual time.
func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memconn.Network
		origin := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "origin") })}
		go origin.Serve(n.Listen("origin.example:80"))
		defer origin.Close()
		p := proxytest.New(proxytest.Config{
			Listener: n.Listen("proxy.example:3128"), Dial: n.DialContext,
			Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"alice": "secret"},
			Behaviour: proxytest.Behaviour{Delay: time.Hour},
		})
		defer p.Close()
		require.Equal(t, "http://proxy.example:3128", p.URL.String())

		rt := &http.Transport{Proxy: http.ProxyURL(p.URL), DialContext: n.DialContext}
		defer rt.CloseIdleConnections()
		client := &http.Client{Transport: rt}
		begin := time.Now()
		resp, err := client.Get("http://origin.example:80/")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 407, resp.StatusCode)
		require.Equal(t, time.Hour, time.Since(begin))

		rt.Proxy = http.ProxyURL(p.URLFor("alice", "secret"))
		resp, err = client.Get("http://origin.example:80/")
		require.NoError(t, err)
		defer resp.Body.Close()
		content, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "origin", string(content))
	})
}
