package proxyauth_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func TestDigestVariants(t *testing.T) {
	users := map[string]string{"alice": "open sesame", "jäsøn": "pa ss:wo:rd "}
	for name, d := range map[string]proxytest.Digest{
		"no algorithm":     {},
		"MD5":              {Algorithms: []string{"MD5"}},
		"MD5-sess":         {Algorithms: []string{"MD5-sess"}},
		"SHA-256":          {Algorithms: []string{"SHA-256"}},
		"SHA-256-sess":     {Algorithms: []string{"SHA-256-sess"}},
		"SHA-512-256":      {Algorithms: []string{"SHA-512-256"}},
		"SHA-512-256-sess": {Algorithms: []string{"SHA-512-256-sess"}},
		"auth-int":         {QOP: []string{"auth-int"}, Algorithms: []string{"SHA-256"}, RspAuth: true},
		"RFC 2069":         {QOP: []string{}},
		"userhash":         {Algorithms: []string{"SHA-256"}, UserHash: true, UTF8: true},
		"charset":          {UTF8: true, Opaque: `o"p\aque`},
		"nextnonce":        {NextNonce: true, Algorithms: []string{"MD5-sess"}},
		"rspauth":          {RspAuth: true, InfoInTrailer: true},
		"stale":            {NonceUses: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				d.Realm, d.CheckURI = `proxy "test"`, true
				p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{d}, Users: users})
				for user, password := range users {
					for _, url := range w.ways() {
						tr := w.newTransport(p)
						tr.Credentials = proxyauth.UserPassword(user, password)
						for range 5 {
							requireOK(t, tr, url)
							tr.CloseIdleConnections()
						}
						resp, err := (&http.Client{Transport: tr}).Post(url, "text/plain", strings.NewReader("the body"))
						require.NoError(t, err)
						body, err := io.ReadAll(resp.Body)
						require.NoError(t, err)
						require.NoError(t, resp.Body.Close())
						require.Contains(t, string(body), "the body")
					}
					require.Zero(t, p.Refused(user))
				}
				for _, leg := range p.Transcript() {
					require.Contains(t, []int{200, 407}, leg.Status, "%+v", leg)
				}
			})
		})
	}
}

// RFC 7616 §3.7: the strongest algorithm that is known, wherever it stands.
func TestDigestStrongestAlgorithm(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{
		Auth:      []proxytest.Auth{proxytest.Digest{Realm: "r", Algorithms: []string{"MD5", "SHA-512-256", "SHA-256"}}},
		Users:     alice,
		Behaviour: proxytest.Behaviour{Challenges: []string{`Digest realm="r", nonce="n", algorithm=SHA3-512, qop=auth`}},
	})
	requireOK(t, newTransport(t, p, o), o.HTTP.URL)
	legs := p.Transcript()
	require.Contains(t, legs[len(legs)-1].Header.Get("Proxy-Authorization"), "algorithm=SHA-512-256")
}

// The strongest that can be answered, and for its realm the credentials.
func TestDigestStrongestAnswerable(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		weak, strong string
		realm        string // of the one that is answered
	}{
		"qop not known":   {`algorithm=MD5, qop="auth"`, `algorithm=SHA-256, qop="auth-conf"`, "weak"},
		"both are":        {`algorithm=MD5`, `algorithm=SHA-256, qop="auth"`, "strong"},
		"algorithm alone": {`qop="auth-int"`, `algorithm=SHA3-256, qop="auth"`, "weak"},
	} {
		for _, order := range []string{"weak first", "strong first"} {
			t.Run(name+"/"+order, func(t *testing.T) {
				fields := []string{`Digest realm="weak", nonce="w", ` + test.weak, `Digest realm="strong", nonce="s", ` + test.strong}
				if order == "strong first" {
					slices.Reverse(fields)
				}
				s := w.scripted(func(req *http.Request) scripted.Answer {
					if req.Header.Get("Proxy-Authorization") == "" {
						return scripted.Challenges(strings.Join(fields, ", "))
					}
					return scripted.PassWith("origin")
				})
				tr := w.through(s)
				var asked []string
				tr.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
					asked = append(asked, req.Realm)
					return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
				})
				requireOK(t, tr, "http://origin.example/")
				require.Equal(t, []string{test.realm}, asked)
				requests := s.Requests()
				require.Contains(t, requests[len(requests)-1].Header.Get("Proxy-Authorization"), `realm="`+test.realm+`"`)
			})
		}
	}
}

// With AbsoluteURI the digest-uri is the request-target, to the letter.
func TestDigestAbsoluteURI(t *testing.T) {
	w := newWorld(t)
	s := w.scripted(scripted.Demand(scripted.Challenges("Digest realm=r, nonce=n, qop=auth"), scripted.PassWith("origin")))
	for target, host := range map[string]string{
		"http://o.test": "", "http://o.test?x=1": "", "http://o.test/a?": "", "http://o.test/a": "virtual.test",
		"http://bücher.test:8080/a": "", "http://[fe80::1%25lo]/x": "", "http://u:p@o.test/a%2Fb#frag": "",
	} {
		tr := w.through(s)
		tr.Schemes = []proxyauth.Scheme{proxyauth.DigestWith(proxyauth.DigestOptions{AbsoluteURI: true})}
		req, err := http.NewRequest("GET", target, nil)
		require.NoError(t, err)
		if host != "" {
			req.Host = host
		}
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		requests := s.Requests()
		last := requests[len(requests)-1]
		require.Contains(t, last.Header.Get("Proxy-Authorization"), `uri="`+last.RequestURI+`"`, target)
	}
}

// Proxy-Authentication-Info is a list, which may come in several fields (RFC 9110
// §5.3), and partly in the trailer.
func TestDigestInfoInSeveralFields(t *testing.T) {
	for name, where := range map[string][2]string{
		"two fields":         {"Proxy-Authentication-Info: qop=auth\r\nProxy-Authentication-Info: %s\r\n", ""},
		"header and trailer": {"Trailer: Proxy-Authentication-Info\r\nProxy-Authentication-Info: %s\r\n", "Proxy-Authentication-Info: qop=auth\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			info, nonce := `nextnonce="1"`, "0"
			s := w.scripted(func(req *http.Request) scripted.Answer {
				if !strings.Contains(req.Header.Get("Proxy-Authorization"), `nonce="`+nonce+`"`) {
					return scripted.Challenges("Digest realm=r, nonce=0, qop=auth, stale=true")
				}
				nonce = "1"
				header, trailer := strings.ReplaceAll(where[0], "%s", info), where[1]
				return scripted.Raw("HTTP/1.1 200 OK\r\n" + header + "Transfer-Encoding: chunked\r\n\r\n6\r\norigin\r\n0\r\n" + trailer + "\r\n")
			})
			tr := w.through(s)
			requireOK(t, tr, "http://origin.example/")
			requireOK(t, tr, "http://origin.example/")
			require.Len(t, s.Requests(), 3, "one 407 for both")

			info = `rspauth="00000000000000000000000000000000"`
			_, _, err := fetch(tr, "http://origin.example/")
			require.ErrorIs(t, err, digest.ErrServer)
		})
	}
}

// A response that is printed, or its body, shows nothing of the answer.
func TestDigestResponsePrintsNoSecret(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", RspAuth: true, InfoInTrailer: true}}, Users: alice})
	resp, err := (&http.Client{Transport: newTransport(t, p, o)}).Get(o.HTTP.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	legs := p.Transcript()
	sent := legs[len(legs)-1].Header.Get("Proxy-Authorization")
	_, answer, _ := strings.Cut(sent, `response="`)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, resp.Body), answer[:32])
		require.NotContains(t, fmt.Sprintf(verb, resp), answer[:32])
	}
}

func TestDigestOptions(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", QOP: []string{"auth", "auth-int"}, CheckURI: true}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.DigestWith(proxyauth.DigestOptions{PreferAuthInt: true, AbsoluteURI: true})}
	requireOK(t, tr, o.HTTP.URL+"/x?y=z")
	legs := p.Transcript()
	sent := legs[len(legs)-1].Header.Get("Proxy-Authorization")
	require.Contains(t, sent, "qop=auth-int")
	require.Contains(t, sent, `uri="`+o.HTTP.URL+`/x?y=z"`)
	requireOK(t, tr, o.HTTPS.URL)

	// A body that can be read only once cannot be hashed first.
	_, err := tr.RoundTrip(streamed(t, o.HTTP.URL, strings.NewReader("x")))
	require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
	require.ErrorIs(t, err, digest.ErrBodyNeeded)
	require.ErrorContains(t, err, "GetBody")
}

// concurrently makes n requests, c at a time, each of which must succeed.
func concurrently(t *testing.T, c, n int, rt http.RoundTripper, url string) {
	t.Helper()
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	var wg sync.WaitGroup
	for range c {
		wg.Go(func() {
			for range work {
				status, body, err := fetch(rt, url)
				if assert.NoError(t, err) {
					assert.Equal(t, 200, status, body)
				}
			}
		})
	}
	wg.Wait()
}

// Apache with NcCheck refuses a nonce count that was overtaken: the caller must
// not notice (requirement: RFC 7616 §3.4.6, mod_auth_digest).
func TestDigestStrictNonceCount(t *testing.T) {
	for name, d := range map[string]proxytest.Digest{
		"ascending": {Realm: "r", StrictNC: true},
		"exact":     {Realm: "r", ExactNC: true},
		"short":     {Realm: "r", NonceUses: 5, NextNonce: true},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, w *world) {
					p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{d}, Users: alice})
					tr := w.newTransport(p)
					tr.Base.MaxIdleConnsPerHost = 50
					var rt http.RoundTripper = tr
					if way == "tunnel" { // a CONNECT for each request
						rt = &http.Transport{DialContext: tr.DialContext, DisableKeepAlives: true}
					}
					concurrently(t, 50, 500, rt, w.HTTP.URL)
					require.Zero(t, p.Refused("alice"))
					t.Logf("%d requests, %d of them 407", p.Counts().Requests, p.Counts().Challenges)
				})
			})
		}
	}
}

// Some proxies say stale=true for ever; curl answers 51 times.
func TestDigestAlwaysStale(t *testing.T) {
	o := newOrigin(t)
	for _, url := range o.ways() {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", AlwaysStale: true}}, Users: alice})
		_, _, err := fetch(newTransport(t, p, o), url)
		require.ErrorIs(t, err, proxyauth.ErrRejected)
		require.ErrorContains(t, err, "again and again")
		require.LessOrEqual(t, p.Counts().Requests, 5)
	}
}

// One 407 for the lifetime of a nonce, not one for each connection.
func TestDigestNonceLifetime(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", NonceUses: 10}}, Users: alice})
	tr := newTransport(t, p, o)
	for range 40 {
		requireOK(t, tr, o.HTTP.URL)
		tr.CloseIdleConnections()
	}
	require.Equal(t, 4, p.Counts().Challenges)
}

// nextnonce is taken from the header and from the trailer: a nonce that ends
// costs no 407.
func TestDigestNextNonce(t *testing.T) {
	o := newOrigin(t)
	for _, trailer := range []bool{false, true} {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", NonceUses: 3, NextNonce: true, InfoInTrailer: trailer, RspAuth: true}}, Users: alice})
		tr := newTransport(t, p, o)
		for range 20 {
			requireOK(t, tr, o.HTTP.URL)
		}
		require.Equal(t, 1, p.Counts().Challenges, "trailer: %v", trailer)
	}
}

func TestDigestWrongProof(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		for _, trailer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/trailer %v", way, trailer), func(t *testing.T) {
				p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", RspAuth: true, BadRspAuth: true, InfoInTrailer: trailer}}, Users: alice})
				_, _, err := fetch(newTransport(t, p, o), url)
				require.ErrorIs(t, err, digest.ErrServer)
			})
		}
	}
}

// In an honest, serial program a password that changed is tried once more by
// nobody: rejected is what the proxy says, not what the nonce count explains.
func TestDigestPasswordChanged(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	requireOK(t, tr, o.HTTP.URL)
	p.SetUser("alice", "open wheat")
	p.Reset()
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrRejected)
	require.Equal(t, 1, p.Refused("alice"))
	require.ErrorContains(t, err, "downgrade", "Basic is not sent where Digest has worked")
}

// streamed returns a POST whose body can be read only once.
func streamed(t testing.TB, url string, r io.Reader) *http.Request {
	req, err := http.NewRequest("POST", url, struct{ io.Reader }{r})
	require.NoError(t, err)
	require.Nil(t, req.GetBody)
	return req
}

// With short-lived nonces a streamed upload would be lost half-way to a 407
// that says stale=true; it waits for the proxy to ask for it instead.
func TestDigestStreams(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", NonceUses: 2}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Base.ExpectContinueTimeout = 10 * time.Second
	want := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for range 6 {
		resp, err := tr.RoundTrip(streamed(t, o.HTTP.URL, bytes.NewReader(want)))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Len(t, o.bodies, 6)
	for _, body := range o.bodies {
		require.Equal(t, string(want), body)
	}
	require.EqualValues(t, 6*len(want), p.Counts().BodyBytes, "each byte was sent once")
}

// A strict proxy that lets a request pass which was sent to get a nonce, a
// request without a method, and an origin that answers with the proxy's field.
func TestDigestOddReplies(t *testing.T) {
	w := newWorld(t)
	n := 0
	s := w.scripted(func(req *http.Request) scripted.Answer {
		n++
		if req.Header.Get("Proxy-Authorization") == "" {
			return scripted.Challenges(fmt.Sprint("Digest realm=r, nonce=n", n))
		}
		return scripted.Page(200, "origin", "Proxy-Authentication-Info: garbage")
	})
	tr := w.through(s)
	requireOK(t, tr, w.HTTP.URL)
	requireOK(t, tr, w.HTTP.URL)

	p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r"}}, Users: alice})
	u, err := url.Parse(w.HTTP.URL)
	require.NoError(t, err)
	resp, err := w.newTransport(p).RoundTrip(&http.Request{URL: u, Header: http.Header{}}) // a GET
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
}

// A connection that ends before the answer: net/http repeats the request as it
// was, and the proxy refuses the nonce count that it has seen already. That is no
// rejection.
func TestDigestReplay(t *testing.T) {
	for name, d := range map[string]proxytest.Digest{
		"ascending": {Realm: "r", StrictNC: true},
		"exact":     {Realm: "r", ExactNC: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{d}, Users: alice})
			tr := newTransport(t, p, o)
			var drop atomic.Bool
			o.handler = func(w http.ResponseWriter, _ *http.Request) {
				if drop.Swap(false) {
					p.CloseClientConnections()
				}
				io.WriteString(w, "origin")
			}
			for range 3 {
				requireOK(t, tr, o.HTTP.URL)
				drop.Store(true)
				requireOK(t, tr, o.HTTP.URL)
			}
			require.Zero(t, p.Refused("alice"))
		})
	}
}

// A strict proxy, all of whose nonces are in use when the password changes there:
// the request that has got a nonce for itself is the one attempt with the old
// password.
func TestDigestPasswordChangedAtStrictProxy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", ExactNC: true}}, Users: alice})
		tr := w.newTransport(p)
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		concurrently(t, 50, 500, tr, w.HTTP.URL) // shows that it is strict

		const slow = 100
		hold, held := make(chan struct{}), make(chan struct{}, slow)
		release := sync.OnceFunc(func() { close(hold) })
		t.Cleanup(release)
		w.mu.Lock()
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				held <- struct{}{}
				<-hold
			}
			io.WriteString(rw, "origin")
		}
		w.mu.Unlock()
		ended := make(chan error, slow)
		for range slow {
			go func() { _, _, err := fetch(tr, w.HTTP.URL+"/slow"); ended <- err }()
		}
		for range slow {
			<-held
		}
		p.SetUser("alice", "open wheat")
		for range 3 {
			_, _, err := fetch(tr, w.HTTP.URL)
			assert.ErrorIs(t, err, proxyauth.ErrRejected)
		}
		assert.Equal(t, 1, p.Refused("alice"))
		source.password.Store("open wheat")
		requireOK(t, tr, w.HTTP.URL)
		release()
		for range slow {
			assert.NoError(t, <-ended)
		}
		requireOK(t, tr, w.HTTP.URL)
	})
}

// The trailer of a CONNECT that is refused.
func TestDigestTrailerOfRefusal(t *testing.T) {
	w := newWorld(t)
	s := w.scripted(scripted.Demand(
		scripted.Challenge("Digest", "realm", "r", "qop", "auth", "nonce", "n"),
		scripted.Raw("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\nTrailer: Proxy-Authentication-Info\r\n\r\n"+
			"2\r\nno\r\n0\r\nProxy-Authentication-Info: nextnonce=\"m\"\r\n\r\n")))
	_, err := w.through(s).DialContext(t.Context(), "tcp", "origin.example:443")
	var refusal *proxyauth.ConnectError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "no", string(refusal.Body))
}
