package proxyauth_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const denied = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n"

// hostile is what a proxy may answer to any leg.
var hostile = map[string]string{
	"closes":             hangUp,
	"stalls":             stall,
	"garbage":            "\x00\x01\x02 garbage\r\n\r\n" + hangUp,
	"half a line":        "HTTP/1.1 40" + hangUp,
	"half a header":      denied + hangUp,
	"stalls in header":   denied + stall,
	"stalls in body":     denied + "Content-Length: 100\r\n\r\nabc" + stall,
	"endless chunks":     denied + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 300) + stall,
	"many 1xx":           strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 20_000) + stall,
	"1 MiB of header":    denied + strings.Repeat("X-Filler: "+strings.Repeat("y", 1000)+"\r\n", 1100) + "Content-Length: 0\r\n\r\n",
	"huge challenge":     "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest " + strings.Repeat("a=b,", 20_000) + "\r\nContent-Length: 0\r\n\r\n",
	"two lengths":        denied + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" + hangUp,
	"length and chunked": denied + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hangUp,
	"no challenge":       "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n",
	"407 for ever":       denied + "Content-Length: 0\r\n\r\n",
	"stale for ever":     "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=r, nonce=n, stale=true\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0":           "HTTP/1.0 407 Who\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: NTLM TlRM" + hangUp,
	"101":                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + hangUp,
}

// stages are what a proxy has answered before it becomes hostile.
var stages = map[string][]string{
	"first":  nil,
	"digest": {denied + "Content-Length: 0\r\n\r\n"},
	"type 1": {"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"},
	"SPNEGO": {"HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"},
	"type 3": {
		"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM " + stubType2 + "\r\nContent-Length: 0\r\n\r\n",
	},
}

// Whatever a proxy answers, to whatever leg, and wherever it stops: an error
// within the deadline, and nothing left behind (goleak watches).
func TestHostileProxies(t *testing.T) {
	o := newOrigin(t)
	for stage, answered := range stages {
		for name, text := range hostile {
			for way, url := range o.ways() {
				t.Run(stage+"/"+name+"/"+way, func(t *testing.T) {
					t.Parallel()
					var n atomic.Int32
					s := scriptedProxy(t, func(*http.Request) string {
						if i := int(n.Add(1)); i <= len(answered) {
							return answered[i-1]
						}
						return text
					})
					tr := s.transport(t, o)
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
					require.NoError(t, err)
					start := time.Now()
					resp, err := tr.RoundTrip(req)
					if err == nil {
						resp.Body.Close()
						require.Equal(t, "101/forward", name+"/"+way, "got %s", resp.Status)
					}
					require.Less(t, time.Since(start), 5*time.Second)
					require.LessOrEqual(t, len(s.requests()), 8)
				})
			}
		}
	}
}

// endlessAnswers never end.
var endlessAnswers = map[string]string{
	"1xx":             endless + "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n",
	"header":          "HTTP/1.1 200 OK\r\n" + endless + "X-Filler: " + strings.Repeat("y", 1000) + "\r\n",
	"header of a 407": denied + endless + "X-Filler: " + strings.Repeat("y", 1000) + "\r\n",
	"HTTP/1.0 header": "HTTP/1.0 407 Who\r\n" + endless + "X-Filler: " + strings.Repeat("y", 1000) + "\r\n",
	"challenges":      denied + endless + "Proxy-Authenticate: Digest realm=r, nonce=n\r\n",
	"token":           "HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM " + endless + "TlRM",
	"status line":     "HTTP/1.1 407 " + endless + "x",
	"line":            denied + "X-Filler: " + endless + "y",
	"407 body":        denied + "Content-Length: 9223372036854775807\r\n\r\n" + endless + "<p>",
	"407 chunks":      denied + "Transfer-Encoding: chunked\r\n\r\n" + endless + "10\r\n0123456789abcdef\r\n",
	"407 extension":   denied + "Transfer-Encoding: chunked\r\n\r\n1;" + endless + "x=y;",
	"407 trailer":     denied + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + endless + "X-Filler: z\r\n",
	"407 to the end":  denied + "Connection: close\r\n\r\n" + endless + "<p>",
}

// What never ends is given up by its size, long before the deadline, and costs
// little memory.
func TestEndlessAnswers(t *testing.T) {
	o := newOrigin(t)
	const (
		maxRead  = 64 << 20 // by a request: net/http reads headers up to 10 MiB, and some answers are asked for again
		maxAlloc = 256 << 20
	)
	for stage, answered := range stages {
		for name, text := range endlessAnswers {
			for _, way := range []string{"forward", "tunnel", "dial"} {
				t.Run(stage+"/"+name+"/"+way, func(t *testing.T) {
					var n atomic.Int32
					s := scriptedProxy(t, func(*http.Request) string {
						if i := int(n.Add(1)); i <= len(answered) {
							return answered[i-1]
						}
						return text
					})
					tr := s.transport(t, o)
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					err := request(ctx, tr, o, way)
					runtime.ReadMemStats(&after)
					require.Error(t, err)
					require.NoError(t, ctx.Err(), "only the deadline ended it")
					require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(maxAlloc))
					require.Less(t, s.flooded.Load(), int64(maxRead))
					require.LessOrEqual(t, len(s.requests()), 10)
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

// A connection on which an answer had two lengths is not used again, whatever
// the answer was.
func TestTwoLengths(t *testing.T) {
	o := newOrigin(t)
	const lengths = "Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd"
	for name, text := range map[string]string{"407": denied + lengths, "final": "HTTP/1.1 200 OK\r\n" + lengths} {
		for stage, answered := range stages {
			t.Run(stage+"/"+name, func(t *testing.T) {
				var n atomic.Int32
				s := scriptedProxy(t, func(*http.Request) string {
					switch i := int(n.Add(1)); {
					case i <= len(answered):
						return answered[i-1]
					case i == len(answered)+1:
						return text
					}
					return "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin"
				})
				tr := s.transport(t, o)
				_, _, err := fetch(tr, o.HTTP.URL)
				require.ErrorContains(t, err, "Content-Length")
				for range 3 {
					requireOK(t, tr, o.HTTP.URL)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				bad := len(answered)
				require.NotContains(t, s.on[bad+1:], s.on[bad])
			})
		}
	}
}
