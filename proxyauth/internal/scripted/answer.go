package scripted

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An Answer is what the proxy does about a request. It can be given any number of times.
// It reports whether the connection goes on with the next request.
type Answer func(x *exchange) (goesOn bool)

// An exchange is a request and the connection on which it is answered.
type exchange struct {
	p    *Proxy
	raw  net.Conn // below TLS
	conn net.Conn
	in   *bufio.Reader
	req  *http.Request
}

// Raw sends these bytes.
func Raw(text string) Answer {
	return func(x *exchange) bool {
		_, err := io.WriteString(x.conn, text)
		return err == nil
	}
}

// Status answers with a status, these fields ("Name: value") and no content.
func Status(code int, fields ...string) Answer { return Page(code, "", fields...) }

// Page answers with a status, these fields ("Name: value") and content.
func Page(code int, content string, fields ...string) Answer {
	return Raw(head(code, append(fields, fmt.Sprintf("Content-Length: %d", len(content)))) + content)
}

func head(code int, fields []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	for _, field := range fields {
		b.WriteString(field + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// Challenge answers 407 with the challenge of a scheme. params are names and values in
// turn: Challenge("Basic", "realm", "r").
func Challenge(scheme string, params ...string) Answer { return Challenges(List(scheme, params...)) }

// List returns a challenge as a field's value, with all parameters quoted. params are
// names and values in turn.
func List(scheme string, params ...string) string {
	var b strings.Builder
	b.WriteString(scheme)
	for i := 0; i < len(params); i += 2 {
		separator := ", "
		if i == 0 {
			separator = " "
		}
		fmt.Fprintf(&b, `%s%s="%s"`, separator, params[i], params[i+1])
	}
	return b.String()
}

// Challenges answers 407 with these values of Proxy-Authenticate, one field each. Without
// values the 407 has no challenge.
func Challenges(values ...string) Answer { return Page(407, "", challenging(values)...) }

func challenging(values []string) (fields []string) {
	for _, value := range values {
		fields = append(fields, "Proxy-Authenticate: "+value)
	}
	return fields
}

// Head407 sends a 407 with these values of Proxy-Authenticate up to the end of its
// header, which further fields and an empty line are to end.
func Head407(values ...string) Answer {
	return Raw(strings.TrimSuffix(head(407, challenging(values)), "\r\n"))
}

// PassWith lets the request pass, and answers it with content in place of an origin. To
// CONNECT it opens a tunnel, sends content in it, and reads what comes until it ends.
func PassWith(content string) Answer {
	return func(x *exchange) bool {
		if x.req.Method != http.MethodConnect {
			return Page(200, content)(x)
		}
		return Raw(head(200, nil) + content).Then(Receive(io.Discard))(x)
	}
}

// Receive copies what the client sends to w, until the client ends.
func Receive(w io.Writer) Answer {
	return func(x *exchange) bool {
		x.limit()
		io.Copy(w, x.in)
		return false
	}
}

// limit sets the read deadline of Config.IdleTimeout.
func (x *exchange) limit() {
	if d := x.p.config.IdleTimeout; d > 0 {
		x.raw.SetReadDeadline(time.Now().Add(d))
	}
}

// Pass forwards the request to its origin, or opens a tunnel to it for a CONNECT, by
// Config.Dial. It answers 502 if the origin cannot be reached.
func Pass() Answer {
	return func(x *exchange) bool {
		origin, err := x.p.config.Dial(x.p.ctx, "tcp", x.req.URL.Host)
		if err != nil {
			return Page(502, err.Error())(x)
		}
		defer x.p.closed(origin)
		if !x.p.opened(origin) {
			return false
		}
		if x.req.Method == http.MethodConnect {
			x.tunnel(origin)
			return false
		}
		return x.forward(origin)
	}
}

// tunnel copies both ways until both have ended.
func (x *exchange) tunnel(origin net.Conn) {
	if !Raw(head(200, nil))(x) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(origin, x.in)
		closeWrite(origin)
	})
	io.Copy(x.conn, origin)
	closeWrite(x.conn)
	wg.Wait()
}

// closeWrite closes a connection for writing, or entirely if it has no CloseWrite.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	c.Close()
}

// forward sends the request to its origin and the answer back.
func (x *exchange) forward(origin net.Conn) bool {
	out := x.req.Clone(x.p.ctx)
	for name := range out.Header {
		if strings.HasPrefix(name, "Proxy-") {
			out.Header.Del(name)
		}
	}
	out.Close = true
	if err := out.Write(origin); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(origin), x.req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	resp.Close = false
	resp.Header.Del("Connection")
	return resp.Write(x.conn) == nil
}

// Then gives the answer a, and after it next, unless a has ended the connection.
func (a Answer) Then(next Answer) Answer {
	return func(x *exchange) bool { return a(x) && next(x) }
}

// After waits for d, and then gives the answer.
func After(d time.Duration, answer Answer) Answer {
	return func(x *exchange) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return answer(x)
		case <-x.p.ctx.Done():
			return false
		}
	}
}

// Endless sends a text again and again, until the client closes the connection.
func Endless(text string) Answer {
	return func(x *exchange) bool {
		again := strings.Repeat(text, 1+4096/(1+len(text)))
		for {
			n, err := io.WriteString(x.conn, again)
			x.p.flooded.Add(int64(n))
			if err != nil {
				return false
			}
		}
	}
}

// Stall keeps the connection open until the proxy ends, and neither reads nor writes.
func Stall() Answer {
	return func(x *exchange) bool {
		<-x.p.ctx.Done()
		return false
	}
}

// Echo sends back what the client sends.
func Echo() Answer {
	return func(x *exchange) bool {
		io.Copy(x.conn, x.in)
		return false
	}
}

// HangUp closes the connection; over TLS without close_notify.
func HangUp() Answer { return func(*exchange) bool { return false } }

// Reset resets the connection: the client gets ECONNRESET, and loses what it has not read.
func Reset() Answer {
	return func(x *exchange) bool {
		switch c := x.raw.(type) {
		case interface{ Break(error) }:
			c.Break(syscall.ECONNRESET)
		case *net.TCPConn:
			c.SetLinger(0)
		}
		return false
	}
}

// InTurn gives the first request the first answer and so on, and the last answer to all
// requests that follow.
func InTurn(answers ...Answer) Script {
	var mu sync.Mutex
	turn := 0
	return func(*http.Request) Answer {
		mu.Lock()
		defer mu.Unlock()
		answer := answers[min(turn, len(answers)-1)]
		turn++
		return answer
	}
}

// Always gives each request the same answer.
func Always(answer Answer) Script { return InTurn(answer) }

// Demand gives challenge to each request without credentials, and answer to each request
// with credentials, right or wrong.
func Demand(challenge, answer Answer) Script {
	return func(req *http.Request) Answer {
		if req.Header.Get("Proxy-Authorization") == "" {
			return challenge
		}
		return answer
	}
}
