package proxyauth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A resumer is the TLS of a server that knows of each connection whose session it resumes.
type resumer struct {
	mu   sync.Mutex
	from []int // for each connection, the number of the one whose session it resumed, from 1; 0: none
}

// config returns the settings of the server, with a certificate.
func (r *resumer) config(certificates []tls.Certificate, max uint16) *tls.Config {
	shared := &tls.Config{Certificates: certificates, MaxVersion: max}
	shared.SetSessionTicketKeys([][32]byte{{1}})
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		r.mu.Lock()
		r.from = append(r.from, 0)
		number := len(r.from)
		r.mu.Unlock()
		own := shared.Clone()
		resumes := 0
		own.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
			s.Extra = [][]byte{{byte(number)}} // of 255 at most
			return own.EncryptTicket(cs, s)
		}
		own.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
			s, err := own.DecryptTicket(ticket, cs)
			if s != nil {
				resumes = int(s.Extra[0][0])
			}
			return s, err
		}
		own.VerifyConnection = func(cs tls.ConnectionState) error {
			if cs.DidResume {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.from[number-1] = resumes
			}
			return nil
		}
		return own, nil
	}}
}

// resumed returns, for each connection so far, whose session it resumed.
func (r *resumer) resumed() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.from)
}

var tlsVersions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// newResumable starts an https:// proxy, and a Transport through it.
func newResumable(w *world, max uint16, script scripted.Script) (*resumer, *scripted.Proxy, *watchedTransport) {
	r := &resumer{}
	p := w.scriptedBy(scripted.Config{TLS: r.config(w.HTTPS.TLS.Certificates, max), Script: script})
	return r, p, w.through(p)
}

// A new connection to an https:// proxy resumes the TLS session of the last one of the same
// kind: those on which nobody is authenticated have one, and each user has one (RFC 8446
// §2.2, RFC 5077).
func TestResumption(t *testing.T) {
	for version, max := range tlsVersions {
		for _, way := range ways {
			t.Run(version+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					r, _, tr := newResumable(w, max, scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass()))
					for range 3 {
						requireOK(t, tr, w.ways()[way])
						synctest.Wait()
						tr.CloseIdleConnections()
					}
					if way == "forward" { // all requests share connections
						require.Equal(t, []int{0, 1, 2}, r.resumed())
					} else { // the first one asked without credentials
						require.Equal(t, []int{0, 0, 2, 3}, r.resumed())
					}
				})
			})
		}
	}
}

// R36: TLS sessions are not shared between users: neither where the credential source gives
// another one, nor where there is one for each realm. A proxy may know a client by its
// session.
func TestResumptionByUser(t *testing.T) {
	basic := scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass())
	for version, max := range tlsVersions {
		for name, test := range map[string]struct {
			script scripted.Script
			way    string
		}{
			"Basic/tunnel": {basic, "tunnel"}, "NTLM/tunnel": {byNTLM(scripted.Pass()), "tunnel"}, "NTLM/forward": {byNTLM(scripted.Pass()), "forward"},
		} {
			t.Run(version+"/"+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					r, p, tr := newResumable(w, max, test.script)
					var user string
					tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
						return proxyauth.Credentials{Username: user, Password: "open sesame"}, nil
					})
					for _, user = range []string{"alice", "alice", "bob", "bob", "alice", "alice"} {
						for range 2 {
							requireOK(t, tr, w.ways()[test.way])
							synctest.Wait()
							tr.CloseIdleConnections()
						}
					}
					require.Equal(t, map[string]int{"alice": 6, "bob": 3}, requireOwnSessions(t, r, p))
				})
			})
		}
	}
}

// R36: so it is with users of the proxy URL, which are routes of their own.
func TestResumptionByRoute(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r, p, tr := newResumable(w, 0, scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass()))
		tr.Credentials = nil
		var user string
		tr.Proxy = func(*http.Request) (*url.URL, error) {
			u := p.URL()
			u.User = url.UserPassword(user, "open sesame")
			return u, nil
		}
		for _, user = range []string{"alice", "bob", "alice", "bob"} {
			requireOK(t, tr, w.HTTPS.URL)
			synctest.Wait()
			tr.CloseIdleConnections()
		}
		require.Equal(t, map[string]int{"alice": 1, "bob": 1}, requireOwnSessions(t, r, p))
	})
}

// requireOwnSessions fails if a connection resumed the session of another user's, or of
// nobody's. It returns how many sessions were resumed for each user.
func requireOwnSessions(t *testing.T, r *resumer, p *scripted.Proxy) map[string]int {
	t.Helper()
	from := r.resumed()
	users := make([]string, len(from)+1) // by connection
	for i, req := range p.Requests() {
		_, token, _ := strings.Cut(req.Header.Get("Proxy-Authorization"), " ")
		message, _ := base64.StdEncoding.DecodeString(token)
		message = bytes.ReplaceAll(message, []byte{0}, nil) // UTF-16
		for _, user := range []string{"alice", "bob"} {
			if bytes.Contains(message, []byte(user)) {
				users[p.RequestsOn()[i]] = user
			}
		}
	}
	resumed := map[string]int{}
	for i, first := range from {
		if first > 0 {
			resumed[users[i+1]]++
			require.Equal(t, users[first], users[i+1], "connection %d resumes the session of %d", i+1, first)
		}
	}
	return resumed
}

// The settings of the caller stay what they are: a cache of their own, no tickets, and
// checks of the certificate, which must not be passed over.
func TestResumptionSettings(t *testing.T) {
	checked := atomic.Int32{}
	for name, test := range map[string]struct {
		change  func(*tls.Config)
		resumes bool
		checks  int32
	}{
		"nothing special": {func(*tls.Config) {}, true, 0},
		"own cache":       {func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(9) }, true, 0},
		"no tickets":      {func(c *tls.Config) { c.SessionTicketsDisabled = true }, false, 0},
		"VerifyConnection": {func(c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { checked.Add(1); return nil }
		}, true, 4},
		"VerifyPeerCertificate": {func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { checked.Add(1); return nil }
		}, false, 4},
		"GetClientCertificate": {func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				r, _, tr := newResumable(w, 0, scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass()))
				tr.ProxyTLSClientConfig = &tls.Config{RootCAs: w.rootCAs()}
				test.change(tr.ProxyTLSClientConfig)
				own := tr.ProxyTLSClientConfig.ClientSessionCache
				checked.Store(0)
				for range 3 {
					requireOK(t, tr, w.HTTPS.URL)
					synctest.Wait()
					tr.CloseIdleConnections()
				}
				resumed := r.resumed()
				require.Len(t, resumed, 4)
				require.Equal(t, test.resumes, resumed[3] > 0)
				require.Equal(t, test.checks, checked.Load())
				require.Equal(t, own, tr.ProxyTLSClientConfig.ClientSessionCache)
			})
		})
	}
}

// R20, R24: on a resumed connection the channel binding is still that of the proxy's
// certificate (RFC 5929 §4), which proxytest verifies.
func TestResumptionBinding(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for version, max := range tlsVersions {
		for name, auth := range map[string]proxytest.Auth{
			"NTLM":      proxytest.NTLM{RequireChannelBinding: true},
			"Negotiate": proxytest.Negotiate{RequireChannelBinding: true},
		} {
			p := proxytest.NewTLS(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
			t.Cleanup(p.Close)
			for way, url := range o.ways() {
				t.Run(version+"/"+name+"/"+way, func(t *testing.T) {
					tr := newTransport(t, p, o)
					if name == "Negotiate" {
						tr = newKerberosTransport(t, p, o)
					}
					var mu sync.Mutex
					var resumed []bool
					tr.ProxyTLSClientConfig = p.ClientTLSConfig()
					tr.ProxyTLSClientConfig.MaxVersion = max
					tr.ProxyTLSClientConfig.VerifyConnection = func(cs tls.ConnectionState) error {
						mu.Lock()
						defer mu.Unlock()
						resumed = append(resumed, cs.DidResume)
						if cs.Version != max {
							return fmt.Errorf("TLS version %x", cs.Version)
						}
						return nil
					}
					const n = 4
					for range n {
						requireOK(t, tr, url)
						tr.CloseIdleConnections()
					}
					require.Zero(t, p.Refused("alice"))
					mu.Lock()
					defer mu.Unlock()
					require.GreaterOrEqual(t, len(resumed), n)
					require.Equal(t, []bool{true, true, true}, resumed[len(resumed)-3:])
				})
			}
		}
	}
}

// Diagnose looks at the certificate of the proxy, so it resumes no session.
func TestDiagnoseResumesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r, _, tr := newResumable(w, 0, scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass()))
		for range 2 {
			requireOK(t, tr, w.HTTPS.URL)
			synctest.Wait()
			tr.CloseIdleConnections()
		}
		before := len(r.resumed())
		tr.Diagnose(t.Context(), w.HTTPS.URL)
		require.Equal(t, []int{0, 0, 2}, r.resumed()[:before])
		require.Zero(t, r.resumed()[before])
	})
}

// A proxy whose TLS ends a handshake that offers a session (RFC 8446 §4.2.11: extension 41)
// costs one handshake more, once.
func TestResumptionRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		config := w.certificate()
		offered := 0
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if slices.Contains(hello.Extensions, 41) {
				offered++
				return nil, errors.New("no session is resumed here")
			}
			return nil, nil
		}
		p := w.scriptedBy(scripted.Config{TLS: config, Script: scripted.Demand(askBasic, scripted.Pass())})
		tr := w.transportTo(p.URL(), nil)
		tr.Base.DisableKeepAlives = true
		for range 10 {
			requireOK(t, tr, w.HTTPS.URL)
		}
		require.Equal(t, 1, offered)
		require.Equal(t, 1+10+1, p.Connections(), "one is to be asked, and the handshake of one fails")
	})
}
