package proxyauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
)

// A RetryPolicy says how often, and after what pause, a failure is met by
// another attempt. Repeated is what is transient and safe to repeat:
//
//   - the proxy cannot be reached (TCP or TLS; a name that does not exist or a
//     certificate that is wrong is not transient);
//   - the proxy answers 502, 503 or 504 to CONNECT;
//   - a connection is lost before anything of a forwarded request left, or before the
//     proxy answered a CONNECT without credentials, or with credentials that have passed.
//
// Credentials that were refused are never repeated, nor is a request that may have
// reached its origin. On a connection that was kept, net/http repeats by itself what it may:
// see http.Transport about Request.GetBody and the header Idempotency-Key. That is so with
// and without a RetryPolicy.
type RetryPolicy struct {
	// Retries is how often an attempt is repeated. Zero means 3; negative
	// means never.
	Retries int

	// Delay is the pause before the first repetition; each one after it is
	// twice as long as the last. A random quarter is taken off or added, so
	// that a thousand clients do not come back in step. Zero means 1 second.
	Delay time.Duration
}

// A retrying repeats one attempt by a RetryPolicy.
type retrying struct {
	left  int           // repetitions
	delay time.Duration // before the next repetition
	told  func(pause time.Duration, err error)
}

// begin returns what retries one attempt to reach a proxy or to send to it; told is
// called before each pause. Nil retries nothing.
func (p *RetryPolicy) begin(told func(time.Duration, error)) *retrying {
	if p == nil {
		return new(retrying)
	}
	n := retrying{p.Retries, p.Delay, told}
	if n.left == 0 {
		n.left = 3
	}
	if n.delay <= 0 {
		n.delay = time.Second
	}
	return &n
}

// again waits, and reports whether to try once more after err. It does not once
// ctx has ended.
func (n *retrying) again(ctx context.Context, err error) bool {
	if n.left <= 0 || ctx.Err() != nil || !transient(err) {
		return false
	}
	n.left--
	pause := n.delay*3/4 + rand.N(n.delay/2+1)
	n.delay *= 2
	if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
		return false // err says more than a timeout would
	}
	n.told(pause, err)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	}
	return false
}

// transient reports whether what failed may succeed a little later, and can do
// no harm when it is repeated.
func transient(err error) bool {
	var refused *ConnectError
	if errors.As(err, &refused) {
		return refused.temporary()
	}
	var denied *AuthError
	if errors.As(err, &denied) { // of an earlier hop
		return false
	}
	var fault *carrier.Fault
	if !errors.As(err, &fault) {
		return false
	}
	if fault.Kind != carrier.Unreachable {
		return fault.Kind == carrier.Lost
	}
	var (
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		other tls.RecordHeaderError
		host  x509.HostnameError
	)
	return !(errors.As(err, &dns) && dns.IsNotFound) &&
		!errors.As(err, &cert) && !errors.As(err, &other) && !errors.As(err, &host) && carrier.TLSAlert(err) == ""
}
