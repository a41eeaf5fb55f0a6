package proxyauth_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A stubProxy costs next to nothing itself, so that what is measured is the
// client: it asks for credentials once and takes any. A forwarded request makes
// the one trip to an origin that no proxy can do without; in a tunnel the stub
// is the origin.
type stubProxy struct {
	net.Listener
	challenge string // "" for an open proxy
	tls       *tls.Config
}

func startStubProxy(t testing.TB, challenge string) *stubProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &stubProxy{l, challenge, &tls.Config{Certificates: []tls.Certificate{originCertificate()}}}
	t.Cleanup(func() { l.Close() })
	go accept(l, s.serve)
	return s
}

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}

// startPong starts an origin that answers a byte with a byte.
func startPong() net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	pong, err := l.Accept()
	if err != nil {
		panic(err)
	}
	go func() {
		defer pong.Close()
		for b := make([]byte, 1); ; {
			if _, err := pong.Read(b); err != nil {
				return
			}
			pong.Write(b)
		}
	}()
	return c
}

func (s *stubProxy) serve(c net.Conn) {
	defer func() { c.Close() }()
	in := bufio.NewReader(c)
	origin := startPong()
	defer origin.Close()
	ping := make([]byte, 1)
	ok := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	legs := 0 // of NTLM, which authenticates the connection
	for {
		connect, authorized := false, s.challenge == "" || legs == 2
		for first := true; ; first = false {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if first {
				connect = bytes.HasPrefix(line, []byte("CONNECT"))
			} else if len(line) == 2 {
				break
			}
			if bytes.HasPrefix(line, []byte("Proxy-Authorization:")) {
				legs++
				authorized = s.challenge != "NTLM" || legs == 2
			}
		}
		switch {
		case !authorized && legs == 1:
			io.WriteString(c, "HTTP/1.1 407 Go on\r\nProxy-Authenticate: NTLM "+stubType2+"\r\nContent-Length: 0\r\n\r\n")
		case !authorized && (connect || s.tls != nil):
			io.WriteString(c, "HTTP/1.1 407 Who?\r\nProxy-Authenticate: "+s.challenge+"\r\nContent-Length: 0\r\n\r\n")
		case connect:
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			c = tls.Server(c, s.tls)
			in = bufio.NewReader(c)
			s = &stubProxy{}
		default:
			if s.tls != nil {
				origin.Write(ping)
				origin.Read(ping)
			}
			if _, err := c.Write(ok); err != nil {
				return
			}
		}
	}
}

// stubType2 is a type 2 message without target info.
var stubType2 = base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x02\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x01\x02\x08\x00" + "01234567" + "\x00\x00\x00\x00\x00\x00\x00\x00"))

// warmCase is one thing to measure: net/http as it is, through an open proxy,
// beside a Transport through one that demands authentication.
type warmCase struct {
	name, challenge, url string
	schemes              []proxyauth.Scheme
	maxAllocs            float64 // above net/http's own
}

var warmCases = []warmCase{
	{"forward/Basic", `Basic realm="r"`, "http://origin.test/path?q=1", nil, 3},
	{"forward/Digest", `Digest realm="proxy test", nonce="abcdefghijklmnopqrstuvwx", qop="auth", opaque="1234567890"`, "http://origin.test/path?q=1", nil, 6},
	{"forward/NTLM", `NTLM`, "http://origin.test/path?q=1", nil, -7},
	{"forward/open", ``, "http://origin.test/path?q=1", nil, 1},
	{"tunnel/Basic", `Basic realm="r"`, "https://origin.test/path?q=1", nil, -1},
	{"tunnel/NTLM", `NTLM`, "https://origin.test/path?q=1", nil, -1},
	{"tunnel/Digest", `Digest realm="proxy test", nonce="abcdefghijklmnopqrstuvwx", qop="auth"`, "https://origin.test/path?q=1", nil, -1},
}

// start returns the two transports, warm.
func (w warmCase) start(t testing.TB) (bare, ours http.RoundTripper) {
	transport := func(s *stubProxy) *http.Transport {
		return &http.Transport{
			Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: s.Addr().String()}),
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the stub's origin has no name
		}
	}
	plain := transport(startStubProxy(t, ""))
	auth := &proxyauth.Transport{
		Base:        transport(startStubProxy(t, w.challenge)),
		Credentials: proxyauth.UserPassword("alice", "open sesame"),
	}
	t.Cleanup(plain.CloseIdleConnections)
	t.Cleanup(auth.CloseIdleConnections)
	w.requests(t, plain, 100)
	w.requests(t, auth, 100)
	return plain, auth
}

func (w warmCase) requests(t testing.TB, rt http.RoundTripper, n int) {
	req, err := http.NewRequest("GET", w.url, nil)
	require.NoError(t, err)
	req.Header.Set("User-Agent", "bench")
	req.Header.Set("Authorization", "Bearer x")
	for range n {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
	}
}

// mallocs returns the allocations per request of n requests. The stub's own
// are the same for both sides. One goroutine runs at a time, as in
// testing.AllocsPerRun: net/http allocates a timer where an answer has been read
// before the goroutine that wrote the request has said so.
func (w warmCase) mallocs(t testing.TB, rt http.RoundTripper, n int) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.requests(t, rt, n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// A warm request allocates hardly more than net/http does.
func TestWarmAllocations(t *testing.T) {
	for _, w := range warmCases {
		t.Run(w.name, func(t *testing.T) {
			bare, ours := w.start(t)
			more := make([]float64, 5) // the median counts: the race detector and the collector empty pools by chance
			for i := range more {
				a, b := w.mallocs(t, bare, 500), w.mallocs(t, ours, 500)
				t.Logf("net/http %.1f, Transport %.1f: %+.1f", a, b, b-a)
				more[i] = b - a
			}
			slices.Sort(more)
			require.LessOrEqual(t, more[len(more)/2], w.maxAllocs+0.5)
		})
	}
}

// BenchmarkWarm gives the time and allocations of a warm request as a ratio to
// bare net/http: the median of rounds in which both take turns.
//
//	go test -run '^$' -bench Warm ./proxyauth
func BenchmarkWarm(b *testing.B) {
	for _, w := range warmCases {
		b.Run(w.name, func(b *testing.B) {
			bare, ours := w.start(b)
			const perRound = 200
			var ratios []float64
			var bareTime, oursTime time.Duration
			for b.Loop() {
				took := func(rt http.RoundTripper) time.Duration {
					start := time.Now()
					w.requests(b, rt, perRound)
					return time.Since(start)
				}
				var x, y time.Duration
				if len(ratios)%2 == 0 {
					x, y = took(bare), took(ours)
				} else {
					y, x = took(ours), took(bare)
				}
				bareTime, oursTime = bareTime+x, oursTime+y
				ratios = append(ratios, float64(y)/float64(x))
			}
			slices.Sort(ratios)
			n := float64(len(ratios) * perRound)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(float64(bareTime)/n, "bare-ns/req")
			b.ReportMetric(float64(oursTime)/n, "ours-ns/req")
			b.ReportMetric(w.mallocs(b, ours, 1000)-w.mallocs(b, bare, 1000), "more-allocs/req")
			b.ReportMetric(0, "ns/op")
		})
	}
}
