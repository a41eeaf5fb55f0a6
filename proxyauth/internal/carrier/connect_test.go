package carrier

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// What is read of an answer to CONNECT, and what is left for the tunnel.
func TestReadConnectAnswer(t *testing.T) {
	connect := &http.Request{Method: http.MethodConnect}
	for text, want := range map[string]struct {
		code   int
		status string
		proto  string
		length int64
		err    string
	}{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\n":                         {200, "200 OK", "HTTP/1.1", -1, ""},
		"HTTP/1.0 299 Fine, and yours?\nA: b\n\n":                 {299, "299 Fine, and yours?", "HTTP/1.0", -1, ""},
		"HTTP/1.1 204\r\nA: b\r\n\r\n":                            {204, "204", "HTTP/1.1", -1, ""},
		"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\n":    {200, "200 OK", "HTTP/1.1", -1, ""},
		"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: x\r\n\r\n":    {200, "200 OK", "HTTP/1.1", -1, ""},
		"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: x\r\n\r\n": {200, "200 OK", "HTTP/1.1", -1, ""},
		"HTTP/1.1 407 No\r\nA: b\r\nContent-Length: 0\r\n\r\n":    {407, "407 No", "HTTP/1.1", 0, ""},
		"HTTP/1.1 407 No\r\nA: b\r\n\r\n":                         {407, "407 No", "HTTP/1.1", -1, ""},
		"HTTP/1.1 407 No\r\nContent-Length: x\r\n\r\n":            {err: `bad Content-Length "x"`},
		"HTTP/1.1 200 OK":                     {err: "EOF"},
		"HTTP/1.1 200 OK\r\n":                 {err: "EOF"},
		"HTTP/1.1 200 OK\r\nno field\r\n\r\n": {err: `missing colon: "no field"`},
		"HTTP/1.1 2000 OK\r\n\r\n":            {err: `malformed HTTP response "HTTP/1.1 2000 OK"`},
		"HTTP/1.1 2x0 OK\r\n\r\n":             {err: `malformed HTTP response "HTTP/1.1 2x0 OK"`},
		"HTTP/x.1 200 OK\r\n\r\n":             {err: `malformed HTTP response "HTTP/x.1 200 OK"`},
		"HTTX/1.1 200 OK\r\n\r\n":             {err: `malformed HTTP version "HTTX/1.1"`},
		"220 smtp":                            {err: `malformed HTTP status code "smtp"`},
		"220 smtp.example\r\n":                {err: `malformed HTTP status code "smtp.example"`},
		"":                                    {err: "unexpected EOF"},
	} {
		for _, wire := range []io.Reader{strings.NewReader(text + "early"), iotest.OneByteReader(strings.NewReader(text + "early"))} {
			if want.err != "" {
				wire = strings.NewReader(text)
			}
			r := bufio.NewReader(wire)
			resp, err := readConnectAnswer(r, connect)
			if want.err != "" {
				require.ErrorContains(t, err, want.err, text)
				continue
			}
			require.NoError(t, err, text)
			require.Equal(t, want.code, resp.StatusCode)
			require.Equal(t, want.status, resp.Status)
			require.Equal(t, want.proto, resp.Proto)
			require.Equal(t, want.proto == "HTTP/1.1", resp.ProtoAtLeast(1, 1))
			require.Equal(t, want.length, resp.ContentLength, text)
			require.Equal(t, "b", resp.Header.Get("A"))
			require.Same(t, connect, resp.Request)
			if want.code/100 == 2 || want.length == 0 {
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Empty(t, body)
				early, err := io.ReadAll(r)
				require.NoError(t, err)
				require.Equal(t, "early", string(early))
			}
		}
	}
}
