package proxyauth

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
)

// dial opens a TCP connection as Base says.
func (c *core) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.base.DialContext != nil {
		return c.base.DialContext(ctx, network, addr)
	}
	//lint:ignore SA1019 users of the old field keep their dialer
	if dial := c.base.Dial; dial != nil {
		return dial(network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// requestKey is the context key under which a dial finds the request that began
// it, where it is to end with that.
type requestKey struct{}

// forDialing returns req so that a dial which it begins ends with it. net/http
// goes on dialing after a request has ended, since the next may use the
// connection; but others wait for a CONNECT while it is not known how the proxy
// stands, and a retry would pause for nobody.
func (r *route) forDialing(req *http.Request) *http.Request {
	if r.t.retry == nil && r.standing.Load() != nil {
		return req
	}
	return req.WithContext(context.WithValue(req.Context(), requestKey{}, req))
}

// endWithRequest returns the context for a dial that forDialing may have marked.
// The caller calls stop.
func endWithRequest(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	if req, ok := ctx.Value(requestKey{}).(*http.Request); ok {
		return endWith(ctx, req)
	}
	return ctx, func() {}
}

// endWith returns a context for dialing that ends with req as well: with its
// context, which may be another, or by Request.Cancel. The caller calls stop.
func endWith(ctx context.Context, req *http.Request) (_ context.Context, stop context.CancelFunc) {
	forget := func() {}
	if end, ok := req.Context().Deadline(); ok { // by which a retry goes
		ctx, forget = context.WithDeadline(ctx, end)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(req.Context(), func() { cancel(context.Cause(req.Context())) })
	//lint:ignore SA1019 http.Client.Timeout uses it for a RoundTripper it does not know
	if canceled := req.Cancel; canceled != nil {
		go func() {
			select {
			case <-canceled:
				cancel(errCanceled)
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() {
		detach()
		cancel(nil)
		forget()
	}
}

// hostPort returns the address of a proxy, with the port of its scheme where
// the URL has none.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialProxyAgain is dialProxy with retries, for connections on which nothing
// but requests to be forwarded will travel.
func (r *route) dialProxyAgain(ctx context.Context, trace *httptrace.ClientTrace) (net.Conn, error) {
	ctx, stop := endWithRequest(ctx)
	defer stop()
	retrying := r.retrying()
	for {
		conn, err := r.dialProxy(ctx, trace, false)
		if err == nil || !retrying.again(ctx, err) {
			return conn, err
		}
	}
}

// dialProxy reaches the proxy: TCP as Base dials, then TLS for an https://
// proxy. All ways out go through here. A raw connection is not metered.
func (r *route) dialProxy(ctx context.Context, trace *httptrace.ClientTrace, raw bool) (net.Conn, error) {
	conn, err := r.t.dial(ctx, "tcp", hostPort(r.url))
	if err != nil {
		return nil, &proxyDialError{r.name, "connecting", err}
	}
	if !raw {
		conn = &meter{Conn: conn, r: r}
	}
	if r.url.Scheme != "https" {
		return conn, nil
	}
	config := r.t.proxyTLS
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = r.url.Hostname()
	}
	if d := r.t.base.TLSHandshakeTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	secure := tls.Client(conn, config)
	err = secure.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secure.ConnectionState(), err)
	}
	if err != nil {
		conn.Close()
		return nil, &proxyDialError{r.name, "TLS handshake", err}
	}
	return secure, nil
}

// proxyTLSConfig returns the configuration for connections to proxies: own if
// it is set, else what of the origins' configuration is not about one origin.
func proxyTLSConfig(own, origins *tls.Config) *tls.Config {
	var config *tls.Config
	switch {
	case own != nil:
		config = own.Clone()
	case origins != nil:
		config = origins.Clone()
		config.ServerName = ""
		config.Certificates = nil
		config.GetClientCertificate = nil
		config.ClientSessionCache = nil
		config.EncryptedClientHelloConfigList = nil
	default:
		config = &tls.Config{}
	}
	config.NextProtos = []string{"http/1.1"} // HTTP/2 is for origins
	return config
}
