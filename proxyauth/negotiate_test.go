package proxyauth_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// withTicket returns Negotiate with a ticket of alice for p.
func withTicket(t testing.TB, p *proxytest.Proxy) proxyauth.NegotiateOptions {
	dir := t.TempDir()
	o := proxyauth.NegotiateOptions{CachePath: filepath.Join(dir, "cc"), ConfigPath: filepath.Join(dir, "krb5.conf")}
	require.NoError(t, p.WriteTicketCache(o.CachePath, "alice", time.Hour))
	require.NoError(t, p.WriteKerberosConfig(o.ConfigPath))
	return o
}

// newKerberosTransport goes through p with a ticket and without credentials.
func newKerberosTransport(t testing.TB, p *proxytest.Proxy, o *origin) *watchedTransport {
	return byTicket(t, newTransport(t, p, o), p)
}

func (w *world) newKerberosTransport(p *proxytest.Proxy) *watchedTransport {
	return byTicket(w.t, w.newTransport(p), p)
}

func byTicket(t testing.TB, tr *watchedTransport, p *proxytest.Proxy) *watchedTransport {
	tr.Credentials = nil
	tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(withTicket(t, p)), proxyauth.NTLM(), proxyauth.Digest(), proxyauth.Basic()}
	return tr
}

// negotiated returns how many tokens p got, and how many 407s it sent.
func negotiated(p *proxytest.Proxy) (tokens, denials int) {
	for _, leg := range p.Transcript() {
		if strings.HasPrefix(leg.Header.Get("Proxy-Authorization"), "Negotiate ") {
			tokens++
		}
		if leg.Status == 407 {
			denials++
		}
	}
	return tokens, denials
}

// R24, R25: once Negotiate is known there is no 407: a token in the first request
// of a new connection, and one for each connection or for each request.
func TestNegotiateTrips(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]proxytest.Negotiate{
		"remembers":        {RequireMutual: true, FinalToken: true},
		"for each request": {PerRequest: true, FinalToken: true},
	} {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			o := newOrigin(t)
			for way, url := range o.ways() {
				p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				t.Cleanup(p.Close)
				t.Run(name+"/"+p.URL.Scheme+"/"+way, func(t *testing.T) {
					tr := newKerberosTransport(t, p, o)
					for range 5 {
						requireOK(t, tr, url)
					}
					tr.CloseIdleConnections()
					requireOK(t, tr, url)
					tokens, denials := negotiated(p)
					wantTokens, wantDenials := 2, 1
					if auth.PerRequest && way == "forward" {
						// The second request finds out that the proxy forgets.
						wantTokens, wantDenials = 6, 2
					}
					require.Equal(t, wantTokens, tokens)
					require.Equal(t, wantDenials, denials)
					require.Empty(t, o.proxyFields())
				})
			}
		}
	}
}

// R25, R33: 500 requests of 50 goroutines cost one 407; more only where the proxy
// forgets its connections, until that is known.
func TestNegotiateConcurrently(t *testing.T) {
	for _, perRequest := range []bool{false, true} {
		for _, way := range ways {
			t.Run(way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					url := w.ways()[way]
					p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{PerRequest: perRequest}}, Users: alice})
					tr := w.newKerberosTransport(p)
					tr.Base.ForceAttemptHTTP2 = false
					concurrently(t, 50, 500, tr, url)
					synctest.Wait() // dials that no request waits for any more
					_, denials := negotiated(p)
					t.Logf("%+v", p.Counts())
					if perRequest && way == "forward" {
						require.LessOrEqual(t, denials, 51) // those under way when it was found out
					} else {
						require.Equal(t, 1, denials)
					}
					require.Zero(t, p.Refused("alice"))
				})
			})
		}
	}
}

// R24: channel binding and mutual authentication, verified by the proxy, and
// refused when wrong.
func TestNegotiateBinding(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{RequireChannelBinding: true, RequireMutual: true, FinalToken: true}}, Users: alice})
	t.Cleanup(p.Close)
	for _, url := range o.ways() {
		requireOK(t, newKerberosTransport(t, p, o), url)

		tr := newKerberosTransport(t, p, o)
		addr, cert := relayTLS(t, p)
		tr.Base.TLSClientConfig.RootCAs.AddCert(cert)
		tr.Base.DialContext = dialOnly(addr)
		_, _, err := fetch(tr, url)
		require.Error(t, err)
	}

	impostor := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{FinalToken: true, BadFinalToken: true}}, Users: alice})
	for _, url := range o.ways() {
		_, _, err := fetch(newKerberosTransport(t, impostor, o), url)
		require.ErrorIs(t, err, negotiate.ErrServer)
	}
}

// R8, R24: NTLM inside SPNEGO where there is no ticket, and raw under the name
// Negotiate.
func TestNegotiateNTLM(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for name, auth := range map[string]proxytest.Negotiate{
		"SPNEGO":      {NTLM: &proxytest.NTLM{}},
		"no Kerberos": {NTLM: &proxytest.NTLM{}, NoKerberos: true},
		"raw":         {NTLM: &proxytest.NTLM{}, RawNTLM: true},
	} {
		for way, url := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				tr := newTransport(t, p, o)
				for range 3 {
					requireOK(t, tr, url)
				}
				tokens, denials := negotiated(p)
				require.Equal(t, 2, tokens)
				require.Equal(t, 2, denials)

				tr = newTransport(t, p, o)
				tr.Credentials = proxyauth.UserPassword("alice", "open barley")
				p.Reset()
				allRejected(t, 50, tr, url)
				require.Equal(t, 2, p.Attempts("alice"))
			})
		}
	}
}

// R26: a ticket that has expired is the error's cause on a route that was in use,
// too.
func TestNegotiateTicketExpires(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: alice})
	dir := t.TempDir()
	options := proxyauth.NegotiateOptions{CachePath: filepath.Join(dir, "cc"), ConfigPath: filepath.Join(dir, "krb5.conf")}
	require.NoError(t, p.WriteTicketCache(options.CachePath, "alice", time.Hour))
	require.NoError(t, p.WriteKerberosConfig(options.ConfigPath))
	warm, cold := newTransport(t, p, o), newTransport(t, p, o)
	for _, tr := range []*watchedTransport{warm, cold} {
		tr.Credentials, tr.Schemes = nil, []proxyauth.Scheme{proxyauth.Negotiate(options)}
	}
	requireOK(t, warm, o.HTTP.URL)
	warm.CloseIdleConnections()
	require.NoError(t, p.WriteTicketCache(options.CachePath, "alice", -time.Minute))
	for name, tr := range map[string]*watchedTransport{"cold": cold, "warm": warm} {
		_, _, err := fetch(tr, o.HTTP.URL)
		var cause *negotiate.Error
		require.ErrorAs(t, err, &cause, name)
		var denied *proxyauth.AuthError
		require.ErrorAs(t, err, &denied, name)
		for _, s := range denied.Schemes {
			require.False(t, s.Tried, name) // no token was sent
		}
	}
	require.EqualValues(t, 1, warm.Stats().Handshakes)
}
