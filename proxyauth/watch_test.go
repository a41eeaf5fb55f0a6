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
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //lint:ignore SA1019 NTLM is made of it

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// hush is the password of the tests that are about nothing else. Each way of
// writing it down makes something else of it.
const hush = "hüsh <hush>/p@ss\"+word"

// passwords are all that the tests use and that innocent text does not hold.
var passwords = []string{
	hush, "open sesame", "open barley", "open wheat", "p@ss:w/rd", "pa ss:wörd", "pa ss:wo:rd",
}

// A watch sees all that a Transport says, and at the end of the test searches it
// for secrets. All tests have their Transports from [watched]; so every scenario
// is one for this, too.
type watch struct {
	t    testing.TB
	sent func() []string // the values of Proxy-Authorization that the proxy got

	mu    sync.Mutex
	shown map[string]struct{}
	size  int // of what is to be searched, in bytes
}

func newWatch(t testing.TB, sent func() []string) *watch {
	return &watch{t: t, sent: sent, shown: make(map[string]struct{})}
}

// A watchedTransport shows its errors to a watch before the test gets them.
type watchedTransport struct {
	*proxyauth.Transport
	watch *watch
}

// watched puts tr under a watch, which it logs to.
func watched(t testing.TB, tr *proxyauth.Transport, sent func() []string) *watchedTransport {
	w := &watchedTransport{tr, newWatch(t, sent)}
	tr.Logger = slog.New(slog.NewJSONHandler(w.watch, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // so that lines repeat
			}
			return a
		},
	}))
	t.Cleanup(func() {
		w.watch.printed("Transport", tr)
		if _, ours := tr.Credentials.(proxyauth.CredentialFunc); ours { // a test's own shows what it holds
			w.watch.printed("Credentials", tr.Credentials)
		}
		w.watch.printed("Schemes", tr.Schemes)
		w.watch.search()
		tr.CloseIdleConnections()
	})
	return w
}

func (w *watchedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.Transport.RoundTrip(req)
	w.watch.failed(err)
	return resp, err
}

func (w *watchedTransport) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := w.Transport.DialContext(ctx, network, addr)
	w.watch.failed(err)
	return c, err
}

// Write takes a line of the log.
func (w *watch) Write(line []byte) (int, error) {
	w.show(string(line))
	return len(line), nil
}

// show notes a text, and reports whether it is a new one.
func (w *watch) show(text string) bool {
	w.mu.Lock()
	_, known := w.shown[text]
	w.shown[text] = struct{}{}
	if !known {
		w.size += len(text)
	}
	full := w.size > 1<<20
	w.mu.Unlock()
	if full {
		w.search()
	}
	return !known
}

// printed notes a value in every form in which a program may print it.
func (w *watch) printed(name string, v any) {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, name+" "+verb+"\n", v)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", name, v)
	}
	text, _ := json.Marshal(v)
	w.show(out.String() + string(text))
}

// failed notes an error, and all that is exported of it and of those it wraps.
func (w *watch) failed(err error) {
	if err == nil || !w.show(fmt.Sprintf("%T: %v", err, err)) {
		return
	}
	w.printed("error", err)
	switch e := err.(type) {
	case *proxyauth.AuthError:
		w.show(string(e.Body) + fmt.Sprint(e.Header))
		for _, s := range e.Schemes {
			w.printed("scheme", s)
			w.failed(s.Err)
		}
	case *proxyauth.ConnectError:
		w.show(string(e.Body) + fmt.Sprint(e.Header))
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		w.failed(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			w.failed(err)
		}
	}
}

// search looks for the passwords, and for what was sent, in what was shown, and
// forgets it.
func (w *watch) search() {
	w.t.Helper()
	w.mu.Lock()
	shown := w.shown
	w.shown, w.size = make(map[string]struct{}), 0
	w.mu.Unlock()
	if len(shown) == 0 {
		return
	}
	var all strings.Builder
	for text := range shown {
		all.WriteString(text)
		all.WriteByte('\n')
	}
	requireNoSecret(w.t, all.String(), w.sent())
}

// requireNoSecret searches text for every password in every shape, and for what
// was sent to a proxy.
func requireNoSecret(t testing.TB, text string, sent []string) {
	t.Helper()
	for what, secret := range secretShapes() {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s is shown: …%s…", what, text[max(0, i-200):min(len(text), i+200)])
		}
	}
	searched := make(map[string]bool)
	for _, field := range sent {
		_, token, _ := strings.Cut(field, " ")
		if _, response, ok := strings.Cut(field, ` response="`); ok {
			token = response[:strings.Index(response, `"`)]
		}
		if len(token) < 8 || searched[token] {
			continue
		}
		searched[token] = true
		for _, shape := range []string{token, url.QueryEscape(token), hex.EncodeToString([]byte(token))} {
			if i := strings.Index(text, shape); i >= 0 {
				t.Errorf("what was sent, %q, is shown: …%s…", field, text[max(0, i-200):min(len(text), i+200)])
				break
			}
		}
	}
}

// secretShapes are the passwords as they travel, are written or are derived, by
// a name for each.
var secretShapes = sync.OnceValue(func() map[string]string {
	shapes := make(map[string]string)
	for _, password := range passwords {
		wide := make([]byte, 0, 2*len(password))
		for _, unit := range utf16.Encode([]rune(password)) {
			wide = append(wide, byte(unit), byte(unit>>8))
		}
		nt := md4.New()
		nt.Write(wide)
		quoted, _ := json.Marshal(password)
		add := func(name, shape string) { shapes[name+" of "+strconv.Quote(password)] = shape }
		add("text", password)
		add("query", url.QueryEscape(password))
		add("path", url.PathEscape(password))
		add("userinfo", url.UserPassword("", password).String()[1:])
		add("lower case percent", percent.ReplaceAllStringFunc(url.QueryEscape(password), strings.ToLower))
		add("Go string", strings.Trim(strconv.Quote(password), `"`))
		add("ASCII string", strings.Trim(strconv.QuoteToASCII(password), `"`))
		add("JSON", string(quoted[1:len(quoted)-1]))
		add("HTML", html.EscapeString(password))
		add("list of bytes", strings.Trim(fmt.Sprint([]byte(password)), "[]"))
		add("hex list", strings.Trim(fmt.Sprintf("%#v", []byte(password)), "[]byte{}"))
		for name, b := range map[string][]byte{
			"password": []byte(password), "pair": []byte("alice:" + password), "UTF-16": wide, "NT hash": nt.Sum(nil),
		} {
			add("bytes of "+name, string(b))
			add("hex of "+name, hex.EncodeToString(b))
			add("HEX of "+name, strings.ToUpper(hex.EncodeToString(b)))
			add("base64 of "+name, base64.RawStdEncoding.EncodeToString(b))
			add("base64url of "+name, base64.RawURLEncoding.EncodeToString(b))
		}
	}
	return shapes
})

// authorizations returns the values of Proxy-Authorization that p got.
func authorizations(p *proxytest.Proxy) (values []string) {
	for _, leg := range p.Transcript() {
		values = append(values, leg.Header["Proxy-Authorization"]...)
	}
	return values
}

// R35: the watch sees what there is to see.
func TestWatch(t *testing.T) {
	t.Parallel()
	for what, shape := range secretShapes() {
		ran := &recorded{TB: t}
		w := newWatch(ran, func() []string { return nil })
		w.failed(fmt.Errorf("wrapped: %w", errors.Join(errVault, &proxyauth.AuthError{Err: proxyauth.ErrRejected, Body: []byte("a" + shape + "b")})))
		w.search()
		if !ran.failed {
			t.Errorf("%s is not found", what)
		}
		ran.failed = false
		w.failed(&proxyauth.AuthError{Err: proxyauth.ErrRejected, Schemes: []proxyauth.SchemeOutcome{{Err: errors.Join(errors.New("a" + shape + "b"))}}})
		w.search()
		if !ran.failed {
			t.Errorf("%s is not found in the outcome of a scheme", what)
		}
	}
}

// A recorded test knows whether it has failed.
type recorded struct {
	testing.TB
	failed bool
}

func (r *recorded) Errorf(string, ...any) { r.failed = true }
func (r *recorded) Helper()               {}
