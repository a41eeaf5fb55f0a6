package proxyauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	numbers "math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	krb5 "github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// controls are in what others say: they would begin a line, color a terminal, or change
// the direction of what follows.
const controls = "one\x1b[31m\x7f\u0085two\u202ethree\u2066\u200b\u009b"

// A saying is a log that keeps what its events have, as it is.
type saying struct {
	mu    sync.Mutex
	texts []string
}

func (s *saying) Enabled(context.Context, slog.Level) bool { return true }
func (s *saying) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *saying) WithGroup(string) slog.Handler            { return s }

func (s *saying) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		s.texts = append(s.texts, a.Value.String())
		return true
	})
	return nil
}

// textsOf returns all texts of an error that are meant to be printed.
func textsOf(err error) (texts []string) {
	if err == nil {
		return nil
	}
	texts = append(texts, err.Error(), fmt.Sprintf("%v", err))
	switch e := err.(type) {
	case *proxyauth.AuthError:
		texts = append(texts, e.Realm, e.Status)
		for _, s := range e.Schemes {
			texts = append(append(texts, s.Name), textsOf(s.Err)...)
		}
	case *proxyauth.ConnectError:
		texts = append(texts, e.Status)
	case *proxyauth.InterceptionError:
		texts = append(texts, e.Issuer)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		texts = append(texts, textsOf(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			texts = append(texts, textsOf(err)...)
		}
	}
	return texts
}

// requireLines requires that each text is one line without control characters, and that
// one of them has what is told of others.
func requireLines(t *testing.T, texts []string, told string) {
	t.Helper()
	for _, text := range texts {
		if i := strings.IndexFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) }); i >= 0 {
			t.Errorf("a control character at %d: %q", i, text)
		}
	}
	require.Contains(t, strings.Join(texts, "\n"), told)
}

// R44: control characters in what a proxy says are in no error, log or report.
func TestControlCharacters(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"realm":       "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"%s\"\r\nContent-Length: 0\r\n\r\n",
		"status":      "HTTP/1.1 407 %s\r\nProxy-Authenticate: Basic realm=\"one\"\r\nContent-Length: 0\r\n\r\n",
		"refusal":     "HTTP/1.1 403 %s\r\nContent-Length: 0\r\n\r\n",
		"status code": "HTTP/1.1 %s\r\n\r\n",
		"protocol":    "%s 200 OK\r\n\r\n",
		"field":       "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"name":        "HTTP/1.1 200 OK\r\n%s: x\r\n\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"coding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"challenge":   "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=one, Digest %s=\"\r\nContent-Length: 0\r\n\r\n",
		"scheme":      "HTTP/1.1 407 No\r\nProxy-Authenticate: %s\r\nContent-Length: 0\r\n\r\n",
		"Location":    "HTTP/1.1 302 one\r\nLocation: http://one%%C2%%85%%E2%%80%%AE/%s\r\nContent-Length: 0\r\n\r\n",
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					s := w.scripted(func(req *http.Request) scripted.Answer {
						if name != "realm" && name != "status" && name != "challenge" && name != "scheme" && req.Header.Get("Proxy-Authorization") == "" {
							return scripted.Challenges(`Basic realm="one"`)
						}
						return scripted.Raw(fmt.Sprintf(answer, controls)).Then(scripted.HangUp())
					})
					tr := w.through(s)
					log := new(saying)
					tr.Logger = slog.New(log)
					_, _, err := fetch(tr, w.ways()[way])
					texts := append(textsOf(err), log.texts...)
					report := tr.Diagnose(t.Context(), w.ways()[way])
					for _, step := range report.Steps {
						texts = append(append(texts, step.Details...), step.Remedy)
					}
					inJSON, err := json.Marshal(report)
					require.NoError(t, err)
					requireLines(t, append(texts, textsOf(report.Err)...), "one")
					requireLines(t, []string{string(inJSON), strings.ReplaceAll(report.String(), "\n", "")}, "")
				})
			})
		}
	}
}

// R44: the text of a KDC's error (RFC 4120 §5.9.1) is in the error about the ticket, without
// control characters and without a password that was sent before.
func TestTextOfKDC(t *testing.T) {
	t.Parallel()
	for name, encode := range scripted.Encodings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.scripted(scripted.Always(scripted.Challenges("Negotiate", `Basic realm="one"`)))
			tr := w.through(s)
			log := new(saying)
			tr.Logger = slog.New(log)
			tr.Credentials = proxyauth.UserPassword("alice@KDC.EXAMPLE", hush)
			conf := kdcThatSays(t, "one\r\n\x1b[31mtwo "+encode(hush)+" three\x00")
			tr.Schemes = []proxyauth.Scheme{proxyauth.Basic(), proxyauth.Negotiate(proxyauth.NegotiateOptions{ConfigPath: conf})}
			_, _, err := fetch(tr, w.HTTP.URL)
			require.Error(t, err)
			var report []string
			for _, step := range tr.Diagnose(t.Context(), w.HTTP.URL).Steps {
				report = append(append(report, step.Details...), step.Remedy)
			}
			texts := append(append(textsOf(err), log.texts...), report...)
			requireLines(t, texts, "one \ufffd[31mtwo ")
			for _, text := range texts {
				for _, shape := range printed(encode(hush)) {
					require.NotContains(t, text, shape)
				}
			}
		})
	}
}

// kdcThatSays runs a KDC that answers each question with an error which has this text, and
// returns a krb5.conf for its realm KDC.EXAMPLE.
func kdcThatSays(t *testing.T, text string) (conf string) {
	e := krb5.NewKRBError(types.NewPrincipalName(2, "krbtgt/KDC.EXAMPLE"), "KDC.EXAMPLE", errorcode.KDC_ERR_POLICY, text)
	answer, err := e.Marshal()
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go accept(l, func(c net.Conn) {
		defer c.Close()
		var size uint32
		if binary.Read(c, binary.BigEndian, &size) == nil {
			io.CopyN(io.Discard, c, int64(size))
			c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
		}
	})
	conf = filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "[libdefaults]\nudp_preference_limit = 1\ndns_lookup_kdc = false\n"+
		"[realms]\nKDC.EXAMPLE = {\nkdc = %s\n}\n[domain_realm]\n127.0.0.1 = KDC.EXAMPLE\n", l.Addr()), 0o600))
	return conf
}

// R44: so are the names in a certificate, of an https:// proxy and of a target.
func TestControlCharactersInCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	inBubble(t, func(t *testing.T, w *world) {
		template := &x509.Certificate{
			SerialNumber: numbers.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"one\nlevel=INFO two\x1b[31m"}, IsCA: true, BasicConstraintsValid: true,
		}
		certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		evil := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
		parsed, err := x509.ParseCertificate(certificate)
		require.NoError(t, err)

		proxy := w.scriptedBy(scripted.Config{TLS: evil, Script: scripted.Always(scripted.Status(200))})
		origin := w.listen()
		defer origin.Close()
		go accept(origin, func(c net.Conn) { tls.Server(c, evil).Handshake(); c.Close() })
		open := w.scriptedBy(scripted.Config{
			Script: scripted.Always(scripted.Pass()),
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return w.dial(ctx, network, origin.Addr().String())
			},
		})
		for name, tr := range map[string]*watchedTransport{"proxy": w.through(proxy), "target": w.through(open)} {
			log := new(saying)
			tr.Logger = slog.New(log)
			tr.Base.TLSClientConfig.RootCAs.AddCert(parsed)
			target := "https://target.test/"
			if name == "proxy" {
				tr.Base.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: net.JoinHostPort("proxy.test", proxy.URL().Port())})
				tr.Base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return w.dial(ctx, network, proxy.URL().Host)
				}
			}
			_, _, err := fetch(tr, target)
			require.Error(t, err)
			var host x509.HostnameError
			require.ErrorAs(t, err, &host, "what it is stays known")
			requireLines(t, append(textsOf(err), log.texts...), "one level=INFO two\ufffd[31m")
			report := tr.Diagnose(t.Context(), target)
			var texts []string
			for _, step := range report.Steps {
				texts = append(append(texts, step.Details...), step.Remedy)
			}
			requireLines(t, append(texts, textsOf(report.Err)...), "one level=INFO two\ufffd[31m")
		}
	})
}
