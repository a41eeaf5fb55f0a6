package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "USE_PROXY", "PROXY_USER", "PROXY_PASS", "PROXY_PASS_FILE"} {
		os.Unsetenv(name)
		os.Unsetenv(strings.ToLower(name))
	}
	goleak.VerifyTestMain(m)
}

// The names of the origins, which only the proxy can resolve. Those of
// httptest's certificate.
const (
	plainURL  = "http://www.example.com"
	secureURL = "https://www.example.com"
)

// A world is a client, a relay, a proxy that demands authentication, and
// origins behind it.
type world struct {
	plain, secure *httptest.Server
	proxy         *proxytest.Proxy
	relay         *relay
	url           *url.URL // of the relay
	client        *http.Client
	stop          func() // gracefully, without waiting
	stopped       chan error
}

type settings struct {
	auth     proxytest.Auth // nil: NTLM
	password string         // nil: the right one
	public   bool
	grace    time.Duration
	dial     func(ctx context.Context, addr string) (net.Conn, error) // of the proxy; nil: to the origins
	behave   proxytest.Behaviour
}

var logged = slog.New(slog.DiscardHandler)

func newWorld(t testing.TB, s settings, origin http.HandlerFunc) *world {
	w := &world{plain: httptest.NewServer(origin), secure: httptest.NewTLSServer(origin)}
	t.Cleanup(w.plain.Close)
	t.Cleanup(w.secure.Close)
	if s.auth == nil {
		s.auth = proxytest.NTLM{}
	}
	if s.password == "" {
		s.password = "open sesame"
	}
	w.proxy = proxytest.New(proxytest.Config{
		Auth:      []proxytest.Auth{s.auth},
		Users:     map[string]string{"alice": "open sesame"},
		Behaviour: s.behave,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if s.dial != nil {
				return s.dial(ctx, addr)
			}
			target := w.plain.Listener.Addr()
			if strings.HasSuffix(addr, ":443") {
				target = w.secure.Listener.Addr()
			}
			return new(net.Dialer).DialContext(ctx, network, target.String())
		},
	})
	t.Cleanup(w.proxy.Close)

	l, err := listenOn("127.0.0.1:0", false)
	require.NoError(t, err)
	w.start(t, l, config{
		forHTTP:  w.proxy.URL,
		forHTTPS: w.proxy.URL,
		bypass:   ".direct.example",
		source:   proxyauth.UserPassword("alice", s.password),
		public:   s.public,
		log:      logged,
	}, s.grace)

	trusted := x509.NewCertPool()
	trusted.AddCert(w.secure.Certificate())
	transport := &http.Transport{Proxy: http.ProxyURL(w.url), TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport, Timeout: time.Minute}
	return w
}

func (w *world) start(t testing.TB, l *net.TCPListener, c config, grace time.Duration) {
	var err error
	w.relay, err = newRelay(c, l.Addr().(*net.TCPAddr))
	require.NoError(t, err)
	w.url = &url.URL{Scheme: "http", Host: l.Addr().String()}
	ctx, stop := context.WithCancel(context.Background())
	r, stopped := w.relay, make(chan error, 1)
	w.stop, w.stopped = stop, stopped
	go func() {
		stopped <- r.serve(ctx, l, grace)
		close(stopped)
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-stopped)
	})
}

func (w *world) get(t testing.TB, url string) (*http.Response, string) {
	t.Helper()
	resp, err := w.client.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// raw opens a connection to the relay and sends text.
func (w *world) raw(t testing.TB, text string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", w.url.Host)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// authenticated requires that the proxy saw n requests that passed, of alice.
func (w *world) authenticated(t testing.TB, n int) {
	t.Helper()
	passed := 0
	for _, leg := range w.proxy.Transcript() {
		if leg.Status != http.StatusProxyAuthRequired {
			require.Equal(t, "alice", leg.User, "%s %s", leg.Method, leg.Target)
			passed++
		}
	}
	require.Equal(t, n, passed)
}

func echo(w http.ResponseWriter, req *http.Request) {
	w.Header()["Content-Type"] = nil
	io.Copy(w, req.Body)
}

// R16, R17: each method, each way, and the fewest 407s: what the library is for.
func TestThrough(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{"NTLM": proxytest.NTLM{}, "Digest": proxytest.Digest{Realm: "r"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings{auth: auth}, echo)
			for range 3 {
				for _, url := range []string{plainURL, secureURL} {
					resp, err := w.client.Post(url, "", strings.NewReader("ping"))
					require.NoError(t, err)
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					require.NoError(t, err)
					require.Equal(t, "200 ping", fmt.Sprint(resp.StatusCode, " ", string(body)))
				}
			}
			connects := 0
			for _, leg := range w.proxy.Transcript() {
				if leg.Status == 200 && leg.Method == "CONNECT" {
					connects++
				}
			}
			require.Equal(t, 1, connects)
			want := map[string]int{"NTLM": 3, "Digest": 1} // NTLM: the first, and one for each connection
			require.Equal(t, want[name], w.proxy.Counts().Challenges)
		})
	}
}

// What is forwarded arrives as it was sent: RFC 9110 §7.6.
func TestForwardedAsItIs(t *testing.T) {
	var got *http.Request
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		got = req.Clone(context.Background())
		h := w.Header()
		h["Content-Type"] = nil
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "of the origin's connection")
		h.Set("X-End", "of the response")
		io.WriteString(w, "<html>")
	})
	_, in := w.raw(t, "GET "+plainURL+"/a%2fb?x;y&z=%zz HTTP/1.1\r\nHost: www.example.com\r\n"+
		"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: trailers\r\n"+
		"Proxy-Authorization: Basic bWFsbG9yeTp4\r\nX-Forwarded-For: 10.0.0.1\r\nVia: 1.0 fred\r\nX-End: 2\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "<html>", string(body))
	require.Equal(t, "of the response", resp.Header.Get("X-End"))
	require.Equal(t, "1.1 "+w.relay.name, resp.Header.Get("Via"))
	for _, name := range []string{"X-Hop", "Content-Type", "Proxy-Authenticate"} {
		require.NotContains(t, resp.Header, name)
	}

	require.Equal(t, "/a%2fb?x;y&z=%zz", got.RequestURI)
	require.Equal(t, "www.example.com", got.Host)
	require.Equal(t, []string{"1.0 fred", "1.1 " + w.relay.name}, got.Header["Via"])
	delete(got.Header, "Via")
	require.Equal(t, http.Header{"X-Forwarded-For": {"10.0.0.1"}, "Te": {"trailers"}, "X-End": {"2"}}, got.Header)
	w.authenticated(t, 1)
}

// R30: trailers of requests and responses pass, announced or not.
func TestTrailers(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		w.Header().Set("Trailer", "Announced")
		io.WriteString(w, "body")
		w.Header().Set("Announced", req.Trailer.Get("Sum"))
		w.Header().Set(http.TrailerPrefix+"Late", "2")
	})
	req, err := http.NewRequest("POST", plainURL, io.MultiReader(strings.NewReader("body")))
	require.NoError(t, err)
	req.Trailer = http.Header{"Sum": {"1"}}
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.Header{"Announced": {"1"}, "Late": {"2"}}, resp.Trailer)
}

// Bytes pass as they come, both ways at once: each is answered before the next
// is sent.
func TestStreaming(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.WriteHeader(200)
		rc.Flush()
		for buf := make([]byte, 1); ; {
			if _, err := io.ReadFull(req.Body, buf); err != nil {
				return
			}
			w.Write(buf)
			rc.Flush()
		}
	})
	for _, target := range []string{plainURL, secureURL} {
		body, pipe := io.Pipe()
		req, err := http.NewRequest("POST", target, body)
		require.NoError(t, err)
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		for _, b := range []byte("one by one") {
			_, err := pipe.Write([]byte{b})
			require.NoError(t, err)
			got := make([]byte, 1)
			_, err = io.ReadFull(resp.Body, got)
			require.NoError(t, err)
			require.Equal(t, b, got[0])
		}
		pipe.Close()
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Empty(t, rest)
		resp.Body.Close()
	}
}

// A body of known length passes as it comes, too.
func TestStreamingKnownLength(t *testing.T) {
	more := make(chan bool)
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "1")
		http.NewResponseController(w).Flush()
		<-more
		io.WriteString(w, "2")
	})
	resp, err := w.client.Get(plainURL)
	require.NoError(t, err)
	defer resp.Body.Close()
	got := make([]byte, 1)
	_, err = io.ReadFull(resp.Body, got)
	close(more)
	require.NoError(t, err)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "12", string(got)+string(rest))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// R32: the body of an upload is held nowhere: all that the process allocates
// meanwhile, for client, relay, proxy and origin, is less than it.
func TestUploadIsNotBuffered(t *testing.T) {
	const size = 64 << 20
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprint(w, n)
	})
	for _, target := range []string{plainURL, secureURL} {
		for _, length := range []int64{size, -1} {
			req, err := http.NewRequest("PUT", target, io.LimitReader(zeros{}, size))
			require.NoError(t, err)
			req.ContentLength = length
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := w.client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			require.NoError(t, err)
			runtime.ReadMemStats(&after)
			require.Equal(t, fmt.Sprint(size), string(body))
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2))
		}
	}
}

// R30: after 101 the connection passes through the relay byte by byte.
func TestUpgrade(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		require.Equal(t, "websocket", req.Header.Get("Upgrade"))
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, in)
	})
	for range 2 {
		conn, in := w.raw(t, "GET "+plainURL+"/chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		require.Equal(t, "websocket", resp.Header.Get("Upgrade"))
		_, err = io.WriteString(conn, "ping")
		require.NoError(t, err)
		require.NoError(t, conn.CloseWrite())
		got, err := io.ReadAll(in)
		require.NoError(t, err)
		require.Equal(t, "ping", string(got))
	}
	w.authenticated(t, 2)
}

func TestEarlyHints(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	})
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", plainURL, nil)
	require.NoError(t, err)
	resp, err := w.client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, []string{"103 </style.css>; rel=preload"}, hints)
	require.NotContains(t, resp.Header, "Link")
	require.NotContains(t, resp.Header, "Content-Type")
}

// R30: the client is asked for its body when the origin wants it, and not before.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/no" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		echo(w, req)
	})
	const head = " HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	_, in := w.raw(t, "PUT "+plainURL+"/no"+head)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)

	conn, in := w.raw(t, "PUT "+plainURL+"/yes"+head)
	resp, err = http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, resp.StatusCode)
	_, err = io.WriteString(conn, "body")
	require.NoError(t, err)
	for resp.StatusCode == http.StatusContinue { // once more is allowed
		resp, err = http.ReadResponse(in, nil)
		require.NoError(t, err)
	}
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "200 body", fmt.Sprint(resp.StatusCode, " ", string(got)))
}

// Who leaves is not waited for.
func TestClientGone(t *testing.T) {
	arrived, left := make(chan bool), make(chan bool)
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		close(arrived)
		<-req.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", plainURL, nil)
	require.NoError(t, err)
	go func() {
		<-arrived
		cancel()
	}()
	_, err = w.client.Do(req)
	require.ErrorIs(t, err, context.Canceled)
	<-left
	require.Zero(t, w.relay.status().Failures)
}

// An answer that is cut at the origin is cut for the client.
func TestCutAnswer(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "half of it")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := w.client.Get(plainURL)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err)
}

// R8, R35: errors of the library are the relay's, with its text, and no question
// to the client.
func TestErrors(t *testing.T) {
	w := newWorld(t, settings{password: "hush"}, echo)
	resp, text := w.get(t, plainURL)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
	require.Contains(t, text, "proxyauth: proxy "+w.proxy.URL.String()+" rejected the credentials")
	require.NotContains(t, resp.Header, "Proxy-Authenticate")
	_, in := w.raw(t, connectDB)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	tunnelText, _ := io.ReadAll(resp.Body)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Contains(t, string(tunnelText), "rejected the credentials")
	require.Equal(t, 2, w.proxy.Attempts("alice"))
	_, again := w.get(t, plainURL)
	require.Contains(t, again, "this request was not sent")
	require.Equal(t, 2, w.proxy.Attempts("alice"))
	require.NotContains(t, text+string(tunnelText)+again, "hush")
	require.Contains(t, w.relay.status().String(), "rejected the credentials")
	require.NotContains(t, w.relay.status().String(), "hush")

	// What the proxy refuses is refused with its status.
	w = newWorld(t, settings{behave: proxytest.Behaviour{ConnectStatus: 403}}, echo)
	_, in = w.raw(t, connectDB)
	resp, err = http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, 403, resp.StatusCode)

	w.proxy.Close()
	resp, text = w.get(t, plainURL)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Contains(t, text, "connecting")

	// What went without the proxy says so.
	resp, text = w.get(t, "http://127.0.0.1:1/")
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Contains(t, text, "without the proxy")
	_, in = w.raw(t, "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err = http.ReadResponse(in, nil)
	require.NoError(t, err)
	tunnelText, _ = io.ReadAll(resp.Body)
	require.Contains(t, string(tunnelText), "without the proxy")

	for target, status := range map[string]int{"ftp://www.example.com/": 400, "https://other.example:x/": 400} {
		_, in := w.raw(t, "GET "+target+" HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode)
	}
}

// A 407 of the target would make clients ask for credentials.
func TestTargetAnswers407(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	resp, text := w.get(t, w.plain.URL)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	require.Contains(t, text, "the target itself answered 407")
}

// RFC 9110 §9.3.6: without a valid port there is no tunnel.
func TestConnectWithoutPort(t *testing.T) {
	w := newWorld(t, settings{}, echo)
	for _, target := range []string{"a.example", "a.example:", "a.example:0", "a.example:99999", ":443", "[2001:db8::1]", "/path"} {
		_, in := w.raw(t, "CONNECT "+target+" HTTP/1.1\r\nHost: a.example\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, target)
		require.Contains(t, string(text), "CONNECT www.example.com:443")
	}
	require.Zero(t, w.proxy.Counts().Requests)
}

// RFC 9110 §7.6.2: who is the last one to forward, and who answers.
func TestMaxForwards(t *testing.T) {
	w := newWorld(t, settings{}, func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, "origin: ", strings.Join(req.Header["Max-Forwards"], ","))
	})
	for _, c := range []struct{ method, field, want string }{
		{"OPTIONS", "Max-Forwards: 0\r\n", ""},
		{"OPTIONS", "Max-Forwards: 3\r\n", "origin: 2"},
		{"TRACE", "Max-Forwards: 1\r\n", "origin: 0"},
		{"TRACE", "Max-Forwards: 99999999999999999999\r\n", "origin: 18446744073709551614"}, // the largest that is known here
		{"TRACE", "", "origin: "},
		{"OPTIONS", "Max-Forwards: some\r\n", "origin: some"},
		{"GET", "Max-Forwards: 0\r\n", "origin: 0"}, // has no meaning
	} {
		_, in := w.raw(t, c.method+" "+plainURL+"/ HTTP/1.1\r\nHost: www.example.com\r\n"+c.field+"\r\n")
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "200 "+c.want, fmt.Sprint(resp.StatusCode, " ", string(text)), "%s %s", c.method, c.field)
	}

	// The answer to TRACE is the request itself, without what is secret in it.
	const head = "TRACE " + plainURL + "/?q HTTP/1.1\r\nHost: www.example.com\r\n"
	_, in := w.raw(t, head+"Authorization: Basic bWFsbG9yeTp4\r\nCookie: a=b\r\nMax-Forwards: 0\r\nProxy-Authorization: Basic bWFsbG9yeTp4\r\nVia: 1.0 fred\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "message/http", resp.Header.Get("Content-Type"))
	require.Equal(t, head+"Max-Forwards: 0\r\nVia: 1.0 fred\r\n\r\n", string(text))
}

func TestStatusOfErrors(t *testing.T) {
	upstream := http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example"})
	r := &relay{log: logged, transport: &proxyauth.Transport{Proxy: upstream}}
	for err, want := range map[error]int{
		errors.New("x"): 502,
		fmt.Errorf("read: %w", os.ErrDeadlineExceeded): 504,
		&proxyauth.ConnectError{StatusCode: 503}:       503,
		&proxyauth.ConnectError{StatusCode: 401}:       502,
		&proxyauth.ConnectError{StatusCode: 302}:       502,
		&proxyauth.AuthError{StatusCode: 407}:          502,
	} {
		rec := httptest.NewRecorder()
		r.fail(rec, httptest.NewRequest("GET", plainURL, nil), err)
		require.Equal(t, want, rec.Code, "%v", err)
		require.Equal(t, err.Error()+"\n", rec.Body.String())
	}
}

// R31: what bypasses the proxy does not meet it.
func TestBypass(t *testing.T) {
	w := newWorld(t, settings{}, echo)
	for _, url := range []string{w.plain.URL, w.secure.URL} {
		resp, err := w.client.Post(url, "", strings.NewReader("ping"))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Zero(t, w.proxy.Counts().Requests)
	for url, direct := range map[string]bool{"http://www.direct.example": true, "https://www.direct.example": true, plainURL: false} {
		proxy, err := w.relay.transport.Proxy(httptest.NewRequest("GET", url, nil))
		require.NoError(t, err)
		require.Equal(t, direct, proxy == nil)
	}
}

// A public relay does not open this machine's own services to others.
func TestPublicKeepsLoopback(t *testing.T) {
	w := newWorld(t, settings{public: true}, echo)
	resp, text := w.get(t, w.plain.URL)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	require.Contains(t, text, "-public")
	_, in := w.raw(t, "CONNECT "+w.secure.Listener.Addr().String()+" HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	resp, _ = w.get(t, plainURL) // its upstream it may reach
	require.Equal(t, 200, resp.StatusCode)

	// But not for others: to the upstream they would come from this machine.
	w.proxy.Reset()
	for _, request := range []string{
		"CONNECT " + w.proxy.URL.Host + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET " + w.proxy.URL.String() + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		_, in := w.raw(t, request)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, resp.StatusCode)
	}
	require.Empty(t, w.proxy.Transcript())
}

func TestListen(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		_, err := listenOn(address, false)
		require.ErrorContains(t, err, "-public")
	}
	for address, public := range map[string]bool{":0": true, "localhost:0": false, "127.0.0.2:0": false} {
		l, err := listenOn(address, public)
		require.NoError(t, err)
		l.Close()
	}
	_, err := listenOn("nonsense", false)
	require.ErrorContains(t, err, "-listen")
}

// Two relays that are each other's upstream, and one that is asked for itself.
func TestLoop(t *testing.T) {
	var ls [2]*net.TCPListener
	for i := range ls {
		var err error
		ls[i], err = listenOn("127.0.0.1:0", false)
		require.NoError(t, err)
	}
	w := &world{}
	for i, l := range ls {
		other := &url.URL{Scheme: "http", Host: ls[1-i].Addr().String()}
		w.start(t, l, config{forHTTP: other, forHTTPS: other, log: logged}, 0)
	}
	for _, target := range []string{
		"GET " + plainURL + "/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
		connectDB,
		"GET " + w.url.String() + "/ HTTP/1.1\r\nHost: " + w.url.Host + "\r\n\r\n",
		"CONNECT localhost:" + w.url.Port() + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		_, in := w.raw(t, target)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusLoopDetected, resp.StatusCode, target)
	}

	self := ls[0].Addr().(*net.TCPAddr)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		upstream := &url.URL{Scheme: "http", Host: fmt.Sprint(host, ":", self.Port)}
		_, err := newRelay(config{forHTTP: w.url, forHTTPS: upstream, log: logged}, self)
		require.ErrorContains(t, err, "this relay itself")
	}
}

// Open tunnels go on, new connections are refused.
func TestGracefulStop(t *testing.T) {
	w := tunnelTo(t, settings{grace: time.Hour}, func(c *net.TCPConn) { io.Copy(c, c) })
	conn, in := w.raw(t, connectDB)
	opened(t, in)
	w.stop()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", w.url.Host)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond)

	_, err := io.WriteString(conn, "still there")
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	got, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "still there", string(got))
	require.NoError(t, <-w.stopped)
}

// After the time of grace nothing goes on.
func TestGraceEnds(t *testing.T) {
	forwarded := make(chan bool)
	w := tunnelTo(t, settings{grace: time.Millisecond}, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		if b, _ := in.Peek(1); string(b) == "G" {
			close(forwarded)
		}
		io.Copy(io.Discard, in)
	})
	_, tunnel := w.raw(t, connectDB)
	opened(t, tunnel)
	_, waiting := w.raw(t, "GET "+plainURL+" HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	<-forwarded
	w.stop()
	require.NoError(t, <-w.stopped)
	for _, in := range []*bufio.Reader{waiting, tunnel} {
		got, _ := io.ReadAll(in)
		require.Empty(t, got) // no answer, rather than a false one
	}
}

func TestStatusPage(t *testing.T) {
	w := newWorld(t, settings{}, echo)
	w.get(t, plainURL)
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, host string) (*http.Response, string) {
		req, err := http.NewRequest(method, w.url.String()+path, nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := direct.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NotContains(t, resp.Header, "Access-Control-Allow-Origin")
		return resp, string(body)
	}
	resp, text := ask("GET", "/", "")
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, text, "upstream       "+w.proxy.URL.String()+"\n")
	require.Contains(t, text, "requests       1, of which 0 failed\n")
	_, text = ask("GET", "/status.json", "localhost:1")
	var s status
	require.NoError(t, json.Unmarshal([]byte(text), &s))
	require.Equal(t, int64(1), s.Requests)
	require.Equal(t, int64(1), s.Authentication.Exchanges)
	require.Equal(t, int64(1), s.Authentication.Handshakes)
	require.Equal(t, []string{w.proxy.URL.String()}, s.Upstreams)
	for _, key := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(text, -1) {
		require.Regexp(t, "^[a-z_]+$", key[1])
	}

	for _, host := range []string{"rebound.example", "rebound.example:3128", "127.0.0.1.rebound.example"} {
		resp, _ = ask("GET", "/", host)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, host)
	}
	resp, _ = ask("POST", "/", "")
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	resp, _ = ask("GET", "/other", "[::1]:1")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}
