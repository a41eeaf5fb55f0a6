package proxyauth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

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

// R14, R16: one 407 for the lifetime of a nonce, not one for each connection.
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

// R13: Apache with NcCheck refuses a nonce count that was overtaken: the caller
// must not notice (requirement: RFC 7616 §3.4.6, mod_auth_digest).
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

// R13: a connection that ends before the answer: net/http repeats the request as
// it was, and the proxy refuses the nonce count that it has seen already. That is
// no rejection.
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

// R14: some proxies say stale=true for ever; curl answers 51 times.
func TestDigestAlwaysStale(t *testing.T) {
	o := newOrigin(t)
	for _, url := range o.ways() {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", AlwaysStale: true}}, Users: alice})
		_, _, err := fetch(newTransport(t, p, o), url)
		require.ErrorIs(t, err, proxyauth.ErrProxyFault)
		require.ErrorContains(t, err, "again and again")
		require.Equal(t, 2, p.Attempts("alice"))
	}
}

// R13: nextnonce is taken from the header and from the trailer: a nonce that ends
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

// R13: Proxy-Authentication-Info is a list, which may come in several fields (RFC
// 9110 §5.3), and partly in the trailer.
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

// R13: a rspauth that is wrong is an error, on both ways, in the header and in the
// trailer.
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
