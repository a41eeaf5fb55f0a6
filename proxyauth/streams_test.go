package proxyauth_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A way in is what a proxy demands and how a client of it answers.
type wayIn struct {
	auth     []proxytest.Auth
	kerberos bool // by a ticket and not by password
}

// waysIn are all the schemes, by name, in all the natures that they have.
var waysIn = map[string]wayIn{
	"Basic":                 {auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}},
	"Digest":                {auth: []proxytest.Auth{proxytest.Digest{Realm: "r"}}},
	"NTLM":                  {auth: ntlmOnly()},
	"Kerberos":              {auth: []proxytest.Auth{proxytest.Negotiate{}}, kerberos: true},
	"Kerberos each time":    {auth: []proxytest.Auth{proxytest.Negotiate{PerRequest: true}}, kerberos: true},
	"NTLM inside Negotiate": {auth: []proxytest.Auth{proxytest.Negotiate{NTLM: &proxytest.NTLM{}}}},
}

func (w wayIn) transport(t testing.TB, p *proxytest.Proxy, o *origin) *watchedTransport {
	if w.kerberos {
		return newKerberosTransport(t, p, o)
	}
	return newTransport(t, p, o)
}

func (in wayIn) transportIn(w *world, p *proxytest.Proxy) *watchedTransport {
	if in.kerberos {
		return w.newKerberosTransport(p)
	}
	return w.newTransport(p)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A gauge is a body that looks at the heap while it is read.
type gauge struct {
	io.Reader
	read, looked int
	peak         uint64
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if g.read += n; g.read >= g.looked+4<<20 {
		g.looked = g.read
		g.peak = max(g.peak, liveHeap())
	}
	return n, err
}

// liveHeap returns the bytes of the heap that are in use.
func liveHeap() uint64 {
	runtime.GC() // runs finalizers and empties half of each sync.Pool
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// R32: a stream that cannot be rewound arrives whole through a cold proxy, once,
// nothing else gets to the origin, and no more than a few buffers of it are in
// memory. The second one goes by what is known.
func TestStreams(t *testing.T) {
	const size, more, maxGrowth = 24 << 20, 4 << 20, 4 << 20
	for name, in := range waysIn {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					var methods []string
					var received int64
					w.drain = func(req *http.Request) {
						n, _ := io.Copy(io.Discard, req.Body)
						w.mu.Lock()
						defer w.mu.Unlock()
						methods, received = append(methods, req.Method), received+n
					}
					p := w.newProxy(proxytest.Config{Auth: in.auth, Users: alice})
					tr := in.transportIn(w, p)
					before := liveHeap()
					g := &gauge{Reader: io.LimitReader(zeros{}, size)}
					for i, body := range []*countedBody{{Reader: g}, {Reader: io.LimitReader(zeros{}, more)}} {
						resp, err := post(t, tr, w.ways()[way], body)
						require.NoError(t, err)
						require.Equal(t, 200, resp.StatusCode)
						synctest.Wait()
						require.EqualValues(t, 1, body.closed.Load())
						require.Len(t, methods, i+1)
					}
					require.Equal(t, []string{"POST", "POST"}, methods)
					require.EqualValues(t, size+more, received)
					if way == "forward" {
						require.EqualValues(t, size+more, p.Counts().BodyBytes)
					}
					growth := int64(g.peak) - int64(before)
					t.Logf("%d bytes, heap growth %d KiB", received, growth>>10)
					require.Less(t, growth, int64(maxGrowth))
				})
			})
		}
	}
}

// streamed returns a POST whose body can be read only once.
func streamed(t testing.TB, url string, r io.Reader) *http.Request {
	req, err := http.NewRequest("POST", url, struct{ io.Reader }{r})
	require.NoError(t, err)
	require.Nil(t, req.GetBody)
	return req
}

// R14, R32: with short-lived nonces a streamed upload would be lost half-way to a
// 407 that says stale=true; it waits for the proxy to ask for it instead.
func TestDigestStreams(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Digest{Realm: "r", NonceUses: 2}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Base.ExpectContinueTimeout = 10 * time.Second
	want := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for range 6 {
		resp, err := tr.RoundTrip(streamed(t, o.HTTP.URL, bytes.NewReader(want)))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}
	require.Len(t, o.bodies, 6)
	for _, body := range o.bodies {
		require.Equal(t, string(want), body)
	}
	require.EqualValues(t, 6*len(want), p.Counts().BodyBytes, "each byte was sent once")
}

// R32: a proxy that leaves no way: it lets OPTIONS pass, does not know Expect, and
// demands authentication when the body is gone. A stream ends in an error that
// says what to do, never cut short or doubled.
func TestBodyConsumed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		got := 0
		s := w.scripted(func(req *http.Request) scripted.Answer {
			switch {
			case req.Method == "OPTIONS":
				return scripted.Raw("HTTP/1.1 204 No Content\r\n\r\n")
			case req.Header.Get("Proxy-Authorization") == "":
				io.Copy(io.Discard, req.Body) // unasked
				return scripted.Challenge("Basic", "realm", "r")
			}
			body, _ := io.ReadAll(req.Body)
			got = len(body)
			return scripted.Status(200)
		})
		tr := w.through(s)
		stream := &countedBody{Reader: strings.NewReader("some text")}
		_, err := post(t, tr, w.HTTP.URL, stream)
		require.ErrorIs(t, err, proxyauth.ErrBodyConsumed)
		require.ErrorContains(t, err, "GetBody")
		synctest.Wait()
		require.EqualValues(t, 1, stream.closed.Load())

		// The failure has taught how to begin the next time.
		_, err = post(t, tr, w.HTTP.URL, &countedBody{Reader: strings.NewReader("some text")})
		require.NoError(t, err)
		require.Equal(t, 9, got)
	})
}

// R32: a stream of unknown length with a method that has seldom a body: net/http
// would read ahead whether there is one.
func TestStreamWithoutLength(t *testing.T) {
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		for _, auth := range []proxytest.Auth{proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}, proxytest.NTLM{}} {
			o := newOrigin(t)
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
			tr := newTransport(t, p, o)
			for range 2 { // cold, warm
				req, err := http.NewRequest(method, o.HTTP.URL, &countedBody{Reader: strings.NewReader("some text")})
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				resp.Body.Close()
			}
			require.Equal(t, []string{"some text", "some text"}, o.bodies)
		}
	}
}

// Credentials of the caller's own go with a stream, too.
func TestOwnAuthorizationOfStream(t *testing.T) {
	w := newWorld(t)
	s := w.scripted(func(req *http.Request) scripted.Answer {
		if req.Header.Get("Proxy-Authorization") != "Bearer token" {
			return scripted.Challenge("Bearer")
		}
		return scripted.PassWith("origin")
	})
	for _, body := range []io.Reader{strings.NewReader("replayed"), io.MultiReader(strings.NewReader("a stream"))} {
		tr := w.through(s)
		tr.Credentials = nil
		req, err := http.NewRequest("POST", w.HTTP.URL, body)
		require.NoError(t, err)
		req.Header.Set("Proxy-Authorization", "Bearer token")
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
}

// R32, R38: four long uploads of streams, with which everything begins at once, do not
// wait for each other: when the proxy has asked for the body of one, the next may try.
// More than four wait, since some proxies ask for a body before they refuse it. (By NTLM
// more than two do: its body goes with the type 3, and nothing tells that it is wanted.)
func TestLongUploadsAtFirst(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{
		"Basic": proxytest.Basic{Realm: "r"}, "Digest": proxytest.Digest{Realm: "r"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				tr := w.newTransport(p)
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						r, body := io.Pipe()
						go func() {
							for range 5 {
								time.Sleep(20 * time.Second)
								body.Write([]byte("part "))
							}
							body.Close()
						}()
						resp, err := (&http.Client{Transport: tr}).Post(w.HTTP.URL, "text/plain", r)
						r.Close()
						if assert.NoError(t, err) {
							resp.Body.Close()
							assert.Equal(t, 200, resp.StatusCode)
						}
					})
				}
				wg.Wait()
				require.Zero(t, tr.Stats().NotSent)
			})
		})
	}
}
