package proxyauth_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// step returns the last step of that name.
func step(t testing.TB, r *proxyauth.Report, name string) proxyauth.Step {
	t.Helper()
	for i := len(r.Steps) - 1; i >= 0; i-- {
		if r.Steps[i].Name == name {
			return r.Steps[i]
		}
	}
	require.Failf(t, "no such step", "%s in\n%s", name, r)
	return proxyauth.Step{}
}

// lastFailed requires that the report ends in the failure of that step.
func lastFailed(t testing.TB, r *proxyauth.Report, name string) proxyauth.Step {
	t.Helper()
	require.False(t, r.OK(), r.String())
	require.Error(t, r.Err)
	s := r.Steps[len(r.Steps)-1]
	require.Equal(t, name, s.Name, r.String())
	require.Equal(t, proxyauth.StepFailed, s.Outcome)
	require.NotEmpty(t, s.Remedy)
	for _, before := range r.Steps[:len(r.Steps)-1] {
		require.NotEqual(t, proxyauth.StepFailed, before.Outcome, r.String())
	}
	return s
}

// Where the way works the report says how, for one attempt at the account, and
// the Transport goes on with what it has learned.
func TestDiagnoseWorks(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]proxytest.Auth{
		"Basic":     proxytest.Basic{Realm: "r"},
		"Digest":    proxytest.Digest{Realm: "r"},
		"NTLM":      proxytest.NTLM{},
		"Negotiate": proxytest.Negotiate{},
	} {
		for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
			o := newOrigin(t)
			for way, target := range o.ways() {
				p := start(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				t.Cleanup(p.Close)
				t.Run(name+"/"+p.URL.Scheme+"/"+way, func(t *testing.T) {
					tr := newTransport(t, p, o)
					if name == "Negotiate" {
						tr = newKerberosTransport(t, p, o)
					}
					r := tr.Diagnose(t.Context(), target)
					require.True(t, r.OK(), r.String())
					require.NoError(t, r.Err)
					require.Equal(t, p.URL.String(), r.Proxy)
					require.Contains(t, step(t, r, "schemes").Details[schemeIndex[name]], name+": to be used, with ")
					if name == "Negotiate" {
						require.Contains(t, step(t, r, "schemes").Details[0], "ticket of alice@TEST.EXAMPLE by the ticket cache, valid until ")
					}
					require.Equal(t, p.URL.Scheme == "https", containsStep(r, "proxy's TLS"))
					if way == "tunnel" {
						require.Contains(t, step(t, r, "CONNECT").Details[0], "authenticated by "+name)
						require.Contains(t, step(t, r, "target's TLS").Details[0], "TLS 1.3, certificate of ")
					} else {
						require.Contains(t, step(t, r, "request").Details[0], "is answered 200 OK, authenticated by "+name)
					}
					require.Equal(t, 1, p.Attempts("alice"))
					require.Empty(t, o.proxyFields())

					p.Reset()
					requireOK(t, tr, target)
					require.Zero(t, p.Refused("alice"))
				})
			}
		}
	}
}

// schemeIndex is where the schemes are in DefaultSchemes.
var schemeIndex = map[string]int{"Negotiate": 0, "NTLM": 1, "Digest": 2, "Basic": 3}

func containsStep(r *proxyauth.Report, name string) bool {
	for _, s := range r.Steps {
		if s.Name == name {
			return true
		}
	}
	return false
}

// R8: wrong credentials are tried as by one request, and not again by the next
// report.
func TestDiagnoseRejected(t *testing.T) {
	o := newOrigin(t)
	for way, target := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
			tr := newTransport(t, p, o)
			tr.Credentials = proxyauth.UserPassword("alice", "wrong")
			r := tr.Diagnose(t.Context(), target)
			require.ErrorIs(t, r.Err, proxyauth.ErrRejected)
			last := r.Steps[len(r.Steps)-1].Name
			require.Contains(t, lastFailed(t, r, last).Remedy, "check user name and password")
			require.Equal(t, 2, p.Attempts("alice"))

			r = tr.Diagnose(t.Context(), target)
			require.ErrorIs(t, r.Err, proxyauth.ErrRejected)
			require.Contains(t, step(t, r, "schemes").Details[2], "refused twice, next try in")
			require.Contains(t, lastFailed(t, r, last).Details[0], "so this request was not sent")
			require.Equal(t, 2, p.Attempts("alice"))
		})
	}
}

// R35: a proxy that repeats all it ever got gets none of it into the report.
func TestDiagnoseSecrets(t *testing.T) {
	w := newWorld(t)
	for way, target := range w.ways() {
		for _, status := range []int{200, 403, 407, 502} {
			t.Run(fmt.Sprint(way, status), func(t *testing.T) {
				sent := "nothing"
				s := w.scripted(func(req *http.Request) scripted.Answer {
					if field := req.Header.Get("Proxy-Authorization"); field != "" {
						sent = field
						return scripted.Raw(fmt.Sprintf("HTTP/1.1 %d %s %s\r\nX: %[2]s\r\nLocation: http://%[3]s\r\nContent-Length: 5\r\n\r\nhello", status, sent, hush)).Then(scripted.HangUp())
					}
					return scripted.Raw("HTTP/1.1 407 " + sent + "\r\nProxy-Authenticate: Basic realm=\"" + strings.ReplaceAll(hush, `"`, `\"`) + " " + sent + "\"\r\nContent-Length: 0\r\n\r\n")
				})
				proxy := s.URL()
				proxy.User = url.UserPassword("alice", hush)
				tr := w.transportTo(proxy, nil)
				tr.Credentials = nil
				defer tr.CloseIdleConnections()
				first := tr.Diagnose(t.Context(), target)
				require.Contains(t, first.String(), "the credentials of the proxy URL")
				r := tr.Diagnose(t.Context(), target)
				asJSON, err := json.Marshal(r)
				require.NoError(t, err)
				for _, text := range []string{r.String(), string(asJSON), fmt.Sprintf("%+v", r)} {
					requireNoSecret(t, text, []string{sent})
				}
			})
		}
	}
}

// What a forwarding proxy refuses is told from what the target answers.
func TestDiagnoseForwardedStatus(t *testing.T) {
	for _, test := range []struct {
		status int
		header string
		words  string // "": the target has answered
	}{
		{200, "", ""}, {404, "", ""}, {401, "", ""}, {500, "", ""}, {302, "", ""},
		{403, "", "its policy forbids the target, or it refuses the credentials (Basic) in this way; or it is the target itself"},
		{413, "", "too large"},
		{429, "", "limits how many requests"},
		{451, "", "legal reasons"},
		{502, "Proxy-Status: proxy.corp; error=dns_error", "the proxy cannot reach the target"},
		{504, "", "cannot reach the target; or it is the target itself"},
		{511, "", "captive portal"},
	} {
		t.Run(fmt.Sprint(test.status, test.header), func(t *testing.T) {
			w := newWorld(t)
			var fields []string
			if test.header != "" {
				fields = append(fields, test.header)
			}
			s := w.scripted(scripted.Demand(scripted.Challenges("Basic realm=r"), scripted.Status(test.status, fields...)))
			tr := w.through(s)
			r := tr.Diagnose(t.Context(), "http://api.example.com/?key=1")
			if test.words == "" {
				require.True(t, r.OK(), r.String())
				return
			}
			last := lastFailed(t, r, "request")
			require.Contains(t, last.Details[0], test.words)
			if test.header != "" || test.status == 511 {
				require.NotContains(t, last.Details[0], "the target itself")
			}
			require.NotContains(t, r.String(), "key")
		})
	}
}

// What a proxy answers to CONNECT tells limits from authentication.
func TestDiagnoseConnectStatus(t *testing.T) {
	w := newWorld(t)
	for status, words := range map[int][2]string{
		302: {"redirects to login.example.com", "browser"},
		400: {"does not understand the request", "may want TLS"},
		401: {"a web server and no proxy", "check host and port"},
		403: {"its policy forbids the target, or it wants credentials without asking", "many proxies open tunnels to port 443 only"},
		404: {"web server and no proxy", "check host and port"},
		413: {"too large", "higher limit"},
		429: {"limits how many requests", "wait"},
		451: {"legal reasons", "other credentials change nothing"},
		501: {"opens no tunnels", "allow CONNECT"},
		503: {"cannot reach the target", "try later"},
		511: {"captive portal", "browser"},
		599: {`answered "599 So"`, "administrators"},
	} {
		s := w.scripted(scripted.Always(scripted.Raw(
			fmt.Sprintf("HTTP/1.1 %d So\r\nLocation: http://login.example.com/\r\nContent-Length: 0\r\n\r\n", status))))
		r := w.through(s).Diagnose(t.Context(), "mail.example.com:25")
		last := lastFailed(t, r, "CONNECT")
		require.Contains(t, last.Details[0], words[0])
		require.Contains(t, last.Remedy, words[1])
		var refused *proxyauth.ConnectError
		require.ErrorAs(t, r.Err, &refused)
		for _, req := range s.Requests() {
			require.Empty(t, req.Header["Proxy-Authorization"])
		}
	}
}

// A 403 is no doubt about credentials that have passed for another target.
func TestDiagnoseForbiddenAfterSuccess(t *testing.T) {
	w := newWorld(t)
	s := w.scripted(func(req *http.Request) scripted.Answer {
		switch {
		case req.Header.Get("Proxy-Authorization") == "":
			return scripted.Challenges("Basic realm=r")
		case req.Host == "good.example:443":
			return scripted.PassWith("").Then(scripted.HangUp())
		}
		return scripted.Status(403)
	})
	tr := w.through(s)
	bad := lastFailed(t, tr.Diagnose(t.Context(), "bad.example:443"), "CONNECT")
	require.Contains(t, bad.Details[0], "or it refuses the credentials (Basic)")
	require.True(t, tr.Diagnose(t.Context(), "good.example:443").OK())
	bad = lastFailed(t, tr.Diagnose(t.Context(), "bad.example:443"), "CONNECT")
	require.Contains(t, bad.Details[0], "the credentials are not in doubt")
	require.NotContains(t, bad.Remedy, "password")
}

// Without a proxy the report says why there is none.
func TestDiagnoseDirect(t *testing.T) {
	o := newOrigin(t)
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.rootCAs()}}
	tr := &proxyauth.Transport{Base: base}
	for _, target := range []string{o.HTTP.URL, o.HTTPS.URL, o.HTTP.Listener.Addr().String()} {
		r := tr.Diagnose(t.Context(), target)
		require.True(t, r.OK(), r.String())
		require.Empty(t, r.Proxy)
		require.Contains(t, step(t, r, "proxy").Details[0], "Base.Proxy too")
		require.Contains(t, step(t, r, "proxy").Remedy, "http.ProxyFromEnvironment")
	}
	untrusted := &proxyauth.Transport{Base: &http.Transport{}}
	require.Contains(t, lastFailed(t, untrusted.Diagnose(t.Context(), o.HTTPS.URL), "target's TLS").Remedy, "RootCAs")
	noTLS := "https://" + o.HTTP.Listener.Addr().String()
	require.Contains(t, lastFailed(t, untrusted.Diagnose(t.Context(), noTLS), "target's TLS").Details[0], "does not speak TLS")
	for _, tr := range []*proxyauth.Transport{tr, untrusted} {
		tr.CloseIdleConnections()
	}

	refused := errors.New("no way")
	tr = &proxyauth.Transport{
		Base:  &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused }},
		Proxy: http.ProxyURL(nil), // as the environment says for all of these
	}
	for _, test := range []struct{ name, value, target, why string }{
		{"HTTPS_PROXY", "", "https://api.example.com", "HTTPS_PROXY is not set"},
		{"http_proxy", "http://proxy:1", "https://api.example.com", "HTTP_PROXY is set, but HTTPS_PROXY is not"},
		{"https_proxy", "http://proxy:1", "http://api.example.com", "HTTPS_PROXY is set, but HTTP_PROXY is not"},
		{"ALL_PROXY", "http://proxy:1", "http://api.example.com", "net/http does not read it"},
		{"HTTPS_PROXY", ":bad", "https://api.example.com", "the value of HTTPS_PROXY is not a valid URL"},
		{"https_proxy", "http://alice:p%zzhush@proxy:1", "https://api.example.com", "the value of https_proxy is not a valid URL"},
		{"HTTPS_PROXY", "http://proxy:1", "https://localhost", "never used for localhost"},
		{"HTTPS_PROXY", "http://proxy:1", "127.0.0.2:443", "never used for localhost"},
		{"HTTPS_PROXY", "http://proxy:1", "https://intra.corp", "NO_PROXY excludes intra.corp"},
		{"HTTPS_PROXY", "http://proxy:1", "https://api.example.com", "gives none, though the environment has one"},
	} {
		t.Run(test.why, func(t *testing.T) {
			setEnv(t, map[string]string{"NO_PROXY": ".corp", test.name: test.value})
			r := tr.Diagnose(t.Context(), test.target)
			require.ErrorIs(t, r.Err, refused)
			require.Contains(t, step(t, r, "proxy").Details[0], test.why)
			require.Contains(t, lastFailed(t, r, "TCP").Remedy, test.why)
			require.NotContains(t, r.String(), "hush")
		})
	}
}

// A Transport of FromEnvironment is diagnosed by its rules.
func TestDiagnoseFromEnvironment(t *testing.T) {
	refused := errors.New("no way")
	for name, test := range map[string]struct {
		env         map[string]string
		why, remedy string // "": there is a proxy
	}{
		"switched off": {map[string]string{"USE_PROXY": "no", "HTTPS_PROXY": "http://proxy:1"}, "USE_PROXY=no switches proxies off", "unset USE_PROXY"},
		"excluded":     {map[string]string{"ALL_PROXY": "http://proxy:1", "NO_PROXY": ".example.com"}, "NO_PROXY excludes api.example.com", "change NO_PROXY"},
		"lower case":   {map[string]string{"HTTPS_PROXY": "http://proxy:1", "no_proxy": "api.example.com", "NO_PROXY": "x"}, "no_proxy excludes", "change no_proxy"},
		"for all":      {map[string]string{"ALL_PROXY": "http://proxy:1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, test.env)
			tr, err := proxyauth.FromEnvironment()
			require.NoError(t, err)
			tr.Base = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}
			r := tr.Diagnose(t.Context(), "https://api.example.com/")
			require.ErrorIs(t, r.Err, refused)
			if test.why == "" {
				require.Equal(t, "http://proxy:1, by ALL_PROXY", step(t, r, "proxy").Details[0])
				return
			}
			require.Contains(t, step(t, r, "proxy").Details[0], test.why)
			require.Contains(t, step(t, r, "proxy").Remedy, test.remedy)
		})
	}
}

// In a CGI program the URL is right, and does not count.
func TestDiagnoseCGI(t *testing.T) {
	setEnv(t, map[string]string{"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://proxy:1"})
	tr, err := proxyauth.FromEnvironment()
	require.NoError(t, err)
	last := lastFailed(t, tr.Diagnose(t.Context(), "http://api.example.com/"), "proxy")
	require.Contains(t, last.Remedy, "set Transport.Proxy in the program")
}

// What the environment gets wrong is told where it is read, for each Transport.
func TestDiagnoseMistakes(t *testing.T) {
	setEnv(t, map[string]string{"PROXY_USER": "alice", "NO_PROXY": "http://x", "USE_PROXY": "false"})
	tr := &proxyauth.Transport{Base: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }}}
	environment := step(t, tr.Diagnose(t.Context(), "https://api.example.com/"), "environment")
	require.Equal(t, proxyauth.StepNote, environment.Outcome)
	text := strings.Join(environment.Details, "\n")
	for _, words := range []string{"PROXY_USER is set, but neither", `"http://x" can never match`, "USE_PROXY=false, which only FromEnvironment reads"} {
		require.Contains(t, text, words)
	}
}

// Where nothing answers the time is up, and there is no proxy: that may be why.
func TestDiagnoseDropped(t *testing.T) {
	setEnv(t, nil)
	dropped := func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	tr := &proxyauth.Transport{Base: &http.Transport{DialContext: dropped, Proxy: http.ProxyFromEnvironment}}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	remedy := lastFailed(t, tr.Diagnose(ctx, "https://api.example.com/"), "TCP").Remedy
	require.Contains(t, remedy, "set HTTPS_PROXY")
	require.Contains(t, remedy, "give it more time")
}

// An HTTP proxy under a socks5:// URL.
func TestDiagnoseNoSOCKS(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
		tr := w.transportTo(&url.URL{Scheme: "socks5", Host: p.URL.Host}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // always to the end
		defer cancel()
		last := lastFailed(t, tr.Diagnose(ctx, "https://api.example.com/"), "SOCKS")
		require.Contains(t, last.Details[0], "the proxy speaks HTTP on this port")
	})
}

// A page that sends elsewhere may be the network's.
func TestDiagnoseRedirect(t *testing.T) {
	w := newWorld(t)
	s := w.scripted(scripted.Always(scripted.Status(302, "Location: https://login.example.net/?from=x")))
	r := w.through(s).Diagnose(t.Context(), "http://api.example.com/")
	require.True(t, r.OK())
	request := step(t, r, "request")
	require.Equal(t, proxyauth.StepNote, request.Outcome)
	require.Contains(t, request.Details[0], "sent on to login.example.net")
	for _, req := range s.Requests() {
		if req.Method == http.MethodOptions {
			require.Equal(t, "http://api.example.com/", req.RequestURI)
		}
	}
}

func TestDiagnoseSOCKS(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		l := w.listen()
		defer l.Close()
		go accept(l, func(c net.Conn) { serveSOCKS("alice", "open sesame", w.dial, c) })
		for password, ok := range map[string]bool{"open sesame": true, "wrong": false} {
			tr := w.transportTo(&url.URL{Scheme: "socks5", Host: l.Addr().String(), User: url.UserPassword("alice", password)}, nil)
			for _, target := range w.ways() {
				r := tr.Diagnose(t.Context(), target)
				require.Equal(t, ok, r.OK(), r.String())
				require.Equal(t, "socks5://"+l.Addr().String(), r.Proxy)
				if !ok {
					lastFailed(t, r, "SOCKS")
					require.NotContains(t, r.String(), "wrong")
				}
			}
			tr.CloseIdleConnections()
		}
	})
}

// A proxy that waits for the end of a line of what is a TLS handshake, and one
// that never answers.
func TestDiagnoseSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{})
		tr := w.transportTo(&url.URL{Scheme: "https", Host: p.URL.Host}, nil)
		begin := time.Now()
		r := tr.Diagnose(t.Context(), "https://127.0.0.1:1")
		require.Contains(t, lastFailed(t, r, "proxy's TLS").Remedy, "http://")
		require.Equal(t, tr.Base.TLSHandshakeTimeout, time.Since(begin))

		s := w.scripted(scripted.Always(scripted.Stall()))
		for _, target := range []string{"http://api.example.com", "https://api.example.com"} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			begin := time.Now()
			r = w.through(s).Diagnose(ctx, target)
			cancel()
			require.ErrorIs(t, r.Err, context.DeadlineExceeded)
			require.Contains(t, lastFailed(t, r, "answer").Remedy, "firewall")
			require.Equal(t, 30*time.Second, time.Since(begin))
		}
	})
}

// A web server at the proxy's address that answers all with a page.
func TestDiagnosePage(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	}))
	defer s.Close()
	proxy, _ := url.Parse(s.URL)
	tr := &proxyauth.Transport{Base: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	defer tr.CloseIdleConnections()
	r := tr.Diagnose(t.Context(), "http://api.example.com")
	answer := step(t, r, "answer")
	require.Equal(t, proxyauth.StepNote, answer.Outcome)
	require.Contains(t, answer.Details[0], "a web server that is no proxy")
}

// Each scheme that is offered and not used has its reason.
func TestDiagnoseSchemes(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}, proxytest.Basic{Realm: "r"}},
		Users: alice, Behaviour: proxytest.Behaviour{Challenges: []string{`Bearer realm="b"`, `Digest realm="d", nonce="n", algorithm=MD4`}},
	})
	tr := newTransport(t, p, o)
	tr.ForbidCleartextBasic = true
	tr.Schemes = []proxyauth.Scheme{proxyauth.Basic(), proxyauth.Digest(), proxyauth.Negotiate(), proxyauth.NTLM()}
	r := tr.Diagnose(t.Context(), o.HTTPS.URL)
	require.True(t, r.OK(), r.String())
	got := step(t, r, "schemes").Details
	for i, words := range []string{
		"Basic: forbidden by Transport.ForbidCleartextBasic",
		"Digest: ",
		"Negotiate: to be used, with the credentials of Transport.Credentials, as NTLM inside SPNEGO, since there is no ticket",
		"NTLM: not offered",
		"Bearer: offered, but not supported or not among Transport.Schemes",
	} {
		require.Contains(t, got[i], words)
	}
	require.Contains(t, got[1], "MD4")
}

func TestDiagnoseTarget(t *testing.T) {
	for _, target := range []string{"", "api.example.com", "ftp://api.example.com", "http://", "://", "alice:hush@api.example.com:443", "api.example.com:443/x"} {
		r := (&proxyauth.Transport{}).Diagnose(t.Context(), target)
		lastFailed(t, r, "target")
		require.NotContains(t, r.String(), "hush")
	}
	r := (&proxyauth.Transport{Base: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }}}).
		Diagnose(t.Context(), "https://alice:hush@api.example.com/?key=hush#hush")
	require.Equal(t, "https://api.example.com", r.Target)
	require.NotContains(t, r.String(), "hush")
}

// Through a chain it is the hop that fails whose remedy is given.
func TestDiagnoseChain(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	second := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice})
	for password, ok := range map[string]bool{"open sesame": true, "wrong": false} {
		hop1 := &proxyauth.Transport{Proxy: http.ProxyURL(first.URLFor("alice", password))}
		hop2 := newTransport(t, second, o)
		hop2.Base.DialContext = hop1.DialContext
		r := hop2.Diagnose(t.Context(), o.HTTPS.URL)
		require.Equal(t, ok, r.OK(), r.String())
		if !ok {
			last := lastFailed(t, r, "TCP")
			require.Contains(t, last.Details[0], "proxy "+first.URL.String()+" rejected the credentials")
			require.Contains(t, last.Remedy, "check user name and password in the proxy URL")
		}
	}

	unreachable := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: alice, Behaviour: proxytest.Behaviour{ConnectStatus: 502}})
	for _, test := range []struct {
		hop1  *url.URL
		step  string
		words []string
	}{
		{unreachable.URL, "TCP", []string{`"502`, "check the name and port"}},
		{&url.URL{Scheme: "http", Host: "nowhere.invalid"}, "name", []string{"nowhere.invalid cannot be resolved", "check the name in the proxy URL"}},
		{&url.URL{Scheme: "https", Host: first.URL.Host}, "TCP", []string{"TLS handshake", "its URL begins with http://"}},
	} {
		t.Run(test.words[0], func(t *testing.T) {
			base := &http.Transport{TLSHandshakeTimeout: 200 * time.Millisecond} // always to the end
			if test.step == "name" {
				base.DialContext = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}}
				}
			}
			hop1 := &proxyauth.Transport{Proxy: http.ProxyURL(test.hop1), Base: base, Credentials: proxyauth.UserPassword("alice", "open sesame")}
			hop2 := newTransport(t, second, o)
			hop2.Base.DialContext = hop1.DialContext
			last := lastFailed(t, hop2.Diagnose(t.Context(), o.HTTPS.URL), test.step)
			for _, words := range test.words {
				require.Contains(t, last.Details[0]+last.Remedy, words)
			}
		})
	}
}

// Whoever has ended it is not told to wait longer.
func TestDiagnoseCanceled(t *testing.T) {
	setEnv(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	tr := &proxyauth.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy:3128"}),
		Base: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			cancel()
			return nil, ctx.Err()
		}},
	}
	require.NotContains(t, tr.Diagnose(ctx, "https://api.example.com/").String(), "give it more time")
}
