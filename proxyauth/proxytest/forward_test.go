package proxytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serveOrigin starts an origin that ends with the test.
func serveOrigin(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

func TestForwardStreams(t *testing.T) {
	// Each line comes back before the next one is sent.
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, strings.ToUpper(line))
			rc.Flush()
		}
	})
	p := newProxy(t, Config{})
	body, in := io.Pipe()
	resp, err := newClient(t, p, "", "").Post(origin.URL, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for _, line := range []string{"one\n", "two\n"} {
		io.WriteString(in, line)
		got, err := br.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		want(t, "line", got, strings.ToUpper(line))
	}
	in.Close()
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	want(t, "body bytes", p.Counts().BodyBytes, 8)
}

func TestForwardTrailers(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Back")
		io.WriteString(w, "content")
		w.Header().Set("X-Back", r.Trailer.Get("X-Forth"))
	})
	p := newProxy(t, Config{})
	req, _ := http.NewRequest("POST", origin.URL, struct{ io.Reader }{strings.NewReader("body")})
	req.Trailer = http.Header{"X-Forth": {"trailing"}}
	resp, err := newClient(t, p, "", "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	want(t, "trailer", resp.Trailer.Get("X-Back"), "trailing")
}

func TestForwardFields(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Hop-Back")
		w.Header().Set("X-Hop-Back", "1")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("X-End", "1")
		fmt.Fprint(w, r.Host, r.Header)
	})
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	resp, body := c.do("GET "+strings.ToUpper(origin.URL[:4])+origin.URL[4:]+"/ HTTP/1.1",
		"Connection: X-Hop", "X-Hop: 1", "Proxy-Connection: keep-alive", "Proxy-X: 1", "Forwarded: for=me", "Te: trailers, deflate")
	want(t, "request", body, strings.TrimPrefix(origin.URL, "http://")+"map[Forwarded:[for=me] Te:[trailers]]")
	want(t, "answer", fmt.Sprint(resp.Header["X-Hop-Back"], resp.Header["Proxy-Authenticate"], resp.Header["X-End"]), "[] [] [1]")
}

func TestForwardWithoutContent(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		case "/long":
			w.Header().Set("Content-Length", "1000")
		}
	})
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	for _, line := range []string{"GET /204", "GET /304", "HEAD /long", "HEAD /", "GET /"} {
		method, path, _ := strings.Cut(line, " ")
		_, body := c.do(method + " " + origin.URL + path + " HTTP/1.1")
		want(t, line, body, "")
	}
	want(t, "connections", p.Counts().Connections, 1)
}

func TestForwardHTTP10(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		if r.URL.Path == "/stream" {
			http.NewResponseController(w).Flush()
		}
		io.WriteString(w, "b")
	})
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	resp, body := c.do("GET "+origin.URL+"/ HTTP/1.0", "Connection: keep-alive")
	want(t, "body", body, "ab")
	want(t, "kept", resp.Header.Get("Connection"), "keep-alive")
	resp, body = c.do("GET "+origin.URL+"/stream HTTP/1.0", "Connection: keep-alive")
	want(t, "body", body, "ab")
	want(t, "transfer encodings", len(resp.TransferEncoding), 0)
	c.ended()
}

func TestForwardCutAnswer(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	p := newProxy(t, Config{})
	resp, err := newClient(t, p, "", "").Get(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the client does not see that the answer is cut")
	}
}

func TestForwardInterim(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	resp, _ := c.do("GET " + origin.URL + "/ HTTP/1.1")
	want(t, "interim status", resp.StatusCode, 103)
	want(t, "interim field", resp.Header.Get("Link"), "</style.css>")
	resp, _ = c.receive("GET")
	want(t, "status", resp.StatusCode, 200)
}

func TestForwardUpgrade(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		nc, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		line, _ := brw.ReadString('\n')
		io.WriteString(nc, strings.ToUpper(line))
	})
	p := newProxy(t, Config{})
	c := dialRaw(t, p)
	resp, _ := c.do("GET "+origin.URL+"/ HTTP/1.1", "Connection: Upgrade", "Upgrade: shout")
	want(t, "status", resp.StatusCode, 101)
	want(t, "protocol", resp.Header.Get("Upgrade"), "shout")
	c.write("hello\n")
	line, _ := c.br.ReadString('\n')
	want(t, "line", line, "HELLO\n")
	c.ended()
}

func TestExpectContinue(t *testing.T) {
	origin := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		echo(t)(w, r)
	})
	p := newProxy(t, Config{Auth: []Auth{Basic{}}, Users: users})
	expect := []string{"Content-Length: 4", "Expect: 100-continue"}
	authorized := append([]string{"Proxy-Authorization: " + basicCredentials("bob", "sesame")}, expect...)

	c := dialRaw(t, p)
	resp, _ := c.do("PUT "+origin.URL+"/ HTTP/1.1", expect...)
	want(t, "without credentials", resp.StatusCode, 407)
	want(t, "closed", resp.Close, true)
	c.ended()

	c = dialRaw(t, p)
	resp, _ = c.do("PUT "+origin.URL+"/no HTTP/1.1", authorized...)
	want(t, "not wanted by the origin", resp.StatusCode, 403)
	want(t, "closed", resp.Close, true)
	c.ended()
	want(t, "body bytes", p.Counts().BodyBytes, 0)

	c = dialRaw(t, p)
	resp, _ = c.do("PUT "+origin.URL+"/ HTTP/1.1", authorized...)
	want(t, "wanted", resp.StatusCode, 100)
	c.write("body")
	_, body := c.receive("PUT")
	want(t, "body", body, "PUT / body")
	want(t, "body bytes", p.Counts().BodyBytes, 4)
}
