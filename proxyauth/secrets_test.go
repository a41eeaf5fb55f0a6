package proxyauth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const hush = "hüsh hush/p@ss"

// requireNoSecret searches text for the password in every shape in which it
// travels or is written, and for what was sent to the proxy.
func requireNoSecret(t testing.TB, text string, sent []string) {
	t.Helper()
	for _, secret := range append(sent,
		hush, url.QueryEscape(hush), url.PathEscape(hush), url.UserPassword("", hush).String()[1:],
		base64.StdEncoding.EncodeToString([]byte(hush)), base64.StdEncoding.EncodeToString([]byte("alice:"+hush)),
		hex.EncodeToString([]byte(hush)), fmt.Sprintf("%q", hush)) {
		require.NotContains(t, text, secret)
	}
}

// Secrets appear in no error, log line or printed value, although the proxy
// repeats everything it gets in its page, its header and its realm.
func TestSecrets(t *testing.T) {
	o := newOrigin(t)
	for name, challenge := range map[string]string{
		"Basic":  `Basic realm="r"`,
		"Digest": `Digest realm="r", nonce="n", qop="auth"`,
	} {
		for way, target := range o.ways() {
			for _, status := range []string{"407 Who", "403 No", "401 No"} {
				t.Run(name+"/"+way+"/"+status, func(t *testing.T) {
					var mu sync.Mutex
					var sent []string
					s := scriptedProxy(t, func(req *http.Request) string {
						field := req.Header.Get("Proxy-Authorization")
						if field == "" {
							return "HTTP/1.1 407 Who\r\nProxy-Authenticate: " + challenge + "\r\nContent-Length: 0\r\n\r\n"
						}
						_, token, _ := strings.Cut(field, " ")
						shown := field + " " + hush
						mu.Lock()
						sent = append(sent, field, token)
						if _, response, ok := strings.Cut(field, `response="`); ok {
							sent = append(sent, response[:32])
							shown = field // the password itself did not travel
						}
						mu.Unlock()
						return fmt.Sprintf("HTTP/1.1 %s\r\nProxy-Authenticate: %s, X-Echo realm=\"%s\"\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s",
							status, challenge, strings.NewReplacer(`"`, "", `\`, "").Replace(token), shown, len(shown), shown)
					})
					var logged bytes.Buffer
					tr := s.transport(t, o)
					tr.Credentials = proxyauth.UserPassword("alice", hush)
					tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: s.url().Host, User: url.UserPassword("alice", hush)})
					tr.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
					var texts []string
					for range 2 {
						_, _, err := fetch(tr, target)
						if status == "407 Who" || way == "tunnel" {
							require.Error(t, err)
						}
						for err := err; err != nil; err = errors.Unwrap(err) {
							exported, _ := json.Marshal(err)
							texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err), string(exported))
							var auth *proxyauth.AuthError
							if errors.As(err, &auth) {
								texts = append(texts, string(auth.Body), fmt.Sprint(auth.Header))
							}
							var refused *proxyauth.ConnectError
							if errors.As(err, &refused) {
								texts = append(texts, string(refused.Body), fmt.Sprint(refused.Header))
							}
						}
					}
					texts = append(texts, logged.String(), fmt.Sprintf("%v %+v %#v %s", tr, tr, tr, tr.Credentials))
					require.NotEmpty(t, logged.String())
					require.NotEmpty(t, sent)
					for _, text := range texts {
						requireNoSecret(t, text, sent)
					}
				})
			}
		}
	}
}

func TestCredentialsPrintRedacted(t *testing.T) {
	c := proxyauth.Credentials{Username: "alice", Password: hush}
	source := proxyauth.UserPassword("alice", hush)
	holder := struct{ C proxyauth.Credentials }{c}
	hidden := struct{ s proxyauth.CredentialSource }{source} // fmt calls no methods there
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+verb, c, &c, source, holder, hidden)
	}
	text, err := json.Marshal(map[string]any{"c": c, "p": &c, "s": source, "h": holder})
	require.NoError(t, err)
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "c", c, "p", &c, "s", source, "h", holder)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "c", c, "p", &c, "s", source, "h", holder)
	requireNoSecret(t, out.String(), []string{"alice"})
	require.Contains(t, out.String(), "REDACTED")
}

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
		"rejected": {func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.UserPassword("alice", "wrong") },
			[]string{"rejected the credentials", "tried: Digest, Basic", "check user name and password in Transport.Credentials", "15m"}},
		"no scheme": {func(tr *proxyauth.Transport) { tr.Schemes = []proxyauth.Scheme{} },
			[]string{"X-Other: not among Transport.Schemes", "Basic: not among"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, p, o)
			test.change(tr)
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
