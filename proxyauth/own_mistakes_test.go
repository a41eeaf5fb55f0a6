package proxyauth_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A failing body returns an error in place of its end.
type failingBody struct {
	io.Reader
	err error
}

func (b failingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (b failingBody) Close() error { return nil }

// withBody gives a request a body that it says to have another length.
func withBody(text string, length int64, err error, again bool) func(*http.Request) {
	return func(req *http.Request) {
		body := func() (io.ReadCloser, error) { return failingBody{strings.NewReader(text), err}, nil }
		req.Method, req.ContentLength = "POST", length
		req.Body, _ = body()
		if again {
			req.GetBody = body
		}
	}
}

// mistakes are requests that net/http cannot send as they are, and what it says. sent: a
// part of it may leave before that is found out.
var mistakes = map[string]struct {
	make func(*http.Request)
	text string
	sent bool
}{
	"body too short":               {withBody("four", 9, io.EOF, false), "http: ContentLength=9 with Body length 4", true},
	"body too short, and again":    {withBody("four", 9, io.EOF, true), "http: ContentLength=9 with Body length 4", true},
	"body too long":                {withBody("four and more", 4, io.EOF, false), "http: ContentLength=4 with Body length 13", true},
	"body too long, and again":     {withBody("four and more", 4, io.EOF, true), "http: ContentLength=4 with Body length 13", true},
	"long body too short":          {withBody(strings.Repeat("x", 1<<20), 1<<21, io.EOF, false), "http: ContentLength=2097152 with Body length 1048576", true},
	"body fails":                   {withBody("four", 9, errors.New("disk full"), false), "disk full", true},
	"body fails again":             {withBody("four", 9, errors.New("disk full"), true), "disk full", true},
	"body of unknown length fails": {withBody("four", -1, io.ErrUnexpectedEOF, false), "unexpected EOF", true},
	"body that fails was closed":   {withBody("four", -1, http.ErrBodyReadAfterClose, false), "http: invalid Read on closed Body", true},
	"length without a body":        {func(req *http.Request) { req.ContentLength = 5 }, "http: Request.ContentLength=5 with nil Body", false},
	"value of a field":             {func(req *http.Request) { req.Header.Set("X", "a\nb") }, `http: invalid header field value for "X"`, false},
	"name of a field":              {func(req *http.Request) { req.Header["X Y"] = []string{"a"} }, `http: invalid header field name "X Y"`, false},
	"value of a trailer": {func(req *http.Request) {
		withBody("four", -1, io.EOF, false)(req)
		req.Trailer = http.Header{"X": {"a\nb"}}
	}, `http: invalid trailer field value for "X"`, false},
	"name of a trailer": {func(req *http.Request) {
		withBody("four", -1, io.EOF, false)(req)
		req.Trailer = http.Header{"Trailer": {"b"}}
	}, `invalid Trailer key "Trailer"`, true},
	"method":                              {func(req *http.Request) { req.Method = "GE T" }, `http: invalid method "GE T"`, false},
	"query with a control character":      {func(req *http.Request) { req.URL.RawQuery = "a\nb" }, "net/http: can't write control character in Request.URL", false},
	"opaque URL with a control character": {func(req *http.Request) { req.URL.Opaque = "//a\x7f" }, "net/http: can't write control character in Request.URL", false},
	"URL without a host":                  {func(req *http.Request) { req.URL.Host = "" }, "http: no Host in request URL", false},
	"Host with a blank":                   {func(req *http.Request) { req.Host = "a b" }, "http: invalid Host header", false},
	"Host with a line break":              {func(req *http.Request) { req.Host = "a\nb" }, "http: invalid Host header", false},
	"a body that cannot be had once more": {func(req *http.Request) {
		withBody("four", 4, io.EOF, false)(req)
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	}, "gone", false},
}

// fetchAtOnce makes n requests, each on a connection of its own.
func fetchAtOnce(t *testing.T, rt http.RoundTripper, url string, n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, _, err := fetch(rt, url)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
}

// R30, R45: a request that net/http cannot write as it is, is its caller's mistake. The error
// is net/http's and does not name the proxy, nothing is repeated, and where no credentials
// have left, nothing is counted for their account. Connections that others have
// authenticated are left alone.
func TestOwnMistakes(t *testing.T) {
	for scheme, auth := range map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
		for name, mistake := range mistakes {
			for _, state := range []string{"cold", "warm"} {
				for _, retry := range []*proxyauth.RetryPolicy{nil, {}} {
					inBubble(t, func(t *testing.T, w *world) {
						what := []any{"%s, %s, %s, retry %v", scheme, name, state, retry != nil}
						p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
						w.handler = func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }
						tr := w.newTransport(p)
						tr.Retry = retry
						const idle = 3
						if state == "warm" {
							fetchAtOnce(t, tr, w.HTTP.URL, 1) // what the proxy demands is known
							fetchAtOnce(t, tr, w.HTTP.URL, idle)
						}
						before, handshakes := tr.Stats(), p.Counts().Handshakes
						req, err := http.NewRequest("GET", w.HTTP.URL, nil)
						require.NoError(t, err)
						mistake.make(req)
						begin := time.Now()
						resp, err := tr.RoundTrip(req)
						if name == "a body that cannot be had once more" && state == "warm" {
							require.NoError(t, err, what...)
							resp.Body.Close()
							return
						}
						require.Error(t, err, what...)
						require.NotContains(t, err.Error(), "proxyauth", what...)
						if !mistake.sent || !errors.Is(err, net.ErrClosed) { // net/http may notice first that it has closed the connection
							require.ErrorContains(t, err, mistake.text, what...)
							require.NotContains(t, err.Error(), p.URL.Host, what...)
						}
						require.Zero(t, time.Since(begin), what...)
						after := tr.Stats()
						require.Zero(t, after.Retries, what...)
						require.Zero(t, after.Rejections, what...)
						if !mistake.sent || scheme == "NTLM" && state == "warm" {
							require.Equal(t, before.Unclear, after.Unclear, what...)
							require.Equal(t, before.Attempts, after.Attempts, what...)
						}
						if scheme == "NTLM" && state == "warm" {
							fetchAtOnce(t, tr, w.HTTP.URL, idle-1)
							require.Equal(t, handshakes, p.Counts().Handshakes, what...)
						}
					})
				}
			}
		}
	}
}

// R30: inside a tunnel it is net/http's error, too.
func TestOwnMistakesInTunnel(t *testing.T) {
	for name, mistake := range mistakes {
		inBubble(t, func(t *testing.T, w *world) {
			tr := w.newTransport(w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice}))
			tr.Retry = &proxyauth.RetryPolicy{}
			req, err := http.NewRequest("GET", w.HTTPS.URL, nil)
			require.NoError(t, err)
			mistake.make(req)
			begin := time.Now()
			resp, err := tr.RoundTrip(req)
			if err == nil { // not every mistake is one to an origin, or without HTTP/1.1
				resp.Body.Close()
				return
			}
			require.NotContains(t, err.Error(), "proxyauth", name)
			require.Zero(t, time.Since(begin), name)
			require.Zero(t, tr.Stats().Retries, name)
			require.LessOrEqual(t, tr.Stats().Tunnels, int64(1), name) // net/http's HTTP/2 dials for a control character without end
		})
	}
}
