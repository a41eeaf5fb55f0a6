//go:build gate

package proxyauth_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

const filler = "X-Filler: "

// endlessAnswers never end.
var endlessAnswers = map[string]scripted.Answer{
	"1xx":             scripted.Endless("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
	"header":          scripted.Raw("HTTP/1.1 200 OK\r\n").Then(endlessFields),
	"header of a 407": deniedHead.Then(endlessFields),
	"HTTP/1.0 header": scripted.Raw("HTTP/1.0 407 Who\r\n").Then(endlessFields),
	"challenges":      deniedHead.Then(scripted.Endless("Proxy-Authenticate: Digest realm=r, nonce=n\r\n")),
	"token":           scripted.Raw("HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM ").Then(scripted.Endless("TlRM")),
	"status line":     scripted.Raw("HTTP/1.1 407 ").Then(scripted.Endless("x")),
	"line":            denied(filler).Then(scripted.Endless("y")),
	"407 body":        denied("Content-Length: 9223372036854775807\r\n\r\n").Then(scripted.Endless("<p>")),
	"407 chunks":      denied("Transfer-Encoding: chunked\r\n\r\n").Then(scripted.Endless("10\r\n0123456789abcdef\r\n")),
	"407 extension":   denied("Transfer-Encoding: chunked\r\n\r\n1;").Then(scripted.Endless("x=y;")),
	"407 trailer":     denied("Transfer-Encoding: chunked\r\n\r\n0\r\n").Then(scripted.Endless(filler + "z\r\n")),
	"407 to the end":  denied("Connection: close\r\n\r\n").Then(scripted.Endless("<p>")),
}

var endlessFields = scripted.Endless(filler + strings.Repeat("y", 1000) + "\r\n")

// R5, R28, R34: what never ends is given up by its size, long before the deadline,
// and costs little memory:
//
//	go test -tags gate -run '^TestEndlessAnswers$' -v ./proxyauth
func TestEndlessAnswers(t *testing.T) {
	const (
		maxRead  = 64 << 20 // by a request: net/http reads headers up to 10 MiB, and some answers are asked for again
		maxAlloc = 256 << 20
	)
	for stage, answered := range stages {
		for name, answer := range endlessAnswers {
			for _, way := range []string{"forward", "tunnel", "dial"} {
				t.Run(stage+"/"+name+"/"+way, func(t *testing.T) {
					inBubble(t, func(t *testing.T, w *world) {
						s := w.scripted(after(answered, answer))
						tr := w.through(s)
						ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
						defer cancel()
						var before, after runtime.MemStats
						runtime.ReadMemStats(&before)
						err := request(ctx, tr, w.origin, way)
						runtime.ReadMemStats(&after)
						require.Error(t, err)
						require.NoError(t, ctx.Err(), "only the deadline ended it")
						require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(maxAlloc))
						require.Less(t, s.Flooded(), int64(maxRead))
						require.LessOrEqual(t, len(s.Requests()), 10)
					})
				})
			}
		}
	}
}

// request makes a GET, or dials; there is to be no answer.
func request(ctx context.Context, tr *watchedTransport, o *origin, way string) error {
	if way == "dial" {
		c, err := tr.DialContext(ctx, "tcp", "origin.example:443")
		if err == nil {
			c.Close()
		}
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "GET", o.ways()[way], nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}
