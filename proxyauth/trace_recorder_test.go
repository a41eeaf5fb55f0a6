package proxyauth_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A recorder notes the hooks of an httptrace.ClientTrace in the order in which they are
// called, with those of their arguments that do not differ by chance.
type recorder struct {
	names *strings.Replacer // of addresses
	clean func(string)      // is given every value of a header field; nil: none

	mu    sync.Mutex
	lines []string
}

func newRecorder(names ...string) *recorder {
	return &recorder{names: strings.NewReplacer(names...)}
}

func (r *recorder) add(format string, args ...any) {
	line := r.names.Replace(fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func how(err error) string {
	if err != nil {
		return "failed"
	}
	return "done"
}

func (r *recorder) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(addr string) { r.add("GetConn %s", addr) },
		GotConn: func(info httptrace.GotConnInfo) {
			r.add("GotConn %T reused=%t idle=%t %t", info.Conn, info.Reused, info.WasIdle, info.IdleTime > 0)
		},
		PutIdleConn:          func(err error) { r.add("PutIdleConn %v", err) },
		GotFirstResponseByte: func() { r.add("GotFirstResponseByte") },
		Got100Continue:       func() { r.add("Got100Continue") },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			r.add("Got1xxResponse %d", code)
			return nil
		},
		DNSStart:          func(info httptrace.DNSStartInfo) { r.add("DNSStart %s", info.Host) },
		DNSDone:           func(info httptrace.DNSDoneInfo) { r.add("DNSDone %s", how(info.Err)) },
		ConnectStart:      func(network, addr string) { r.add("ConnectStart %s %s", network, addr) },
		ConnectDone:       func(network, addr string, err error) { r.add("ConnectDone %s %s %s", network, addr, how(err)) },
		TLSHandshakeStart: func() { r.add("TLSHandshakeStart") },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			// net/http offers HTTP/2 to proxies, too, which this package does not.
			r.add("TLSHandshakeDone %t %t %s", state.NegotiatedProtocol == "h2", state.HandshakeComplete, how(err))
		},
		WroteHeaderField: func(name string, values []string) {
			if r.clean != nil {
				r.clean(strings.Join(values, "\n"))
			}
			if http.CanonicalHeaderKey(name) == "Proxy-Authorization" {
				scheme, _, _ := strings.Cut(values[0], " ")
				values = []string{scheme}
			}
			r.add("WroteHeaderField %s %s", name, values)
		},
		WroteHeaders:    func() { r.add("WroteHeaders") },
		Wait100Continue: func() { r.add("Wait100Continue") },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			r.add("WroteRequest %s", how(info.Err))
		},
	}
}

// wait waits for a hook.
func (r *recorder) wait(t *testing.T, hook string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(linesOf(r.hooks(), hook)) > 0 }, 10*time.Second, time.Millisecond, hook)
}

// hooks returns what was noted. Fields that were written one after the other are in the
// order of their names.
func (r *recorder) hooks() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := slices.Clone(r.lines)
	for i := 0; i < len(lines); i++ {
		end := i
		for end < len(lines) && strings.HasPrefix(lines[end], "WroteHeaderField") {
			end++
		}
		if slices.Sort(lines[i:end]); end > i {
			i = end
		}
	}
	return lines
}

// without returns the lines that do not begin so.
func without(lines []string, beginning string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, beginning) })
}

const authorizationWritten = "WroteHeaderField Proxy-Authorization"

// A traced request is one that is sent by net/http and by a Transport, for both to show
// the same hooks.
type tracedRequest struct {
	method, url string
	body        string
	expect      bool // 100-continue
	stream      bool // the body can be read only once
	http2       bool
	fails       bool
}

// by sends the request and returns the hooks.
func (q tracedRequest) by(t *testing.T, rt http.RoundTripper, clean func(string), names ...string) []string {
	t.Helper()
	r := newRecorder(names...)
	r.clean = clean
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), r.trace()), q.method, q.url, body)
	require.NoError(t, err)
	if q.expect {
		req.Header.Set("Expect", "100-continue")
	}
	if q.stream {
		req.GetBody = nil
	}
	req.Header.Set("X-Own", "1")
	resp, err := rt.RoundTrip(req)
	if q.fails {
		if err == nil { // net/http gives the proxy's 407 as a response
			require.Equal(t, 407, resp.StatusCode)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	} else {
		require.NoError(t, err)
		if _, ok := rt.(*http.Transport); !ok { // which does not always do this
			require.Same(t, req, resp.Request)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		// These may be called after the answer has come.
		r.wait(t, "WroteRequest")
		if q.expect {
			r.wait(t, "Wait100Continue")
		}
	}
	if q.body == "" && !q.http2 {
		return r.hooks()
	}
	// The hooks for writing and for the answer are of two goroutines.
	var written, others []string
	for _, line := range r.hooks() {
		if strings.HasPrefix(line, "W") {
			written = append(written, line)
		} else {
			others = append(others, line)
		}
	}
	return append(others, written...)
}

func linesOf(all []string, beginning string) (found []string) {
	for _, line := range all {
		if strings.HasPrefix(line, beginning) {
			found = append(found, line)
		}
	}
	return found
}
