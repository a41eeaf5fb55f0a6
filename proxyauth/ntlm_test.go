package proxyauth_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func ntlmOnly() []proxytest.Auth { return []proxytest.Auth{proxytest.NTLM{}} }

// messages returns the types of the NTLM messages that p got, by connection.
func messages(p *proxytest.Proxy) map[int]string {
	got := map[int]string{}
	for _, leg := range p.Transcript() {
		switch field := leg.Header.Get("Proxy-Authorization"); {
		case strings.HasPrefix(field, "NTLM TlRMTVNTUAAB"):
			got[leg.Conn] += "1"
		case strings.HasPrefix(field, "NTLM TlRMTVNTUAAD"):
			got[leg.Conn] += "3"
		default:
			got[leg.Conn] += "-"
		}
	}
	return got
}

// A known route starts with type 1: two requests for a new connection, and one
// for each that follows on it.
func TestNTLMTrips(t *testing.T) {
	t.Parallel()
	for _, start := range []func(proxytest.Config) *proxytest.Proxy{proxytest.New, proxytest.NewTLS} {
		o := newOrigin(t)
		for way, url := range o.ways() {
			p := start(proxytest.Config{Auth: ntlmOnly(), Users: alice})
			t.Cleanup(p.Close)
			t.Run(p.URL.Scheme+"/"+way, func(t *testing.T) {
				tr := newTransport(t, p, o)
				for range 3 {
					requireOK(t, tr, url)
				}
				tr.CloseIdleConnections()
				requireOK(t, tr, url)
				want := map[int]string{1: "-", 2: "13--", 3: "13"}
				if way == "tunnel" {
					want[2] = "13"
				}
				require.Equal(t, want, messages(p))
				require.Empty(t, o.proxyFields())

				// Configured alone, there is not even the first 407.
				p.Reset()
				tr = newTransport(t, p, o)
				tr.Schemes = []proxyauth.Scheme{proxyauth.NTLM()}
				requireOK(t, tr, url)
				require.Equal(t, 2, p.Counts().Requests)
			})
		}
	}
}

func TestNTLMConcurrently(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				url := w.ways()[way]
				p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
				tr := w.newTransport(p)
				tr.Base.ForceAttemptHTTP2 = false
				if way == "tunnel" {
					// net/http begins to dial for every request that finds no idle
					// connection, and opens more than it needs if dialing takes time.
					tr.Base.MaxConnsPerHost = 50
				}
				concurrently(t, 50, 500, tr, url)
				synctest.Wait() // dials that no request waits for any more
				c := p.Counts()
				t.Logf("%+v", c)
				require.LessOrEqual(t, c.Connections, 51)
				handshakes := c.Connections - 1 // the first 407 came on one of its own
				if way == "forward" {
					require.Equal(t, 500+handshakes+1, c.Requests)
				} else {
					require.Equal(t, 2*handshakes+1, c.Requests)
				}
				require.Equal(t, handshakes, p.Attempts("alice"))
			})
		})
	}
}

func TestNTLMBurst(t *testing.T) {
	// A handshake for each connection, and without more than these.
	for way, requests := range map[string]func(handshakes int) int{
		"forward": func(n int) int { return 1000 + n },
		"tunnel":  func(n int) int { return 2 * n },
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
				tr := w.newTransport(p)
				tr.Base.MaxConnsPerHost = 64
				tr.Base.ForceAttemptHTTP2 = false
				// Slow enough for all connections to be needed.
				w.handler = func(rw http.ResponseWriter, _ *http.Request) {
					time.Sleep(time.Second)
					io.WriteString(rw, "origin")
				}
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(func() {
						_, _, err := fetch(tr, w.ways()[way])
						assert.NoError(t, err)
					})
				}
				wg.Wait()
				synctest.Wait()
				c := p.Counts()
				require.Equal(t, 65, c.Connections, "64 and one to learn the scheme")
				require.Equal(t, requests(c.Connections-1)+1, c.Requests)
			})
		})
	}
}

func TestNTLMUsers(t *testing.T) {
	o := newOrigin(t)
	for name, test := range map[string]struct {
		user string
		ok   bool
	}{
		"bare":           {"alice", true},
		"domain":         {`TESTDOM\alice`, true},
		"UPN":            {"alice@corp.example", true},
		"unknown domain": {`OTHER\bob`, false},
		"known domain":   {`CORP\bob`, true},
		"Unicode":        {`ДОМЕН\пользователь`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: map[string]string{
				"alice": "pa ss:wörd", `CORP\bob`: "pa ss:wörd", "alice@corp.example": "pa ss:wörd", "пользователь": "pa ss:wörd",
			}})
			tr := newTransport(t, p, o)
			tr.Credentials = proxyauth.UserPassword(test.user, "pa ss:wörd")
			for _, url := range o.ways() {
				_, _, err := fetch(tr, url)
				if test.ok {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, proxyauth.ErrRejected)
				}
			}
		})
	}
}

// A password that changes while 50 goroutines use it is not tried 50 times.
func TestNTLMPasswordExpires(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
			tr := newTransport(t, p, o)
			requireOK(t, tr, url)
			tr.CloseIdleConnections()
			p.SetUser("alice", "open wheat")
			p.Reset()
			_, _, err := fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			_, _, err = fetch(tr, url)
			require.ErrorIs(t, err, proxyauth.ErrRejected)
			require.Equal(t, 1, p.Attempts("alice"))
		})
	}
}

// Channel binding, MIC and target name, and a proxy that is somebody else.
func TestNTLMBinding(t *testing.T) {
	o := newOrigin(t)
	p := proxytest.NewTLS(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{
		RequireChannelBinding: true, RequireMIC: true, RequireTargetName: true,
	}}, Users: alice})
	t.Cleanup(p.Close)
	for _, url := range o.ways() {
		requireOK(t, newTransport(t, p, o), url)
	}

	// A man in the middle with a certificate that the client trusts passes the
	// messages on: the handshake is bound to the wrong connection.
	for _, url := range o.ways() {
		tr := newTransport(t, p, o)
		addr, cert := relayTLS(t, p)
		tr.Base.TLSClientConfig.RootCAs.AddCert(cert)
		tr.Base.DialContext = dialOnly(addr)
		_, _, err := fetch(tr, url)
		require.ErrorIs(t, err, proxyauth.ErrRejected)
	}
}

func TestNTLMAwkward(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]proxytest.Config{
		"closes after 407":    {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{CloseAfter407: true}},
		"closes silently":     {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{CloseSilently407: true}},
		"HTTP/1.0":            {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{HTTP10: true}},
		"chunked":             {Auth: ntlmOnly(), Behaviour: proxytest.Behaviour{Chunked407: true}},
		"re-challenges":       {Auth: []proxytest.Auth{proxytest.NTLM{RechallengeAfter: 2}}},
		"with others":         {Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}, proxytest.Digest{Realm: "r"}, proxytest.NTLM{}}},
		"one field":           {Auth: []proxytest.Auth{proxytest.NTLM{}, proxytest.Basic{Realm: "r"}}, Behaviour: proxytest.Behaviour{OneField: true}},
		"no target info":      {Auth: []proxytest.Auth{proxytest.NTLM{NoTargetInfo: true}}},
		"no timestamp":        {Auth: []proxytest.Auth{proxytest.NTLM{NoTimestamp: true}}},
		"no session security": {Auth: []proxytest.Auth{proxytest.NTLM{NoExtendedSecurity: true}}},
	} {
		o := newOrigin(t)
		for way, url := range o.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				c.Users = alice
				p := newProxy(t, c)
				tr := newTransport(t, p, o)
				for range 6 {
					requireOK(t, tr, url)
				}
				resp, err := (&http.Client{Transport: tr}).Post(url, "text/plain", strings.NewReader("body"))
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, 200, resp.StatusCode)
				require.Zero(t, p.Refused("alice"))
				for _, scheme := range sent(p) {
					require.Equal(t, "NTLM", scheme)
				}
				if way == "forward" && name == "HTTP/1.0" {
					require.LessOrEqual(t, p.Counts().Connections, 2, "Proxy-Connection: keep-alive is honoured")
				}
			})
		}
	}
}

// What cannot work falls through to the next scheme offered.
func TestNTLMFallsThrough(t *testing.T) {
	w := newWorld(t)
	for name, type2 := range map[string]string{
		"malformed":  "NTLM TlRMTVNTUAACAAAAAAAA",
		"not base64": "NTLM a.b~c",
		"no token68": "NTLM ====",
		"huge":       "NTLM " + strings.Repeat("A", 60_000),
	} {
		for way, url := range w.ways() {
			t.Run(name+"/"+way, func(t *testing.T) {
				s := w.scripted(func(req *http.Request) scripted.Answer {
					switch field := req.Header.Get("Proxy-Authorization"); {
					case strings.HasPrefix(field, "NTLM"):
						return scripted.Challenges(type2)
					case strings.HasPrefix(field, "Basic"):
						return scripted.PassWith("origin").Then(scripted.HangUp())
					}
					return scripted.Challenges("NTLM", "Basic realm=r")
				})
				tr := w.through(s)
				_, _, err := fetch(tr, url)
				var last string
				for _, req := range s.Requests() {
					last = req.Header.Get("Proxy-Authorization")
				}
				require.True(t, strings.HasPrefix(last, "Basic"), "%q %v", last, err)
				require.LessOrEqual(t, len(s.Requests()), 4)
			})
		}
	}
	s := w.scripted(scripted.Demand(scripted.Challenge("NTLM"),
		scripted.Status(407, "Proxy-Authenticate: NTLM TlRMTVNTUAACAAAAAAAA", "Connection: close").Then(scripted.HangUp())))
	_, _, err := fetch(w.through(s), w.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
	require.ErrorContains(t, err, "between the legs")
}

// Connections are of one identity: two Transports share none, and a source that
// gives others starts new ones.
func TestNTLMIdentities(t *testing.T) {
	o := newOrigin(t)
	for way, url := range o.ways() {
		t.Run(way, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: map[string]string{"alice": "open sesame", "bob": "b"}})
			first, second := newTransport(t, p, o), newTransport(t, p, o)
			second.Credentials = proxyauth.UserPassword("bob", "b")
			for range 2 {
				requireOK(t, first, url)
				requireOK(t, second, url)
			}
			who := map[int]string{}
			for _, leg := range p.Transcript() {
				if leg.User != "" {
					require.Contains(t, []string{"", leg.User}, who[leg.Conn])
					who[leg.Conn] = leg.User
				}
			}

			source := &rotating{}
			source.password.Store("open sesame")
			tr := newTransport(t, p, o)
			tr.Credentials = source
			requireOK(t, tr, url)
			p.SetUser("alice", "open wheat")
			source.password.Store("open wheat")
			p.Reset()
			requireOK(t, tr, url)
			require.Equal(t, 2, p.Counts().Requests)
			require.Equal(t, 1, p.Attempts("alice"))
			require.Zero(t, p.Refused("alice"))
		})
	}
}

// A connection that died while it was idle costs the caller nothing.
func TestNTLMDeadConnection(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	tr := newTransport(t, p, o)
	for range 20 {
		requireOK(t, tr, o.HTTP.URL)
		p.CloseClientConnections()
		requireOK(t, tr, o.HTTP.URL)
		p.CloseClientConnections()
		resp, err := (&http.Client{Transport: tr}).Post(o.HTTP.URL, "text/plain", strings.NewReader("body"))
		if err == nil { // a POST is repeated only if it cannot have been seen
			resp.Body.Close()
		}
	}
}

func TestNTLMPoolLimits(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})

		tr := w.newTransport(p)
		tr.Base.DisableKeepAlives = true
		requireOK(t, tr, w.HTTP.URL)
		requireOK(t, tr, w.HTTP.URL)
		require.Equal(t, 3, p.Counts().Connections)

		p.Reset()
		tr = w.newTransport(p)
		tr.Base.IdleConnTimeout = time.Minute
		requireOK(t, tr, w.HTTP.URL)
		time.Sleep(time.Minute - time.Nanosecond)
		requireOK(t, tr, w.HTTP.URL)
		require.Equal(t, 2, p.Counts().Connections)
		time.Sleep(time.Minute)
		synctest.Wait() // the timer runs beside
		requireOK(t, tr, w.HTTP.URL)
		require.Equal(t, 3, p.Counts().Connections)

		// A request that waits for a connection ends with its context.
		p.Reset()
		tr = w.newTransport(p)
		tr.Base.MaxConnsPerHost = 1
		requireOK(t, tr, w.HTTP.URL)
		block := make(chan struct{})
		busy := make(chan struct{}, 1)
		w.handler = func(http.ResponseWriter, *http.Request) { busy <- struct{}{}; <-block }
		done := make(chan error)
		go func() { _, _, err := fetch(tr, w.HTTP.URL); done <- err }()
		<-busy
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", w.HTTP.URL, nil)
		require.NoError(t, err)
		_, err = tr.RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(block)
		require.NoError(t, <-done)
		w.handler = nil
		requireOK(t, tr, w.HTTP.URL)
	})
}

// 101 through a pinned connection, HEAD, 204, and gzip.
func TestNTLMResponses(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Header.Get("Upgrade") != "":
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, rw)
		case req.URL.Path == "/204":
			w.WriteHeader(204)
		default:
			fmt.Fprint(w, "origin")
		}
	}
	for range 3 {
		for _, path := range []string{"/204", "/"} {
			req, _ := http.NewRequest(map[string]string{"/204": "GET", "/": "HEAD"}[path], o.HTTP.URL+path, nil)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Same(t, req, resp.Request)
		}
	}
	require.Equal(t, 2, p.Counts().Connections)

	for range 2 {
		req, _ := http.NewRequest("GET", o.HTTP.URL, nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		rw := resp.Body.(io.ReadWriteCloser)
		io.WriteString(rw, "hello\n")
		// The client may end before the origin does, as through net/http.
		require.NoError(t, rw.(interface{ CloseWrite() error }).CloseWrite())
		got, err := io.ReadAll(rw)
		require.NoError(t, err)
		require.Equal(t, "hello\n", string(got))
		rw.Close()
	}
	requireOK(t, tr, o.HTTP.URL)
}

// Shapes of Base and of requests that connections in use must survive.
func TestNTLMShapes(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	tr := newTransport(t, p, o)
	tr.Base.MaxIdleConnsPerHost = -1
	requireOK(t, tr, o.HTTP.URL)
	requireOK(t, tr, o.HTTP.URL)

	tr = newTransport(t, p, o)
	for range 2 {
		req, err := http.NewRequest("GET", o.HTTP.URL, nil)
		require.NoError(t, err)
		req.Close = true
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
}

// A chain whose first hop is reached by TLS: the second handshake is not bound to
// the first proxy's certificate.
func TestNTLMInChain(t *testing.T) {
	o := newOrigin(t)
	first := proxytest.NewTLS(proxytest.Config{Auth: ntlmOnly(), Users: alice})
	t.Cleanup(first.Close)
	second := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	hop1 := newTransport(t, first, o)
	for _, url := range o.ways() {
		hop2 := newTransport(t, second, o)
		hop2.Base.DialContext = hop1.DialContext
		requireOK(t, hop2, url)
	}
}

// CloseIdleConnections leaves connections in use alone.
func TestNTLMCloseIdleConnections(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
	tr := newTransport(t, p, o)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				tr.CloseIdleConnections()
			}
		}
	})
	for range 200 {
		resp, err := post(t, tr, o.HTTP.URL, io.NopCloser(strings.NewReader("x")))
		if assert.NoError(t, err) {
			assert.Equal(t, 200, resp.StatusCode)
		}
	}
	close(stop)
	wg.Wait()
}

// A refusal that offers NTLM no more is one all the same: the password does not
// go out again.
func TestNTLMRefusedWithoutOffer(t *testing.T) {
	w := newWorld(t)
	for way, url := range w.ways() {
		t.Run(way, func(t *testing.T) {
			var final atomic.Int32
			s := w.scripted(func(req *http.Request) scripted.Answer {
				offer := "NTLM"
				switch field := req.Header.Get("Proxy-Authorization"); {
				case strings.HasPrefix(field, "NTLM TlRMTVNTUAAB"):
					offer += " " + stubType2
				case strings.HasPrefix(field, "NTLM TlRMTVNTUAAD"):
					final.Add(1)
					offer = "X-Other"
				}
				return scripted.Challenges(offer)
			})
			tr := w.through(s)
			for range 3 {
				_, _, err := fetch(tr, url)
				assert.ErrorIs(t, err, proxyauth.ErrRejected)
			}
			require.EqualValues(t, 1, final.Load())
		})
	}
}

// An HTTP/2 connection that is in use when the identity changes is closed with
// the others once it is idle.
func TestFormerTunnelsAreClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		slow, busy := make(chan struct{}), make(chan struct{})
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				close(busy)
				<-slow
			}
			io.WriteString(rw, "origin")
		}
		p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
		tr := w.newTransport(p)
		var open atomic.Int32
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := w.dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &closeCounted{Conn: c, open: &open}, nil
		}
		source := &rotating{}
		source.password.Store("open sesame")
		tr.Credentials = source
		requireOK(t, tr, w.HTTPS.URL)
		done := make(chan error)
		go func() { _, _, err := fetch(tr, w.HTTPS.URL+"/slow"); done <- err }()
		<-busy
		p.SetUser("alice", "open wheat")
		source.password.Store("open wheat")
		requireOK(t, tr, w.HTTPS.URL)
		close(slow)
		require.NoError(t, <-done)
		tr.CloseIdleConnections()
		synctest.Wait()
		require.Zero(t, open.Load())
	})
}

type closeCounted struct {
	net.Conn
	once sync.Once
	open *atomic.Int32
}

func (c *closeCounted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// A connection that has been closed is not held in memory until it would have
// been idle for too long.
func TestNTLMClosedConnectionsAreFreed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: ntlmOnly(), Users: alice})
		tr := w.newTransport(p)
		tr.Base.IdleConnTimeout = time.Hour
		var dialed []weak.Pointer[closeCounted]
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := w.dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			counted := &closeCounted{Conn: c, open: new(atomic.Int32)}
			dialed = append(dialed, weak.Make(counted))
			return counted, nil
		}
		requireOK(t, tr, w.HTTP.URL)
		tr.CloseIdleConnections()
		requireOK(t, tr, w.HTTP.URL)
		p.CloseClientConnections()
		require.Len(t, dialed, 3)
		time.Sleep(time.Minute)
		runtime.GC()
		runtime.GC() // pools keep what they hold for one
		for _, c := range dialed {
			require.Nil(t, c.Value())
		}
	})
}

// A connection that ends between the legs is no reason to give up those that
// are authenticated: what the proxy has let pass before goes on with another.
func TestNTLMLegLost(t *testing.T) {
	w := newWorld(t)
	var begun, bare atomic.Int32
	s := w.scripted(func(req *http.Request) scripted.Answer {
		switch {
		case ntlmStep(req) == 1 && begun.Add(1) == 2:
			return scripted.Status(407, "Proxy-Authenticate: NTLM "+stubType2, "Connection: close").Then(scripted.HangUp())
		case ntlmStep(req) == 1:
			return scripted.Challenges("NTLM " + stubType2)
		case begun.Load() == 0 && bare.Add(1) == 1:
			return scripted.Challenge("NTLM")
		}
		return scripted.PassWith("ok")
	})
	tr := w.through(s)
	for range 2 { // in the first round the second request loses its leg
		var held []*http.Response
		for range 2 {
			req, err := http.NewRequest("GET", w.HTTP.URL, nil)
			require.NoError(t, err)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			held = append(held, resp)
		}
		for _, resp := range held {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	require.EqualValues(t, 3, begun.Load(), "handshakes")
	require.Equal(t, 4, s.Connections(), "connections: of the challenge, of two handshakes, and the lost one")
}
