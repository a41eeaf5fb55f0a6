package proxytest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var users = map[string]string{"alice": "secret", "bob": "sesame"}

func basicCredentials(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// newProxy starts a proxy that ends with the test.
func newProxy(t *testing.T, c Config) *Proxy {
	t.Helper()
	p := New(c)
	t.Cleanup(p.Close)
	return p
}

// newOrigin starts an origin that answers what it was sent, and fails the
// test if it sees what concerns a proxy.
func newOrigin(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(echo(t)))
	t.Cleanup(s.Close)
	return s
}

func echo(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "Proxy-") || name == "X-Forwarded-For" {
				t.Errorf("the origin got %s", name)
			}
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	}
}

// newClient returns a client of the proxy which, like that of net/http, knows
// Basic alone.
func newClient(t *testing.T, p *Proxy, user, password string) *http.Client {
	t.Helper()
	u := p.URL
	if user != "" {
		u = p.URLFor(user, password)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: p.ClientTLSConfig()}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// raw is a connection to a proxy, spoken to byte by byte.
type raw struct {
	t *testing.T
	net.Conn
	br *bufio.Reader
}

func dialRaw(t *testing.T, p *Proxy) *raw {
	t.Helper()
	return dialRawBy(t, p, new(net.Dialer).DialContext)
}

func dialRawBy(t *testing.T, p *Proxy, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *raw {
	t.Helper()
	nc, err := dial(t.Context(), "tcp", p.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	if c := p.ClientTLSConfig(); c != nil {
		c.ServerName = "proxy.test"
		nc = tls.Client(nc, c)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	return &raw{t, nc, bufio.NewReader(nc)}
}

func (c *raw) write(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")); err != nil {
		c.t.Fatal(err)
	}
}

// send sends a request without a body.
func (c *raw) send(line string, fields ...string) {
	c.t.Helper()
	c.write(append(append([]string{line, "Host: origin.example"}, fields...), "", "")...)
}

// receive reads an answer with its body, unless it opens a tunnel.
func (c *raw) receive(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	if method == "CONNECT" && resp.StatusCode/100 == 2 {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(body)
}

// do sends a request without a body and reads its answer.
func (c *raw) do(line string, fields ...string) (*http.Response, string) {
	c.t.Helper()
	c.send(line, fields...)
	return c.receive(strings.Fields(line)[0])
}

// ended checks that the proxy has ended the connection.
func (c *raw) ended() {
	c.t.Helper()
	if b, err := c.br.ReadByte(); err != io.EOF {
		c.t.Errorf("after the end of the connection: %q, %v", b, err)
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestOpenProxy(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{})
	_, body := get(t, newClient(t, p, "any", "one"), origin.URL+"/a%2Fb?c=d;e")
	want(t, "body", body, "GET /a%2Fb?c=d;e ")
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 1})
	want(t, "attempts", p.Attempts("any"), 0)
}

func TestBasic(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{Basic{Realm: `a "b" \c`, Charset: "UTF-8"}}, Users: users})

	c := dialRaw(t, p)
	resp, _ := c.do("GET " + origin.URL + "/ HTTP/1.1")
	want(t, "status", resp.StatusCode, 407)
	want(t, "challenge", resp.Header.Get("Proxy-Authenticate"), `Basic realm="a \"b\" \\c", charset="UTF-8"`)
	for _, test := range []struct {
		credentials string
		status      int
	}{
		{basicCredentials("alice", "secret"), 200},
		{"bAsIc" + strings.TrimPrefix(basicCredentials("bob", "sesame"), "Basic"), 200},
		{basicCredentials("alice", "Secret"), 407},
		{basicCredentials("carol", ""), 407},
		{"Basic YWxpY2U=", 400}, // no colon
		{"Basic !", 400},
		{"Negotiate abc", 407},
	} {
		resp, _ := c.do("GET "+origin.URL+"/ HTTP/1.1", "Proxy-Authorization: "+test.credentials)
		want(t, test.credentials, resp.StatusCode, test.status)
	}
	resp, _ = c.do("GET "+origin.URL+"/ HTTP/1.1", "Proxy-Authorization: Basic a", "Proxy-Authorization: Basic b")
	want(t, "two fields", resp.StatusCode, 400)

	want(t, "attempts of alice", p.Attempts("alice"), 2)
	want(t, "refused of alice", p.Refused("alice"), 1)
	want(t, "attempts of carol", p.Attempts("carol"), 1)
	want(t, "refused of carol", p.Refused("carol"), 1)
	want(t, "counts", p.Counts(), Counts{Connections: 1, Requests: 9, Challenges: 4})
	legs := p.Transcript()
	want(t, "user", legs[1].User, "alice")
	want(t, "user", legs[3].User, "")
	want(t, "status", legs[3].Status, 407)
	want(t, "credentials", legs[1].Header.Get("Proxy-Authorization"), basicCredentials("alice", "secret"))
}

func TestUsersChange(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{Basic{}}, Users: users})
	client := newClient(t, p, "alice", "new")
	status := func() int { resp, _ := get(t, client, origin.URL); return resp.StatusCode }
	want(t, "before", status(), 407)
	p.SetUser("alice", "new")
	want(t, "set", status(), 200)
	p.RemoveUser("alice")
	want(t, "removed", status(), 407)
	want(t, "Config.Users", users["alice"], "secret")
	p.Reset()
	want(t, "counts", p.Counts(), Counts{})
	want(t, "transcript", len(p.Transcript()), 0)
	want(t, "attempts", p.Attempts("alice"), 0)
}

func TestTLS(t *testing.T) {
	origin := newOrigin(t)
	p := NewTLS(Config{Auth: []Auth{Basic{}}, Users: users})
	defer p.Close()
	want(t, "scheme", p.URL.Scheme, "https")
	if err := p.Certificate().VerifyHostname("proxy.test"); err != nil {
		t.Error(err)
	}
	resp, _ := get(t, newClient(t, p, "bob", "sesame"), origin.URL)
	want(t, "status", resp.StatusCode, 200)

	c := dialRaw(t, p)
	resp, _ = c.do("CONNECT "+origin.Listener.Addr().String()+" HTTP/1.1", "Proxy-Authorization: "+basicCredentials("bob", "sesame"))
	want(t, "status of CONNECT", resp.StatusCode, 200)
	c.send("GET / HTTP/1.0")
	_, body := c.receive("GET")
	want(t, "body", body, "GET / ")
	c.Close()

	plain := newProxy(t, Config{})
	if plain.Certificate() != nil || plain.ClientTLSConfig() != nil {
		t.Error("a plain proxy has a certificate")
	}
}

func TestTranscript(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	c.write("POST "+origin.URL+"/x HTTP/1.1", "Host: other.example", "Content-Length: 5", "X-A: 1", "x-a: 2", "", "hello")
	_, body := c.receive("POST")
	want(t, "body", body, "POST /x hello")
	c2 := dialRaw(t, p)
	c2.do("HEAD "+origin.URL+"/y HTTP/1.0", "Proxy-Connection: keep-alive")
	c2.do("GET /z HTTP/1.0")
	c2.ended()

	legs := p.Transcript()
	want(t, "legs", len(legs), 3)
	want(t, "first", fmt.Sprint(legs[0]), fmt.Sprint(Leg{
		Conn: 1, Method: "POST", Target: origin.URL + "/x", Proto: "HTTP/1.1", Host: "other.example",
		Header: http.Header{"Content-Length": {"5"}, "X-A": {"1", "2"}}, Status: 200, BodyBytes: 5,
	}))
	want(t, "connection", legs[2].Conn, 2)
	want(t, "protocol", legs[1].Proto, "HTTP/1.0")
	want(t, "not for a proxy", legs[2].Status, 400)
	legs[0].Header.Set("X-A", "changed")
	want(t, "copy", p.Transcript()[0].Header.Get("X-A"), "1")
}

func TestChallengeReadsBody(t *testing.T) {
	p := newProxy(t, Config{Auth: []Auth{Basic{}}})
	c := dialRaw(t, p)
	body := strings.Repeat("x", 300_000)
	c.write("PUT http://origin.example/ HTTP/1.1", "Host: origin.example", fmt.Sprintf("Content-Length: %d", len(body)), "", body)
	resp, _ := c.receive("PUT")
	want(t, "status", resp.StatusCode, 407)
	want(t, "body bytes", p.Transcript()[0].BodyBytes, 300_000)
	c.write("PUT http://origin.example/ HTTP/1.1", "Host: origin.example", "Transfer-Encoding: chunked", "", "3", "abc", "0", "", "")
	resp, _ = c.receive("PUT")
	want(t, "status", resp.StatusCode, 407)
	want(t, "body bytes", p.Counts().BodyBytes, 300_003)
	want(t, "connections", p.Counts().Connections, 1)
}

func TestBadRequests(t *testing.T) {
	p := newProxy(t, Config{})
	for _, head := range []string{
		"CONNECT nowhere HTTP/1.1\r\n\r\n",
		"GET http:///path HTTP/1.1\r\n\r\n",
		"nonsense\r\n\r\n",
		"GET http://origin.example/ HTTP/1.1\r\nno colon\r\n\r\n",
		"GET http://origin.example/ HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead),
	} {
		c := dialRaw(t, p)
		c.write(head)
		resp, _ := c.receive("GET")
		want(t, fmt.Sprintf("%.20q", head), resp.StatusCode, 400)
	}
}

func TestUnreachableOrigin(t *testing.T) {
	p := newProxy(t, Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("no way")
	}})
	c := dialRaw(t, p)
	for _, line := range []string{"GET http://origin.example/ HTTP/1.1", "CONNECT origin.example:443 HTTP/1.1"} {
		resp, body := c.do(line)
		want(t, line, resp.StatusCode, 502)
		want(t, line, body, "no way\n")
	}
	want(t, "tunnels", p.Counts().Tunnels, 0)
}

func TestTransport(t *testing.T) {
	p := newProxy(t, Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(r.URL.String())), ContentLength: -1}, nil
	})})
	_, body := get(t, newClient(t, p, "", ""), "http://origin.example/")
	want(t, "body", body, "http://origin.example/")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClose(t *testing.T) {
	stuck := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stuck <- struct{}{}
		<-r.Context().Done()
	}))
	defer origin.Close()
	p := New(Config{})
	idle, tunnel, busy := dialRaw(t, p), dialRaw(t, p), dialRaw(t, p)
	idle.write("GET http")
	tunnel.do("CONNECT " + origin.Listener.Addr().String() + " HTTP/1.1")
	busy.send("GET " + origin.URL + "/ HTTP/1.1")
	<-stuck
	p.Close()
	p.Close()
	for _, c := range []*raw{idle, tunnel, busy} {
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Error("a connection is still open")
		}
	}
	if _, err := net.Dial("tcp", p.URL.Host); err == nil {
		t.Error("the proxy still listens")
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestConcurrentClients(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{Auth: []Auth{Basic{}, Digest{NextNonce: true}}, Users: users})
	const clients, requests = 8, 5
	done := make(chan error, clients)
	for range clients {
		client := newClient(t, p, "alice", "secret")
		go func() {
			for range requests {
				resp, err := client.Post(origin.URL, "text/plain", strings.NewReader("body"))
				if err != nil {
					done <- err
					return
				}
				resp.Body.Close()
				p.Transcript()
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	want(t, "requests", p.Counts().Requests, clients*requests)
	want(t, "attempts", p.Attempts("alice"), clients*requests)
}

func TestCloseClientConnections(t *testing.T) {
	origin := newOrigin(t)
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	c.do("CONNECT " + origin.Listener.Addr().String() + " HTTP/1.1")
	p.CloseClientConnections()
	if _, err := io.Copy(io.Discard, c); isTimeout(err) {
		t.Error("the connection is still open")
	}
	resp, _ := get(t, newClient(t, p, "", ""), origin.URL)
	want(t, "status", resp.StatusCode, 200)
}

func TestClientLeaves(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		close(left)
	}))
	defer origin.Close()
	p := newProxy(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", origin.URL, bytes.NewReader([]byte("body")))
	go func() {
		<-arrived
		cancel()
	}()
	if resp, err := newClient(t, p, "", "").Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer came")
	}
	<-left
}
