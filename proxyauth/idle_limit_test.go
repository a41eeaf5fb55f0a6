package proxyauth_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A door is the listener of a proxy. It counts the connections that are open.
type door struct {
	net.Listener

	mu   sync.Mutex
	open int
	peak int
}

type counted struct {
	net.Conn
	d    *door
	once sync.Once
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	d.peak = max(d.peak, d.open)
	return &counted{Conn: c, d: d}, nil
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.d.mu.Lock()
		c.d.open--
		c.d.mu.Unlock()
	})
	return c.Conn.Close()
}

func (c *counted) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// isOpen returns how many connections are open once nothing goes on any more.
func (d *door) isOpen() int {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// sessions returns a Transport with a route for each name in the field X-Session, by a
// proxy that is behind d, as the services do it that take a session's name in the user name.
func (w *world) sessions(proxy url.URL, maxIdle int) *proxyauth.Transport {
	tr := w.transportTo(&proxy, nil)
	tr.Base.MaxIdleConns = maxIdle
	tr.Base.IdleConnTimeout = 0
	tr.Credentials = nil
	tr.Proxy = func(req *http.Request) (*url.URL, error) {
		u := proxy
		u.User = url.UserPassword(req.Header.Get("X-Session"), "open sesame")
		return &u, nil
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// visit makes a request as a session.
func visit(tr *proxyauth.Transport, session, target string) error {
	req, err := http.NewRequest("GET", target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Session", session)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
		return fmt.Errorf("status %d, %v", resp.StatusCode, err)
	}
	return nil
}

func named(i int) string { return fmt.Sprintf("session-%d", i) }

// sessionProxies start a proxy at d, which lets all sessions pass.
var sessionProxies = map[string]func(w *world, d *door, names int) (proxy url.URL){
	"scripted": func(w *world, d *door, _ int) url.URL {
		p := scripted.New(scripted.Config{Listener: d, Script: scripted.Always(scripted.Pass()), Dial: w.dial})
		w.t.Cleanup(p.Close)
		return url.URL{Scheme: "http", Host: d.Addr().String()}
	},
	"NTLM": func(w *world, d *door, names int) url.URL {
		users := make(map[string]string)
		for i := range names {
			users[named(i)] = "open sesame"
		}
		p := proxytest.New(proxytest.Config{Listener: d, Auth: ntlmOnly(), Users: users, Dial: w.dial})
		w.t.Cleanup(p.Close)
		return url.URL{Scheme: "http", Host: d.Addr().String()}
	},
	"SOCKS": func(w *world, d *door, names int) url.URL {
		var wg sync.WaitGroup
		wg.Go(func() { accept(d, func(c net.Conn) { serveSOCKSFor(w.dial, c) }) })
		w.t.Cleanup(func() { d.Close(); wg.Wait() })
		return url.URL{Scheme: "socks5", Host: d.Addr().String()}
	},
}

// serveSOCKSFor serves any user whose password is "open sesame".
func serveSOCKSFor(dial dialFunc, c net.Conn) {
	var greeting bytes.Buffer
	read := func(n int) []byte {
		b := make([]byte, n)
		io.ReadFull(c, b)
		return b
	}
	greeting.Write(read(2))
	read(int(greeting.Bytes()[1]))
	c.Write([]byte{5, 2})
	begin := read(2)
	user := read(int(begin[1]))
	password := read(1)
	rest := append(append(append(begin, user...), password...), read(int(password[0]))...)
	serveSOCKS(string(user), "open sesame", dial, &replayed{c, io.MultiReader(bytes.NewReader([]byte{5, 1, 2}), bytes.NewReader(rest), c), 2})
}

// replayed is a connection whose first bytes are read once more; what answers them is
// written already.
type replayed struct {
	net.Conn
	in   io.Reader
	skip int
}

func (r *replayed) Read(p []byte) (int, error) { return r.in.Read(p) }
func (r *replayed) Write(p []byte) (int, error) {
	n := min(r.skip, len(p))
	r.skip -= n
	if n == len(p) {
		return n, nil
	}
	more, err := r.Conn.Write(p[n:])
	return n + more, err
}

// R45: Base.MaxIdleConns counts the idle connections to all proxies together, whatever
// the way. 1,500 names of sessions, as services take them in the user name, keep as many
// connections as it says, and one is in use.
func TestMaxIdleConns(t *testing.T) {
	for proxy, start := range sessionProxies {
		for _, way := range ways {
			for _, max := range []int{100, 7} {
				names := 150
				if proxy == "scripted" && way == "forward" && max == 100 {
					names = 1500
				}
				t.Run(fmt.Sprintf("%s/%s/%d", proxy, way, max), func(t *testing.T) {
					inBubble(t, func(t *testing.T, w *world) {
						d := &door{Listener: w.listen()}
						tr := w.sessions(start(w, d, names), max)
						for i := range names {
							require.NoError(t, visit(tr, named(i), w.ways()[way]))
							require.LessOrEqual(t, d.isOpen(), max)
						}
						require.GreaterOrEqual(t, d.open, max-1) // a route may have two
						tr.CloseIdleConnections()
						require.Zero(t, d.isOpen())
					})
				})
			}
		}
	}
}

// R45: http.DefaultTransport has MaxIdleConns 100, and zero means no limit.
func TestMaxIdleConnsDefault(t *testing.T) {
	require.Equal(t, 100, http.DefaultTransport.(*http.Transport).MaxIdleConns)
	inBubble(t, func(t *testing.T, w *world) {
		d := &door{Listener: w.listen()}
		tr := w.sessions(sessionProxies["scripted"](w, d, 0), 0)
		for i := range 300 {
			require.NoError(t, visit(tr, named(i), w.HTTP.URL))
		}
		require.Equal(t, 300, d.isOpen())
		time.Sleep(time.Hour)
		require.Equal(t, 300, d.isOpen())
	})
}

// R45: after a crowd of sessions at once no more than MaxIdleConns stay, and connections
// in use are not touched.
func TestMaxIdleConnsCrowd(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				names := 200
				if way == "forward" {
					names = 1200 // more than routes are kept
				}
				w.handler = func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }
				d := &door{Listener: w.listen()}
				tr := w.sessions(sessionProxies["scripted"](w, d, names), 100)
				var wg sync.WaitGroup
				errs := make(chan error, names)
				for i := range names {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * time.Millisecond)
						errs <- visit(tr, named(i), w.ways()[way])
					})
				}
				wg.Wait()
				for range names {
					require.NoError(t, <-errs)
				}
				require.Equal(t, names, d.peak)
				time.Sleep(2 * time.Second)
				require.LessOrEqual(t, d.isOpen(), 100)
				require.NotZero(t, d.open)
			})
		})
	}
}

// R45: the connections of the routes used least recently are closed first.
func TestMaxIdleConnsLeastRecent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		l := w.listen()
		p := scripted.New(scripted.Config{Listener: l, Script: scripted.Always(scripted.PassWith("hello")), Dial: w.dial})
		defer p.Close()
		tr := w.sessions(*p.URL(), 5)
		for i := range 40 {
			require.NoError(t, visit(tr, "often", w.HTTP.URL))
			require.NoError(t, visit(tr, named(i), w.HTTP.URL))
			synctest.Wait()
		}
		on := make(map[int]int)
		for i, conn := range p.RequestsOn() {
			if i%2 == 0 {
				on[conn]++
			}
		}
		require.Equal(t, map[int]int{1: 40}, on, "connections of the one that is used often")
	})
}

// R45: answers that are being read, such as streams of events, are no idle connections:
// they are not closed, and however many there are, others keep theirs.
func TestMaxIdleConnsStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/stream" {
				rw.(http.Flusher).Flush()
				<-req.Context().Done()
			}
		}
		d := &door{Listener: w.listen()}
		tr := w.sessions(sessionProxies["scripted"](w, d, 0), 3)
		for i := range 20 {
			req, err := http.NewRequest("GET", w.HTTPS.URL+"/stream", nil)
			require.NoError(t, err)
			req.Header.Set("X-Session", named(i))
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			defer resp.Body.Close()
		}
		require.Equal(t, 20, d.isOpen())
		for range 10 {
			for _, name := range []string{"a", "b"} {
				require.NoError(t, visit(tr, name, w.HTTPS.URL))
			}
			time.Sleep(3 * time.Second)
		}
		require.Equal(t, 22, d.isOpen())
		require.Equal(t, 22, d.peak)
		require.EqualValues(t, 22, tr.Stats().Tunnels)
	})
}
