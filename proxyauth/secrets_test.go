package proxyauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

var percent = regexp.MustCompile("%..")

// echoes returns what a proxy may make of a Proxy-Authorization when it repeats
// it: as it came, and decoded where it can, in the shapes of headers and pages.
func echoes(field string) []string {
	scheme, token, _ := strings.Cut(field, " ")
	secrets := []string{field, token}
	if _, response, ok := strings.Cut(field, ` response="`); ok {
		secrets = append(secrets, response[:32])
	}
	if pair, err := base64.StdEncoding.DecodeString(token); err == nil && scheme == "Basic" {
		_, password, _ := strings.Cut(string(pair), ":")
		secrets = append(secrets, string(pair), password)
	}
	var shapes []string
	for _, s := range secrets {
		quoted, _ := json.Marshal(s)
		shapes = append(shapes, s, url.QueryEscape(s), url.PathEscape(s), percent.ReplaceAllStringFunc(url.QueryEscape(s), strings.ToLower),
			html.EscapeString(s), strings.Trim(strconv.Quote(s), `"`), string(quoted[1:len(quoted)-1]),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
			hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))))
	}
	return shapes
}

// R35: secrets appear in no error, log line or printed value (see [watch]),
// although the proxy repeats everything it gets wherever it can, also cut off.
func TestSecrets(t *testing.T) {
	t.Parallel()
	quoted := strings.NewReplacer(`"`, `\"`, `\`, `\\`)
	for name, scheme := range map[string]struct{ offer, next string }{
		"Basic":     {`Basic realm="r"`, ""},
		"Digest":    {`Digest realm="r", nonce="n", qop="auth"`, ""},
		"NTLM":      {"NTLM", "NTLM " + stubType2},
		"Negotiate": {"Negotiate", "Negotiate " + stubType2},
	} {
		for _, way := range ways {
			for _, status := range []string{"407 Who", "403 No", "401 No"} {
				for _, where := range []string{"reason", "header", "page", "end of page", "realm", "parameter", "scheme", "malformed"} {
					t.Run(strings.Join([]string{name, way, status, where}, "/"), func(t *testing.T) {
						t.Parallel()
						legs := 0
						w := newWorld(t)
						s := w.scripted(func(req *http.Request) scripted.Answer {
							field := req.Header.Get("Proxy-Authorization")
							if field == "" {
								return scripted.Challenges(scheme.offer)
							}
							if legs++; legs == 1 && scheme.next != "" {
								return scripted.Challenges(scheme.next)
							}
							reason, header, page := "", "Proxy-Authenticate: "+scheme.offer+"\r\n", ""
							for i, shape := range echoes(field) {
								switch where {
								case "reason":
									reason += " " + shape
								case "header":
									header += fmt.Sprintf("X-%d: %s\r\n", i, shape)
								case "page":
									page += shape + "\n"
								case "end of page":
									page = strings.Repeat("x", 4096-len(field)+3) + field
								case "realm":
									header = fmt.Sprintf("Proxy-Authenticate: X-Echo realm=\"%s\"\r\n", quoted.Replace(shape)) + header
								case "parameter":
									header += fmt.Sprintf("Proxy-Authenticate: X-Echo-%d a=\"%s\"\r\n", i, quoted.Replace(shape))
								case "scheme":
									header += "Proxy-Authenticate: " + shape + "\r\n"
								case "malformed":
									header += "Proxy-Authenticate: " + shape + "=\r\nProxy-Authenticate: " + shape + " ===\r\n"
								}
							}
							return scripted.Raw(fmt.Sprintf("HTTP/1.1 %s%s\r\n%sContent-Length: %d\r\n\r\n%s", status, reason, header, len(page), page))
						})
						tr := w.through(s)
						tr.Credentials = proxyauth.UserPassword("alice", hush)
						tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: s.URL().Host, User: url.UserPassword("alice", hush)})
						for range 2 {
							_, _, err := fetch(tr, w.ways()[way])
							if status == "407 Who" || way == "tunnel" {
								require.Error(t, err)
							}
						}
						require.GreaterOrEqual(t, len(s.Authorizations()), 1)
						require.NotEmpty(t, tr.watch.shown)
					})
				}
			}
		}
	}
}

// R35: the password of a proxy URL is not in errors about the URL, the proxy that
// cannot be reached, or what cannot go by this scheme.
func TestSecretsInProxyURL(t *testing.T) {
	o := newOrigin(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close() // nobody listens there
	user := url.UserPassword("alice", hush).String()
	for _, proxy := range []string{
		"http://" + user + "@" + l.Addr().String(),
		"https://" + user + "@" + l.Addr().String(),
		"socks5://" + user + "@" + l.Addr().String(),
		"http://" + user + "@", "ftp://" + user + "@proxy", "http://" + user + "@[::1", "http://" + user + "@host:port",
		`CORP\alice:` + hush + "@proxy", "alice" + hush + ":" + hush + "@proxy:3128", "1alice:" + user + "@proxy", "//" + user + "%zz@proxy",
		"http://alice:" + hush + "@proxy", "http://%zz:" + user + "@proxy", "http://a b:" + user + "@proxy", "://" + user + "@proxy",
	} {
		t.Run(proxy, func(t *testing.T) {
			tr := watched(t, &proxyauth.Transport{
				Base:  &http.Transport{},
				Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy) },
			}, func() []string { return nil })
			for _, target := range o.ways() {
				_, _, err := fetch(tr, target)
				require.Error(t, err)
			}
			_, err := tr.DialContext(t.Context(), "tcp", "origin.test:1")
			require.Error(t, err)
		})
	}
}

// R35: what a proxy repeats where net/http's parser quotes it, or in its realm.
func TestSecretsInMalformedAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"line":              "%s\r\n\r\n",
		"status":            "HTTP/1.1 %s\r\n\r\n",
		"field":             "HTTP/1.1 200 OK\r\nX\x01: %s\r\n\r\n",
		"Content-Length":    "HTTP/1.1 502 No\r\nContent-Length: %s\r\n\r\n",
		"Transfer-Encoding": "HTTP/1.1 502 No\r\nTransfer-Encoding: %s\r\n\r\n",
		"realm":             "HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=\"%s\", nonce=n\r\nContent-Length: 0\r\n\r\n",
	} {
		for _, offer := range []string{`Basic realm="r"`, `Digest realm="r", nonce="abc"`} {
			t.Run(name+"/"+offer, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(func(req *http.Request) scripted.Answer {
						field := req.Header.Get("Proxy-Authorization")
						if field == "" {
							return scripted.Challenges(offer)
						}
						_, token, _ := strings.Cut(field, " ")
						return scripted.Raw(fmt.Sprintf(answer, strings.ReplaceAll(token, `"`, `\"`))).Then(scripted.HangUp())
					})
					tr := w.through(s) // watched
					for _, target := range w.ways() {
						_, _, err := fetch(tr, target)
						require.Error(t, err)
						time.Sleep(time.Hour) // until credentials go out again
					}
					_, err := tr.DialContext(t.Context(), "tcp", "origin.example:22")
					require.Error(t, err)
				})
			})
		}
	}
}

// R35: whatever of this package a program prints.
func TestExportedValuesPrintNoSecret(t *testing.T) {
	c := proxyauth.Credentials{Username: "alice", Password: hush}
	u := url.URL{Scheme: "http", Host: "proxy.example", User: url.UserPassword("alice", hush)}
	source := proxyauth.UserPassword("alice", hush)
	p := newProxy(t, proxytest.Config{Auth: digestAndBasic(), Users: map[string]string{"alice": hush}})
	o := newOrigin(t)
	warm := newTransport(t, p, o)
	warm.Credentials, warm.Proxy = source, http.ProxyURL(p.URLFor("alice", hush))
	for _, target := range o.ways() {
		requireOK(t, warm, target)
	}
	var asked proxyauth.CredentialRequest
	asking := newTransport(t, p, o)
	asking.Proxy = warm.Proxy
	asking.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
		asked = req
		return c, nil
	})
	requireOK(t, asking, o.HTTP.URL)
	challenges, err := proxyauth.ParseChallenges([]string{"Digest realm=r, nonce=n", "NTLM " + stubType2})
	require.NoError(t, err)

	w := newWatch(t, func() []string { return authorizations(p) })
	for name, v := range map[string]any{
		"Credentials": c, "*Credentials": &c, "[]Credentials": []proxyauth.Credentials{c}, "map": map[string]proxyauth.Credentials{"c": c},
		"in a struct": struct{ C proxyauth.Credentials }{c}, "source": source, "in an unnamed": struct{ S proxyauth.CredentialSource }{source},
		"cold Transport":    &proxyauth.Transport{Credentials: source, Proxy: http.ProxyURL(&u)},
		"no proxy function": &proxyauth.Transport{Credentials: source},
		"warm Transport":    warm.Transport, "CredentialRequest": asked, "challenges": challenges,
		"schemes": []any{proxyauth.DefaultSchemes(), proxyauth.Basic(), proxyauth.Digest(), proxyauth.Digest(proxyauth.DigestOptions{AbsoluteURI: true}),
			proxyauth.NTLM(), proxyauth.Negotiate(), proxyauth.Negotiate(proxyauth.NegotiateOptions{SPN: "HTTP/x"})},
	} {
		w.printed(name, v)
	}
	w.search()
}

// R35: what is struck changes no decision, and no error that the proxy had no part
// in.
func TestStruckErrorsMeanTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		field := []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("alice:EOF"))}
		s := w.scripted(func(*http.Request) scripted.Answer { return scripted.HangUp() })
		tr := w.through(s)
		tr.Credentials, tr.Retry = nil, &proxyauth.RetryPolicy{}
		tr.Base.ProxyConnectHeader = http.Header{"Proxy-Authorization": field}
		_, _, err := fetch(tr, w.HTTPS.URL)
		require.ErrorContains(t, err, "REDACTED")
		require.Len(t, s.Authorizations(), 4, "a lost connection is tried again")

		stalls := w.scripted(func(*http.Request) scripted.Answer { return scripted.Stall() })
		tr = w.through(stalls)
		tr.Credentials, tr.Base.ResponseHeaderTimeout = nil, time.Minute
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.HTTP.URL, nil)
		require.NoError(t, err)
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("alice:timeout")))
		_, err = tr.RoundTrip(req)
		require.ErrorContains(t, err, "REDACTED")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
	})
}

// R35: credentials that are printed, in whatever way, show no password.
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
	requireNoSecret(t, out.String(), nil)
	require.NotContains(t, out.String(), "alice")
	require.Contains(t, out.String(), "REDACTED")
}

// R35: a response that is printed, or its body, shows nothing of the answer.
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

// R35: a proxy may repeat to one request what it knows from another.
func TestSecretsOfOtherRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		free := scripted.InTurn(scripted.Status(200), scripted.Page(502, "it was open sesame", "X-Was: YWxpY2U6b3BlbiBzZXNhbWU="), scripted.Raw("HTTP/1.1 2x open sesame\r\n\r\n"))
		demand := scripted.Demand(scripted.Challenge("Basic", "realm", "r"), scripted.Pass())
		p := w.scripted(func(req *http.Request) scripted.Answer {
			if req.Host == "free.example:443" {
				return free(req)
			}
			return demand(req)
		})
		var log bytes.Buffer
		tr := w.transportTo(p.URL(), nil)
		tr.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		conn, err := tr.DialContext(t.Context(), "tcp", "free.example:443")
		require.NoError(t, err)
		conn.Close()
		requireOK(t, tr, w.HTTPS.URL)
		for range 2 {
			_, err := tr.DialContext(t.Context(), "tcp", "free.example:443")
			var refused *proxyauth.ConnectError
			if errors.As(err, &refused) {
				require.Equal(t, "it was REDACTED", string(refused.Body))
				require.Equal(t, "REDACTED", refused.Header.Get("X-Was"))
			} else {
				require.ErrorContains(t, err, "2x REDACTED")
			}
		}
		require.Len(t, p.Authorizations(), 1, "of the other target")
		require.NotContains(t, log.String(), "open sesame")
	})
}
