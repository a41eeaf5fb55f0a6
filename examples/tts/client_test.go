package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const (
	apiKey        = "0123456789-the-key-of-the-API"
	proxyPassword = "open sesame"
)

// A scenario is an API behind a proxy, and a client on this side of it.
type scenario struct {
	proxy     *proxytest.Proxy
	transport *proxyauth.Transport
	client    *Client

	mu       sync.Mutex
	requests []*http.Request // as the API got them
	bodies   []*bytes.Buffer
	handler  http.Handler
	log      bytes.Buffer // of the audit
}

func newScenario(t *testing.T, auth proxytest.Auth, start func(proxytest.Config) *proxytest.Proxy) *scenario {
	s := &scenario{}
	s.handler = newAPI(slog.New(slog.NewJSONHandler(&s.log, nil)), apiKey)
	authority, err := newAuthority()
	require.NoError(t, err)
	addr, stop, err := serve("127.0.0.1:0", authority, s)
	require.NoError(t, err)
	t.Cleanup(stop)
	s.proxy = start(proxytest.Config{
		Auth:  []proxytest.Auth{auth},
		Users: map[string]string{"alice": proxyPassword},
		Dial: func(ctx context.Context, network, target string) (net.Conn, error) {
			if target != "api.example:443" {
				return nil, errors.New("no such host")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
	t.Cleanup(s.proxy.Close)
	s.transport = NewTransport(http.ProxyURL(s.proxy.URL), authority.pool())
	s.transport.Base.ExpectContinueTimeout = time.Minute // not before the API says so
	s.transport.ProxyTLSClientConfig = s.proxy.ClientTLSConfig()
	s.transport.Credentials = proxyauth.UserPassword("alice", proxyPassword)
	t.Cleanup(s.transport.CloseIdleConnections)
	s.client = s.newClient(t, apiKey)
	return s
}

func (s *scenario) newClient(t *testing.T, key string) *Client {
	client, err := NewClient("https://api.example", key, s.transport, 0)
	require.NoError(t, err)
	return client
}

// ServeHTTP notes what reaches the API, one request at a time.
func (s *scenario) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := new(bytes.Buffer)
	s.requests, s.bodies = append(s.requests, r.Clone(context.Background())), append(s.bodies, body)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, body), r.Body}
	s.handler.ServeHTTP(w, r)
}

func digest() proxytest.Auth {
	return proxytest.Digest{Realm: "corp", Algorithms: []string{"SHA-256"}}
}

// R27, R29, R35: who gets to see what, on the wire.
func TestSecrets(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "corp"}, "Digest": digest(), "NTLM": proxytest.NTLM{}} {
		for scheme, start := range map[string]func(proxytest.Config) *proxytest.Proxy{"http": proxytest.New, "https": proxytest.NewTLS} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				s := newScenario(t, auth, start)
				const text = "A text that is nobody's business."
				reference := speak("reference", ownPitch)
				wav, err := s.client.Speak(t.Context(), text, bytes.NewReader(reference))
				require.NoError(t, err)
				require.Equal(t, speak(text, 2*ownPitch/1.54), wav)

				// The proxy: the name of the API, and nothing of what is for it.
				for _, leg := range s.proxy.Transcript() {
					require.Equal(t, "CONNECT api.example:443", leg.Method+" "+leg.Target)
					require.NotContains(t, leg.Header, "Authorization")
					require.NotContains(t, fmt.Sprint(leg), apiKey)
				}
				require.Equal(t, 1, s.proxy.Counts().Tunnels)
				require.Equal(t, 1, s.proxy.Attempts("alice"))

				// The API: its key once in each request, and nothing of what is for the proxy.
				require.Len(t, s.requests, 2)
				require.Equal(t, []string{"/v1/voices", "/v1/speech"}, []string{s.requests[0].URL.String(), s.requests[1].URL.String()})
				require.Equal(t, string(reference), s.bodies[0].String(), "whole, and once")
				for i, r := range s.requests {
					require.Equal(t, "HTTP/2.0", r.Proto)
					require.Equal(t, []string{"Bearer " + apiKey}, r.Header["Authorization"])
					all := fmt.Sprint(r.Method, r.URL, r.Host, r.Header, s.bodies[i])
					require.Equal(t, 1, strings.Count(all, apiKey))
					require.NotContains(t, all, "Proxy-")
					for _, secret := range []string{proxyPassword, base64.StdEncoding.EncodeToString([]byte("alice:" + proxyPassword))} {
						require.NotContains(t, all, secret)
					}
				}

				// The audit log: who and how much.
				for _, secret := range []string{apiKey, proxyPassword, text, "nobody"} {
					require.NotContains(t, s.log.String(), secret)
				}
				require.Contains(t, s.log.String(), fmt.Sprintf(`"key":"469c71ed","call":"voices","status":200,"characters":0,"audio":%d}`, len(reference)))
				require.Contains(t, s.log.String(), `"key":"469c71ed","call":"speech","status":200,"characters":33,"audio":0}`)

				for _, shown := range []string{fmt.Sprint(s.client), fmt.Sprintf("%+v %#v", s.client, s.client)} {
					require.NotContains(t, shown, apiKey)
					require.NotContains(t, shown, proxyPassword)
				}
			})
		}
	}
}

// What is wrong is told in a line, with whose fault it is.
func TestErrors(t *testing.T) {
	s := newScenario(t, digest(), proxytest.New)
	for name, c := range map[string]struct {
		text      string
		reference io.Reader
		status    int
		want      string
	}{
		"control character": {"bell: \a", nil, 400, "character 7 of the text is a control character (U+0007)"},
		"escape":            {"\x1b[2J", nil, 400, "character 1 of the text is a control character (U+001B)"},
		"over-long":         {strings.Repeat("ü", 1001), nil, 400, "the text has 1001 characters, at most 1000 are allowed"},
		"endless":           {strings.Repeat("x", maxOrder), nil, 413, "at most 65536 bytes are allowed"},
		"empty":             {"", nil, 400, "the text is empty"},
		"no audio":          {"hi", strings.NewReader("\x1b[2J"), 400, "the reference is no WAV file: it ends too early"},
		"too large":         {"hi", bytes.NewReader(make([]byte, maxAudio+1)), 413, "at most 1048576 bytes are allowed"},
		"too large stream":  {"hi", io.MultiReader(bytes.NewReader(wavHeader(maxAudio)), bytes.NewReader(make([]byte, maxAudio))), 413, "at most 1048576 bytes are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			s.handler = newAPI(slog.New(slog.DiscardHandler), apiKey) // a new rate limit
			_, err := s.client.Speak(t.Context(), c.text, c.reference)
			var refused *APIError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "API", FailedAt(err))
			require.Equal(t, c.status, refused.StatusCode)
			require.Equal(t, c.want, refused.Message)
			require.Equal(t, fmt.Sprintf("the API answered %d %s: %s", c.status, http.StatusText(c.status), c.want), err.Error())
		})
	}

	t.Run("newlines and all scripts are text", func(t *testing.T) {
		_, err := s.client.Speak(t.Context(), "Hello,\nwörld 世界 🎉", nil)
		require.NoError(t, err)
	})

	t.Run("wrong key", func(t *testing.T) {
		s.handler = newAPI(slog.New(slog.NewJSONHandler(&s.log, nil)), apiKey)
		_, err := s.newClient(t, "the password of something else").Speak(t.Context(), "hi", nil)
		require.EqualError(t, err, "the API answered 401 Unauthorized: a valid API key is needed: Authorization: Bearer …")
		require.Contains(t, s.log.String(), `"key":"unknown","call":"unknown","status":401,"characters":0,"audio":0}`)
		require.NotContains(t, s.log.String(), "password")
	})

	t.Run("an API that repeats the key, in red", func(t *testing.T) {
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error": "\u001b[31mwhat is %s?"}`, r.Header.Get("Authorization"))
		})
		_, err := s.client.Speak(t.Context(), "hi", nil)
		require.EqualError(t, err, "the API answered 400 Bad Request: \ufffd[31mwhat is Bearer …?")
	})

	t.Run("a redirect is not followed", func(t *testing.T) {
		s.handler = http.RedirectHandler("http://api.example/v1/speech", http.StatusTemporaryRedirect)
		before := s.proxy.Counts().Requests
		_, err := s.client.Speak(t.Context(), "hi", nil)
		require.EqualError(t, err, "the API answered 307 Temporary Redirect")
		require.Equal(t, before, s.proxy.Counts().Requests)
	})

	t.Run("not audio", func(t *testing.T) {
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") })
		_, err := s.client.Speak(t.Context(), "hi", nil)
		require.EqualError(t, err, `the API answered with "text/html", not with audio/wav`)
	})
}

// Errors of the proxy are told from those of the API, and of neither.
func TestFailedAt(t *testing.T) {
	t.Run("password", func(t *testing.T) {
		s := newScenario(t, proxytest.NTLM{}, proxytest.New)
		s.transport.Credentials = proxyauth.UserPassword("alice", "wrong")
		_, err := s.client.Speak(t.Context(), "hi", nil)
		require.ErrorIs(t, err, proxyauth.ErrRejected)
		require.Equal(t, "proxy", FailedAt(err))
		require.Empty(t, s.requests)
	})
	t.Run("no way to the API", func(t *testing.T) {
		s := newScenario(t, digest(), proxytest.New)
		client, err := NewClient("https://other.example", apiKey, s.transport, 0)
		require.NoError(t, err)
		_, err = client.Speak(t.Context(), "hi", nil)
		var refused *proxyauth.ConnectError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "proxy", FailedAt(err))
	})
	t.Run("no proxy", func(t *testing.T) {
		s := newScenario(t, digest(), proxytest.New)
		s.proxy.Close()
		_, err := s.client.Speak(t.Context(), "hi", nil)
		require.Equal(t, "proxy", FailedAt(err), err)
	})
	t.Run("unknown CA", func(t *testing.T) {
		s := newScenario(t, digest(), proxytest.New)
		other, err := newAuthority()
		require.NoError(t, err)
		s.transport.Base.TLSClientConfig.RootCAs = other.pool()
		_, err = s.client.Speak(t.Context(), "hi", nil)
		var untrusted *tls.CertificateVerificationError
		require.ErrorAs(t, err, &untrusted)
		require.Empty(t, FailedAt(err))
		require.Empty(t, s.requests, "nothing is sent to whom is not trusted")
	})
	t.Run("unknown CA of the proxy", func(t *testing.T) {
		s := newScenario(t, proxytest.Basic{Realm: "corp"}, proxytest.NewTLS)
		s.transport.ProxyTLSClientConfig = nil // trusts what is trusted for the API
		_, err := s.client.Speak(t.Context(), "hi", nil)
		var untrusted *tls.CertificateVerificationError
		require.ErrorAs(t, err, &untrusted)
		require.Equal(t, "proxy", FailedAt(err))
		require.Empty(t, s.proxy.Transcript())
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := newScenario(t, digest(), proxytest.New)
		_, err := s.client.Speak(ctx, "hi", nil)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, FailedAt(err))
		require.Zero(t, s.proxy.Counts().Connections)
	})
}

func TestNewClient(t *testing.T) {
	for _, api := range []string{"http://api.example", "api.example", "https://", "https://key@api.example", "https://%"} {
		_, err := NewClient(api, apiKey, nil, 0)
		require.ErrorContains(t, err, "must be https://host", api)
	}
}

// A reference is read once, from where its reader stands, whatever it is.
func TestReferences(t *testing.T) {
	s := newScenario(t, digest(), proxytest.New)
	reference := speak(strings.Repeat("a", 400), ownPitch) // more than all buffers on the way
	path := filepath.Join(t.TempDir(), "reference.wav")
	require.NoError(t, os.WriteFile(path, append([]byte("skipped"), reference...), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.Seek(int64(len("skipped")), io.SeekStart)
	require.NoError(t, err)
	pipe, out, err := os.Pipe()
	require.NoError(t, err)
	defer pipe.Close()
	var writing sync.WaitGroup
	writing.Go(func() { out.Write(reference); out.Close() })
	defer writing.Wait()

	for name, r := range map[string]io.Reader{"file": file, "pipe": pipe, "memory": bytes.NewReader(reference), "stream": io.MultiReader(bytes.NewReader(reference))} {
		s.handler = newAPI(slog.New(slog.DiscardHandler), apiKey)
		s.requests, s.bodies = nil, nil
		counted := &countingReader{r: r}
		if name == "stream" {
			r = counted
		}
		_, err := s.client.Speak(t.Context(), "hi", r)
		require.NoError(t, err, name)
		require.Len(t, s.requests, 2)
		require.True(t, bytes.Equal(reference, s.bodies[0].Bytes()), name)
		if name == "stream" {
			require.EqualValues(t, len(reference), counted.n)
		}
	}
	_, err = file.Stat()
	require.NoError(t, err, "it is not closed")

	// What the API refuses is not even read.
	stream := &countingReader{r: bytes.NewReader(reference)}
	_, err = s.newClient(t, "wrong").Speak(t.Context(), "hi", stream)
	require.Equal(t, "API", FailedAt(err))
	require.Zero(t, stream.n)
}

// answers is a transport without a network, for tests in a bubble whose time
// runs by itself.
type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := a(r)
	if r.Body != nil {
		r.Body.Close()
	}
	return resp, r.Context().Err()
}

// served answers by a handler.
func served(h http.Handler) answers {
	return func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
}

// Client and API agree on the pace: each 429 is obeyed, and none is in vain.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(slog.New(slog.DiscardHandler), apiKey, "another key")
		var statuses []int
		var allowed time.Time // by the last 429
		client, err := NewClient("https://api.example", apiKey, answers(func(r *http.Request) *http.Response {
			require.False(t, time.Now().Before(allowed), "Retry-After is honoured")
			resp := served(api)(r)
			statuses = append(statuses, resp.StatusCode)
			if resp.StatusCode == 429 {
				require.Equal(t, "1", resp.Header.Get("Retry-After"))
				allowed = time.Now().Add(time.Second)
			}
			return resp
		}), 0)
		require.NoError(t, err)
		start := time.Now()
		for range 4 {
			wav, err := client.Speak(t.Context(), "hi", bytes.NewReader(speak("r", ownPitch)))
			require.NoError(t, err)
			require.Equal(t, speak("hi", 2*ownPitch/1.06), wav)
		}
		// 5 at once, and 2 in each second after that.
		require.Equal(t, []int{200, 200, 200, 200, 200, 429, 200, 200, 429, 200}, statuses)
		require.Equal(t, 2*time.Second, time.Since(start))

		// A stream cannot be sent again; another key has a pace of its own.
		_, err = client.Speak(t.Context(), "hi", nil) // the last of this second
		require.NoError(t, err)
		_, err = client.Speak(t.Context(), "hi", io.MultiReader(bytes.NewReader(speak("r", ownPitch))))
		require.EqualError(t, err, "the API answered 429 Too Many Requests: too many requests (come back in 1s)")
		other, err := NewClient("https://api.example", "another key", served(api), 0)
		require.NoError(t, err)
		_, err = other.Speak(t.Context(), "hi", nil)
		require.NoError(t, err)
	})
}

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		header   func(now time.Time) http.Header
		deadline time.Duration
		times    int // that the API is asked, if it goes on like this
		waits    time.Duration
	}{
		"seconds":     {429, field("Retry-After", "7"), time.Hour, 5, 28 * time.Second},
		"unavailable": {503, field("Retry-After", "7"), time.Hour, 5, 28 * time.Second},
		"at once":     {429, field("Retry-After", "0"), time.Hour, 5, 0},
		"date": {429, func(now time.Time) http.Header {
			return http.Header{"Retry-After": {now.Add(9 * time.Second).UTC().Format(http.TimeFormat)}}
		}, time.Hour, 5, 36 * time.Second},
		"date by a clock that is slow": {429, func(now time.Time) http.Header {
			now = now.Add(-time.Hour)
			return http.Header{"Date": {now.UTC().Format(http.TimeFormat)}, "Retry-After": {now.Add(9 * time.Second).UTC().Format(http.TimeFormat)}}
		}, time.Hour, 5, 36 * time.Second},
		"date gone by":      {429, field("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), time.Hour, 5, 0},
		"none":              {429, field("X", "7"), time.Hour, 1, 0},
		"nonsense":          {429, field("Retry-After", "-7"), time.Hour, 1, 0},
		"too long":          {429, field("Retry-After", "2000000000"), time.Hour, 1, 0},
		"after the context": {429, field("Retry-After", "7"), 6 * time.Second, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []string
				client, err := NewClient("https://api.example", apiKey, answers(func(r *http.Request) *http.Response {
					body, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					bodies = append(bodies, string(body))
					return &http.Response{StatusCode: c.status, Header: c.header(time.Now()), Body: http.NoBody}
				}), 0)
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
				defer cancel()
				start := time.Now()
				_, err = client.Speak(ctx, "hi", nil)
				var refused *APIError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, c.status, refused.StatusCode)
				require.Equal(t, c.waits, time.Since(start))
				require.Len(t, bodies, c.times)
				for _, body := range bodies {
					require.JSONEq(t, `{"text": "hi"}`, body)
				}
			})
		})
	}
}

func field(name, value string) func(time.Time) http.Header {
	return func(time.Time) http.Header { return http.Header{name: {value}} }
}

// A caller who gives up during a pause is not kept waiting, and a pause is one
// for all callers.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Duration
		start := time.Now()
		client, err := NewClient("https://api.example", apiKey, answers(func(r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, time.Since(start))
			if len(asked) == 1 {
				return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"60"}}, Body: http.NoBody}
			}
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"audio/wav"}}, Body: http.NoBody}
		}), time.Second)
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			_, err := client.Speak(ctx, "one", nil)
			assert.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, 10*time.Second, time.Since(start))
		})
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				_, err := client.Speak(t.Context(), "others", nil)
				assert.NoError(t, err)
			})
		}
		time.Sleep(10 * time.Second) // of the bubble: none
		cancel()
		wg.Wait()
		require.Equal(t, []time.Duration{0, 60 * time.Second, 61 * time.Second, 62 * time.Second}, asked, "and a second apart")
	})
}
