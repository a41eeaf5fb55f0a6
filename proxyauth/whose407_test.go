package proxyauth_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R29: a 407 of an origin is a response like any other, and nothing is sent for it
// (cpp-httplib #2457).
func TestOrigin407(t *testing.T) {
	o := newOrigin(t)
	o.handler = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="give me"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		io.WriteString(w, "origin's page")
	}
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	for name, test := range map[string]struct {
		url     string
		proxied bool
	}{"direct http": {o.HTTP.URL, false}, "direct https": {o.HTTPS.URL, false}, "tunnel": {o.HTTPS.URL, true}} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, p, o)
			if !test.proxied {
				tr.Base.Proxy = nil
			}
			before := len(o.requests)
			req, err := http.NewRequest("GET", test.url, nil)
			require.NoError(t, err)
			req.Header.Set("Proxy-Authorization", "Basic bXk6b3du") // must not get there either
			req.Header["proxy-authorization"] = []string{"Basic bXk6b3du"}
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			require.Equal(t, 407, resp.StatusCode)
			require.Equal(t, "origin's page", string(body))
			require.Same(t, req, resp.Request)
			require.Len(t, o.requests, before+1)
			require.Empty(t, o.proxyFields())
			require.Len(t, req.Header, 2, "the caller's request is not changed")
		})
	}
}

// R29: the 407 of an origin behind a forwarding proxy, which takes the challenge
// out of it (RFC 9110 §11.7.1), says nothing about the credentials that have just
// passed.
func TestForwarded407OfOrigin(t *testing.T) {
	o := newOrigin(t)
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/407" {
			w.Header().Set("Proxy-Authenticate", `Basic realm="give me"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
		}
		io.WriteString(w, "origin")
	}
	for name, auth := range map[string][]proxytest.Auth{
		"open": nil, "Basic": {proxytest.Basic{Realm: "r"}}, "Digest": {proxytest.Digest{Realm: "r"}},
		"NTLM": {proxytest.NTLM{}}, "Negotiate": {proxytest.Negotiate{NTLM: &proxytest.NTLM{}, NoKerberos: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: auth, Users: alice})
			tr := newTransport(t, p, o)
			requireOK(t, tr, o.HTTP.URL)
			challenges := p.Counts().Challenges
			for _, method := range []string{"GET", "POST"} {
				req, err := http.NewRequest(method, o.HTTP.URL+"/407", strings.NewReader("body"))
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, 407, resp.StatusCode)
				require.Equal(t, "origin", string(body))
			}
			requireOK(t, tr, o.HTTP.URL)
			require.Equal(t, challenges, p.Counts().Challenges, "nothing is sent for it")
			require.Zero(t, tr.Stats().Rejections)
		})
	}
}

// R29, R30: a site may send on to a part of it behind another proxy: the caller's
// own Proxy-Authorization is for the first.
func TestRedirectToOtherProxy(t *testing.T) {
	w := newWorld(t)
	second := w.newProxy(proxytest.Config{Dial: w.HTTP.Listener.(*memconn.Listener).DialContext})
	first := w.scripted(func(req *http.Request) scripted.Answer {
		if req.URL.Path == "/same" {
			return scripted.Status(200)
		}
		return scripted.Status(302, "Location: "+req.URL.Query().Get("to"))
	})
	tr := w.through(first)
	tr.Proxy = func(req *http.Request) (*url.URL, error) {
		if req.URL.Host == "part.site.example" {
			return second.URL, nil
		}
		return first.URL(), nil
	}
	for _, to := range []string{"http://part.site.example/", "http://site.example/same"} {
		req, err := http.NewRequest("GET", "http://site.example/?to="+url.QueryEscape(to), nil)
		require.NoError(t, err)
		req.Header.Set("Proxy-Authorization", "Basic bXk6b3du")
		resp, err := (&http.Client{Transport: tr}).Do(req)
		require.NoError(t, err)
		resp.Body.Close()
	}
	require.Len(t, second.Transcript(), 1)
	require.Empty(t, second.Transcript()[0].Header["Proxy-Authorization"])
	for _, req := range first.Requests() {
		require.Equal(t, []string{"Basic bXk6b3du"}, req.Header["Proxy-Authorization"])
	}
}
