package proxyauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A world is a network in memory with an origin in it, for one test. It serves in
// a bubble, where time costs nothing, and outside.
type world struct {
	*origin
	network memconn.Network
	t       testing.TB
}

// newWorld returns a world that ends with the test.
func newWorld(t testing.TB) *world {
	w := &world{t: t}
	w.origin = w.newOrigin()
	return w
}

// inBubble runs a test in a bubble of testing/synctest with a world of its own:
// the clock begins at 2000-01-01 and goes on when all goroutines wait.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

// ways are the names of the ways through a proxy; see origin.ways.
var ways = []string{"forward", "tunnel"}

// newOrigin starts one more origin. Its addresses are 127.0.0.1 and a port.
func (w *world) newOrigin() *origin {
	o := &origin{}
	start := func() *httptest.Server {
		return &httptest.Server{Listener: w.listen(), Config: &http.Server{
			Handler: o, ErrorLog: log.New(io.Discard, "", 0), // which is told of each connection that ends early
		}}
	}
	o.HTTP, o.HTTPS = start(), start()
	o.HTTP.Start()
	o.startTLS()
	w.t.Cleanup(o.HTTP.Close)
	w.t.Cleanup(o.HTTPS.Close)
	return o
}

// certificate returns the settings of a TLS server that Transports here trust.
func (w *world) certificate() *tls.Config { return &tls.Config{Certificates: w.HTTPS.TLS.Certificates} }

func (w *world) listen() *memconn.Listener { return w.network.Listen("127.0.0.1:0") }

// dial reaches all that is in the world.
func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return w.network.DialContext(ctx, network, addr)
}

// newProxy starts a proxytest proxy, which reaches origins in the world.
func (w *world) newProxy(c proxytest.Config) *proxytest.Proxy {
	return w.startProxy(proxytest.New, c)
}

// newTLSProxy starts one that is reached by TLS.
func (w *world) newTLSProxy(c proxytest.Config) *proxytest.Proxy {
	return w.startProxy(proxytest.NewTLS, c)
}

func (w *world) startProxy(start func(proxytest.Config) *proxytest.Proxy, c proxytest.Config) *proxytest.Proxy {
	c.Listener = w.listen()
	if c.Dial == nil {
		c.Dial = w.dial
	}
	p := start(c)
	w.t.Cleanup(p.Close)
	return p
}

// scripted starts a proxy that says what script says.
func (w *world) scripted(script scripted.Script) *scripted.Proxy {
	return w.scriptedBy(scripted.Config{Script: script})
}

// scriptedBy starts a scripted proxy with other settings.
func (w *world) scriptedBy(c scripted.Config) *scripted.Proxy {
	c.Listener = w.listen()
	if c.Dial == nil {
		c.Dial = w.dial
	}
	p := scripted.New(c)
	w.t.Cleanup(p.Close)
	return p
}

// newTransport returns a Transport through p, as alice, trusting the origin and
// the proxy, and watched for secrets.
func (w *world) newTransport(p *proxytest.Proxy) *watchedTransport {
	return watched(w.t, w.newTransportOf(p), func() []string { return authorizations(p) })
}

// newTransportOf is newTransport for many: the caller closes its connections.
func (w *world) newTransportOf(p *proxytest.Proxy) *proxyauth.Transport {
	return w.transportTo(p.URL, p.Certificate())
}

// through is newTransport for a scripted proxy.
func (w *world) through(p *scripted.Proxy) *watchedTransport {
	return watched(w.t, w.transportTo(p.URL(), nil), p.Authorizations)
}

func (w *world) transportTo(proxy *url.URL, cert *x509.Certificate) *proxyauth.Transport {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DialContext = w.dial
	base.TLSClientConfig = &tls.Config{RootCAs: w.rootCAs()}
	base.Proxy = http.ProxyURL(proxy)
	if cert != nil {
		base.TLSClientConfig.RootCAs.AddCert(cert)
	}
	return &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "open sesame")}
}

// All schemes on both ways work in memory, in a bubble and outside.
func TestWorld(t *testing.T) {
	auths := map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}}
	f := func(t *testing.T, w *world) {
		for name, auth := range auths {
			for way, url := range w.ways() {
				for _, start := range []func(proxytest.Config) *proxytest.Proxy{w.newProxy, w.newTLSProxy} {
					p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
					tr := w.newTransport(p)
					for range 2 {
						requireOK(t, tr, url)
					}
					require.Zero(t, p.Refused("alice"), name+" "+way)
				}
			}
		}
		s := w.scripted(scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.After(time.Millisecond, scripted.Pass())))
		tr := w.through(s)
		for _, url := range w.ways() {
			requireOK(t, tr, url)
		}
		require.Empty(t, w.proxyFields())
	}
	t.Run("outside", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("bubble", func(t *testing.T) { inBubble(t, f) })
}
