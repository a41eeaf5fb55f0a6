package carrier

import (
	"errors"
	"io"
	"net"
)

// A LegError is the failure of a connection to a proxy between the request and
// its answer.
type LegError struct {
	Proxy   string // its URL without userinfo
	Request string // "CONNECT host:port"; "" for one that is forwarded
	Err     error
}

func (e *LegError) Error() string {
	s := "proxyauth: proxy " + e.Proxy + ": "
	if e.Request != "" {
		s += e.Request + ": "
	}
	s += e.Err.Error()
	if wantsCertificate(e.Err) {
		s += wantsCertificateRemedy
	}
	return s
}

func (e *LegError) Unwrap() error { return e.Err }

// Timeout makes the error, and the url.Error around it, a net.Error.
func (e *LegError) Timeout() bool { return TimedOut(e.Err) }

// Temporary is part of net.Error; it is never true.
func (e *LegError) Temporary() bool { return false }

const wantsCertificateRemedy = ": it wants a client certificate: set Transport.ProxyTLSClientConfig.Certificates"

// A LostError is a connection that ended before its proxy answered.
type LostError struct {
	Err   error
	Trial bool // the request carried credentials that have not passed: the proxy may count it as an attempt
}

func (e *LostError) Error() string { return e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// ConnectionLost reports whether err is the end of a connection, and not of
// patience or of what the proxy's answer has to look like.
func ConnectionLost(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}
