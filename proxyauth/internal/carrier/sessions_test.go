package carrier

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// R36: each owner has a cache of its own, until it is out of use. There are 16 at most.
func TestSessionsOf(t *testing.T) {
	var s sessions
	config := &tls.Config{}
	of := func(owner any) *tls.Config {
		config, offers := s.of(owner, config, "proxy.example")
		require.False(t, offers, "there was no handshake")
		return config
	}
	type record struct{ _ byte }
	alice, bob := new(record), new(record)
	require.Same(t, of(alice), of(alice))
	require.NotNil(t, of(alice).ClientSessionCache)
	require.NotSame(t, of(alice).ClientSessionCache, of(bob).ClientSessionCache)
	require.NotSame(t, of(alice).ClientSessionCache, of(nil).ClientSessionCache)
	require.Equal(t, "proxy.example", of(nil).ServerName)
	require.Nil(t, config.ClientSessionCache)
	require.Empty(t, config.ServerName)

	before := of(alice)
	s.forget(alice)
	require.NotSame(t, before.ClientSessionCache, of(alice).ClientSessionCache)
	for i := range 100 {
		of(i)
	}
	require.Len(t, s.owners, maxOwners)
}

// A session is not kept where the configuration sees to that itself, or where its checks
// would be passed over.
func TestSessionsResumable(t *testing.T) {
	own := tls.NewLRUClientSessionCache(1)
	for name, test := range map[string]struct {
		config *tls.Config
		want   bool
	}{
		"nothing special":       {&tls.Config{}, true},
		"InsecureSkipVerify":    {&tls.Config{InsecureSkipVerify: true}, true},
		"Certificates":          {&tls.Config{Certificates: []tls.Certificate{{}}}, true},
		"VerifyConnection":      {&tls.Config{VerifyConnection: func(tls.ConnectionState) error { return nil }}, true},
		"own cache":             {&tls.Config{ClientSessionCache: own}, false},
		"tickets disabled":      {&tls.Config{SessionTicketsDisabled: true}, false},
		"VerifyPeerCertificate": {&tls.Config{VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil }}, false},
		"GetClientCertificate": {&tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return nil, nil
		}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s sessions
			before := test.config.ClientSessionCache
			config, _ := s.of("owner", test.config, "proxy.example")
			cache := config.ClientSessionCache
			if test.want {
				require.NotNil(t, cache)
			} else {
				require.Equal(t, before, cache)
				other, _ := s.of("other", test.config, "proxy.example")
				require.Same(t, config, other)
			}
			require.Equal(t, before, test.config.ClientSessionCache)
		})
	}
}

// R20: a 407 at the end of a connection whose session was resumed may come from a new
// certificate of the proxy, to which the credentials were not bound: the next connection
// sees the certificate. One that is used, or ends otherwise, changes nothing.
func TestSessionAfterDenial(t *testing.T) {
	server, client := certified(t, nil)
	now := time.Now() // and not in the bubble
	client.Time = func() time.Time { return now }
	status := 200
	bubbleBy(t, scripted.Config{TLS: server, Script: func(*http.Request) scripted.Answer { return scripted.Page(status, "") }}, func(c *Config) {
		c.TLS = TLSConfig(client, nil)
	}, func(t *testing.T, b *bubble) {
		for name, open := range map[string]func() Carrier{
			"tunnel":  func() Carrier { return b.Tunnel(t.Context(), "origin.example:443", false, nil) },
			"forward": func() Carrier { return b.Forward(b.request("GET", "")) },
		} {
			try := func(owner any, answers ...int) (resumed bool) {
				t.Helper()
				m := open()
				c := took(t, m, owner, NewConnection)
				for _, status = range answers {
					m.Keep(send(t, m, Leg{}).Response)
				}
				m.Drop()
				return c.TLS.DidResume
			}
			owner := new(int)
			require.False(t, try(owner, 407, 200), name)
			require.True(t, try(owner, 407, 200), name)
			require.True(t, try(owner), name)
			require.True(t, try(owner, 407, 407), name)
			require.False(t, try(owner, 407, 407), name)
			require.True(t, try(owner, 200), name)
			b.Retire(owner)
			require.False(t, try(owner, 200), name)
		}
	})
}
