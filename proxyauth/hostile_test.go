package proxyauth_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// deniedHead begins a 407, which more fields and an empty line are to end.
var deniedHead = scripted.Head407(scripted.List("Digest", "realm", "r", "nonce", "n"))

// denied is a 407 that goes on like this.
func denied(text string) scripted.Answer { return deniedHead.Then(scripted.Raw(text)) }

// hostile is what a proxy may answer to any leg.
var hostile = map[string]scripted.Answer{
	"closes":             scripted.HangUp(),
	"resets":             denied("").Then(scripted.Reset()),
	"stalls":             scripted.Stall(),
	"garbage":            scripted.Raw("\x00\x01\x02 garbage\r\n\r\n").Then(scripted.HangUp()),
	"half a line":        scripted.Raw("HTTP/1.1 40").Then(scripted.HangUp()),
	"half a header":      denied("").Then(scripted.HangUp()),
	"stalls in header":   denied("").Then(scripted.Stall()),
	"stalls in body":     denied("Content-Length: 100\r\n\r\nabc").Then(scripted.Stall()),
	"endless chunks":     denied("Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 300)).Then(scripted.Stall()),
	"many 1xx":           scripted.Raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 20_000)).Then(scripted.Stall()),
	"1 MiB of header":    denied(strings.Repeat("X-Filler: "+strings.Repeat("y", 1000)+"\r\n", 1100) + "Content-Length: 0\r\n\r\n"),
	"huge challenge":     scripted.Challenges("Digest " + strings.Repeat("a=b,", 20_000)),
	"two lengths":        denied("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd").Then(scripted.HangUp()),
	"length and chunked": denied("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").Then(scripted.HangUp()),
	"longer page":        denied("Content-Length: 2\r\n\r\nno<p>"),
	"a forged 200":       denied("Content-Length: 2\r\n\r\nno" + forged),
	"1xx behind":         denied("Content-Length: 0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
	"two 407s":           denied("Content-Length: 0\r\n\r\nHTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"),
	"longer chunked":     denied("Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n" + forged),
	"negative length":    denied("Content-Length: -1\r\n\r\n").Then(scripted.HangUp()),
	"status 000":         scripted.Raw("HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n"),
	"no challenge":       scripted.Challenges(),
	"407 for ever":       denied("Content-Length: 0\r\n\r\n"),
	"stale for ever":     scripted.Challenges("Digest realm=r, nonce=n, stale=true"),
	"HTTP/1.0":           scripted.Raw("HTTP/1.0 407 Who\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: NTLM TlRM").Then(scripted.HangUp()),
	"101":                scripted.Raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").Then(scripted.HangUp()),
}

// stages are what a proxy has answered before it becomes hostile.
var stages = map[string][]scripted.Answer{
	"first":  nil,
	"digest": {denied("Content-Length: 0\r\n\r\n")},
	"type 1": {scripted.Challenge("NTLM")},
	"SPNEGO": {scripted.Challenge("Negotiate")},
	"type 3": {scripted.Challenge("NTLM"), scripted.Challenges("NTLM " + stubType2)},
}

// after is the script of a proxy that has answered, and then answers so.
func after(answered []scripted.Answer, then ...scripted.Answer) scripted.Script {
	return scripted.InTurn(slices.Concat(answered, then)...)
}

// R34: whatever a proxy answers, to whatever leg, and wherever it stops: an error
// within the deadline, and nothing left behind (the bubble watches).
func TestHostileProxies(t *testing.T) {
	for stage, answered := range stages {
		for name, answer := range hostile {
			for _, way := range ways {
				t.Run(stage+"/"+name+"/"+way, func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, w *world) {
						s := w.scripted(after(answered, answer))
						tr := w.through(s)
						const deadline = 30 * time.Second
						ctx, cancel := context.WithTimeout(t.Context(), deadline)
						defer cancel()
						req, err := http.NewRequestWithContext(ctx, "GET", w.ways()[way], nil)
						require.NoError(t, err)
						start := time.Now()
						resp, err := tr.RoundTrip(req)
						if err == nil {
							resp.Body.Close()
							require.Contains(t, []string{"101/forward", "no challenge/forward"}, name+"/"+way, "got %s", resp.Status)
						}
						require.LessOrEqual(t, time.Since(start), deadline)
						require.LessOrEqual(t, len(s.Requests()), 8)
					})
				})
			}
		}
	}
}
