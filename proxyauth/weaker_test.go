package proxyauth_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// A digestProxy takes whatever answers its last challenge, and asks for that in another
// way when it is told to.
type digestProxy struct {
	mu      sync.Mutex
	nonces  int
	demands string // the parameters beside realm and nonce
	stale   bool   // it says so
}

// asks has the proxy forget its nonce, and ask for this from now on.
func (p *digestProxy) asks(demands string, stale bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonces++
	p.demands, p.stale = demands, stale
}

func (p *digestProxy) script(req *http.Request) scripted.Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	field := req.Header.Get("Proxy-Authorization")
	nonce := fmt.Sprintf(`nonce="n%d"`, p.nonces)
	if strings.Contains(field, nonce) {
		return scripted.Pass()
	}
	offer := `Digest realm="r", ` + nonce + p.demands
	if p.stale && field != "" {
		offer += ", stale=true"
	}
	return scripted.Challenges(offer)
}

// R7: a proxy that asks for a weaker algorithm, or for less protection of the request,
// than what has passed before gets it, and the log tells that once.
func TestWeakerProtection(t *testing.T) {
	const (
		sha256, md5     = `, algorithm=SHA-256, qop="auth"`, `, qop="auth"`
		md5Bare, sha512 = ``, `, algorithm=SHA-512-256, qop="auth"`
		sha256Bare      = `, algorithm=SHA-256`
	)
	for name, test := range map[string]struct {
		asks   []string // what the proxy asks for, one after the other
		before string   // what the first event names as before
		now    []string // what each event names as now, in part
	}{
		"algorithm, and then no qop": {[]string{sha256, md5, md5, md5Bare, md5Bare}, "SHA-256", []string{"MD5", "MD5"}},
		"no qop":                     {[]string{sha256, sha256Bare, sha256Bare}, "SHA-256", []string{"SHA-256"}},
		"from the best":              {[]string{sha512, sha256, sha256}, "SHA-512-256", []string{"SHA-256"}},
		"one of a pair":              {[]string{sha256, md5, sha256, md5, sha256, md5}, "SHA-256", []string{"MD5"}},
		"the same":                   {[]string{md5Bare, md5Bare, md5Bare}, "", nil},
		"better":                     {[]string{md5Bare, md5, sha256, sha512}, "", nil},
	} {
		for _, stale := range []bool{true, false} {
			for _, way := range ways {
				t.Run(fmt.Sprintf("%s/stale %t/%s", name, stale, way), func(t *testing.T) {
					inBubble(t, func(t *testing.T, w *world) {
						p := &digestProxy{}
						s := w.scripted(p.script)
						tr := w.through(s)
						book := &logbook{}
						tr.Logger = slog.New(slog.NewJSONHandler(book, nil))
						var told []map[string]any
						for _, demands := range test.asks {
							p.asks(demands, stale)
							for range 3 {
								tr.CloseIdleConnections()
								requireOK(t, tr, w.ways()[way])
							}
							for _, event := range book.told(t, slog.LevelWarn) {
								require.Equal(t, "proxy asks for weaker protection", event["msg"])
								told = append(told, event)
							}
						}
						require.Len(t, told, len(test.now))
						for i, event := range told {
							require.Equal(t, s.URL().String(), event["proxy"])
							require.Equal(t, "Digest", event["scheme"])
							require.NotEqual(t, event["before"], event["now"])
							require.Contains(t, event["now"], test.now[i])
						}
						if len(told) > 0 {
							require.Contains(t, told[0]["before"], test.before)
						}
						if len(told) > 1 {
							require.NotEqual(t, told[0]["now"], told[1]["now"])
						}
					})
				})
			}
		}
	}
}

// R7: a proxy that nothing is known of may ask for what it likes.
func TestWeakButFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		strong, weak := &digestProxy{}, &digestProxy{}
		strong.asks(`, algorithm=SHA-256, qop="auth"`, false)
		book := &logbook{}
		for _, p := range []*digestProxy{strong, weak} {
			tr := w.through(w.scripted(p.script))
			tr.Logger = slog.New(slog.NewJSONHandler(book, nil))
			requireOK(t, tr, w.HTTP.URL)
		}
		require.Empty(t, book.told(t, slog.LevelWarn))
	})
}
