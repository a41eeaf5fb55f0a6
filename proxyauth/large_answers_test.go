package proxyauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A flood is a proxy whose answers are long: by a scheme, it denies everything, or
// lets pass what has credentials.
type flood struct {
	name, proto string
	challenge   string // the value of Proxy-Authenticate
	filler      string // fields, with their line ends
	tunnel      bool
	passes      bool // forwarded requests with credentials
}

// floods returns them with answers of a size in bytes.
func floods(size int) (all []flood) {
	same := func(line string) string { return strings.Repeat(line, size/len(line)) }
	var distinct strings.Builder
	for n := 0; distinct.Len() < size; n++ {
		fmt.Fprintf(&distinct, "x%d: b\r\n", n)
	}
	fillers := map[string]string{
		"small fields":         same("a: b\r\n"),
		"distinct names":       distinct.String(),
		"challenges":           same("Proxy-Authenticate: B\r\n"),
		"empty challenges":     same("Proxy-Authenticate:\r\n"),
		"malformed challenges": same("Proxy-Authenticate: Digest nonce=\"\r\n"),
		"one challenge":        "Proxy-Authenticate: Digest realm=\"" + strings.Repeat("x", size) + "\"\r\n",
		"one list":             "Proxy-Authenticate: " + same("Basic realm=r,") + "\r\n",
		"information":          same("Proxy-Authentication-Info: nextnonce=\"n\"\r\n"),
		"long lines":           same("X-Filler: " + strings.Repeat("y", 1000) + "\r\n"),
	}
	challenges := map[string]string{"Basic": `Basic realm="r"`, "Digest": `Digest realm="r", nonce="n", qop="auth"`, "NTLM": "NTLM"}
	for scheme, challenge := range challenges {
		for name, filler := range fillers {
			f := flood{name: "forward/" + scheme + "/" + name, proto: "HTTP/1.1", challenge: challenge, filler: filler}
			all = append(all, f)
			f.name, f.passes = "passes/"+scheme+"/"+name, true
			all = append(all, f)
			f.name, f.passes, f.tunnel = "tunnel/"+scheme+"/"+name, false, true
			all = append(all, f)
		}
		f := flood{name: "HTTP 1.0/" + scheme, proto: "HTTP/1.0", challenge: challenge, filler: fillers["small fields"]}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b flood) int { return strings.Compare(a.name, b.name) })
	return all
}

// start starts the proxy, and counts its answers.
func (f flood) start(t testing.TB) (addr string, answers *atomic.Int64) {
	answer := func(status, challenge string) []byte {
		if challenge != "" {
			challenge = "Proxy-Authenticate: " + challenge + "\r\n"
		}
		return []byte(f.proto + " " + status + "\r\nContent-Length: 0\r\nProxy-Connection: keep-alive\r\n" + challenge + f.filler + "\r\n")
	}
	denied, type2, passed := answer("407 Who", f.challenge), answer("407 Go on", "NTLM "+stubType2), answer("200 OK", "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	answers = new(atomic.Int64)
	go accept(l, func(c net.Conn) {
		defer c.Close()
		for in := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			a := denied
			switch field := req.Header.Get("Proxy-Authorization"); {
			case strings.HasPrefix(field, "NTLM TlRMTVNTUAAB"):
				a = type2
			case f.passes && field != "":
				a = passed
			}
			answers.Add(1)
			if _, err := c.Write(a); err != nil {
				return
			}
		}
	})
	return l.Addr().String(), answers
}

// transport returns a transport that is good for one round. For CONNECT net/http reads
// 256 KiB of header by default.
func (f flood) transport(addr string) *http.Transport {
	return &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr}), MaxResponseHeaderBytes: 10 << 20}
}

func (f flood) request(t testing.TB, rt http.RoundTripper) error {
	req, err := http.NewRequest("GET", map[bool]string{false: "http", true: "https"}[f.tunnel]+"://origin.test/", nil)
	require.NoError(t, err)
	resp, err := rt.RoundTrip(req)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return err
}

// ours makes one request by a Transport of which nothing is known.
func (f flood) ours(t testing.TB, addr string) error {
	base := f.transport(addr)
	tr := &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "open sesame")}
	defer tr.CloseIdleConnections()
	return f.request(t, tr)
}

// bare makes n requests by net/http, which get answers of the same length.
func (f flood) bare(t testing.TB, addr string, n int) {
	tr := f.transport(addr)
	defer tr.CloseIdleConnections()
	for range n {
		f.request(t, tr)
	}
}

// allocated returns how many allocations f makes, and of how many bytes.
func allocated(f func()) (n, bytes int) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.Mallocs - before.Mallocs), int(after.TotalAlloc - before.TotalAlloc)
}

// R5, R41: what is made of an answer does not grow with its size. It allocates as net/http
// does that reads the same, and for an error so much more, or hardly more if there is none.
func TestLargeAnswersAllocate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as in testing.AllocsPerRun
	for _, f := range floods(256 << 10) {
		t.Run(f.name, func(t *testing.T) {
			addr, answers := f.start(t)
			err := f.ours(t, addr) // and warms up
			require.Equal(t, f.passes, err == nil, "%v", err)
			most, mostBytes := 1000, 128<<10
			if err != nil {
				require.Less(t, len(err.Error()), 4<<10)
				most, mostBytes = 40_000, 4<<20
			}
			n := int(answers.Load())
			bareCount, bareBytes := allocated(func() { f.bare(t, addr, n) })
			count, bytes := allocated(func() { f.ours(t, addr) })
			t.Logf("%d answers: net/http %d allocations and %d bytes, Transport %+d and %+d", n, bareCount, bareBytes, count-bareCount, bytes-bareBytes)
			assert.Less(t, count-bareCount, most)
			assert.Less(t, bytes-bareBytes, mostBytes)
		})
	}
}

// R41: BenchmarkLargeAnswers gives the time that a request takes whose answers are 1 MiB
// long, as a ratio to bare net/http reading the same bytes: the median of rounds in which
// both take turns.
//
//	go test -run '^$' -bench LargeAnswers ./proxyauth
func BenchmarkLargeAnswers(b *testing.B) {
	for _, f := range floods(1 << 20) {
		b.Run(f.name, func(b *testing.B) {
			addr, answers := f.start(b)
			f.ours(b, addr)
			n := int(answers.Load())
			took := func(f func()) time.Duration {
				runtime.GC() // so that nobody pays for the other
				start := time.Now()
				f()
				return time.Since(start)
			}
			bare, ours := func() { f.bare(b, addr, n) }, func() { f.ours(b, addr) }
			var ratios, times []float64
			for b.Loop() {
				var x, y time.Duration
				if len(ratios)%2 == 0 {
					x, y = took(bare), took(ours)
				} else {
					y, x = took(ours), took(bare)
				}
				ratios, times = append(ratios, float64(y)/float64(x)), append(times, float64(x))
			}
			slices.Sort(ratios)
			slices.Sort(times)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(times[len(times)/2]/float64(n), "bare-ns/answer")
			b.ReportMetric(0, "ns/op")
		})
	}
}
