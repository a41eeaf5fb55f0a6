package proxyauth_test

import (
	"context"
	"net"
	"net/url"
	"slices"
	"sync"
	"syscall"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/memconn"
)

// A fault is what a saboteur does, once, to the bytes between a client and its
// proxy.
type fault struct {
	kind faultKind
	up   bool // to what the client sends, not to what the proxy sends
	at   int  // from this byte on, counted over all connections in the order of their bytes
}

type faultKind int

const (
	none    faultKind = iota
	cut               // the connection is closed
	reset             // the same with a TCP reset
	stalls            // nothing more comes through, until the client leaves
	trickle           // bytes come one by one
	corrupt           // a byte is another
	insert            // bytes come in that nobody has sent
)

func (k faultKind) String() string {
	return []string{"none", "cut", "reset", "stall", "trickle", "corrupt", "insert"}[k]
}

// Corruptions and insertions are chosen by the position, so that they are many
// and always the same.
var (
	flips    = []byte{0x01, 0x20, 0x80, 0xff}
	garbages = []string{"\x00", "\r\n", "\r\n\r\n", "\xff\xfe garbage: ", "9"}
)

// trickled is how many bytes come one by one before the rest comes as it is.
const trickled = 64

// A mark is how many bytes have passed each way.
type mark struct{ up, down int }

// A saboteur is a relay before a proxy. It passes everything on, except for one
// fault.
type saboteur struct {
	l      net.Listener
	dial   dialFunc
	target string
	wg     sync.WaitGroup

	mu      sync.Mutex
	fault   fault
	passed  mark
	turns   []mark        // where the client began to send, after the proxy had
	waiting bool          // the client sent last
	struck  chan struct{} // closed by the fault
	hit     bool
	victim  chan struct{} // closed with the link that the fault has hit
	links   []*link
	quiet   []chan struct{} // closed when no link is left
	opened  int
	closed  bool
}

// A link is one connection of the client and its other half.
type link struct {
	client, proxy net.Conn
	stalled       bool   // of saboteur.mu
	slow          [2]int // how many bytes each way are still to come one by one; of its pump
	once          sync.Once
	ended         chan struct{} // closed with the link, if not nil; of saboteur.mu
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// newSaboteur starts one that is reached at l and reaches its proxy by dial.
func newSaboteur(l net.Listener, dial dialFunc, target string) *saboteur {
	s := &saboteur{l: l, dial: dial, target: target}
	s.arm(fault{})
	s.wg.Go(func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *saboteur) url(scheme string) *url.URL {
	return &url.URL{Scheme: scheme, Host: s.l.Addr().String()}
}

// arm begins to count anew. It returns a channel that the fault closes.
func (s *saboteur) arm(f fault) (struck <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.hit, s.struck, s.victim = f, f.kind == none, make(chan struct{}), make(chan struct{})
	s.passed, s.turns, s.waiting = mark{}, nil, false
	return s.struck
}

// hitEnded returns a channel that is closed when the client has closed the
// connection that the fault hit.
func (s *saboteur) hitEnded() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.victim
}

// measured returns what has passed since the saboteur was armed.
func (s *saboteur) measured() (turns []mark, total mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.turns), s.passed
}

// left returns a channel that is closed when the client has closed all its
// connections.
func (s *saboteur) left() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	if len(s.links) == 0 {
		close(c)
	} else {
		s.quiet = append(s.quiet, c)
	}
	return c
}

func (s *saboteur) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

func (s *saboteur) close() {
	s.l.Close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.hangUp()
	s.wg.Wait()
}

// hangUp ends all connections.
func (s *saboteur) hangUp() {
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		l.close()
	}
}

func (s *saboteur) serve(client net.Conn) {
	proxy, err := s.dial(context.Background(), "tcp", s.target)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, proxy: proxy}
	s.mu.Lock()
	s.links = append(s.links, l)
	s.opened++
	closed := s.closed
	s.mu.Unlock()
	if closed { // a CONNECT whose caller has given up would wait for its answer
		l.close()
	}

	s.wg.Go(func() {
		s.pump(l, false)
		// What the proxy closes the client has to close, too.
		if !s.isStalled(l) {
			l.client.(interface{ CloseWrite() error }).CloseWrite()
		}
	})
	s.pump(l, true)
	l.forget()
	l.close()

	s.mu.Lock()
	defer s.mu.Unlock()
	if l.ended != nil {
		close(l.ended)
	}
	s.links = slices.DeleteFunc(s.links, func(other *link) bool { return other == l })
	if len(s.links) == 0 {
		for _, c := range s.quiet {
			close(c)
		}
		s.quiet = nil
	}
}

// forget lets the connections end without TIME_WAIT, of which many runs would
// make so many that ports become scarce. The client has left.
func (l *link) forget() {
	for _, c := range []net.Conn{l.client, l.proxy} {
		if c, ok := c.(*net.TCPConn); ok {
			c.SetLinger(0)
		}
	}
}

func (l *link) close() {
	l.once.Do(func() {
		l.client.Close()
		l.proxy.Close()
	})
}

func (s *saboteur) isStalled(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.stalled
}

// pump passes on what comes from one side, until that ends.
func (s *saboteur) pump(l *link, up bool) {
	from, to := l.proxy, l.client
	if up {
		from, to = to, from
	}
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if n > 0 && !s.pass(l, up, to, b[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// pass writes b to its receiver, if no fault has it otherwise. It returns false
// if the link has ended. What a stalled link gets is lost; only its end is
// waited for.
func (s *saboteur) pass(l *link, up bool, to net.Conn, b []byte) bool {
	s.mu.Lock()
	if l.stalled {
		s.mu.Unlock()
		return true
	}
	count, d := &s.passed.down, 0
	if up {
		count, d = &s.passed.up, 1
		if !s.waiting {
			s.turns = append(s.turns, s.passed)
		}
	}
	s.waiting = up
	kind, f := none, s.fault
	if !s.hit && f.up == up && f.at < *count+len(b) {
		kind, s.hit, l.ended = f.kind, true, s.victim
		defer close(s.struck)
	}
	at := f.at - *count
	*count += len(b)
	l.stalled = kind == stalls
	s.mu.Unlock()
	if kind == trickle {
		l.slow[d] = trickled
	}
	slow := l.slow[d]

	switch kind {
	case cut:
		to.Write(b[:at])
		l.close()
		return false
	case reset:
		to.Write(b[:at])
		switch c := l.client.(type) {
		case *net.TCPConn:
			c.SetLinger(0)
		case *memconn.Conn:
			c.Break(syscall.ECONNRESET)
		}
		l.close()
		return false
	case stalls:
		b = b[:at]
	case trickle:
		to.Write(b[:at])
		b = b[at:]
	case corrupt:
		b[at] ^= flips[f.at%len(flips)]
	case insert:
		b = slices.Concat(b[:at], []byte(garbages[f.at%len(garbages)]), b[at:])
	}
	for ; slow > 0 && len(b) > 0; slow-- {
		if _, err := to.Write(b[:1]); err != nil {
			return s.undeliverable(l, up)
		}
		b = b[1:]
	}
	l.slow[d] = slow
	if len(b) > 0 {
		if _, err := to.Write(b); err != nil {
			return s.undeliverable(l, up)
		}
	}
	return true
}

// undeliverable ends a link one of whose sides has gone. If it is the proxy,
// the client is still to be seen leaving.
func (s *saboteur) undeliverable(l *link, up bool) bool {
	if !up {
		l.close()
		return false
	}
	return true
}
