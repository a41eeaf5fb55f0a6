package proxytest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxHead  = 64 << 10  // size of a request's head, in bytes
	maxDrain = 128 << 20 // how much of an unwanted body is read, in bytes
	linger   = 500 * time.Millisecond
)

// conn is one connection of a client. The server of net/http is not used: it
// owns the status line, the Expect field and the fate of the connection,
// which are just what a Behaviour is about.
type conn struct {
	p  *Proxy
	nc net.Conn
	id int
	br *bufio.Reader

	mu sync.Mutex // guards writing: 1xx may come from several goroutines
	bw *bufio.Writer

	// state is what the schemes that authenticate a connection, rather than
	// a request, know about this one.
	state map[scheme]any

	connects int           // CONNECT requests so far
	watched  chan struct{} // closed when the goroutine of watch ends; may be nil
}

func newConn(p *Proxy, nc net.Conn, id int) *conn {
	return &conn{
		p: p, nc: nc, id: id,
		br:    bufio.NewReaderSize(nc, maxHead),
		bw:    bufio.NewWriter(nc),
		state: make(map[scheme]any),
	}
}

// serve answers the requests of the connection, one after the other, and
// closes it.
func (c *conn) serve() {
	defer abort(c.nc)
	for {
		x, err := c.next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !isNetError(err) {
				fmt.Fprintf(c.bw, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%v\n", len(err.Error())+1, err)
				c.bw.Flush()
				c.part()
			}
			return
		}
		x.serve()
		x.cancel()
		if !x.gone && !x.close && (x.body == nil || x.body.drain()) {
			continue
		}
		if !x.gone {
			c.part()
		}
		abort(c.nc)
		if x.body != nil {
			x.body.stop() // a transport may still be reading it
		}
		return
	}
}

func isNetError(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, net.ErrClosed)
}

// part says goodbye: it ends the writing half, and reads for a moment what
// the client may still be sending. Closing at once could reset the
// connection, and cost the client an answer it has not yet read.
func (c *conn) part() {
	closeWrite(c.nc)
	if t, ok := c.nc.(*tls.Conn); ok {
		closeWrite(t.NetConn())
	}
	c.nc.SetReadDeadline(time.Now().Add(linger))
	io.Copy(io.Discard, c.nc)
}

// exchange is one request of a client, and its answer.
type exchange struct {
	c      *conn
	r      *http.Request
	leg    *Leg // guarded by Proxy.mu
	ctx    context.Context
	cancel context.CancelFunc
	body   *body     // what the client sends; nil for an empty body
	whole  io.Reader // the body, if it had to be read before forwarding

	schemes []scheme // offered for the target
	tried   scheme   // that of the credentials; nil: none of them
	opaque  string   // in the credentials, if they are of Digest
	own     []string // its challenges, if they depend on the credentials
	info    *info    // for the answer to an accepted request; may be nil

	expects   atomic.Bool // the client waits for 100 (Continue)
	handshake bool        // the answer is a step of a handshake of the connection
	answered  bool        // the final answer is under way; guarded by conn.mu
	close     bool        // the connection ends with the answer
	gone      bool        // the connection has ended, or must end, without ceremony
}

// next reads the head of the next request.
func (c *conn) next() (*exchange, error) {
	if c.watched != nil {
		<-c.watched
		c.watched = nil
	}
	host, header, err := c.peekHead()
	if err != nil {
		return nil, err
	}
	r, err := http.ReadRequest(c.br)
	if err != nil {
		return nil, err
	}
	x := &exchange{c: c, r: r, close: !keepsAlive(r)}
	x.ctx, x.cancel = context.WithCancel(c.p.ctx)
	if r.ContentLength != 0 && r.Method != http.MethodConnect {
		x.body = &body{x: x, r: r.Body}
		x.expects.Store(strings.EqualFold(r.Header.Get("Expect"), "100-continue") &&
			r.ProtoAtLeast(1, 1) && !c.p.behaviour.IgnoreExpect)
	}
	x.leg = &Leg{
		Conn: c.id, Method: r.Method, Target: r.RequestURI, Proto: r.Proto,
		Host: host, Header: header,
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.record.legs = append(c.p.record.legs, x.leg)
	c.p.record.counts.Requests++
	return x, nil
}

// peekHead returns the fields of the next request as they are. Those of
// http.ReadRequest lack what it has understood, such as Host.
func (c *conn) peekHead() (host string, header http.Header, err error) {
	for n := 1; ; n = c.br.Buffered() + 1 {
		if _, err := c.br.Peek(n); err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errors.New("the head of the request is too large")
			}
			return "", nil, err
		}
		head, _ := c.br.Peek(c.br.Buffered())
		i := bytes.Index(head, []byte("\r\n\r\n"))
		if i < 0 {
			continue
		}
		_, fields, _ := bytes.Cut(head[:i+4], []byte("\r\n"))
		h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(fields))).ReadMIMEHeader()
		if err != nil {
			return "", nil, err
		}
		header := http.Header(h)
		host = header.Get("Host")
		header.Del("Host")
		return host, header, nil
	}
}

// keepsAlive reports whether the client wants to keep the connection.
func keepsAlive(r *http.Request) bool {
	if r.ProtoAtLeast(1, 1) {
		return !r.Close
	}
	return !r.Close || saysKeepAlive(r.Header["Proxy-Connection"])
}

// saysKeepAlive reports whether a Connection or Proxy-Connection field says
// keep-alive.
func saysKeepAlive(fields []string) bool {
	return hasToken(fields, "keep-alive")
}

func hasToken(fields []string, token string) bool {
	for _, field := range fields {
		for t := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

func (x *exchange) serve() {
	b := &x.c.p.behaviour
	isConnect := x.r.Method == http.MethodConnect
	if isConnect {
		x.c.connects++
	}
	switch {
	case b.Expect417 && x.r.Header.Get("Expect") != "":
		x.answer(http.StatusExpectationFailed, nil, "no expectation is met")
		return
	case b.Second400 && isConnect && x.c.connects > 1:
		x.answer(http.StatusBadRequest, nil, "a second CONNECT on one connection")
		return
	case isConnect:
		if _, _, err := net.SplitHostPort(x.r.RequestURI); err != nil {
			x.answer(http.StatusBadRequest, nil, "the target of CONNECT is not host:port")
			return
		}
	case !x.r.URL.IsAbs() || x.r.URL.Host == "":
		x.answer(http.StatusBadRequest, nil, "the target is not an absolute URL: this is a proxy")
		return
	}
	switch {
	case !x.authenticate():
	case isConnect:
		x.connect()
	default:
		x.forward()
	}
}

// decide records the status of the answer, before it is sent.
func (x *exchange) decide(status int) {
	p := x.c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	x.leg.Status = status
}

// answer sends an answer of the proxy's own. It reads the body of the request
// first, as real proxies do, unless the client waits to be asked for it.
func (x *exchange) answer(status int, header http.Header, text string) {
	p, b := x.c.p, &x.c.p.behaviour
	if header == nil {
		header = make(http.Header)
	}
	switch {
	case x.body == nil:
	case x.handshake && x.expects.Load():
		// The end of the connection would be that of the handshake. So the
		// client must send the body unasked; conn.serve reads it (RFC 9110,
		// section 10.1.1).
	case x.expects.Load() || !x.body.drain():
		x.close = true // the client cannot tell whether to send the body
	}
	content := []byte(text + "\n")
	challenge := status == http.StatusProxyAuthRequired
	if challenge && b.Body407 > 0 {
		content = bytes.Repeat([]byte("."), b.Body407)
	}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	if x.info != nil {
		if x.info.content != nil && x.r.Method != http.MethodHead {
			x.info.content.Write(content)
		}
		header.Set(x.info.field, x.info.of())
	}
	a := &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1,
		Request: x.r, Header: header,
		Body: io.NopCloser(bytes.NewReader(content)), ContentLength: int64(len(content)),
	}
	if challenge {
		x.close = x.close || b.CloseAfter407 && !x.handshake
		if b.Chunked407 && !b.HTTP10 && x.r.ProtoAtLeast(1, 1) {
			a.ContentLength, a.TransferEncoding = -1, []string{"chunked"}
		}
	}
	switch {
	case b.HTTP10:
		a.ProtoMinor = 0
		if saysKeepAlive(x.r.Header["Proxy-Connection"]) {
			if !x.close {
				header.Set("Proxy-Connection", "keep-alive")
			}
		} else {
			x.close = true
		}
	case !x.r.ProtoAtLeast(1, 1) && !x.close:
		header.Set("Connection", "keep-alive")
	}
	a.Close = x.close

	p.wait(b.Delay)
	p.mu.Lock()
	x.leg.Status = status
	if challenge {
		p.record.counts.Challenges++
	}
	p.mu.Unlock()
	if x.send(a) != nil {
		x.gone = true
	}
	if challenge && b.CloseSilently407 && !x.handshake {
		x.close = true
	}
}

// send writes a final answer.
func (x *exchange) send(a *http.Response) error {
	c := x.c
	x.expects.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	x.answered = true
	// Bare, because the ReadFrom of a bufio.Writer cannot bear the flushing
	// that the body of a forwarded answer does while it is read.
	if err := a.Write(struct{ io.Writer }{c.bw}); err != nil {
		c.bw.Flush() // as much as came, so that the client knows it is cut
		return err
	}
	return c.bw.Flush()
}

// sendInterim writes a 1xx, unless the final answer is under way.
func (x *exchange) sendInterim(status int, header http.Header) {
	// Before the lock, which the final answer holds as long as it lasts: a
	// body may be read all that time.
	if status == http.StatusContinue && !x.expects.CompareAndSwap(true, false) {
		return
	}
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.answered {
		return
	}
	fmt.Fprintf(c.bw, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	header.Write(c.bw)
	io.WriteString(c.bw, "\r\n")
	c.bw.Flush()
}
