package proxyauth_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// Many requests in a bubble, beside each other, and what became of them.

// byPassword are the schemes by which a password is at stake.
var byPassword = []string{"Basic", "Digest", "NTLM", "NTLM inside Negotiate"}

// newCrowdedProxy starts a proxy that finds the origin under any name.
func (w *world) newCrowdedProxy(c proxytest.Config) *proxytest.Proxy {
	c.Users, c.Dial = alice, w.HTTP.Listener.(*memconn.Listener).DialContext
	return w.newProxy(c)
}

// newCrowdedTransport is newTransport without anybody who watches it, since that
// would take most of the time.
func (w *world) newCrowdedTransport(p *proxytest.Proxy) *proxyauth.Transport {
	tr := w.newTransportOf(p)
	tr.Base.MaxIdleConnsPerHost = 100
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// reach makes a request for a host: a GET, or a CONNECT for the tunnel alone.
func reach(ctx context.Context, tr *proxyauth.Transport, way, host string) error {
	if way == "tunnel" {
		conn, err := tr.DialContext(ctx, "tcp", host+":443")
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// Traffic is requests of one kind, each in a goroutine of its own.
type traffic struct {
	request func(n int) error // the first has number 0
	all     sync.WaitGroup

	mu      sync.Mutex
	began   int
	ended   []ending
	longest time.Duration // that a request took
}

// An ending is how a request ended, and when.
type ending struct {
	at  time.Time
	err error
}

// begin begins a request.
func (c *traffic) begin() {
	c.mu.Lock()
	n := c.began
	c.began++
	c.mu.Unlock()
	c.all.Go(func() {
		begin := time.Now()
		err := c.request(n)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = append(c.ended, ending{time.Now(), err})
		c.longest = max(c.longest, time.Since(begin))
	})
}

// every begins requests for a time, at a pace.
func (c *traffic) every(pace, length time.Duration) {
	for begin := time.Now(); time.Since(begin) < length; time.Sleep(pace) {
		c.begin()
	}
}

// failed waits for all requests, and returns how many failed, and when the last of
// these did. Of the errors the first few are in the log.
func (c *traffic) failed(t *testing.T) (n int, last time.Time) {
	t.Helper()
	c.all.Wait()
	for _, e := range c.ended {
		if e.err == nil {
			continue
		}
		if n++; n <= 3 {
			t.Logf("%s: %v", e.at.Format(time.TimeOnly), e.err)
		}
		last = e.at
	}
	return n, last
}
