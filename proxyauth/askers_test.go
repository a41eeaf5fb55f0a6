package proxyauth_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// A requester is a Transport, watched or not.
type requester interface {
	http.RoundTripper
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Askers are goroutines that share a Transport and ask again whatever they get:
// the program that goes on with a password that is wrong. Its targets need not
// exist.
type askers struct {
	tr       requester
	way      string        // of ways
	size     int           // goroutines
	patience time.Duration // of each request; zero: it has no deadline
	grows    int           // a goroutine's pause, which is a second at first
	longest  time.Duration // that it gets
	lasts    time.Duration
	attempts func() int // that the directory has seen so far

	// judge says what is wrong with how a request ended, or "".
	judge func(err error, took time.Duration) string

	mu         sync.Mutex
	requests   int
	complaints map[string]int
	seen       []time.Duration // when attempts were, from the beginning, to the next second
}

// run lets them ask until the time is over, beside one that asks every five
// seconds and so meets the end of each pause.
func (c *askers) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.lasts)
	defer cancel()
	c.complaints = make(map[string]int)
	var wg sync.WaitGroup
	wg.Go(func() { c.watch(ctx, cancel) })
	wg.Go(func() { c.goroutine(ctx, c.size, 5*time.Second) })
	for i := range c.size {
		wg.Go(func() { c.goroutine(ctx, i, c.longest) })
	}
	wg.Wait()
}

// watch looks every second for new attempts. Where they have no end it ends the
// asking.
func (c *askers) watch(ctx context.Context, end func()) {
	begin := time.Now()
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		for n := c.attempts(); len(c.seen) < n; {
			c.seen = append(c.seen, time.Since(begin))
		}
		if len(c.seen) > 100 {
			end()
		}
	}
}

// goroutine asks, and pauses for longer and longer.
func (c *askers) goroutine(ctx context.Context, i int, longest time.Duration) {
	random := rand.New(rand.NewPCG(uint64(i), 38))
	for pause := time.Second; ctx.Err() == nil; pause = min(pause*time.Duration(c.grows), longest) {
		begin := time.Now()
		err := c.ask(ctx, fmt.Sprintf("t%d.example", i%40))
		if ctx.Err() == nil {
			c.ended(err, time.Since(begin))
		}
		select {
		case <-time.After(pause/2 + rand64(random, pause)):
		case <-ctx.Done():
		}
	}
}

// ended notes how a request did.
func (c *askers) ended(err error, took time.Duration) {
	complaint := c.judge(err, took)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if complaint != "" {
		c.complaints[complaint]++
	}
}

func rand64(random *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(below)))
}

// ask makes one request.
func (c *askers) ask(ctx context.Context, host string) error {
	if c.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.patience)
		defer cancel()
	}
	if c.way == "tunnel" {
		return opens(ctx, c.tr, host+":443")
	}
	return asks(ctx, c.tr, "http://"+host+"/")
}

// asks makes a GET, and reports whether there was an answer.
func asks(ctx context.Context, tr requester, url string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// opens opens a tunnel and closes it.
func opens(ctx context.Context, tr requester, addr string) error {
	conn, err := tr.DialContext(ctx, "tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err
}

// within returns how many attempts there were before a time.
func (c *askers) within(d time.Duration) (n int) {
	for _, at := range c.seen {
		if at < d {
			n++
		}
	}
	return n
}

// most returns the most attempts in any time of this length.
func (c *askers) most(length time.Duration) (most int) {
	first := 0
	for i, at := range c.seen {
		for at-c.seen[first] >= length {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
