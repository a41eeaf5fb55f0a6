package proxyauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
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

// R33: 1,000 goroutines on a cold route learn the challenge once.
func TestColdBurst(t *testing.T) {
	for way, want := range map[string]int{"forward": 1001, "tunnel": 65} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				w.HTTPS.TLS.NextProtos = []string{"http/1.1"}
				p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
				tr := w.newTransport(p)
				tr.Base.MaxConnsPerHost = 64
				tr.Base.MaxIdleConnsPerHost = 64
				tr.Base.ForceAttemptHTTP2 = false
				errs := make(chan error, 1000)
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(func() {
						status, body, err := fetch(tr, w.ways()[way])
						if err == nil && status != 200 {
							err = fmt.Errorf("%d %s", status, body)
						}
						if err != nil {
							errs <- err
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				close(errs)
				for err := range errs {
					t.Error(err)
				}
				c := p.Counts()
				require.Equal(t, 1, c.Challenges)
				require.Equal(t, want, c.Requests)
			})
		})
	}
}

// R17, R33: 1,000 goroutines learn the scheme once; then each connection costs a
// handshake, and nothing more.
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

// R33: if the request that finds out what the proxy demands fails by itself, those who
// wait for it go on.
func TestAskersTroubleIsItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: digestAndBasic(), Users: alice})
		tr := w.newTransport(p)
		asked := make(chan struct{})
		var once sync.Once
		tr.Credentials = proxyauth.CredentialFunc(func(ctx context.Context, _ proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
			first := false
			once.Do(func() { first = true; close(asked) })
			if first {
				<-ctx.Done()
				return proxyauth.Credentials{}, ctx.Err()
			}
			return proxyauth.Credentials{Username: "alice", Password: "open sesame"}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		leader := make(chan error)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", w.HTTP.URL, nil)
			_, err := tr.RoundTrip(req)
			leader <- err
		}()
		<-asked
		others := make(chan error)
		for range 5 {
			go func() {
				_, _, err := fetch(tr, w.HTTP.URL)
				others <- err
			}()
		}
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-leader, context.Canceled)
		for range 5 {
			require.NoError(t, <-others)
		}
	})
}

// R33: a learner that is cancelled hands over to one that waits.
func TestLearnerHandsOver(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := scripted.InTurn(scripted.Stall(), scripted.Challenges("Basic realm=r"))
		s := w.scripted(func(req *http.Request) scripted.Answer {
			if req.Header.Get("Proxy-Authorization") == "" {
				return first(req)
			}
			return scripted.PassWith("origin")
		})
		tr := w.through(s)
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		learner := make(chan error)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", w.HTTP.URL, nil)
			_, err := tr.RoundTrip(req)
			learner <- err
		}()
		synctest.Wait()
		others := make(chan error)
		for range 10 {
			go func() {
				_, _, err := fetch(tr, w.HTTP.URL)
				others <- err
			}()
		}
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-learner, context.Canceled)
		for range 10 {
			require.NoError(t, <-others)
		}
		require.Zero(t, time.Since(begin))
		require.Len(t, s.Requests(), 12, "one that stalled, one 407, ten answers")
	})
}

// R33: where the request that finds out what the proxy demands waits for a slow origin,
// one other request asks in its place.
func TestSlowAsker(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		slow := make(chan struct{})
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				<-slow
			}
			io.WriteString(rw, "origin")
		}
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		ended := make(chan error, 19)
		begin := time.Now()
		go func() { _, _, err := fetch(tr, w.HTTP.URL+"/slow"); ended <- err }()
		synctest.Wait()
		require.Equal(t, 1, p.Attempts("alice"))
		for range 18 {
			go func() { _, _, err := fetch(tr, w.HTTP.URL+"/quick"); ended <- err }()
		}
		time.Sleep(4*time.Second - time.Nanosecond)
		synctest.Wait()
		require.Equal(t, 1, p.Attempts("alice"))
		for range 18 {
			require.NoError(t, <-ended)
		}
		require.Equal(t, 4*time.Second, time.Since(begin))
		require.Equal(t, 19, p.Attempts("alice"))
		close(slow)
		require.NoError(t, <-ended)
	})
}

// R33: origins that are slow hold up nobody for long, even if all that was asked
// for first is slow, through a proxy that asks for nothing.
func TestSlowAskers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.slowPaths()
		tr := w.newTransport(w.newProxy(proxytest.Config{}))
		begin := time.Now()
		for range 2 {
			go fetch(tr, w.HTTP.URL+"/slow")
			synctest.Wait()
		}
		requireOK(t, tr, w.HTTP.URL+"/quick")
		require.LessOrEqual(t, time.Since(begin), 4*time.Second)
		begin = time.Now()
		requireOK(t, tr, w.HTTP.URL+"/quick")
		require.Zero(t, time.Since(begin))
	})
}

// R8: credentials that have never passed are on their way twice at most, however slow
// the origins are that were asked for first. Others wait for half a minute, and get
// through when the first two have had a minute.
func TestSlowTargetsAtFirst(t *testing.T) {
	for name, auth := range map[string]proxytest.Auth{"Basic": proxytest.Basic{Realm: "r"}, "NTLM": proxytest.NTLM{}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.slowPaths()
				p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{auth}, Users: alice})
				tr := w.newTransport(p)
				other := w.newOrigin()
				for range 2 {
					go fetch(tr, w.HTTP.URL+"/slow")
					synctest.Wait()
				}
				time.Sleep(4100 * time.Millisecond) // until the second is on its way
				begin := time.Now()
				_, _, err := fetch(tr, other.HTTP.URL)
				require.ErrorIs(t, err, proxyauth.ErrHeld)
				require.ErrorContains(t, err, "takes too long")
				require.Equal(t, 30*time.Second, time.Since(begin))
				require.Equal(t, 2, p.Attempts("alice"))
				for err != nil {
					_, _, err = fetch(tr, other.HTTP.URL)
				}
				require.LessOrEqual(t, time.Since(begin), 75*time.Second)
				require.Equal(t, 3, p.Attempts("alice"))
				begin = time.Now()
				requireOK(t, tr, other.HTTP.URL)
				require.Zero(t, time.Since(begin))
			})
		})
	}
}

// slowPaths makes the origin answer /slow when the test ends.
func (w *world) slowPaths() {
	slow := make(chan struct{})
	w.handler = func(rw http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			<-slow
		}
		io.WriteString(rw, "origin")
	}
	w.t.Cleanup(func() { close(slow) })
}

// R46: after a pause the others do not wait long for one that goes first and waits for
// its origin.
func TestProofOfSlowOrigin(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.newProxy(proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := w.newTransport(p)
		requireOK(t, tr, w.HTTP.URL)
		time.Sleep(61 * time.Second)

		leave := make(chan struct{})
		t.Cleanup(func() { close(leave) })
		w.handler = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/slow" {
				<-leave
			}
			rw.Write([]byte("origin"))
		}
		go fetch(tr, w.HTTP.URL+"/slow")
		synctest.Wait()
		begin := time.Now()
		requireOK(t, tr, w.HTTP.URL)
		require.Equal(t, 300*time.Millisecond, time.Since(begin))
	})
}
