package proxyauth_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A scripted proxy answers each request with exactly the bytes it is told, for
// what no well-behaved proxy does.
type scriptedServer struct {
	l  net.Listener
	mu sync.Mutex

	conns int
	got   []*http.Request
	on    []int // the numbers of their connections

	flooded atomic.Int64 // bytes of endless answers

	keepBodies bool // bodies are the script's to read
}

// hangUp as the end of an answer closes the connection after it; stall keeps it
// open and reads no more; echoes101 sends back what comes. What follows on endless is repeated until the client
// leaves.
const (
	hangUp  = "\x00hang up"
	stall   = "\x00stall"
	endless = "\x00endless"
	pause   = "\x00pause"

	echoes101 = "\x00echo"
)

// scriptedProxy starts one. It answers until the connection ends.
func scriptedProxy(t testing.TB, answer func(*http.Request) string) *scriptedServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &scriptedServer{l: l}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			number := s.conns
			s.mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				unblock := make(chan struct{})
				defer close(unblock)
				wg.Go(func() {
					select {
					case <-stop:
						c.Close()
					case <-unblock:
					}
				})
				in := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if req.Header.Get("Expect") == "" && !s.keepBodies {
						io.Copy(io.Discard, req.Body)
					}
					s.mu.Lock()
					s.got, s.on = append(s.got, req), append(s.on, number)
					s.mu.Unlock()
					text := answer(req)
					end := ""
					for _, e := range []string{hangUp, stall, echoes101} {
						if len(text) >= len(e) && text[len(text)-len(e):] == e {
							text, end = text[:len(text)-len(e)], e
						}
					}
					if begin, rest, ok := strings.Cut(text, pause); ok {
						io.WriteString(c, begin)
						time.Sleep(700 * time.Millisecond) // longer than a page is usually waited for
						text = rest
					}
					text, again, flood := strings.Cut(text, endless)
					io.WriteString(c, text)
					for again = strings.Repeat(again, 1+4096/(1+len(again))); flood; {
						n, err := io.WriteString(c, again)
						s.flooded.Add(int64(n))
						if err != nil {
							return
						}
					}
					switch end {
					case hangUp:
						return
					case echoes101:
						io.Copy(c, in)
						return
					case stall:
						<-stop
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); close(stop); wg.Wait() })
	return s
}

func (s *scriptedServer) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.got...)
}

func (s *scriptedServer) url() *url.URL { return &url.URL{Scheme: "http", Host: s.l.Addr().String()} }

func (s *scriptedServer) transport(t testing.TB, o *origin) *watchedTransport {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.Proxy = http.ProxyURL(s.url())
	tr := &proxyauth.Transport{Base: base, Credentials: proxyauth.UserPassword("alice", "open sesame")}
	return watched(t, tr, s.authorizations)
}
