package carrier

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// A line is a connection on which a proxy is asked for a tunnel.
type line struct {
	conn  net.Conn
	in    *bufio.Reader
	limit *io.LimitedReader // below in
}

// ask writes the CONNECT and reads the header of the answer, up to max bytes.
func (l *line) ask(req *http.Request, max int64) (*http.Response, error) {
	if err := req.Write(l.conn); err != nil {
		return nil, err
	}
	if l.in == nil {
		l.limit = &io.LimitedReader{R: l.conn}
		l.in = bufio.NewReader(l.limit)
	}
	l.limit.N = max
	for {
		resp, err := readConnectAnswer(l.in, req)
		switch {
		case err != nil && l.limit.N <= 0:
			return nil, fmt.Errorf("the answer's header is longer than %d bytes", max)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("the proxy closed the connection without an answer: %w", err)
		case err != nil:
			return nil, err
		case resp.StatusCode < 100:
			return nil, malformedStatus(resp)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the proxy answered 101 Switching Protocols")
		case resp.StatusCode >= 200:
			l.limit.N = 1 << 62
			return resp, nil
		}
		// 1xx, all of them within max bytes
	}
}

// pieces is how the content of an answer is read. It is less than what bufio reads at a
// time, so that what follows the content is seen, if it came with it.
const pieces = 2 << 10

// drained reads an answer to its end. It returns nil if the next answer can follow on the
// connection.
func (l *line) drained(resp *http.Response) error {
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(resp.Body, maxKeep), make([]byte, pieces))
	switch {
	case err != nil || n == maxKeep:
		return ErrEnds
	case l.in.Buffered() > 0:
		return ErrSurplus
	}
	return nil
}

// spoiled reports whether something has come behind the last answer, which would be taken
// for the next one.
func (l *line) spoiled() bool {
	return l.in != nil && (l.in.Buffered() > 0 || waiting(l.conn))
}

// readConnectAnswer reads the header of one answer to the CONNECT req. In a 2xx it ignores
// Content-Length and Transfer-Encoding, malformed ones too (RFC 9110 §9.3.6);
// http.ReadResponse does not.
func readConnectAnswer(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	const opened = "HTTP/1.1 2xx"
	if begin, err := r.Peek(len(opened)); err != nil || begin[len(opened)-3] != '2' || string(begin[:5]) != "HTTP/" {
		return http.ReadResponse(r, req)
	}
	in := textproto.NewReader(r)
	line, err := in.ReadLine()
	if err != nil {
		return nil, err
	}
	header, err := in.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	proto, status, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(status, " ")
	resp := &http.Response{Status: status, Proto: proto, Header: http.Header(header), Body: http.NoBody, ContentLength: -1, Request: req}
	var ok bool
	resp.ProtoMajor, resp.ProtoMinor, ok = http.ParseHTTPVersion(proto)
	if resp.StatusCode, err = strconv.Atoi(code); err != nil || !ok || len(code) != 3 {
		return nil, fmt.Errorf("malformed HTTP response %q", line)
	}
	return resp, nil
}

// malformedStatus is the error about a status that is none (RFC 9110 §15), and that
// net/http lets pass.
func malformedStatus(resp *http.Response) error {
	return fmt.Errorf("malformed HTTP status code in %q", resp.Proto+" "+resp.Status)
}
