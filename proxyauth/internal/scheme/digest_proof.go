package scheme

import (
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/digest"
)

// authenticationInfo is where a proxy proves itself and names the next nonce
// (RFC 7615 §4).
const authenticationInfo = "Proxy-Authentication-Info"

// maxInfo bounds what is read of Proxy-Authentication-Info, in bytes.
const maxInfo = 8 << 10

// parseInfo returns the parameters of Proxy-Authentication-Info in a header or a trailer,
// in one field or several (RFC 9110 §5.3). That it is malformed is no error, since an
// origin may have sent it.
func parseInfo(h http.Header) digest.Params {
	fields, size := h[authenticationInfo], 0
	for i, field := range fields {
		if size += len(field) + len(", "); size > maxInfo {
			fields = fields[:i]
			break
		}
	}
	if len(fields) == 0 {
		return nil
	}
	info, _ := digest.ParseParams(strings.Join(fields, ", "))
	return info
}

// nextNonce returns the nextnonce; "" where there is none, or where it is one that some
// proxy could not read: no nonce needs more than letters, digits and punctuation.
func nextNonce(info digest.Params) string {
	nonce := info.Get("nextnonce")
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if len(nonce) > maxEchoed || strings.ContainsFunc(nonce, odd) {
		return ""
	}
	return nonce
}

// provesLate reports whether the proof of a reply, whose header says info, cannot be
// verified before the body has been read.
func provesLate(resp *http.Response, info digest.Params, s *digest.Session) bool {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return false
	}
	if _, announced := resp.Trailer[authenticationInfo]; announced {
		return true
	}
	_, proves := info.Lookup("rspauth")
	return proves && s.HashesBody() && resp.Request.Method != http.MethodConnect // the proof covers the body
}

// A verifiedBody checks the proxy's proof when the body has come to its end,
// and takes the Proxy-Authentication-Info from the trailer if it is there.
type verifiedBody struct {
	io.ReadCloser
	resp    *http.Response
	session *digest.Session
	answer  digest.Answer
	hash    hash.Hash
	info    digest.Params                      // of the header
	talk    interface{ proved(digest.Params) } // is told of header and trailer
	done    bool
}

// Format prints the same for every verb: the answer is good for its nonce.
func (*verifiedBody) Format(f fmt.State, _ rune) { io.WriteString(f, "proxyauth: response body") }

func (b *verifiedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if err != io.EOF || b.done {
		return n, err
	}
	b.done = true
	if err := b.verify(); err != nil {
		return n, fmt.Errorf("proxyauth: proxy's %s: %w", authenticationInfo, err)
	}
	return n, io.EOF
}

func (b *verifiedBody) verify() error {
	info := b.info
	for _, p := range parseInfo(b.resp.Trailer) {
		if _, twice := info.Lookup(p.Name); !twice {
			info = append(info, p)
		}
	}
	// What net/http has unpacked is not what the proof covers.
	if !b.session.HashesBody() || !b.resp.Uncompressed {
		if err := b.session.Verify(info, b.answer, b.hash); err != nil {
			return err
		}
	}
	b.talk.proved(info)
	return nil
}
