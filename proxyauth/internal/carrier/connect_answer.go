package carrier

import (
	"bufio"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// ReadConnectAnswer reads the header of one answer to the CONNECT req. In a 2xx it ignores Content-Length and
// Transfer-Encoding, malformed ones too (RFC 9110 §9.3.6); http.ReadResponse does not.
func ReadConnectAnswer(r *bufio.Reader, req *http.Request) (*http.Response, error) {
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
	if resp.ProtoMajor, resp.ProtoMinor, ok = http.ParseHTTPVersion(proto); !ok || len(code) != 3 {
		return nil, fmt.Errorf("malformed HTTP response %q", line)
	}
	resp.StatusCode, err = strconv.Atoi(code)
	return resp, err
}
