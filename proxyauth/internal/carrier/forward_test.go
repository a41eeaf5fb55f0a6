package carrier

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// head is a request's header on the wire.
func head(method string, more ...string) string {
	return lines(append([]string{method + " http://origin.example/x HTTP/1.1", "Host: origin.example", "User-Agent: u"}, more...)...)
}

// Legs go on any connection of the pool, and the request is not changed.
func TestForward(t *testing.T) {
	inBubble(t, scripted.InTurn(scripted.Page(407, "no"), scripted.Page(200, "yes")), nil, func(t *testing.T, b *bubble) {
		req := b.request("GET", "")
		req.Header["proxy-AUTHORIZATION"] = []string{"mine"}
		f := b.Forward(req)
		require.Same(t, req, f.Request())
		first := send(t, f, Leg{})
		require.Same(t, &f.out, first.Request, "which needs no memory")
		require.Equal(t, "no", page(t, first.Response))
		require.Equal(t, ErrEnds, f.Keep(first.Response), "nothing was opened")
		synctest.Wait()
		second := send(t, f, Leg{Authorization: basic})
		require.NotSame(t, first.Request, second.Request)
		require.Equal(t, []string{"mine"}, Authorization(first.Request.Header))
		f.Finish(second.Response)
		require.Same(t, req, second.Request)
		require.Nil(t, second.TLS)
		require.Equal(t, "yes", page(t, second.Response))
		require.Equal(t, head("GET", "proxy-AUTHORIZATION: mine")+head("GET", "Proxy-Authorization: Basic xyz"), b.wire(1))
		require.Equal(t, http.Header{"User-Agent": {"u"}, "proxy-AUTHORIZATION": {"mine"}}, req.Header)
		synctest.Wait()
		b.CloseIdleConnections()
		_, err := b.conns[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		f.Drop() // of nothing
	})
}

// The proxy is spoken to in HTTP/1.1, whatever Base speaks with origins, and on its way.
func TestForwardTransport(t *testing.T) {
	server, client := certified(t, nil)
	now := time.Now()
	client.Time = func() time.Time { return now }
	server.NextProtos = []string{"h2", "http/1.1"}
	bubbleBy(t, scripted.Config{TLS: server, Script: scripted.Always(scripted.Page(200, "yes"))}, func(c *Config) {
		c.TLS = TLSConfig(client, nil)
		c.Base.ForceAttemptHTTP2 = true
		c.Base.Protocols = new(http.Protocols)
		c.Base.Protocols.SetHTTP2(true)
		other := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("another way") }
		c.Base.DialTLSContext = other
		c.Base.Proxy = nil
		c.Base.DisableKeepAlives = true
	}, func(t *testing.T, b *bubble) {
		for _, open := range []bool{false, true} {
			f := b.Forward(b.request("GET", ""))
			if open {
				require.Equal(t, "proxy.example", took(t, f, 1, AnyConnection).TLS.ServerName)
			}
			reply := send(t, f, Leg{})
			f.Finish(reply.Response)
			require.Equal(t, "http/1.1", reply.TLS.NegotiatedProtocol)
			require.Equal(t, "yes", page(t, reply.Response))
		}
		requests := b.server.Requests()
		require.True(t, requests[0].Close)
		require.False(t, requests[1].Close, "which the pool sees to")
	})
}

// An internationalized name is dialed in ASCII, and shown as it was written.
func TestProxyName(t *testing.T) {
	for host, want := range map[string]string{
		"prüfung.example:3128": "xn--prfung-4ya.example:3128",
		"Proxy.example":        "Proxy.example:80",
		"\u2028.example:1":     "\u2028.example:1", // has none
	} {
		inBubble(t, nil, func(c *Config) { c.URL.Host = host }, func(t *testing.T, b *bubble) {
			var asked string
			b.config.Base.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
				asked = addr
				return nil, io.EOF
			}
			_, err := b.Dial(t.Context(), nil, false)
			require.Error(t, err)
			require.Equal(t, want, asked)
			require.Equal(t, host, b.shownURL().Host)
		})
	}
}

// A body that can be sent again is, one that can not is held for the next leg if the
// proxy has not asked for it.
func TestForwardBody(t *testing.T) {
	denied := scripted.Page(407, "")
	post := head("POST", "Content-Length: 5")
	for name, test := range map[string]struct {
		again  bool
		bodies []verdict.Body
		want   []string // of each leg; "": it does not go out, since the body is gone
	}{
		"again":       {true, []verdict.Body{verdict.Whole, verdict.Whole}, []string{post + "hello", post + "hello"}},
		"again, held": {true, []verdict.Body{verdict.Held, verdict.Whole}, []string{heldHead, post + "hello"}},
		"stream":      {false, []verdict.Body{verdict.Whole, verdict.Whole}, []string{post + "hello", ""}},
		"stream held": {false, []verdict.Body{verdict.Held, verdict.Held, verdict.Whole, verdict.Whole}, []string{heldHead, heldHead, post + "hello", ""}},
		"withheld":    {false, []verdict.Body{verdict.Withheld, verdict.Whole}, []string{head("POST", "Content-Length: 0"), post + "hello"}},
		"probe":       {false, []verdict.Body{verdict.Probe, verdict.Whole}, []string{probeHead, post + "hello"}},
	} {
		inBubble(t, scripted.Always(denied), nil, func(t *testing.T, b *bubble) {
			body := &closing{Reader: strings.NewReader("hello")}
			req := b.request("POST", "hello")
			req.Body = body
			if test.again {
				again(req, "hello")
			}
			f := b.Forward(req)
			for i, what := range test.bodies {
				if test.want[i] == "" {
					require.Equal(t, BodyGone, fault(t, f, Leg{Body: what}).Kind, name)
					continue
				}
				reply := send(t, f, Leg{Body: what})
				reply.Body.Close()
				synctest.Wait()
				b.CloseIdleConnections()
				require.Equal(t, test.want[i], b.wire(i+1), name)
			}
			f.Abort()
			synctest.Wait()
			require.Equal(t, 1, body.closed, name)
		})
	}
}

var (
	heldHead  = head("POST", "Connection: close", "Content-Length: 5", "Expect: 100-continue")
	probeHead = head("OPTIONS", "Proxy-Connection: keep-alive")
)

// A closing body counts how often it is closed.
type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

// A message that was not sent closes its body.
func TestForwardAbort(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Stall()), nil, func(t *testing.T, b *bubble) {
		req := b.request("POST", "hello")
		body := &closing{}
		req.Body = body
		b.Forward(req).Abort()
		require.Equal(t, 1, body.closed)
		b.Forward(b.request("GET", "")).Abort()

		f := b.Forward(req)
		took(t, f, 1, AnyConnection)
		f.Abort()
		_, err := b.conns[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// The body cannot be got once more.
func TestForwardGetBody(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(407, "")), nil, func(t *testing.T, b *bubble) {
		no := errors.New("no body")
		for _, open := range []bool{false, true} {
			req := b.request("POST", "hello")
			req.GetBody = func() (io.ReadCloser, error) { return nil, no }
			f := b.Forward(req)
			if open {
				took(t, f, 1, AnyConnection)
			}
			send(t, f, Leg{})
			require.Equal(t, &Fault{Kind: Own, Err: no}, fault(t, f, Leg{}))
			f.Abort()
		}
	})
}

// What is asked of the proxy before it gets a body, and how it says that it does not
// know that.
func TestForwardHeld(t *testing.T) {
	fails := scripted.Page(417, "")
	for name, test := range map[string]struct {
		change func(*http.Request)
		script scripted.Script
		answer string // "": NoExpect
		want   string
	}{
		"asked for":         {nil, scripted.Always(scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n").Then(scripted.After(time.Millisecond, scripted.Page(200, "")))), "200 OK", heldHead + "hello"},
		"417":               {nil, scripted.Always(fails), "", heldHead},
		"417 again":         {func(req *http.Request) { again(req, "hello") }, scripted.Always(scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n").Then(scripted.After(time.Millisecond, fails))), "", heldHead + "hello"},
		"417 to the whole":  {nil, scripted.Always(scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n").Then(scripted.After(time.Millisecond, fails))), "417 Expectation Failed", heldHead + "hello"},
		"417 to the caller": {func(req *http.Request) { req.Header["Expect"] = []string{"100-continue"} }, scripted.Always(fails), "417 Expectation Failed", heldHead},
		"unknown length": {func(req *http.Request) { req.ContentLength = -1 }, scripted.Always(fails), "",
			head("POST", "Connection: close", "Transfer-Encoding: chunked", "Expect: 100-continue")},
		"no length": {func(req *http.Request) { req.ContentLength = 0 }, scripted.Always(fails), "",
			head("POST", "Connection: close", "Transfer-Encoding: chunked", "Expect: 100-continue")},
		"one byte": {func(req *http.Request) { req.ContentLength, req.Body = 1, io.NopCloser(strings.NewReader("x")) }, scripted.Always(fails), "",
			head("POST", "Connection: close", "Content-Length: 1", "Expect: 100-continue")},
		"nothing": {func(req *http.Request) { req.Body, req.ContentLength = nil, 0 }, scripted.Always(fails), "417 Expectation Failed", head("POST", "Content-Length: 0")},
		"empty":   {func(req *http.Request) { req.Body, req.ContentLength = http.NoBody, 0 }, scripted.Always(fails), "417 Expectation Failed", head("POST", "Content-Length: 0")},
		"403":     {nil, scripted.Always(scripted.Page(403, "")), "403 Forbidden", heldHead},
	} {
		inBubble(t, test.script, nil, func(t *testing.T, b *bubble) {
			req := b.request("POST", "hello")
			if test.change != nil {
				test.change(req)
			}
			f := b.Forward(req)
			reply, err := f.Send(Leg{Body: verdict.Held})
			if test.answer != "" {
				require.NoError(t, err, name)
				require.Equal(t, test.answer, reply.Status, name)
				reply.Body.Close()
			} else {
				require.Equal(t, NoExpect, err.(*Fault).Kind, name)
				require.EqualError(t, err, "the proxy does not know Expect")
			}
			synctest.Wait()
			require.Equal(t, test.want, b.wire(1), name)
			if test.answer == "" && name != "417 again" {
				reply := send(t, f, Leg{Body: verdict.Held}) // and now without
				require.Equal(t, 417, reply.StatusCode)
				reply.Body.Close()
				require.NotContains(t, b.wire(2), "Expect")
			}
			f.Abort()
		})
	}
}

// A body that is held is not read ahead, whatever net/http knows of it.
func TestForwardHeldUnread(t *testing.T) {
	for _, method := range []string{"POST", "DELETE"} {
		for _, length := range []int64{-1, 0, 5} {
			inBubble(t, scripted.Always(scripted.Page(407, "")), nil, func(t *testing.T, b *bubble) {
				req := b.request(method, "hello")
				req.ContentLength = length
				f := b.Forward(req)
				send(t, f, Leg{Body: verdict.Held}).Body.Close()
				require.False(t, f.held.Begun(), "%s %d", method, length)
				f.Finish(send(t, f, Leg{}).Response)
			})
		}
	}
	inBubble(t, scripted.Always(scripted.Page(407, "")), nil, func(t *testing.T, b *bubble) {
		req := b.request("POST", "hello")
		req.ContentLength, req.TransferEncoding = -1, []string{"identity"} // is the caller's
		f := b.Forward(req)
		send(t, f, Leg{Body: verdict.Held}).Body.Close()
		require.Equal(t, []string{"identity"}, f.out.TransferEncoding)
		f.Abort()
	})
}

// A body that is held is sent after a while, if the proxy does not answer.
func TestForwardHeldWait(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{0: time.Second, time.Minute: time.Minute} {
		script := func(req *http.Request) scripted.Answer {
			io.Copy(io.Discard, req.Body)
			return scripted.Page(200, "")
		}
		inBubble(t, script, func(c *Config) { c.Base.ExpectContinueTimeout = limit }, func(t *testing.T, b *bubble) {
			begin := time.Now()
			f := b.Forward(b.request("POST", "hello"))
			reply := send(t, f, Leg{Body: verdict.Held})
			require.Equal(t, want, time.Since(begin))
			f.Finish(reply.Response)
			reply.Body.Close()
		})
	}
}

// A probe has nothing of the request but its URL and the user agent, and what the leg
// authorizes it by.
func TestForwardProbe(t *testing.T) {
	inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		req := b.request("POST", "hello")
		req.Header = http.Header{"Secret": {"x"}, "Proxy-Authorization": {"mine"}, "Connection": {"x"}, "User-Agent": {"u"}}
		req.TransferEncoding, req.ContentLength, req.Trailer = []string{"chunked"}, -1, http.Header{"T": nil}
		again(req, "hello")
		f := b.Forward(req)
		send(t, f, Leg{Body: verdict.Probe}).Body.Close()
		synctest.Wait()
		require.Equal(t, probeHead, b.wire(1))
		delete(req.Header, "User-Agent")
		send(t, f, Leg{Body: verdict.Probe, Authorization: basic}).Body.Close()
		synctest.Wait()
		require.Equal(t, probeHead+strings.Replace(head("OPTIONS", "Proxy-Authorization: Basic xyz", "Proxy-Connection: keep-alive"), "User-Agent: u", "User-Agent: Go-http-client/1.1", 1), b.wire(1))
		f.Abort()
	})
}

// Continued is called when the proxy asks for the body of a trial.
func TestForwardContinued(t *testing.T) {
	for _, open := range []bool{false, true} {
		asks := scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n").Then(scripted.After(time.Millisecond, scripted.Page(200, "")))
		inBubble(t, scripted.Always(asks), nil, func(t *testing.T, b *bubble) {
			for _, trial := range []bool{true, false} {
				f := b.Forward(b.request("POST", "hello"))
				if open {
					took(t, f, 1, AnyConnection)
				}
				continued := 0
				reply := send(t, f, Leg{Body: verdict.Held, Trial: trial, Continued: func() { continued++ }})
				f.Finish(reply.Response)
				reply.Body.Close()
				require.Equal(t, map[bool]int{true: 1}[trial], continued)
			}
		})
	}
}
