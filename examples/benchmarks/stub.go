package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A stub is a proxy in a process of its own that costs next to nothing: what is
// timed, and what is in the heap, is the client. It asks for credentials and
// takes any. A forwarded request makes the one trip to an origin that no proxy
// can do without; in a tunnel the stub is the origin:
//
//	https://example.com/    2 bytes
//	https://example.com/N   N MiB
//	source.test:N           raw TCP: for a byte, sends N MiB
//	sink.test:N             raw TCP: takes N MiB, then answers with a byte
type stub struct {
	kind string // auth-scheme, "" for an open proxy
	cert tls.Certificate

	accepted atomic.Int64
	origin   net.Conn // answers a byte with a byte
	originMu sync.Mutex
}

const established = "HTTP/1.1 200 OK\r\n\r\n"

const stubEnv = "BENCHMARKS_STUB"

// stubMain is the stub's main, if this process is to be one. It serves until
// its standard input ends, and answers each line of it with the number of
// connections so far.
func stubMain() bool {
	kind, ok := os.LookupEnv(stubEnv)
	if !ok {
		return false
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	s := &stub{kind: kind, cert: server.TLS.Certificates[0], origin: startPong()}
	server.Close()
	fmt.Println(l.Addr())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			go s.serve(c)
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(s.accepted.Load())
	}
	return true
}

// A stubProcess is a stub as its user sees it.
type stubProcess struct {
	url   *url.URL
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

// startStub starts a stub that demands authentication of a kind.
func startStub(kind string) (*stubProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), stubEnv+"="+kind)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, err
	}
	p := &stubProcess{cmd: cmd, in: in, lines: bufio.NewReader(out)}
	addr, err := p.lines.ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("stub: %w", err)
	}
	p.url = &url.URL{Scheme: "http", Host: strings.TrimSpace(addr)}
	return p, nil
}

func (p *stubProcess) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// connections returns how many the stub has accepted so far.
func (p *stubProcess) connections() (int, error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, err
	}
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

func startPong() net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	pong, err := l.Accept()
	if err != nil {
		panic(err)
	}
	go func() {
		for b := make([]byte, 1); ; {
			if _, err := pong.Read(b); err != nil {
				return
			}
			pong.Write(b)
		}
	}()
	return c
}

func (s *stub) ping() {
	s.originMu.Lock()
	defer s.originMu.Unlock()
	b := make([]byte, 1)
	s.origin.Write(b)
	s.origin.Read(b)
}

var challenges = map[string]string{
	"Basic":     `Basic realm="benchmarks"`,
	"Digest":    `Digest realm="benchmarks", nonce="abcdefghijklmnopqrstuvwx", qop="auth", opaque="1234567890"`,
	"NTLM":      `NTLM`,
	"Negotiate": `Negotiate`,
}

func (s *stub) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	legs := 0
	for {
		request, authorization, err := readHead(in)
		if err != nil {
			return
		}
		if authorization {
			legs++
		}
		passed := authorization
		switch s.kind {
		case "":
			passed = true
		case "NTLM":
			passed = legs >= 2
		case "Negotiate":
			passed = legs >= 1
		}
		method, target, _ := strings.Cut(request, " ")
		target, _, _ = strings.Cut(target, " ")
		switch {
		case !passed:
			challenge := challenges[s.kind]
			if legs > 0 {
				challenge += " " + base64.StdEncoding.EncodeToString(type2(false))
			}
			_, err = io.WriteString(c, "HTTP/1.1 407 Who\r\nProxy-Authenticate: "+challenge+"\r\nContent-Length: 0\r\n\r\n")
		case method == "CONNECT":
			if _, err := io.WriteString(c, established); err == nil {
				s.tunnel(c, in, target)
			}
			return
		default:
			s.ping()
			err = answer(c, 0)
		}
		if err != nil {
			return
		}
	}
}

// readHead reads the head of a request, which has no body.
func readHead(in *bufio.Reader) (request string, authorization bool, err error) {
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return "", false, err
		case first:
			request = string(line)
		case len(line) == 2:
			return request, authorization, nil
		case bytes.HasPrefix(line, []byte("Proxy-Authorization:")):
			authorization = true
		}
	}
}

func (s *stub) tunnel(c net.Conn, in *bufio.Reader, target string) {
	host, port, _ := net.SplitHostPort(target)
	n, _ := strconv.Atoi(port)
	switch host {
	case "source.test":
		in.ReadByte() // nothing comes with the 200, where some clients lose it
		sendMiB(c, n)
		return
	case "sink.test":
		io.CopyN(io.Discard, in, int64(n)<<20)
		c.Write([]byte{1})
		return
	}
	t := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	for in := bufio.NewReader(t); ; {
		request, _, err := readHead(in)
		if err != nil {
			return
		}
		path := strings.Fields(request)[1]
		n, _ := strconv.Atoi(path[1:])
		if answer(t, n) != nil {
			return
		}
	}
}

var ok = []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

func answer(c net.Conn, mib int) error {
	if mib == 0 {
		_, err := c.Write(ok)
		return err
	}
	if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", mib<<20); err != nil {
		return err
	}
	return sendMiB(c, mib)
}

func sendMiB(c net.Conn, n int) error {
	b := make([]byte, 1<<20)
	for range n {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}
