package proxyauth_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A fragileConn ends as one does whose packets a firewall has begun to drop: it
// shows in the next write only.
type fragileConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c *fragileConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.Conn.Write(p)
}

// fillPool makes n requests at the same time, for as many connections.
func fillPool(t *testing.T, n int, tr http.RoundTripper, o *origin) {
	requireOK(t, tr, o.HTTP.URL) // or they would wait for the first
	var together sync.WaitGroup
	together.Add(n)
	o.mu.Lock()
	o.handler = func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait()
		io.WriteString(w, "origin")
	}
	o.mu.Unlock()
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			_, _, err := fetch(tr, o.HTTP.URL)
			assert.NoError(t, err)
		})
	}
	done.Wait()
	o.mu.Lock()
	o.handler = nil
	o.mu.Unlock()
}

// However many pooled connections have ended, or were forgotten by the proxy, a
// request gets through on a new one.
func TestPoolOfDeadConnections(t *testing.T) {
	const many = 15 // more than the legs that a request may take
	t.Run("ended", func(t *testing.T) {
		o := newOrigin(t)
		p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
		tr := newTransport(t, p, o)
		broken := new(atomic.Bool)
		var mu sync.Mutex
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			mu.Lock()
			defer mu.Unlock()
			return &fragileConn{c, broken}, err
		}
		fillPool(t, many, tr, o)
		broken.Store(true)
		mu.Lock()
		broken = new(atomic.Bool)
		mu.Unlock()
		p.Reset()
		requireOK(t, tr, o.HTTP.URL)
		require.Len(t, messages(p), 1)
	})
	t.Run("forgotten", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			s := w.scripted(byNTLM(scripted.After(time.Second, scripted.PassWith("origin"))))
			tr := w.through(s)
			const target = "http://origin.example/"
			requireOK(t, tr, target)
			var done sync.WaitGroup
			for range many { // within the second
				done.Go(func() {
					_, _, err := fetch(tr, target)
					assert.NoError(t, err)
				})
			}
			done.Wait()
			require.Equal(t, 1+many, s.Connections())
			before := len(s.Requests())
			requireOK(t, tr, target)
			require.Len(t, s.Requests(), before+3, "one that was forgotten, and not all; a handshake")
		})
	})
}

// A route that is dropped for newer ones lets go of its connections, those in use
// when they come back.
func TestNTLMDroppedRoute(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: alice})
		s := newSaboteur(w.listen(), w.dial, p.URL.Host)
		defer s.close()
		tr := w.newTransport(p)
		proxy := s.url("http")
		proxy.User = url.UserPassword("alice", "open sesame")
		tr.Credentials, tr.Proxy = nil, func(*http.Request) (*url.URL, error) { return proxy, nil }
		req, err := http.NewRequest("POST", w.HTTP.URL, nil)
		require.NoError(t, err)
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		for n := range 1100 {
			proxy = &url.URL{Scheme: "http", Host: "127.0.0.1:1", User: url.UserPassword(fmt.Sprint("session-", n), "x")}
			_, _, err := fetch(tr, w.HTTP.URL)
			require.Error(t, err)
		}
		left := s.left()
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		synctest.Wait()
		select {
		case <-left:
		default:
			t.Error("the connection is idle for ever")
		}
	})
}

// A rotation that many notice at once is one: of tunnels and of handshakes.
func TestRotationNoticedByMany(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"alice": "one", "bob": "two"}})
	tr := newTransport(t, p, o)
	tr.Base.MaxConnsPerHost = 1
	const n = 40
	var rotated atomic.Bool
	var asked atomic.Int32
	all := make(chan struct{})
	tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		if !rotated.Load() {
			return proxyauth.Credentials{Username: "alice", Password: "one"}, nil
		}
		if asked.Add(1) == n {
			close(all)
		}
		<-all
		return proxyauth.Credentials{Username: "bob", Password: "two"}, nil
	})
	requireOK(t, tr, o.HTTPS.URL)
	before := tr.Stats().Tunnels
	rotated.Store(true)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { requireOK(t, tr, o.HTTPS.URL) })
	}
	wg.Wait()
	require.LessOrEqual(t, tr.Stats().Tunnels, before+2)
}
