package carrier

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// responses are answers to a request, and what follows each.
var responses = []struct {
	method, text string
	over         string
}{
	{"GET", "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", "x"},
	{"GET", "HTTP/1.1 407 No\r\ncontent-LENGTH:2 \r\n\r\nno", "HTTP/1.1 200 OK\r\n\r\n"},
	{"GET", "HTTP/1.1 407 No\nContent-Length: 2\n\nno", "\r\n"},
	{"GET", "HTTP/1.0 407 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nno", "x"},
	{"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "x"},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "x"},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "x"},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n2;a=\"b\"\r\nok\r\n0A \r\n0123456789\r\n000;x\r\nA: b\r\nC: d\r\n\r\n", "x"},
	{"GET", "HTTP/1.1 204 Nothing\r\nContent-Length: 2\r\n\r\n", "no"},
	{"GET", "HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"},
	{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "no"},
	{"HEAD", "HTTP/1.1 407 No\r\n\r\n", "no"},
	{"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Wait\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "x"},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nContent-Length: 2\r\nX-Content-Length: 3\r\nContent-Lengths: 4\r\nTransfer: y\r\n\r\nok", "x"},
	{"GET", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("Content-Length: 9", 1000) + "\r\nContent-Length: 2\r\n\r\nok", "x"},
	{"GET", "HTTP/1.1 200 OK\r\nA: b\r\n\tContent-Length: 9\r\nContent-Length: 2\r\n\r\nok", "x"},
	{"GET", "HTTP/1.1 200 " + strings.Repeat("OK", 1000) + "\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("0123456789", 1000), "x"},
	// These end with the connection, are errors, or are not followed.
	{"GET", "HTTP/1.1 200 OK\r\n\r\nok", ""},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", ""},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", ""},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", ""},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", ""},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok!", ""},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 ;x\r\nok\r\n0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\n\r\nanything", ""},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\nanything", ""},
	{"GET", "HTTP/1.1 000 Odd\r\nContent-Length: 2\r\n\r\nok!", ""},
	{"GET", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok!", ""},
	{"GET", "HTTP/1.1 101 Switching Protocols\r\n\r\nanything", ""},
	{"GET", "220 smtp.example\r\n\r\nContent-Length: 2\r\n\r\nok!", ""},
	{"GET", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", ""},
}

// What is handed up of a connection is the answer as net/http reads it, in pieces of
// whatever size, and nothing of what follows.
func TestFraming(t *testing.T) {
	for _, r := range responses {
		for _, piece := range []int{1, 2, 7, 100, 1 << 20} {
			for _, size := range []int{1, 16, 1 << 20} {
				if len(r.text) > 1000 && min(piece, size) < 10 {
					continue
				}
				w := newWire(&side{text: r.text + r.over, piece: piece})
				w.Write([]byte(r.method + " http://origin.example/ HTTP/1.1\r\n\r\n"))
				got, err := readAll(w, size)
				require.NoError(t, err)
				require.Equal(t, r.text, got, "in pieces of %d to %d", piece, size)
				require.Equal(t, r.over != "", w.isOver(), "%q in pieces of %d to %d", r.text, piece, size)
			}
		}
	}
}

// What net/http makes of a connection is the same with a wire, except that nothing is
// left over where the connection could be used again.
func FuzzFraming(f *testing.F) {
	for _, r := range responses {
		f.Add(r.text+r.over, r.method == "HEAD", 4096)
	}
	f.Fuzz(func(t *testing.T, text string, head bool, piece int) {
		method := map[bool]string{true: "HEAD", false: "GET"}[head]
		if piece = max(1, piece); len(text) > 1<<16 {
			return
		}
		want := readResponse(&side{text: text, piece: piece}, method)
		w := newWire(&side{text: text, piece: piece})
		w.Write([]byte(method + " http://origin.example/ HTTP/1.1\r\n\r\n"))
		got := readResponse(w, method)
		if got.again != want.again || got.head != want.head || got.body != want.body || got.err != want.err {
			t.Fatalf("%+v, and by the wire %+v", want, got)
		}
		if got.again && got.left != "" && w.framing.at != unknown {
			t.Fatalf("%q is left of %q", got.left, text)
		}
	})
}

type readOutcome struct {
	head, body, err, left string
	again                 bool // net/http uses the connection for more
}

// readResponse reads one as net/http does.
func readResponse(r io.Reader, method string) (o readOutcome) {
	in := bufio.NewReader(r)
	req := &http.Request{Method: method}
	for {
		resp, err := http.ReadResponse(in, req)
		if err != nil {
			return readOutcome{head: o.head, err: err.Error()}
		}
		o.head += fmt.Sprint(resp.Proto, resp.Status, resp.Header, resp.ContentLength, resp.TransferEncoding)
		if resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		o.body = fmt.Sprint(string(body), resp.Trailer)
		if err != nil {
			o.err = err.Error()
			return o
		}
		o.again = !resp.Close && resp.StatusCode > 199
		left, _ := io.ReadAll(in)
		o.left = string(left)
		return o
	}
}
