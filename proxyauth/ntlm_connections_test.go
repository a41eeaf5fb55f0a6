package proxyauth_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

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

type closeCounted struct {
	net.Conn
	once sync.Once
	open *atomic.Int32
}

func (c *closeCounted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// R17: 500 requests of 50 goroutines cost a handshake for each connection, and
// nothing more.
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

// R17: shapes of Base and of requests that connections in use must survive.
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

// R17, R30: DisableKeepAlives, IdleConnTimeout and MaxConnsPerHost of Base count
// for authenticated connections, too; a request that waits for one ends with its
// context.
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

// R34: a connection that died while it was idle costs the caller nothing.
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

// A fragileConn ends as one does whose packets a firewall has begun to drop: it
// shows in the next write only.
type fragileConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c *fragileConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.Conn.Write(p)
}

// fillPool makes n requests at the same time, for as many connections.
func fillPool(t *testing.T, n int, tr http.RoundTripper, o *origin) {
	requireOK(t, tr, o.HTTP.URL) // or they would wait for the first
	var together sync.WaitGroup
	together.Add(n)
	o.mu.Lock()
	o.handler = func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait()
		io.WriteString(w, "origin")
	}
	o.mu.Unlock()
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			_, _, err := fetch(tr, o.HTTP.URL)
			assert.NoError(t, err)
		})
	}
	done.Wait()
	o.mu.Lock()
	o.handler = nil
	o.mu.Unlock()
}

// R34: however many pooled connections have ended, or were forgotten by the proxy,
// a request gets through on a new one.
func TestPoolOfDeadConnections(t *testing.T) {
	const many = 15 // more than the legs that a request may take
	t.Run("ended", func(t *testing.T) {
		o := newOrigin(t)
		p := newProxy(t, proxytest.Config{Auth: ntlmOnly(), Users: alice})
		tr := newTransport(t, p, o)
		broken := new(atomic.Bool)
		var mu sync.Mutex
		tr.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			mu.Lock()
			defer mu.Unlock()
			return &fragileConn{c, broken}, err
		}
		fillPool(t, many, tr, o)
		broken.Store(true)
		mu.Lock()
		broken = new(atomic.Bool)
		mu.Unlock()
		p.Reset()
		requireOK(t, tr, o.HTTP.URL)
		require.Len(t, messages(p), 1)
	})
	t.Run("forgotten", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world) {
			s := w.scripted(byNTLM(scripted.After(time.Second, scripted.PassWith("origin"))))
			tr := w.through(s)
			const target = "http://origin.example/"
			requireOK(t, tr, target)
			var done sync.WaitGroup
			for range many { // within the second
				done.Go(func() {
					_, _, err := fetch(tr, target)
					assert.NoError(t, err)
				})
			}
			done.Wait()
			// The first one was forgotten meanwhile, and another took its place.
			require.Equal(t, 1+many+1, s.Connections())
			before := len(s.Requests())
			requireOK(t, tr, target)
			require.Len(t, s.Requests(), before+3, "one that was forgotten, and not all; a handshake")
		})
	})
}

// R34: a connection that ends between the legs is no reason to give up those that
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

// A request that cannot be written ends one connection at most, and not all that
// are authenticated.
func TestNTLMInvalidRequest(t *testing.T) {
	o := newOrigin(t)
	const n = 5
	var meet sync.WaitGroup
	o.handler = func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/together" {
			meet.Done()
			meet.Wait()
		}
		io.WriteString(w, "origin")
	}
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: alice})
	tr := newTransport(t, p, o)
	requireOK(t, tr, o.HTTP.URL)
	burst := func() {
		var wg sync.WaitGroup
		meet.Add(n)
		for range n {
			wg.Go(func() { requireOK(t, tr, o.HTTP.URL+"/together") })
		}
		wg.Wait()
	}
	burst()
	before := tr.Stats().Handshakes
	req, err := http.NewRequest("GET", o.HTTP.URL, nil)
	require.NoError(t, err)
	req.Header["X-Comment"] = []string{"two\nlines"}
	_, err = tr.RoundTrip(req)
	require.Error(t, err)
	burst()
	require.LessOrEqual(t, tr.Stats().Handshakes, before+1)
}
