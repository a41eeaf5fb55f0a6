package proxyauth_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R36: two identities in the URL are two routes: no connection, nonce or verdict
// of one serves the other.
func TestIdentitiesAreApart(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: map[string]string{"a": "1", "b": "2"}})
	tr := newTransport(t, p, o)
	tr.Credentials = nil
	user := "a"
	tr.Proxy = func(*http.Request) (*url.URL, error) {
		return p.URLFor(user, map[string]string{"a": "1", "b": "2", "x": "wrong"}[user]), nil
	}
	requireOK(t, tr, o.HTTPS.URL)
	user = "x"
	_, _, err := fetch(tr, o.HTTPS.URL)
	require.ErrorIs(t, err, proxyauth.ErrRejected)
	user = "b"
	requireOK(t, tr, o.HTTPS.URL)
	conns := map[string]int{}
	for _, leg := range p.Transcript() {
		if leg.User != "" {
			conns[leg.User] = leg.Conn
		}
	}
	require.NotEqual(t, conns["a"], conns["b"])
}

// R17, R36: connections are of one identity: two Transports share none, and a
// source that gives others starts new ones.
func TestNTLMIdentities(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: map[string]string{"alice": "open sesame", "bob": "b"}})
			first, second := newTransport(t, p, o), newTransport(t, p, o)
			second.Credentials = proxyauth.UserPassword("bob", "b")
			for range 2 {
				requireOK(t, first, url)
				requireOK(t, second, url)
			}
			who := map[int]string{}
			for _, leg := range p.Transcript() {
				if leg.User != "" {
					require.Contains(t, []string{"", leg.User}, who[leg.Conn])
					who[leg.Conn] = leg.User
				}
			}

			source := &rotating{}
			source.password.Store("open sesame")
			tr := newTransport(t, p, o)
			tr.Credentials = source
			requireOK(t, tr, url)
			p.SetUser("alice", "open wheat")
			source.password.Store("open wheat")
			p.Reset()
			requireOK(t, tr, url)
			require.Equal(t, 2, p.Counts().Requests)
			require.Equal(t, 1, p.Attempts("alice"))
			require.Zero(t, p.Refused("alice"))
		})
	}
}

// R36: a tunnel that one identity has opened carries nothing for the next,
// whichever way the route got to know of that: from a rejection, or from the
// source.
func TestTunnelsOfFormerIdentity(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]proxytest.Auth{
		"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{},
	} {
		for _, rotates := range []string{"when rejected", "after the rejection"} {
			t.Run(name+"/"+rotates, func(t *testing.T) {
				o, other, third := newOrigin(t), newOrigin(t), newOrigin(t)
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: map[string]string{"alice": "1", "bob": "2"}})
				tr := newTransport(t, p, o)
				tr.Base.TLSClientConfig.RootCAs.AddCert(other.HTTPS.Certificate())
				tr.Base.TLSClientConfig.RootCAs.AddCert(third.HTTPS.Certificate())
				var bob atomic.Bool
				tr.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
					if bob.Load() || rotates == "when rejected" && len(req.Rejected) > 0 {
						return proxyauth.Credentials{Username: "bob", Password: "2"}, nil
					}
					return proxyauth.Credentials{Username: "alice", Password: "1"}, nil
				})
				requireOK(t, tr, o.HTTPS.URL) // opens alice's
				p.SetUser("alice", "changed")
				_, _, err := fetch(tr, other.HTTPS.URL) // a CONNECT of alice is refused
				require.ErrorIs(t, err, proxyauth.ErrRejected)
				if rotates == "when rejected" {
					requireOK(t, tr, third.HTTPS.URL) // the second refusal, and then bob's
				}
				bob.Store(true)
				p.Reset()
				requireOK(t, tr, o.HTTPS.URL)
				legs := p.Transcript()
				require.NotEmpty(t, legs, "the tunnel of alice was used")
				require.Equal(t, "bob", legs[len(legs)-1].User)
				requireOK(t, tr, o.HTTPS.URL)
				require.Len(t, p.Transcript(), len(legs), "and that of bob stays")
			})
		}
	}
}

// R36: an HTTP/2 connection that is in use when the identity changes is closed
// with the others once it is idle.
func TestFormerTunnelsAreClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		slow, busy := make(chan struct{}), make(chan struct{})
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				close(busy)
				<-slow
			}
			io.WriteString(rw, "origin")
		}
		p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
		tr := w.newTransport(p)
		var open atomic.Int32
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := w.dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &closeCounted{Conn: c, open: &open}, nil
		}
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		requireOK(t, tr, w.HTTPS.URL)
		done := make(chan error)
		go func() { _, _, err := fetch(tr, w.HTTPS.URL+"/slow"); done <- err }()
		<-busy
		p.SetUser("alice", "open wheat")
		source.password.Store("open wheat")
		requireOK(t, tr, w.HTTPS.URL)
		close(slow)
		require.NoError(t, <-done)
		tr.CloseIdleConnections()
		synctest.Wait()
		require.Zero(t, open.Load())
	})
}

// R36: after kinit as somebody else no connection or tunnel of the former user is
// used.
func TestNegotiateKinitAsAnother(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: map[string]string{"alice": "1", "bob": "2"}})
			tr := newTransport(t, p, o)
			tr.Credentials = nil
			ticket := withTicket(t, p)
			tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(ticket)}
			for _, user := range []string{"alice", "alice", "bob", "alice"} {
				p.Reset()
				require.NoError(t, p.WriteTicketCache(ticket.CachePath, user, time.Hour))
				for range 2 {
					requireOK(t, tr, url)
				}
				for _, leg := range p.Transcript() {
					require.Equal(t, user, leg.User)
				}
			}
		})
	}
}

// R23, R36: a ticket cache that becomes another user's counts for the next
// handshake, and one of another realm not at all.
func TestNegotiateCacheChanges(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: map[string]string{"alice": "", "bob": ""}})
	options := withTicket(t, p)
	tr := newTransport(t, p, o)
	tr.Credentials, tr.Schemes = nil, []proxyauth.Scheme{proxyauth.Negotiate(options)}
	requireOK(t, tr, o.HTTP.URL)
	require.NoError(t, p.WriteTicketCache(options.CachePath, "bob", time.Hour))
	tr.CloseIdleConnections()
	p.Reset()
	requireOK(t, tr, o.HTTP.URL)
	require.Equal(t, 1, p.Attempts("bob"))
	require.Zero(t, p.Attempts("alice"))

	tr = newTransport(t, p, o)
	tr.Credentials = proxyauth.UserPassword("bob@OTHER.EXAMPLE", "open barley")
	tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(options)}
	_, _, err := fetch(tr, o.HTTP.URL)
	require.Error(t, err)
}

// A program may use more identities than a Transport keeps routes.
func TestManyRoutes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{})
		tr := w.newTransport(p)
		n := 0
		tr.Proxy = func(*http.Request) (*url.URL, error) {
			n++
			return p.URLFor(fmt.Sprint("session-", n), "x"), nil
		}
		for range 1100 {
			requireOK(t, tr, w.HTTP.URL)
		}
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
