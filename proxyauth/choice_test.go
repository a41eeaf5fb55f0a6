package proxyauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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

// A comma and a scheme name inside quotes offer nothing. curl sends the
// password here.
func TestQuotedSchemeIsNoOffer(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Behaviour: proxytest.Behaviour{Challenges: []string{`Newauth title="Login to, Basic realm=x"`}}})
	_, _, err := fetch(newTransport(t, p, o), o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
	require.ErrorContains(t, err, "Newauth")
	require.Empty(t, sent(p))
}

// Known at the start to be Basic: sent at once.
func TestBasicAloneIsPreemptive(t *testing.T) {
	o := newOrigin(t)
	for _, url := range o.ways() {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := newTransport(t, p, o)
		tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
		requireOK(t, tr, url)
		require.Equal(t, 1, p.Counts().Requests)
	}
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
	tr.Credentials = proxyauth.UserPassword("alice", "open barley")
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrRejected)
	require.Equal(t, 1, p.Attempts("alice"), "the 407 to it is the rejection")
}

func TestBasicCredentials(t *testing.T) {
	o := newOrigin(t)
	for name, test := range map[string]struct {
		user, password, charset, want, reason string
	}{
		"RFC 7617 2":        {"Aladdin", "open sesame", "", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ""},
		"RFC 7617 2.1":      {"test", "123£", "UTF-8", "Basic dGVzdDoxMjPCow==", ""},
		"UTF-8 without it":  {"test", "123£", "", "Basic dGVzdDoxMjPCow==", ""},
		"NFC":               {"test", "a\u0308", "UTF-8", "Basic dGVzdDrDpA==", ""},
		"colons and blanks": {"u", " a:b c ", "", "Basic dTogYTpiIGMg", ""},
		"colon in the name": {"a:b", "c", "", "", "colon"},
		"control character": {"a", "b\n", "", "", "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r", Charset: test.charset}}})
			tr := newTransport(t, p, o)
			tr.Credentials = proxyauth.UserPassword(test.user, test.password)
			_, _, err := fetch(tr, o.HTTP.URL)
			if test.reason != "" {
				require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
				require.ErrorContains(t, err, test.reason)
				require.Empty(t, sent(p))
				return
			}
			legs := p.Transcript()
			require.Equal(t, test.want, legs[len(legs)-1].Header.Get("Proxy-Authorization"))
		})
	}
}

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

// One attempt for each scheme, at most two in all, whatever the number of
// goroutines (requirement 8: px #234, alpaca #2), and none before the source
// gives another password.
func TestLockout(t *testing.T) {
	basic, digest := proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}
	for name, test := range map[string]struct {
		auth  []proxytest.Auth
		tried []string
	}{
		"Basic":                 {[]proxytest.Auth{basic}, []string{"Basic"}},
		"Digest":                {[]proxytest.Auth{digest}, []string{"Digest"}},
		"Digest and Basic":      {[]proxytest.Auth{basic, digest}, []string{"Digest", "Basic"}},
		"NTLM":                  {ntlmOnly(), []string{"NTLM"}},
		"NTLM and Basic":        {[]proxytest.Auth{proxytest.NTLM{}, basic}, []string{"NTLM", "Basic"}},
		"NTLM inside Negotiate": {[]proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}}, []string{"Negotiate"}},
		"Negotiate and Digest":  {[]proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, digest}, []string{"Negotiate", "Digest"}},
		"all four":              {[]proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, proxytest.NTLM{}, digest, basic}, []string{"NTLM", "Digest"}},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					url := w.ways()[way]
					p := w.newProxy(proxytest.Config{Auth: test.auth, Users: alice})
					tr := w.newTransport(p)
					source := &rotating{}
					source.password.Store("open barley")
					tr.Credentials = source
					allRejected(t, 1000, tr, url)
					require.Equal(t, len(test.tried), p.Attempts("alice"))
					require.Equal(t, test.tried, slices.Compact(sent(p)))

					requests := p.Counts().Requests
					_, _, err := fetch(tr, url)
					require.ErrorIs(t, err, proxyauth.ErrRejected)
					require.ErrorContains(t, err, "not sent")
					require.Equal(t, requests, p.Counts().Requests)

					source.password.Store("open sesame")
					requireOK(t, tr, url)
					require.Equal(t, len(test.tried), p.Refused("alice"))
				})
			})
		}
	}
}

// A source whose password can be changed.
type rotating struct{ password shelf }

// A shelf holds a password where printing does not see it.
type shelf struct{ p atomic.Pointer[string] }

func (s *shelf) Store(password string) { s.p.Store(&password) }
func (s *shelf) Load() string          { return *s.p.Load() }

func (r *rotating) ProxyCredentials(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	return proxyauth.Credentials{Username: "alice", Password: r.password.Load()}, nil
}

func TestRotatedPassword(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
			tr := newTransport(t, p, o)
			source := &rotating{}
			source.password.Store("open barley")
			tr.Credentials = source
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrRejected)

			source.password.Store("open sesame")
			requireOK(t, tr, url)

			// Changed at the proxy and in the source: no failure at all.
			p.SetUser("alice", "open wheat")
			source.password.Store("open wheat")
			tr.CloseIdleConnections()
			requireOK(t, tr, url)
		})
	}
}

// Rejected credentials are not sent again for 15 minutes, or as long as RejectedFor
// says, and then once.
func TestRejectedFor(t *testing.T) {
	for rejectedFor, lasts := range map[time.Duration]time.Duration{
		0: 15 * time.Minute, time.Hour: time.Hour, time.Nanosecond: time.Nanosecond, -1: 40 * 365 * 24 * time.Hour,
	} {
		inBubble(t, func(t *testing.T, w *world) {
			p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"alice": "other"}})
			tr := w.newTransport(p)
			tr.RejectedFor = rejectedFor
			_, _, err := fetch(tr, w.HTTP.URL)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			for range 2 {
				p.Reset()
				time.Sleep(lasts - time.Nanosecond)
				if lasts > time.Nanosecond {
					allRejected(t, 20, tr, w.HTTP.URL)
					require.Zero(t, p.Counts().Requests)
				}
				time.Sleep(2 * time.Nanosecond)
				if rejectedFor < 0 {
					continue
				}
				allRejected(t, 20, tr, w.HTTP.URL)
				if lasts > time.Nanosecond {
					require.Equal(t, 1, p.Attempts("alice"))
				}
			}
			if rejectedFor < 0 {
				allRejected(t, 20, tr, w.HTTP.URL)
				require.Zero(t, p.Counts().Requests)
				return
			}
			time.Sleep(lasts + time.Nanosecond)
			p.SetUser("alice", "open sesame")
			requireOK(t, tr, w.HTTP.URL)
		})
	}
}

// A proxy that has authenticated by Digest does not get Basic later.
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

var errVault = errors.New("vault is sealed")

type failing struct{}

func (failing) ProxyCredentials(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	return proxyauth.Credentials{}, errVault
}

func TestCredentialSources(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: map[string]string{"alice": "open sesame", `CORP\bob`: "p@ss:w/rd"}})
	via := func(tr *watchedTransport, user, password string) {
		tr.Proxy = http.ProxyURL(p.URLFor(user, password))
	}

	tr := newTransport(t, p, o) // userinfo of the URL
	tr.Credentials = nil
	via(tr, `CORP\bob`, "p@ss:w/rd")
	requireOK(t, tr, o.HTTP.URL)
	requireOK(t, tr, o.HTTPS.URL)
	require.Empty(t, o.proxyFields())

	tr = newTransport(t, p, o) // the source before the URL
	via(tr, "nobody", "nothing")
	requireOK(t, tr, o.HTTP.URL)

	tr = newTransport(t, p, o) // the URL where the source has nothing
	tr.Credentials = proxyauth.UserPassword("", "")
	via(tr, "alice", "open sesame")
	requireOK(t, tr, o.HTTP.URL)

	t.Setenv("PROXY_USER", "alice")
	t.Setenv("PROXY_PASS", "open sesame")
	tr = newTransport(t, p, o)
	tr.Credentials = nil
	requireOK(t, tr, o.HTTP.URL)

	tr = newTransport(t, p, o)
	tr.Credentials = failing{}
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
	require.ErrorIs(t, err, errVault)
	require.ErrorContains(t, err, "sealed")
}

func TestCredentialRequest(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Proxy = http.ProxyURL(p.URLFor("x", "y"))
	var got proxyauth.CredentialRequest
	tr.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		got = req
		return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
	})
	requireOK(t, tr, o.HTTP.URL)
	require.Equal(t, "Digest", got.Scheme)
	require.Equal(t, "proxy test", got.Realm)
	require.Equal(t, p.URL.String(), got.Proxy.String(), "without userinfo")
}

// Two identities in the URL are two routes: no connection, nonce or verdict of
// one serves the other.
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

// A tunnel that one identity has opened carries nothing for the next, whichever
// way the route got to know of that: from a rejection, or from the source.
func TestTunnelsOfFormerIdentity(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]proxytest.Auth{
		"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{},
	} {
		for _, rotates := range []string{"when rejected", "after the rejection"} {
			t.Run(name+"/"+rotates, func(t *testing.T) {
				o, other := newOrigin(t), newOrigin(t)
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: map[string]string{"alice": "1", "bob": "2"}})
				tr := newTransport(t, p, o)
				tr.Base.TLSClientConfig.RootCAs.AddCert(other.HTTPS.Certificate())
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
				if rotates == "when rejected" {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, proxyauth.ErrRejected)
					bob.Store(true)
				}
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

// Where no challenge is waited for, there is none to say that it wants NFC.
func TestBasicAloneIsNormalized(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"jos\u00e9": "a"}})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
	tr.Credentials = proxyauth.UserPassword("jose\u0301", "a")
	requireOK(t, tr, o.HTTP.URL)
	require.Equal(t, 1, p.Counts().Requests)
}

// Connections of denied requests are not held while others find out: with two
// of them, a rotation at the proxy and in the source goes by unnoticed.
func TestRotationWithFewConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		tr.Base.MaxConnsPerHost = 2
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		requireOK(t, tr, w.HTTP.URL)
		p.SetUser("alice", "open wheat")
		source.password.Store("open wheat")
		begin := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				req, err := http.NewRequest("GET", w.HTTP.URL, nil)
				assert.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				if assert.NoError(t, err) {
					resp.Body.Close()
					assert.Equal(t, 200, resp.StatusCode)
				}
			})
		}
		wg.Wait()
		require.Zero(t, time.Since(begin))
	})
}

// A leader's own trouble does not end those who wait.
func TestLeadersTroubleIsItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
		tr := w.newTransport(p)
		asked := make(chan struct{})
		var once sync.Once
		tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, _ proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			first := false
			once.Do(func() { first = true; close(asked) })
			if first {
				<-ctx.Done()
				return proxyauth.Credentials{}, ctx.Err()
			}
			return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		leader := make(chan error)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", w.HTTP.URL, nil)
			_, err := tr.RoundTrip(req)
			leader <- err
		}()
		<-asked
		others := make(chan error)
		for range 5 {
			go func() {
				_, _, err := fetch(tr, w.HTTP.URL)
				others <- err
			}()
		}
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-leader, context.Canceled)
		for range 5 {
			require.NoError(t, <-others)
		}
	})
}

// Origins that are slow hold up nobody for long, even if all that was asked for
// first is slow, be it through a proxy that asks for nothing.
func TestSlowLeads(t *testing.T) {
	for name, test := range map[string]struct {
		auth  []proxytest.Auth
		waits time.Duration // for the first one that is slow, and the second
	}{
		"open":  {nil, 2 * time.Second},
		"Basic": {[]proxytest.Auth{proxytest.Basic{Realm: "r"}}, 4 * time.Second},
		"NTLM":  {[]proxytest.Auth{proxytest.NTLM{}}, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				slow, ended := make(chan struct{}), make(chan error)
				w.handler = func(rw http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/slow" {
						<-slow
					}
					io.WriteString(rw, "origin")
				}
				p := w.newProxy(proxytest.Config{Auth: test.auth, Users: alice})
				tr := w.newTransport(p)
				begin := time.Now()
				for range 2 {
					go func() { _, _, err := fetch(tr, w.HTTP.URL+"/slow"); ended <- err }()
					synctest.Wait()
				}
				time.Sleep(test.waits) // until the second is on its way
				synctest.Wait()
				arrived := func() int {
					w.mu.Lock()
					defer w.mu.Unlock()
					return len(w.requests)
				}
				require.Equal(t, 2, arrived())
				requireOK(t, tr, w.HTTP.URL+"/quick")
				require.LessOrEqual(t, time.Since(begin), 3*test.waits)
				require.LessOrEqual(t, p.Attempts("alice"), 3)
				begin = time.Now()
				requireOK(t, tr, w.HTTP.URL+"/quick")
				require.Zero(t, time.Since(begin))
				close(slow)
				for range 2 {
					require.NoError(t, <-ended)
				}
			})
		})
	}
}

// A proxy that takes its time to refuse a wrong password, to hold up who guesses,
// gets it once.
func TestSlowRefusal(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused := scripted.Challenge("Basic", "realm", "r")
		s := w.scripted(scripted.Demand(refused, scripted.After(3*time.Second, refused))) // as long as PAM's
		tr := w.through(s)
		begin := time.Now()
		allRejected(t, 100, tr, "http://origin.example/")
		require.Len(t, s.Authorizations(), 1)
		require.Equal(t, 3*time.Second, time.Since(begin))
	})
}

// A lead that waits for a slow origin is taken over by one other request.
func TestSlowLead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		slow := make(chan struct{})
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				<-slow
			}
			io.WriteString(rw, "origin")
		}
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		ended := make(chan error, 19)
		begin := time.Now()
		go func() { _, _, err := fetch(tr, w.HTTP.URL+"/slow"); ended <- err }()
		synctest.Wait()
		require.Equal(t, 1, p.Attempts("alice"))
		for range 18 {
			go func() { _, _, err := fetch(tr, w.HTTP.URL+"/quick"); ended <- err }()
		}
		time.Sleep(4*time.Second - time.Nanosecond)
		synctest.Wait()
		require.Equal(t, 1, p.Attempts("alice"))
		for range 18 {
			require.NoError(t, <-ended)
		}
		require.Equal(t, 4*time.Second, time.Since(begin))
		require.Equal(t, 19, p.Attempts("alice"))
		close(slow)
		require.NoError(t, <-ended)
	})
}
