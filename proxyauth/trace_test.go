package proxyauth_test

import (
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// hooks returns the names of the httptrace hooks that fire for a POST, each
// once.
func hooks(t *testing.T, rt http.RoundTripper, url string) []string {
	var mu sync.Mutex
	fired := make(map[string]bool)
	fire := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		fired[name] = true
	}
	wrote := make(chan struct{}, 9)
	trace := &httptrace.ClientTrace{
		GetConn:              func(string) { fire("GetConn") },
		GotConn:              func(httptrace.GotConnInfo) { fire("GotConn") },
		GotFirstResponseByte: func() { fire("GotFirstResponseByte") },
		Got1xxResponse:       func(int, textproto.MIMEHeader) error { fire("Got1xxResponse"); return nil },
		ConnectStart:         func(string, string) { fire("ConnectStart") },
		ConnectDone:          func(string, string, error) { fire("ConnectDone") },
		TLSHandshakeStart:    func() { fire("TLSHandshakeStart") },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { fire("TLSHandshakeDone") },
		WroteHeaders:         func() { fire("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { fire("WroteRequest"); wrote <- struct{}{} },
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", url, strings.NewReader("body"))
	require.NoError(t, err)
	resp, err := rt.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	<-wrote // perhaps after the response
	mu.Lock()
	defer mu.Unlock()
	return slices.Sorted(maps.Keys(fired))
}

// The hooks of httptrace fire as they do with net/http through an open proxy,
// for a new connection and for one that is used again.
func TestTrace(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
		open := start(proxytest.Config{})
		t.Cleanup(open.Close)
		for name, auth := range map[string]proxytest.Auth{"Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
			p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
			t.Cleanup(p.Close)
			for way, url := range o.ways() {
				t.Run(name+"/"+p.URL.Scheme+"/"+way, func(t *testing.T) {
					bare := newTransport(t, open, o).Base
					t.Cleanup(bare.CloseIdleConnections)
					ours := newTransport(t, p, o)
					requireOK(t, bare, url)
					requireOK(t, ours, url) // which makes the proxy known
					require.Equal(t, hooks(t, bare, url), hooks(t, ours, url), "again")
					bare.CloseIdleConnections()
					ours.CloseIdleConnections()
					want := hooks(t, bare, url)
					require.Contains(t, want, "ConnectDone")
					require.Equal(t, want, hooks(t, ours, url), "new")
				})
			}
		}
	}
}
