package carrier

import (
	"bytes"
	"math"
	"net/http"
	"strconv"
)

// A framing finds out where the responses on a connection end, by the rules of net/http
// (RFC 9112 §6.3), while net/http reads them. A response of which it is not sure it does
// not follow, and none after it.
type framing struct {
	at   part
	head bool // the request was a HEAD

	// Of the header.
	status  int
	old     bool  // HTTP/1.0, which has no chunks
	length  int64 // Content-Length; -1: none
	chunked bool
	ours    bool // the last field was one of these two
	odd     bool // they are malformed, or differ

	left int64 // bytes of the content, or of the chunk

	// The beginning of a line whose end has not come yet, how long it is, and whether it
	// ends with a carriage return.
	begun [64]byte
	size  int
	cr    bool
}

// A part of a response is what comes next.
type part uint8

const (
	between part = iota // the response has ended, or none has begun
	statusLine
	fields
	content
	chunkSize
	chunk
	chunkEnd
	trailer
	unknown // it ends with the connection, or is not followed
)

// begin says that a response begins with the next byte.
func (f *framing) begin(head bool) { f.at, f.head = statusLine, head }

// read takes in bytes, up to the end of a response, and returns how many.
func (f *framing) read(b []byte) (n int) {
	for n < len(b) && f.at != between {
		switch f.at {
		case unknown:
			return len(b)
		case content, chunk:
			k := min(f.left, int64(len(b)-n))
			n += int(k)
			if f.left -= k; f.left > 0 {
				break
			}
			if f.at == chunk {
				f.at = chunkEnd
			} else {
				f.at = between
			}
		default:
			i := bytes.IndexByte(b[n:], '\n')
			if i < 0 {
				f.keep(b[n:])
				return len(b)
			}
			line := b[n : n+i]
			n += i + 1
			if f.at == fields && f.size == 0 && i > 0 && !matters(line[0]) {
				f.ours = false
				continue
			}
			if f.size > 0 {
				f.keep(line)
				line = f.begun[:min(f.size, len(f.begun))]
			} else {
				f.cr = bytes.HasSuffix(line, []byte("\r"))
			}
			cut := f.size > len(f.begun)
			f.size = 0
			if !cut {
				line = bytes.TrimSuffix(line, []byte("\r"))
			}
			f.line(line, cut)
		}
	}
	return n
}

// matters reports whether a line of the header that begins with c is one that field looks
// into.
func matters(c byte) bool {
	switch c {
	case 'C', 'c', 'T', 't', ' ', '\t', '\r':
		return true
	}
	return false
}

// keep keeps the beginning of a line.
func (f *framing) keep(b []byte) {
	if f.size < len(f.begun) {
		copy(f.begun[f.size:], b)
	}
	if len(b) > 0 {
		f.cr = b[len(b)-1] == '\r'
	}
	f.size += len(b)
}

// line takes in a line. cut: that is only its beginning.
func (f *framing) line(line []byte, cut bool) {
	switch {
	case f.at == statusLine:
		f.begins(line)
	case f.at == fields:
		f.field(line, cut)
	case !f.cr:
		f.at = unknown
	case f.at == chunkSize:
		size, _, extended := bytes.Cut(bytes.TrimRight(line, " \t"), []byte(";"))
		n, err := strconv.ParseUint(string(size), 16, 63)
		switch {
		case err != nil || cut && !extended:
			f.at = unknown
		case n == 0:
			f.at = trailer
		default:
			f.at, f.left = chunk, int64(n)
		}
	case f.at == chunkEnd:
		f.at = chunkSize
		if len(line) > 0 {
			f.at = unknown
		}
	case f.at == trailer:
		if len(line) == 0 {
			f.at = between
		}
	}
}

// begins takes in a status line.
func (f *framing) begins(line []byte) {
	version, status, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(bytes.TrimLeft(status, " "), []byte(" "))
	n, err := strconv.ParseUint(string(code), 10, 0)
	f.status, f.old = int(n), string(version) == "HTTP/1.0"
	f.length, f.chunked, f.ours, f.odd = -1, false, false, false
	f.at = fields
	if err != nil || len(code) != 3 || n < 100 || !f.old && string(version) != "HTTP/1.1" {
		f.at = unknown
	}
}

// field takes in a line of the header.
func (f *framing) field(line []byte, cut bool) {
	if len(line) == 0 {
		f.headerEnded()
		return
	}
	if line[0] == ' ' || line[0] == '\t' { // goes on with the last field (RFC 9112 §5.2)
		f.odd = f.odd || f.ours
		return
	}
	f.ours = false
	if value, ok := fieldValue(line, "content-length:"); ok {
		n, err := strconv.ParseUint(string(value), 10, 63)
		f.odd = f.odd || cut || err != nil || f.length >= 0 && f.length != int64(n)
		f.ours, f.length = true, int64(n)
	} else if value, ok := fieldValue(line, "transfer-encoding:"); ok {
		f.odd = f.odd || cut || f.chunked || !bytes.EqualFold(value, []byte("chunked"))
		f.ours, f.chunked = true, true
	}
}

// fieldValue returns the value of a field, if it has the name, which is in lower case
// and has its colon.
func fieldValue(line []byte, name string) ([]byte, bool) {
	if len(line) < len(name) || line[0]|0x20 != name[0] || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.Trim(line[len(name):], " \t"), true
}

// headerEnded finds out what follows the header.
func (f *framing) headerEnded() {
	f.at = between
	switch {
	case f.status == http.StatusSwitchingProtocols || f.odd:
		f.at = unknown
	case f.status < 200: // the response itself is still to come
		f.at = statusLine
	case !f.head && f.status != http.StatusNoContent && f.status != http.StatusNotModified:
		f.at, f.left = f.framed()
	}
}

// framed returns what the content is, by the header, and its length.
func (f *framing) framed() (part, int64) {
	switch {
	case f.chunked && !f.old:
		return chunkSize, 0
	case f.length > 0:
		return content, f.length
	case f.length == 0:
		return between, 0
	}
	return unknown, math.MaxInt64
}
