package carrier

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A side is a connection from which text comes, in pieces of a size.
type side struct {
	net.Conn
	text  string
	piece int
	wrote strings.Builder
}

func (s *side) Write(p []byte) (int, error) { return s.wrote.Write(p) }

func (s *side) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.text)
	s.text = s.text[n:]
	return n, nil
}

// Of an answer by HTTP/1.0 net/http reads Connection where the proxy says
// Proxy-Connection, and nothing else is another.
func TestWire(t *testing.T) {
	const keep = "HTTP/1.0 407 No\r\nA: b\r\nProxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\n"
	kept := strings.Replace(keep, "Proxy-", "", 1)
	// A header is searched up to 64 KiB, to the end of the last piece.
	end := "\r\nProxy-Connection: x\r\n\r\n"
	longest := "HTTP/1.0 200 OK\r\nA: " + strings.Repeat("x", 64<<10-len("HTTP/1.0 200 OK\r\nA: "+end)) + end
	longer := strings.Replace(longest, "A:", "A: ", 1)
	for text, want := range map[string]string{
		keep + "hi":                            kept + "hi",
		strings.ReplaceAll(keep, "\r\n", "\n"): strings.ReplaceAll(kept, "\r\n", "\n"),
		strings.Replace(keep, "Proxy-Connection", "pROXY-cONNECTION", 1):    strings.Replace(kept, "Connection", "cONNECTION", 1),
		"HTTP/1.0 407 No\nProxy-Connection:\n\n":                            "HTTP/1.0 407 No\nConnection:\n\n",
		"HTTP/1.0 407 No\r\nA: \xe2\x84\xaa\r\nProxy-Connection: x\r\n\r\n": "HTTP/1.0 407 No\r\nA: \xe2\x84\xaa\r\nConnection: x\r\n\r\n",
		"HTTP/1.0 407 No\r\n\r\nA\nProxy-Connection: x\n\n":                 "", // not in the content
		"HTTP/1.0 407 No\n\r\nA\nProxy-Connection: x\n\n":                   "",
		"HTTP/1.0 407 No\nX-Proxy-Connection: x\nProxy-Connected: y\n\n":    "",
		"HTTP/1.0 407 No\nProxy\rConnection: x\n\n":                         "",
		"HTTP/1.1 407 No\r\nProxy-Connection: keep-alive\r\n\r\n":           "",
		"HTTP/1.01 407 No\r\nProxy-Connection: keep-alive\r\n\r\n":          "",
		"HTTP/1.0\r\n\nProxy-Connection: keep-alive\r\n\r\n":                "",
		"220 smtp.example\r\nProxy-Connection: keep-alive\r\n\r\n":          "",
		longest: strings.Replace(longest, "Proxy-", "", 1),
		longer:  "",
	} {
		if want == "" {
			want = text
		}
		for _, piece := range []int{1, 3, 100, 4096} {
			for _, size := range []int{7, 4096} {
				if len(text) > 1000 && piece > 1 && min(piece, size) < 4096 {
					continue // one more piece than is searched
				}
				w := newWire(&side{text: text, piece: piece})
				w.translates = true
				w.Write([]byte(get))
				got, err := readAll(w, size)
				require.NoError(t, err)
				require.True(t, want == got, "in pieces of %d to %d: %.200q", piece, size, got)
			}
		}
	}
}

// get begins a request as net/http writes it to a proxy.
const get = "GET http://origin.example/ HTTP/1.1\r\n\r\n"

// readAll is io.ReadAll with a buffer of a size.
func readAll(r io.Reader, size int) (string, error) {
	var all strings.Builder
	_, err := io.CopyBuffer(struct{ io.Writer }{&all}, struct{ io.Reader }{r}, make([]byte, size))
	return all.String(), err
}

// Only the answer to what was written is translated, and only where it begins: not in
// its content, which may be read while the request's body is still being written, and not
// after another protocol has begun.
func TestWireBetweenAnswers(t *testing.T) {
	const header, want = "HTTP/1.0 200 OK\r\nProxy-Connection: x\r\n", "HTTP/1.0 200 OK\r\nConnection: x\r\n"
	s := &side{piece: 4096}
	w := newWire(s)
	w.translates = true
	read := func() string {
		p := make([]byte, 4096)
		n, err := w.Read(p)
		require.NoError(t, err)
		return string(p[:n])
	}
	w.Write([]byte(get))
	s.text = header + "Content-Length: 0\r\n\r\n"
	require.Equal(t, want+"Content-Length: 0\r\n\r\n", read())

	w.Write([]byte("PUT http://origin.example/ HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"))
	s.text = header + "Content-Length: 100\r\n\r\n"
	require.Equal(t, want+"Content-Length: 100\r\n\r\n", read())
	n, err := w.ReadFrom(strings.NewReader("the body"))
	require.NoError(t, err)
	require.EqualValues(t, 8, n)
	for _, more := range []string{header + "\r\n", "HTTP/1.0 ", header} {
		w.Write([]byte("goes on"))
		s.text = more
		require.Equal(t, more, read())
	}

	s = &side{piece: 4096}
	w = newWire(s)
	w.translates = true
	w.Write([]byte(get))
	const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
	s.text = switching
	require.Equal(t, switching, read())
	w.Write([]byte(get))
	s.text = header
	require.Equal(t, header, read())
	require.ErrorIs(t, w.CloseWrite(), errors.ErrUnsupported)
}

// What is not known to be a request to a proxy is not followed, and nothing is lost of the
// answer.
func TestWireOtherRequests(t *testing.T) {
	for _, begin := range []string{"OPTIONS * HTTP/1.1\r\n\r\n", "GET " + strings.Repeat("x", 5000), "x", "PROPFIND http://origin.example/ HTTP/1.1\r\n\r\n"} {
		s := &side{piece: 10}
		w := newWire(s)
		for i := range 3 {
			if i > 0 && len(begin) > 1000 {
				break // it may go on with the last one
			}
			w.Write([]byte(begin))
			s.text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
			want, got := s.text, ""
			for p := make([]byte, 100); len(got) < len(want); {
				n, err := w.Read(p)
				require.NoError(t, err, "%.30q", begin)
				got += string(p[:n])
			}
			require.Equal(t, want, got)
			if begin == "x" {
				break
			}
		}
	}
}

// A deadSide cannot be written to, and may have an answer to read.
type deadSide struct {
	net.Conn
	answer func() string
	ended  chan struct{}
}

func (f *deadSide) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
}

func (f *deadSide) Read(p []byte) (int, error) {
	if f.answer != nil {
		n := copy(p, f.answer())
		f.answer = nil
		return n, nil
	}
	<-f.ended
	return 0, syscall.ECONNRESET
}

func (f *deadSide) Close() error { return nil }

// That writing fails is told once it is known that there is no answer, or when the
// connection has ended behind the answer; or after a second.
func TestWireHolds(t *testing.T) {
	answer := func() string { return "HTTP/1.1 407 No\r\nContent-Length: 100\r\n\r\n" }
	for name, test := range map[string]struct {
		answer func() string
		ends   time.Duration // of reading
		want   time.Duration
	}{
		"no answer":     {nil, 100 * time.Millisecond, 100 * time.Millisecond},
		"answer":        {answer, 100 * time.Millisecond, time.Minute},
		"late answer":   {func() string { time.Sleep(time.Second / 2); return answer() }, time.Hour, time.Minute},
		"nothing comes": {nil, time.Hour, holdFor},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &deadSide{answer: test.answer, ended: make(chan struct{})}
			w := newWire(f)
			time.AfterFunc(time.Minute, func() { w.Close() })
			end := time.AfterFunc(test.ends, func() { close(f.ended) })
			go func() {
				for {
					if _, err := w.Read(make([]byte, 1000)); err != nil {
						return
					}
				}
			}()
			begin := time.Now()
			_, err := w.Write([]byte(get))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Equal(t, test.want, time.Since(begin), name)
			time.Sleep(2 * time.Hour)
			end.Stop()
		})
	}
	// The failure of a body is told at once.
	w := newWire(&side{})
	_, err := w.ReadFrom(iotest.ErrReader(io.ErrClosedPipe))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// Nothing is allocated for an answer.
func TestWireAllocates(t *testing.T) {
	s := &side{piece: 100}
	w := newWire(s)
	p := make([]byte, 4096)
	request := []byte(get)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		w.asks(request)
		s.text = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nA: b\r\n\r\n"
		for s.text != "" {
			w.Read(p)
		}
	}))
	require.False(t, w.isOver())
}
