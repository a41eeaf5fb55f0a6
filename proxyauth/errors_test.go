package proxyauth_test

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The error says what a tired engineer needs.
func TestErrorTexts(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{Challenges: []string{"X-Other", "Digest realm"}}})
	for name, test := range map[string]struct {
		change func(*proxyauth.Transport)
		want   []string
	}{
		"no credentials": {func(tr *proxyauth.Transport) { tr.Credentials = nil },
			[]string{"no credentials", "offered: X-Other, Digest, Basic", `realm "proxy test"`, "PROXY_USER", "Transport.Credentials"}},
		"empty source": {func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.UserPassword("", "") },
			[]string{"Transport.Credentials has none"}},
		"rejected": {func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.UserPassword("alice", "open barley") },
			[]string{"rejected the credentials", "tried: Digest, Basic", "check user name and password in Transport.Credentials", "31m"}},
		"no scheme": {func(tr *proxyauth.Transport) { tr.Schemes = []proxyauth.Scheme{} },
			[]string{"X-Other: not among Transport.Schemes", "Basic: not among"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, p, o)
			test.change(tr.Transport)
			_, _, err := fetch(tr, o.HTTP.URL+"/path?key=secret")
			require.True(t, strings.HasPrefix(err.Error(), "proxyauth: proxy "+p.URL.String()+" "), err.Error())
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			require.ErrorContains(t, err, `malformed "Digest" challenge`)
			require.NotContains(t, err.Error(), "key=secret")
			t.Log(err)
		})
	}
}

// R35: what is taken for a secret must not make errors unreadable: a token of
// which a colon happens to be a byte holds no password, and a short password, or
// one that begins every error, is struck only where the proxy repeats it.
func TestErrorsStayReadable(t *testing.T) {
	w := newWorld(t)
	encode := base64.StdEncoding.EncodeToString
	for name, test := range map[string]struct{ field, answer, want string }{
		"token":              {"Negotiate " + encode([]byte("abc:t")), "", "EOF"},
		"letter":             {"Basic " + encode([]byte("alice:o")), "", "EOF"},
		"letter, quoted":     {"Basic " + encode([]byte("alice:o")), "HTTP/1.1 o\r\n\r\n", `malformed HTTP status code "REDACTED"`},
		"letter, not ASCII":  {"Basic " + encode([]byte("alice:ö")), "HTTP/1.1 ö\r\n\r\n", `malformed HTTP status code "REDACTED"`},
		"response first":     {`Digest response="0a1b2c3d", username="u"`, "HTTP/1.1 0a1b2c3d\r\n\r\n", `malformed HTTP status code "REDACTED"`},
		"response of others": {`Other user="u", response="0a1b2c3d"`, "HTTP/1.1 0a1b2c3d\r\n\r\n", `malformed HTTP status code "REDACTED"`},
		"our word":           {"Basic " + encode([]byte("alice:proxy")), "HTTP/1.1 proxy\r\n\r\n", `malformed HTTP status code "REDACTED"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.scripted(scripted.Always(scripted.Raw(test.answer).Then(scripted.HangUp())))
			tr := w.through(s)
			tr.Credentials = nil
			tr.Base.ProxyConnectHeader = http.Header{"proxy-authorization": {test.field}}
			for _, target := range w.ways() {
				req, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
				require.NoError(t, err)
				req.Header["proxy-authorization"] = []string{test.field}
				resp, err := tr.RoundTrip(req)
				require.Error(t, err)
				require.Nil(t, resp)
				require.True(t, strings.HasPrefix(err.Error(), "proxyauth: proxy "+s.URL().String()+": "), err.Error())
				require.ErrorContains(t, err, test.want)
				require.Equal(t, strings.Contains(test.want, "REDACTED"), strings.Contains(err.Error(), "REDACTED"), err.Error())
			}
		})
	}
}

func TestConnectError(t *testing.T) {
	o := newOrigin(t)
	for status, text := range map[int]string{403: "policy", 502: "cannot reach the target", 500: "500"} {
		p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{ConnectStatus: status}})
		_, _, err := fetch(newTransport(t, p, o), o.HTTPS.URL)
		var refused *proxyauth.ConnectError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, status, refused.StatusCode)
		require.Equal(t, "Digest", refused.Tried)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, err, p.URL.String())
	}
}

func TestDialContextErrors(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	tr := newTransport(t, p, o)
	ctx := context.Background()
	for _, addr := range []string{"", "nohost", ":80", "host:", "a b:80", "evil\r\nX: y:80", "user@host:1", "ho/st:1", "ho?st:1", "host#:1", `ho\st:1`, "host:0", "host:99999", "host:no-such-service"} {
		_, err := tr.DialContext(ctx, "tcp", addr)
		require.ErrorContains(t, err, "proxyauth: ", addr)
	}
	_, err := tr.DialContext(ctx, "udp", "x:1")
	require.ErrorContains(t, err, "udp")
	require.Zero(t, p.Counts().Requests)

	tr = newTransport(t, p, o)
	tr.Credentials = nil
	_, err = tr.DialContext(ctx, "tcp", "x:1")
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)

	tr = newTransport(t, p, o) // directly, where there is no proxy
	tr.Base.Proxy = nil
	c, err := tr.DialContext(ctx, "tcp", o.HTTP.Listener.Addr().String())
	require.NoError(t, err)
	c.Close()
}

// What breaks on the way to be forwarded is told with the name of the proxy, as on
// the other ways; what is the request's own fault is not.
func TestForwardedErrorsNameTheProxy(t *testing.T) {
	for name, text := range map[string]string{"closes": "", "garbage": "\x01\r\n\r\n", "half a header": "HTTP/1.1 200 OK\r\nX:"} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				w := newWorld(t)
				s := w.scripted(scripted.Always(scripted.Raw(text).Then(scripted.HangUp())))
				tr := w.through(s)
				req, err := http.NewRequest(method, "http://origin.example/", nil)
				require.NoError(t, err)
				_, err = tr.RoundTrip(req)
				require.ErrorContains(t, err, "proxyauth: proxy "+s.URL().String()+": ")
			})
		}
	}
	inBubble(t, func(t *testing.T, w *world) {
		s := w.scripted(scripted.Always(scripted.Stall()))
		tr := w.through(s)
		tr.Base.ResponseHeaderTimeout = 20 * time.Second
		_, err := (&http.Client{Transport: tr}).Get("http://origin.example/")
		require.ErrorContains(t, err, "proxyauth: proxy "+s.URL().String()+": net/http: timeout awaiting response headers")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())

		req, err := http.NewRequest("GET", "http://origin.example/", nil)
		require.NoError(t, err)
		req.Header["X"] = []string{"a\nb"}
		_, err = tr.RoundTrip(req)
		require.ErrorContains(t, err, "net/http: invalid header field")
		require.NotContains(t, err.Error(), "proxyauth")
	})
}

func TestNoCredentials(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
			tr := newTransport(t, p, o)
			tr.Credentials = nil
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
			var auth *proxyauth.AuthError
			require.ErrorAs(t, err, &auth)
			require.Equal(t, []proxyauth.SchemeOutcome{{Name: "Digest", Offered: true}, {Name: "Basic", Offered: true}}, auth.Schemes)
			require.Equal(t, 407, auth.StatusCode)
			require.NotEmpty(t, auth.Body)
			require.NotEmpty(t, auth.Header["Proxy-Authenticate"])
			require.Equal(t, 0, p.Attempts("alice"))
			t.Log(err)
		})
	}
}

// An error that a program makes itself, as its tests do, reads as one of a Transport.
func TestConnectErrorOfOnesOwn(t *testing.T) {
	for scheme, grows := range map[string]bool{"Negotiate": true, "NTLM": false, "Other": false, "": false} {
		err := &proxyauth.ConnectError{StatusCode: http.StatusRequestHeaderFieldsTooLarge, Tried: scheme}
		require.Equal(t, grows, strings.Contains(err.Error(), "a Kerberos token grows"), err.Error())
	}
}
