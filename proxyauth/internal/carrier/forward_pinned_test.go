package carrier

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// authenticate leaves an idle connection that an owner has authenticated.
func (b *bubble) authenticate(owner any) {
	b.t.Helper()
	f := b.Forward(b.request("GET", ""))
	took(b.t, f, owner, NewConnection)
	b.finish(f, send(b.t, f, Leg{Authorization: basic}))
}

// finish reads an answer, which is the last.
func (b *bubble) finish(f *Forward, reply Reply) {
	b.t.Helper()
	f.Finish(reply.Response)
	page(b.t, reply.Response)
	synctest.Wait()
}

// All legs are on the connection that was taken, which is kept for its owner when it is
// authenticated.
func TestPinned(t *testing.T) {
	script := scripted.InTurn(scripted.Page(407, "no", "Proxy-Authenticate: NTLM"), scripted.Page(200, "yes"))
	inBubble(t, script, nil, func(t *testing.T, b *bubble) {
		req := b.request("GET", "")
		req.Header["proxy-authorization"] = []string{"mine"}
		f := b.Forward(req)
		require.Nil(t, took(t, f, "alice", Authenticated))
		require.Equal(t, &Connection{}, took(t, f, "alice", AnyConnection))
		reply := send(t, f, Leg{Authorization: basic})
		require.NoError(t, f.Keep(reply.Response))
		reply = send(t, f, Leg{Authorization: []string{"Basic abc"}})
		f.Finish(reply.Response)
		require.Nil(t, reply.TLS)
		require.Same(t, req, reply.Request)
		require.Equal(t, "yes", page(t, reply.Response))
		synctest.Wait()

		other := b.Forward(b.request("GET", ""))
		require.Nil(t, took(t, other, "bob", Authenticated))
		require.Equal(t, &Connection{Authenticated: true}, took(t, other, "alice", Authenticated))
		b.finish(other, send(t, other, Leg{}))
		require.Equal(t, &Connection{Authenticated: true}, took(t, f, "alice", AnyConnection))
		b.finish(f, send(t, f, Leg{}))
		require.Equal(t, &Connection{}, took(t, f, "alice", NewConnection))
		f.Drop()
		require.Equal(t, 2, b.connections())
		require.Equal(t, head("GET", "Proxy-Authorization: Basic xyz", "Proxy-Connection: keep-alive")+
			head("GET", "Proxy-Authorization: Basic abc", "Proxy-Connection: keep-alive")+head("GET")+head("GET"), b.wire(1))
		require.Equal(t, http.Header{"User-Agent": {"u"}, "proxy-authorization": {"mine"}}, req.Header)
	})
}

// What is sent of a message in each kind of leg.
func TestPinnedBody(t *testing.T) {
	const auth, keep = "Proxy-Authorization: Basic xyz", "Proxy-Connection: keep-alive"
	for name, test := range map[string]struct {
		method, body string
		legs         []Leg
		want         []string
	}{
		"probe":         {"POST", "hello", []Leg{{Authorization: basic, Body: verdict.Probe}}, []string{head("OPTIONS", auth, keep)}},
		"withheld":      {"POST", "hello", []Leg{{Authorization: basic, Body: verdict.Withheld}}, []string{head("POST", "Content-Length: 0", auth, keep)}},
		"whole":         {"POST", "hello", []Leg{{Authorization: basic}}, []string{head("POST", "Content-Length: 5", auth, keep) + "hello"}},
		"not again":     {"POST", "hello", []Leg{{}}, []string{head("POST", "Content-Length: 5", keep) + "hello"}},
		"held":          {"POST", "hello", []Leg{{Body: verdict.Held}}, []string{head("POST", "Connection: close", "Content-Length: 5", "Expect: 100-continue", keep)}},
		"probe, whole":  {"POST", "hello", []Leg{{Authorization: basic, Body: verdict.Probe}, {}}, []string{head("OPTIONS", auth, keep), head("POST", "Content-Length: 5", keep) + "hello"}},
		"whole, again":  {"POST", "hello", []Leg{{}, {}}, []string{head("POST", "Content-Length: 5", keep) + "hello", ""}},
		"bare":          {"GET", "", []Leg{{}}, []string{head("GET")}},
		"bare withheld": {"GET", "", []Leg{{Body: verdict.Withheld}}, []string{head("GET")}},
		"bare held":     {"GET", "", []Leg{{Body: verdict.Held}}, []string{head("GET")}},
		"bare probe":    {"GET", "", []Leg{{Body: verdict.Probe}}, []string{head("OPTIONS", keep)}},
	} {
		inBubble(t, scripted.Always(scripted.Page(407, "")), nil, func(t *testing.T, b *bubble) {
			body := &closing{Reader: strings.NewReader(test.body)}
			req := b.request(test.method, test.body)
			if test.body != "" {
				req.Body = body
			}
			f := b.Forward(req)
			took(t, f, 1, AnyConnection)
			for i, leg := range test.legs {
				if test.want[i] == "" {
					require.Equal(t, BodyGone, fault(t, f, leg).Kind)
					continue
				}
				reply := send(t, f, leg)
				require.Equal(t, leg.Body != verdict.Held || test.body == "", f.Keep(reply.Response) == nil)
			}
			require.Equal(t, strings.Join(test.want, ""), b.wire(1), name)
			f.Abort()
			synctest.Wait()
			require.Equal(t, test.body != "", body.closed == 1, name)
		})
	}
}

// A stream that was held goes with the next leg, on another connection, if the proxy has
// not asked for it.
func TestPinnedHeld(t *testing.T) {
	asks := scripted.Raw("HTTP/1.1 100 Continue\r\n\r\n").Then(scripted.After(time.Millisecond, scripted.Page(407, "")))
	for _, asked := range []bool{false, true} {
		first := scripted.Page(407, "")
		if asked {
			first = asks
		}
		inBubble(t, scripted.InTurn(first, scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
			body := &closing{Reader: strings.NewReader("hello")}
			req := b.request("POST", "hello")
			req.Body = body
			f := b.Forward(req)
			took(t, f, 1, AnyConnection)
			send(t, f, Leg{Body: verdict.Held}).Body.Close()
			synctest.Wait()
			require.Zero(t, body.closed)
			took(t, f, 1, AnyConnection)
			if asked {
				require.Equal(t, BodyGone, fault(t, f, Leg{}).Kind)
				f.Abort()
			} else {
				b.finish(f, send(t, f, Leg{}))
				require.True(t, strings.HasSuffix(b.wire(2), "\n\nhello"))
			}
			require.Equal(t, 1, body.closed)
		})
	}
}

// A connection on which the body is still sent is not good for another leg, though the
// answer has been read.
func TestPinnedKeepBusy(t *testing.T) {
	bubbleBy(t, scripted.Config{Script: scripted.Always(scripted.Page(407, "no")), KeepBodies: true}, nil, func(t *testing.T, b *bubble) {
		r, w := io.Pipe()
		req := b.request("POST", "hello")
		req.Body = r
		f := b.Forward(req)
		took(t, f, 1, AnyConnection)
		reply := send(t, f, Leg{})
		require.Equal(t, ErrEnds, f.Keep(reply.Response))
		f.Abort()
		w.Close()
	})
}

// A request after which its connection is to be closed is sent without that, and the
// connection is not kept.
func TestPinnedClose(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"Close":      func(req *http.Request) { req.Close = true },
		"Connection": func(req *http.Request) { req.Header["connection"] = []string{"x, close"} },
	} {
		for _, body := range []string{"", "hello"} {
			inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
				req := b.request("PUT", body)
				change(req)
				f := b.Forward(req)
				took(t, f, 1, AnyConnection)
				b.finish(f, send(t, f, Leg{}))
				require.NotContains(t, strings.ToLower(b.wire(1)), "\nconnection: ", name)
				require.True(t, req.Close || len(req.Header) == 2, "the caller's request")
				require.Nil(t, took(t, f, 1, Authenticated))
			})
		}
	}
	for name, change := range map[string]func(*http.Request){
		"other option": func(req *http.Request) { req.Header["Connection"] = []string{"x"} },
		"other field":  func(req *http.Request) { req.Header["Connected"] = []string{"close"} },
	} {
		inBubble(t, scripted.Always(scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
			req := b.request("GET", "")
			change(req)
			f := b.Forward(req)
			took(t, f, 1, AnyConnection)
			b.finish(f, send(t, f, Leg{}))
			require.Contains(t, b.wire(1), "\nConnect", name)
			require.NotNil(t, took(t, f, 1, Authenticated), name)
			f.Drop()
		})
	}
}

// Which answers authenticate a connection, or leave it so.
func TestPinnedAuthenticates(t *testing.T) {
	challenge := "Proxy-Authenticate: NTLM"
	for _, test := range []struct {
		answers []scripted.Answer
		want    bool
	}{
		{[]scripted.Answer{scripted.Page(200, "")}, true},
		{[]scripted.Answer{scripted.Page(502, "")}, true},
		{[]scripted.Answer{scripted.Page(407, "", challenge)}, false},
		{[]scripted.Answer{scripted.Page(407, "")}, false},
		{[]scripted.Answer{scripted.Page(407, "", challenge), scripted.Page(200, "")}, true},
		{[]scripted.Answer{scripted.Page(200, ""), scripted.Page(407, "")}, true}, // an origin's
		{[]scripted.Answer{scripted.Page(200, ""), scripted.Page(407, "", challenge)}, false},
		{[]scripted.Answer{scripted.Page(200, "", "Connection: close")}, false}, // it ends
	} {
		inBubble(t, scripted.InTurn(test.answers...), nil, func(t *testing.T, b *bubble) {
			f := b.Forward(b.request("GET", ""))
			took(t, f, 1, AnyConnection)
			for i := range test.answers {
				reply := send(t, f, Leg{Authorization: basic})
				if i < len(test.answers)-1 {
					require.NoError(t, f.Keep(reply.Response))
				} else {
					b.finish(f, reply)
				}
			}
			conn, err := f.Open(1, Authenticated)
			require.NoError(t, err)
			require.Equal(t, test.want, conn != nil)
			f.Drop()
		})
	}
}

// HTTP/1.0 proxies say and are told that a connection is kept by Proxy-Connection.
func TestPinnedHTTP10(t *testing.T) {
	old := "HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n"
	inBubble(t, scripted.InTurn(scripted.Raw(old), scripted.Raw(old), scripted.Page(200, "")), nil, func(t *testing.T, b *bubble) {
		b.authenticate(1)
		for range 3 {
			f := b.Forward(b.request("GET", ""))
			require.NotNil(t, took(t, f, 1, Authenticated))
			b.finish(f, send(t, f, Leg{}))
		}
		keep := head("GET", "Proxy-Connection: keep-alive")
		require.Equal(t, head("GET", "Proxy-Authorization: Basic xyz", "Proxy-Connection: keep-alive")+keep+keep+head("GET"), b.wire(1))
	})
}

// After 101 the connection is another protocol's, in which nothing is translated.
func TestPinnedSwitches(t *testing.T) {
	const said = "HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\n\r\n"
	switches := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
	inBubble(t, scripted.Always(scripted.Raw(switches).Then(scripted.Echo())), nil, func(t *testing.T, b *bubble) {
		f := b.Forward(b.request("GET", ""))
		took(t, f, 1, AnyConnection)
		reply := send(t, f, Leg{})
		f.Finish(reply.Response)
		io.WriteString(reply.Body.(io.Writer), said)
		got := make([]byte, len(said))
		_, err := io.ReadFull(reply.Body, got)
		require.NoError(t, err)
		require.Equal(t, said, string(got))
		reply.Body.Close()
	})
}

// Which denials leave the connection good for another leg.
func TestPinnedKeep(t *testing.T) {
	for _, test := range []struct {
		method, answer string
		want           bool
	}{
		{"GET", "Content-Length: 2\n\nno", true},
		{"GET", "Transfer-Encoding: chunked\n\n2\nno\n0\n\n", true},
		{"GET", "\nno", false},
		{"HEAD", "\n", true},
		{"HEAD", "Content-Length: 2\n\n", true},
		{"GET", "Connection: close\nContent-Length: 2\n\nno", false},
		{"GET", "Content-Length: 3\n\nno", false}, // it ends early
		{"GET", "Content-Length: 1048576\n\n" + strings.Repeat("x", 1<<20), true},
		{"GET", "Content-Length: 2097152\n\n" + strings.Repeat("x", 2<<20), false},
	} {
		answer := scripted.Raw(strings.ReplaceAll("HTTP/1.1 407 No\n"+test.answer, "\n", "\r\n"))
		if !test.want {
			answer = answer.Then(scripted.HangUp())
		}
		inBubble(t, scripted.Always(answer), nil, func(t *testing.T, b *bubble) {
			f := b.Forward(b.request(test.method, ""))
			took(t, f, 1, AnyConnection)
			reply := send(t, f, Leg{})
			require.Equal(t, test.want, f.Keep(reply.Response) == nil, "%.60q", test.answer)
			if test.want {
				send(t, f, Leg{})
				require.Equal(t, 1, b.connections())
			}
			f.Abort()
		})
	}
}

func (f failing) Read([]byte) (int, error) { return 0, f.err }
