package proxyauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// headerOf returns the header and the status in an error of a Transport.
func headerOf(t *testing.T, err error) (http.Header, string) {
	t.Helper()
	var denied *proxyauth.AuthError
	if errors.As(err, &denied) {
		return denied.Header, denied.Status
	}
	var refused *proxyauth.ConnectError
	require.ErrorAs(t, err, &refused)
	return refused.Header, refused.Status
}

// R5, R41: of a header that is larger than any proxy's an error shows a part, in which are
// the fields that tell most; of another one all.
func TestErrorsShowPartOfHeader(t *testing.T) {
	long := strings.Repeat("z", 20<<10)
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, "\r\nX-%d: y", i)
	}
	for name, test := range map[string]struct {
		field          string
		fields, values int // shown, beside Server, Proxy-Authenticate and Content-Length
	}{
		"small":          {"A: b\r\nA: c\r\nB: c", 2, 3},
		"many of a name": {"A: b" + strings.Repeat("\r\nA: c", 1000), 1, 61},
		"many names":     {"A: b" + names.String(), 0, 0},
		"a long value":   {"A: " + long + "\r\nB: c", 1, 1},
		"a long name":    {long + ": b\r\nB: c", 1, 1},
		"long values":    {"A: b" + strings.Repeat("\r\nA: "+strings.Repeat("y", 1000), 60), 1, 17},
	} {
		for _, status := range []int{407, 502} {
			t.Run(fmt.Sprint(name, "/", status), func(t *testing.T) {
				w := newWorld(t)
				page := scripted.Page(status, "", test.field, "Server: squid/6.6", `Proxy-Authenticate: Basic realm="r"`)
				_, err := w.through(w.scripted(scripted.Always(page))).DialContext(t.Context(), "tcp", "origin.example:443")
				header, _ := headerOf(t, err)
				for name, want := range map[string]string{"Server": "squid/6.6", "Proxy-Authenticate": `Basic realm="r"`, "Content-Length": "0"} {
					require.Equal(t, want, header.Get(name))
					header.Del(name)
				}
				values := 0
				for _, all := range header {
					values += len(all)
				}
				require.Equal(t, []int{test.fields, test.values}, []int{len(header), values})
			})
		}
	}
}

// R41: what a proxy says in a status, a realm or a line that cannot be read does not make
// an error longer than can be read.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("open sesame ", 20<<10)
	for name, answer := range map[string]scripted.Answer{
		"status":    scripted.Raw("HTTP/1.1 407 " + long + "\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n"),
		"another":   scripted.Raw("HTTP/1.1 502 " + long + "\r\nContent-Length: 0\r\n\r\n"),
		"realm":     scripted.Challenge("Basic", "realm", long[:60<<10]),
		"scheme":    scripted.Challenges(strings.ReplaceAll(long[:60<<10], " ", "")),
		"no status": scripted.Raw("HTTP/1.1 4o7 " + long + "\r\n\r\n"),
		"no field":  scripted.Raw("HTTP/1.1 407 Who\r\n" + long + "\r\n\r\n"),
		"garbage":   scripted.Raw(long + "\r\n\r\n").Then(scripted.HangUp()),
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					tr := w.through(w.scripted(scripted.Demand(askBasic, answer)))
					tr.Base.MaxResponseHeaderBytes = 1 << 20
					_, _, err := fetch(tr, w.ways()[way])
					if name == "another" && way == "forward" {
						require.NoError(t, err)
						return
					}
					require.Error(t, err)
					require.Less(t, len(err.Error()), 2<<10)
					if name == "status" || name == "another" {
						_, status := headerOf(t, err)
						require.Less(t, len(status), 300)
					}
				})
			})
		}
	}
}

// R34, R41: a CONNECT that is given up in the middle of an endless header ends there,
// whatever Base.MaxResponseHeaderBytes allows.
func TestEndlessHeaderEndsWithContext(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.scripted(scripted.Always(deniedHead.Then(scripted.Endless("a: b\r\n"))))
		tr := w.through(s)
		tr.Base.MaxResponseHeaderBytes = 1 << 40
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for s.Flooded() < 1<<20 {
				runtime.Gosched()
			}
			cancel()
		}()
		_, err := tr.DialContext(ctx, "tcp", "origin.example:443")
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, s.Flooded(), int64(2<<20))
	})
}
