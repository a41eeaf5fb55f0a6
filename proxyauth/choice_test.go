package proxyauth_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// sent returns the schemes of the credentials that p got, in order.
func sent(p *proxytest.Proxy) (schemes []string) {
	for _, leg := range p.Transcript() {
		if scheme, _, ok := strings.Cut(leg.Header.Get("Proxy-Authorization"), " "); ok {
			schemes = append(schemes, scheme)
		}
	}
	return schemes
}

// R4, R6: the first of Transport.Schemes that the proxy offers and that can answer
// is taken, whatever the proxy's order; what is unknown or malformed is passed
// over.
func TestStrongestScheme(t *testing.T) {
	t.Parallel()
	basic, digest := proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}
	for name, test := range map[string]struct {
		offer   proxytest.Config
		schemes []proxyauth.Scheme
		want    string
	}{
		"Basic first":       {proxytest.Config{Auth: []proxytest.Auth{basic, digest}}, nil, "Digest"},
		"Digest first":      {proxytest.Config{Auth: []proxytest.Auth{digest, basic}}, nil, "Digest"},
		"one field":         {proxytest.Config{Auth: []proxytest.Auth{basic, digest}, Behaviour: proxytest.Behaviour{OneField: true}}, nil, "Digest"},
		"preferred":         {proxytest.Config{Auth: []proxytest.Auth{digest, basic}}, []proxyauth.Scheme{proxyauth.Basic(), proxyauth.Digest()}, "Basic"},
		"only Basic":        {proxytest.Config{Auth: []proxytest.Auth{digest, basic}}, []proxyauth.Scheme{proxyauth.Basic()}, "Basic"},
		"unknown ones":      {proxytest.Config{Auth: []proxytest.Auth{basic}, Behaviour: proxytest.Behaviour{Challenges: []string{"X-Old", `X-New a="Digest realm=x"`}}}, nil, "Basic"},
		"unknown algorithm": {proxytest.Config{Auth: []proxytest.Auth{basic}, Behaviour: proxytest.Behaviour{Challenges: []string{`Digest realm="r", nonce="n", algorithm=FOO`}}}, nil, "Basic"},
		"unknown qop":       {proxytest.Config{Auth: []proxytest.Auth{basic}, Behaviour: proxytest.Behaviour{Challenges: []string{`Digest realm="r", nonce="n", qop="auth-conf"`}}}, nil, "Basic"},
		"malformed Digest":  {proxytest.Config{Auth: []proxytest.Auth{basic}, Behaviour: proxytest.Behaviour{Challenges: []string{`Digest realm`, `Digest realm="x, nonce=y`}}}, nil, "Basic"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			for _, url := range o.ways() {
				test.offer.Users = alice
				p := newProxy(t, test.offer)
				tr := newTransport(t, p, o)
				tr.Schemes = test.schemes
				requireOK(t, tr, url)
				require.Equal(t, []string{test.want}, sent(p))
			}
		})
	}
}

// R6, R19: what cannot work falls through to the next scheme offered.
func TestNTLMFallsThrough(t *testing.T) {
	w := newWorld(t)
	for name, type2 := range map[string]string{
		"malformed":  "NTLM TlRMTVNTUAACAAAAAAAA",
		"not base64": "NTLM a.b~c",
		"no token68": "NTLM ====",
		"huge":       "NTLM " + strings.Repeat("A", 60_000),
	} {
		for way, url := range w.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				s := w.scripted(func(req *http.Request) scripted.Answer {
					switch field := req.Header.Get("Proxy-Authorization"); {
					case strings.HasPrefix(field, "NTLM"):
						return scripted.Challenges(type2)
					case strings.HasPrefix(field, "Basic"):
						return scripted.PassWith("origin").Then(scripted.HangUp())
					}
					return scripted.Challenges("NTLM", "Basic realm=r")
				})
				tr := w.through(s)
				_, _, err := fetch(tr, url)
				var last string
				for _, req := range s.Requests() {
					last = req.Header.Get("Proxy-Authorization")
				}
				require.True(t, strings.HasPrefix(last, "Basic"), "%q %v", last, err)
				require.LessOrEqual(t, len(s.Requests()), 4)
			})
		}
	}
	s := w.scripted(scripted.Demand(scripted.Challenge("NTLM"),
		scripted.Status(407, "Proxy-Authenticate: NTLM TlRMTVNTUAACAAAAAAAA", "Connection: close").Then(scripted.HangUp())))
	_, _, err := fetch(w.through(s), w.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
	require.ErrorContains(t, err, "between the legs")
}

// R6, R24, R26: a proxy that offers all four: Kerberos with a ticket; without one
// the user name and password go by NTLM.
func TestNegotiateChoice(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	all := []proxytest.Auth{proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}, proxytest.NTLM{}, proxytest.Negotiate{}}
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: all, Users: alice})
			requireOK(t, newKerberosTransport(t, p, o), url)
			require.NotContains(t, sent(p), "NTLM")
			require.Contains(t, sent(p), "Negotiate")

			p.Reset()
			tr := newTransport(t, p, o)
			requireOK(t, tr, url)
			require.Equal(t, []string{"NTLM", "NTLM"}, sent(p))

			// Credentials of another user than the ticket's.
			p.SetUser("bob", "b")
			p.Reset()
			tr = newKerberosTransport(t, p, o)
			tr.Credentials = proxyauth.UserPassword("bob", "b")
			requireOK(t, tr, url)
			require.Equal(t, []string{"NTLM", "NTLM"}, sent(p))

			// An expired ticket and no credentials: the error says so.
			options := withTicket(t, p)
			require.NoError(t, p.WriteTicketCache(options.CachePath, "alice", -time.Hour))
			tr = newTransport(t, p, o)
			tr.Credentials = nil
			tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(options)}
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
			require.ErrorContains(t, err, "kinit")
		})
	}
}

// R6, R26: a proxy that takes Kerberos alone, and a user without a ticket: the
// next scheme.
func TestNegotiateFallsThrough(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}, proxytest.Basic{Realm: "r"}}, Users: alice})
			requireOK(t, newTransport(t, p, o), url)
			requested := sent(p)
			require.Equal(t, "Basic", requested[len(requested)-1])

			tr := newTransport(t, p, o)
			tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate()}
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
			require.ErrorContains(t, err, "Kerberos")
		})
	}
}

// R7: a proxy that has authenticated by Digest does not get Basic later.
func TestNoDowngrade(t *testing.T) {
	w := newWorld(t)
	offer := atomic.Value{}
	offer.Store(`Digest realm="r", nonce="n", qop=auth`)
	s := w.scripted(func(req *http.Request) scripted.Answer {
		if offer.Load() != `Basic realm="r"` && req.Header.Get("Proxy-Authorization") != "" {
			return scripted.PassWith("origin")
		}
		return scripted.Challenges(offer.Load().(string))
	})
	tr := w.through(s)
	requireOK(t, tr, w.HTTP.URL)
	offer.Store(`Basic realm="r"`)
	_, _, err := fetch(tr, w.HTTP.URL)
	require.ErrorContains(t, err, "downgrade")
	for _, req := range s.Requests() {
		require.NotContains(t, req.Header.Get("Proxy-Authorization"), "Basic")
	}
}

// R7: ForbidCleartextBasic keeps Basic off a connection without TLS, also where it
// is the only scheme.
func TestForbidCleartextBasic(t *testing.T) {
	o := newOrigin(t)
	config := proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice}
	for _, schemes := range [][]proxyauth.Scheme{nil, {proxyauth.Basic()}} {
		p := newProxy(t, config)
		tr := newTransport(t, p, o)
		tr.Schemes, tr.ForbidCleartextBasic = schemes, true
		_, _, err := fetch(tr, o.HTTP.URL)
		require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
		require.ErrorContains(t, err, "ForbidCleartextBasic")
		require.Empty(t, sent(p))
	}
	p := proxytest.NewTLS(config)
	t.Cleanup(p.Close)
	tr := newTransport(t, p, o)
	tr.ForbidCleartextBasic = true
	requireOK(t, tr, o.HTTP.URL)
}
