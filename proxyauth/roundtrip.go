package proxyauth

import (
	"errors"
	"net/http"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// roundTrip sends req by the way out that its URL asks for: directly, through a tunnel,
// or to be forwarded.
func roundTrip(r *route, req *http.Request) (*http.Response, error) {
	if hasControl(req.URL.RawQuery) || hasControl(req.URL.Opaque) {
		closeBody(req)
		return nil, errControl
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	switch {
	case r.direct != nil:
		return roundTripOrigin(r.direct, req, req)
	case req.URL.Scheme != "https":
		return roundTripForward(r, req)
	}
	r.checkIdentity(carrier.Untraced(req.Context()))
	resp, err := roundTripOrigin(r.tunnels.now.Load(), withASCIIHost(forDialing(r, carrier.Tunneled(req, r.url))), req)
	if err != nil {
		err = intercepted(r, hostname.OfURL(req.URL), err)
	}
	return resp, err
}

// errControl is what net/http says of such a URL, and says too late: by HTTP/2 it dials
// again and again (so a proxy gets CONNECTs without end), and Digest makes its answer of the
// URL.
var errControl = errors.New("net/http: can't write control character in Request.URL")

// hasControl reports whether a part of a URL that net/http does not escape has a control
// character.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

func roundTripForward(r *route, req *http.Request) (*http.Response, error) {
	f := r.ways.Forward(req)
	resp, err := run(r, f)
	if err != nil {
		f.Abort()
		return nil, err
	}
	f.Finish(resp)
	return resp, nil
}

// roundTripOrigin sends req by a transport that connects to its origin, which must not see
// the Proxy-Authorization. The response names the caller's request as its own.
func roundTripOrigin(t *http.Transport, req, caller *http.Request) (*http.Response, error) {
	resp, err := t.RoundTrip(carrier.WithoutAuthorization(req))
	if resp != nil {
		resp.Request = caller
	}
	return resp, err
}

// withASCIIHost returns req itself where its host is in ASCII. For another in capitals
// net/http and its HTTP/2 do not agree on what connection is whose, and dial without
// end.
func withASCIIHost(req *http.Request) *http.Request {
	host, err := hostname.ASCIIHost(req.URL)
	if err != nil || host == req.URL.Host {
		return req
	}
	u, same := *req.URL, *req
	u.Host, same.URL = host, &u
	return &same
}

// forDialing returns req so that a dial which it begins ends with it, where a dial without
// its request does harm: other requests would wait for its CONNECT while it is not known
// what the proxy demands, and a retry would pause for nobody.
func forDialing(r *route, req *http.Request) *http.Request {
	d, target := r.demand.Load(), "" // which costs an allocation, and matters where there are several plans
	if len(d.Plans) > 1 {
		target = hostname.OfURL(req.URL)
	}
	if p := d.PlanFor(target); r.retry == nil && p != nil && p.Trusted() {
		return req
	}
	return carrier.Marked(req)
}
