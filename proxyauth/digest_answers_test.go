package proxyauth_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R11, R12, R14, R15: a proxy that verifies every field takes the answer to each
// kind of challenge, on both ways, for names beyond ASCII too.
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

// R11: RFC 7616 §3.7: the strongest algorithm that is known, wherever it stands.
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

// R6, R11: the strongest that can be answered, and for its realm the credentials.
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

// R15: with AbsoluteURI the digest-uri is the request-target, to the letter.
func TestDigestAbsoluteURI(t *testing.T) {
	w := newWorld(t)
	s := w.scripted(scripted.Demand(scripted.Challenges("Digest realm=r, nonce=n, qop=auth"), scripted.PassWith("origin")))
	for target, host := range map[string]string{
		"http://o.test": "", "http://o.test?x=1": "", "http://o.test/a?": "", "http://o.test/a": "virtual.test",
		"http://bücher.test:8080/a": "", "http://[fe80::1%25lo]/x": "", "http://u:p@o.test/a%2Fb#frag": "",
	} {
		tr := w.through(s)
		tr.Schemes = []proxyauth.Scheme{proxyauth.Digest(proxyauth.DigestOptions{AbsoluteURI: true})}
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

// R11, R15: the options prefer auth-int and the absolute form; a body that can be
// read only once cannot be hashed first, and the error says so.
func TestDigestOptions(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", QOP: []string{"auth", "auth-int"}, CheckURI: true}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Digest(proxyauth.DigestOptions{PreferAuthInt: true, AbsoluteURI: true})}
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

// More than one set of options is an error of the program.
func TestOneSetOfOptions(t *testing.T) {
	require.Equal(t, proxyauth.Digest(), proxyauth.Digest(proxyauth.DigestOptions{}))
	require.PanicsWithValue(t, "proxyauth: Digest takes one DigestOptions", func() {
		proxyauth.Digest(proxyauth.DigestOptions{}, proxyauth.DigestOptions{})
	})
	require.PanicsWithValue(t, "proxyauth: Negotiate takes one NegotiateOptions", func() {
		proxyauth.Negotiate(proxyauth.NegotiateOptions{}, proxyauth.NegotiateOptions{})
	})
}
