package proxytest

import (
	"encoding/hex"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
)

// infoField carries what an accepted request is told (RFC 7615), unless the
// scheme has another field for it.
const infoField = "Proxy-Authentication-Info"

// info is what the client is told with the answer to an accepted request.
type info struct {
	field string // infoField or another

	// value returns the field's value. The argument is the content of the
	// answer, hashed by content, "" if that is nil.
	value   func(contentHash string) string
	content hash.Hash // nil unless the value depends on the content
	trailer bool      // in the trailer section, if the answer can have one
}

// hopByHop are the fields which concern one connection only (RFC 9110,
// section 7.6.1), or this proxy.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", infoField,
}

func removeHopByHop(h http.Header) {
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

// forward sends the request to its origin, and the origin's answer to the
// client.
func (x *exchange) forward() {
	upgrade := ""
	if hasToken(x.r.Header["Connection"], "upgrade") {
		upgrade = x.r.Header.Get("Upgrade")
	}
	if upgrade == "" {
		// An upgraded connection has another reader.
		if x.body == nil {
			x.watch()
		} else {
			x.body.whenRead(x.watch)
		}
	}
	resp, err := x.c.p.transport.RoundTrip(x.outgoing(upgrade))
	if err != nil {
		x.answer(http.StatusBadGateway, nil, err.Error())
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.switchProtocols(resp)
		return
	}
	x.relay(resp)
}

// outgoing returns the request as the origin shall see it.
func (x *exchange) outgoing(upgrade string) *http.Request {
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if x.r.ProtoAtLeast(1, 1) {
				x.sendInterim(status, http.Header(header))
			}
			return nil
		},
	}
	out := x.r.Clone(httptrace.WithClientTrace(x.ctx, trace))
	out.RequestURI = ""
	out.Close = false
	out.Trailer = x.r.Trailer // not a copy: it is filled when the body ends
	switch {
	case x.body == nil:
		out.Body = nil
	case x.whole != nil:
		out.Body = io.NopCloser(x.whole)
	default:
		out.Body = x.body
	}
	trailers := hasToken(out.Header["Te"], "trailers")
	removeHopByHop(out.Header)
	maps.DeleteFunc(out.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Proxy-") })
	if trailers {
		out.Header.Set("Te", "trailers")
	}
	if upgrade != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", upgrade)
	}
	if x.c.p.behaviour.IgnoreExpect {
		out.Header.Del("Expect")
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // not that of net/http
	}
	return out
}

// watch cancels the exchange if the client leaves before it is done. It may
// read from the client, so it is for requests that have come completely.
func (x *exchange) watch() {
	c, done := x.c, make(chan struct{})
	c.watched = done
	c.p.wg.Go(func() {
		defer close(done)
		if _, err := c.br.Peek(1); err != nil {
			x.cancel()
		}
	})
}

// relay sends an origin's answer to the client, as it comes.
func (x *exchange) relay(resp *http.Response) {
	removeHopByHop(resp.Header)
	modern := x.r.ProtoAtLeast(1, 1)
	x.close = x.close || x.expects.Load() || (resp.ContentLength < 0 && !modern)
	resp.Request = x.r
	resp.ProtoMajor, resp.ProtoMinor = 1, 1
	resp.TransferEncoding = nil
	if resp.ContentLength < 0 && modern {
		resp.TransferEncoding = []string{"chunked"}
	}
	content := &relayed{x: x, r: resp.Body, closer: resp.Body}
	if info := x.info; info != nil {
		hasContent := x.r.Method != http.MethodHead &&
			resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusNotModified
		switch {
		case hasContent && modern && (info.trailer || info.content != nil):
			resp.ContentLength, resp.TransferEncoding = -1, []string{"chunked"}
			if resp.Trailer == nil {
				resp.Trailer = make(http.Header)
			}
			resp.Trailer[info.field] = nil // announced
			content.info, content.trailer = info, resp.Trailer
		case hasContent && info.content != nil:
			// It would be known too late for a header section.
		default:
			resp.Header.Set(info.field, info.of())
		}
	}
	resp.Body = content
	if !modern && !x.close {
		resp.Header.Set("Connection", "keep-alive")
	}
	resp.Close = x.close
	x.decide(resp.StatusCode)
	if x.send(resp) != nil {
		x.gone = true
	}
}

// of returns the field's value, once the content is known.
func (i *info) of() string {
	if i.content == nil {
		return i.value("")
	}
	return i.value(hex.EncodeToString(i.content.Sum(nil)))
}

// relayed is the content of an origin's answer on its way to the client.
type relayed struct {
	x      *exchange
	r      io.Reader
	closer io.Closer

	info    *info // for the trailer; nil: none
	trailer http.Header
}

func (b *relayed) Read(buf []byte) (int, error) {
	b.x.c.bw.Flush() // before waiting for more; send holds the lock
	n, err := b.r.Read(buf)
	if b.info != nil {
		if b.info.content != nil {
			b.info.content.Write(buf[:n])
		}
		if err == io.EOF {
			b.trailer.Set(b.info.field, b.info.of())
			b.info = nil
		}
	}
	return n, err
}

func (b *relayed) Close() error { return b.closer.Close() }
