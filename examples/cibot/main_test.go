package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const wantOutput = `job: running
job: done
artifact: 25 %
artifact: 50 %
artifact: 75 %
artifact: 100 %
artifact: 1048576 bytes, SHA-256 is right
report: 95 bytes uploaded
`

var cut = regexp.MustCompile(`artifact: cut off, going on at byte \d+\n`)

// requireOutput compares what was printed. Where the cut was is open: some of
// what was under way is lost with a connection.
func requireOutput(t *testing.T, out *bytes.Buffer) {
	t.Helper()
	require.Len(t, cut.FindAllString(out.String(), -1), 1)
	require.Equal(t, wantOutput, cut.ReplaceAllString(out.String(), ""))
}

// As the command does it, whatever the environment says.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
	t.Setenv("PROXY_USER", "mallory")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "", "", "1"))
	requireOutput(t, &out)
}

// With a real API the proxy is the environment's, if no flag names one.
func TestEnvironment(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("HTTPS_PROXY", "socks5://127.0.0.1:9") // which is not asked again
	require.ErrorContains(t, run(t.Context(), io.Discard, "", "https://ci.example", "1"), "proxyconnect tcp: dial tcp 127.0.0.1:9:")
}

// R35: what is not a URL may hold a password, which no error repeats.
func TestProxyIsNotShown(t *testing.T) {
	for _, proxy := range []string{
		"http://alice:1234%zz@127.0.0.1:1", "alice:1234@127.0.0.1:1", "http://alice:1234#5@127.0.0.1:1", "http://",
	} {
		err := run(t.Context(), io.Discard, proxy, "", "1")
		require.ErrorContains(t, err, "percent-encoded")
		require.NotContains(t, err.Error(), "1234")
	}
}

// Forwarded and tunnelled, through proxies that demand NTLM and Digest. The cut
// takes the connection with it, and the next one costs what a scheme needs.
func TestProxies(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, c := range map[string]struct {
		auth       proxytest.Auth
		challenges int
	}{
		"Digest": {proxytest.Digest{Realm: "corp"}, 1},
		"NTLM":   {proxytest.NTLM{}, 3},
	} {
		for way, start := range map[string]func(http.Handler) *httptest.Server{"forward": httptest.NewServer, "tunnel": httptest.NewTLSServer} {
			t.Run(name+"/"+way, func(t *testing.T) {
				api := newBuild()
				server := start(api)
				defer server.Close()
				p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{c.auth}, Users: map[string]string{"alice": "secret"}})
				defer p.Close()
				base := &http.Transport{Proxy: http.ProxyURL(p.URL), TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
				if way == "tunnel" {
					base.TLSClientConfig.RootCAs.AddCert(server.Certificate())
				}
				client := &http.Client{Transport: &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "secret")}}
				defer client.CloseIdleConnections()
				var out bytes.Buffer
				b := &bot{client: client, api: server.URL, every: time.Millisecond, out: &out}
				require.NoError(t, b.work(t.Context(), "1"))
				requireOutput(t, &out)

				require.Equal(t, 5, api.looks)
				require.Equal(t, 2, api.downloads)
				require.Regexp(t, `^job 1: 1048576 bytes, SHA-256 [0-9a-f]{64}\n$`, api.report)
				seen := p.Counts()
				require.Equal(t, c.challenges, seen.Challenges)
				if way == "forward" {
					require.EqualValues(t, len(api.report), seen.BodyBytes, "uploaded once")
					require.Equal(t, c.challenges+8, seen.Requests)
				} else {
					require.Equal(t, 2, seen.Tunnels)
				}
			})
		}
	}
}

// An artifact that cannot be had in parts is got anew, and that is what is said.
func TestCutWithoutETag(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, etag := range []string{"", `W/"1"`} {
		downloads := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			require.NotContains(t, req.Header, "Range")
			w.Header().Set("ETag", etag)
			w.Header().Set("Content-Length", "2")
			if downloads++; downloads == 1 {
				io.WriteString(w, "y")
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "xx")
		}))
		defer server.Close()
		var out bytes.Buffer
		b := &bot{client: server.Client(), api: server.URL, out: &out}
		path := filepath.Join(t.TempDir(), "artifact")
		_, err := b.download(t.Context(), &job{SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("xx")))}, path)
		require.NoError(t, err)
		require.Contains(t, out.String(), "artifact: cut off, beginning again\n")
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "xx", string(got))
	}
}

// A proxy that is down for a moment does not end the work; its refusal does.
func TestRetry(t *testing.T) {
	defer goleak.VerifyNone(t)
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	require.ErrorContains(t, run(t.Context(), io.Discard, proxy.URL, "https://ci.example", "1"), "403")
	require.EqualValues(t, 2, asked.Load())
}

// answers are an API without a network.
type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) { return a(req), nil }

func answer(status int, body string, header http.Header) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: header, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

func TestRetryAfter(t *testing.T) {
	seconds := func(s string) func(time.Time) http.Header {
		return func(time.Time) http.Header { return http.Header{"Retry-After": {s}} }
	}
	date := func(after, clock time.Duration) func(time.Time) http.Header {
		return func(now time.Time) http.Header {
			now = now.Add(clock).UTC()
			return http.Header{"Date": {now.Format(http.TimeFormat)}, "Retry-After": {now.Add(after).Format(http.TimeFormat)}}
		}
	}
	for name, c := range map[string]struct {
		status int
		header func(now time.Time) http.Header
		waits  time.Duration
	}{
		"seconds":                      {429, seconds("7"), 7 * time.Second},
		"unavailable":                  {503, seconds("7"), 7 * time.Second},
		"date":                         {429, date(9*time.Second, 0), 9 * time.Second},
		"date by a clock that is slow": {503, date(9*time.Second, -time.Hour), 9 * time.Second},
		"date gone by":                 {429, date(-time.Hour, 0), time.Second},
		"at once":                      {429, seconds("0"), time.Second},
		"nonsense":                     {429, seconds("-7"), time.Second},
		"another status":               {500, seconds("7"), time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, asked := time.Now(), 0
				b := &bot{api: "https://ci.example", every: time.Second, out: io.Discard, client: &http.Client{
					Transport: answers(func(*http.Request) *http.Response {
						if asked++; asked == 1 {
							return answer(c.status, "", c.header(start))
						}
						return answer(200, `{"state": "done"}`, nil)
					}),
				}}
				_, err := b.poll(t.Context(), "https://ci.example/jobs/1")
				require.NoError(t, err)
				require.Equal(t, c.waits, time.Since(start))
			})
		})
	}
}

// No pause that cannot end well.
// An API that is out of order is told about, once, and named in the end.
func TestAPIOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &bot{every: time.Second, out: &out, client: &http.Client{Transport: answers(func(*http.Request) *http.Response {
			return answer(502, "", nil)
		})}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.poll(ctx, "https://ci.example/jobs/1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "https://ci.example/jobs/1: last answer 502 Bad Gateway: ")
		require.Equal(t, "job: the API answers 502 Bad Gateway\n", out.String())
	})
}

func TestRetryAfterContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := &bot{every: time.Second, client: &http.Client{Transport: answers(func(*http.Request) *http.Response {
			return answer(429, "", http.Header{"Retry-After": {"7"}})
		})}}
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		_, err := b.poll(ctx, "https://ci.example/jobs/1")
		require.ErrorContains(t, err, "Too Many Requests")
		require.ErrorContains(t, err, "7s")
		require.Zero(t, time.Since(start))
	})
}

// It is honoured by every request. The report is sent again, whole.
func TestRetryAfterWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		asked, reports := map[string]int{}, []string{}
		b := &bot{api: "https://ci.example", every: time.Second, out: io.Discard, client: &http.Client{
			Transport: answers(func(req *http.Request) *http.Response {
				if req.Method == http.MethodPut {
					report, err := io.ReadAll(req.Body)
					require.NoError(t, err)
					require.NoError(t, req.Body.Close())
					reports = append(reports, string(report))
				}
				if asked[req.URL.Path]++; asked[req.URL.Path] == 1 {
					return answer(503, "", http.Header{"Retry-After": {"60"}})
				}
				return map[string]*http.Response{
					"/jobs/1":        answer(200, `{"state": "done", "artifact": "/artifacts/1", "sha256": "`+sumOfX+`"}`, nil),
					"/artifacts/1":   answer(200, "x", nil),
					"/jobs/1/report": answer(201, "", nil),
				}[req.URL.Path]
			}),
		}}
		require.NoError(t, b.work(t.Context(), "1"))
		require.Equal(t, 3*time.Minute, time.Since(start))
		report := "job 1: 1 bytes, SHA-256 " + sumOfX + "\n"
		require.Equal(t, []string{report, report}, reports)
	})
}

const sumOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

// A job that ends badly, one that never ends, and an artifact that is not what
// the API says.
func TestWorkFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	var answer string
	api := http.NewServeMux()
	api.HandleFunc("/jobs/1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	api.HandleFunc("/artifacts/1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "other bytes") })
	server := httptest.NewServer(api)
	defer server.Close()
	b := &bot{client: server.Client(), api: server.URL, every: time.Millisecond, out: io.Discard}

	answer = `{"state": "failed"}`
	require.ErrorContains(t, b.work(t.Context(), "1"), `"failed"`)
	answer = `{"state": "done", "artifact": "artifacts/1", "sha256": "00"}`
	require.ErrorContains(t, b.work(t.Context(), "1"), "SHA-256")
	require.ErrorContains(t, b.work(t.Context(), "2"), "404")
	answer = `{"state": "running"}`
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.work(ctx, "1"), context.DeadlineExceeded)
}
