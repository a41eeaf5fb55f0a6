// Package carrier is how bytes get to a proxy: connections, what is counted and
// translated on them, request bodies that are held back, and the errors of all this.
// It knows no credentials and decides nothing.
package carrier

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// Dial opens a TCP connection as base says.
func Dial(ctx context.Context, base *http.Transport, network, addr string) (net.Conn, error) {
	if base.DialContext != nil {
		return base.DialContext(ctx, network, addr)
	}
	//lint:ignore SA1019 users of the old field keep their dialer
	if dial := base.Dial; dial != nil {
		return dial(network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// A Dialer reaches one proxy.
type Dialer struct {
	Base *http.Transport // says how to dial, and how long a TLS handshake may take
	URL  *url.URL        // of the proxy, http or https
	Name string          // the proxy's URL for people, without userinfo
	TLS  *tls.Config     // for an https:// proxy; see TLSConfig

	Traffic Traffic // is told what goes over the connections
}

// Dial reaches the proxy: TCP as Base dials, then TLS for an https:// proxy. A raw
// connection is not metered. trace may be nil. The error is a *[DialError].
func (d *Dialer) Dial(ctx context.Context, trace *httptrace.ClientTrace, raw bool) (net.Conn, error) {
	conn, err := Dial(ctx, d.Base, "tcp", hostname.OfURL(d.URL))
	if err != nil {
		return nil, &DialError{d.Name, "connecting", err}
	}
	secure := d.URL.Scheme == "https"
	if !raw {
		conn = &Meter{Conn: conn, traffic: d.Traffic, secure: secure}
	}
	if !secure {
		return conn, nil
	}
	config := d.TLS
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = d.URL.Hostname()
	}
	if limit := d.Base.TLSHandshakeTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	client := tls.Client(conn, config)
	err = client.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(client.ConnectionState(), err)
	}
	if err != nil {
		conn.Close()
		return nil, &DialError{d.Name, "TLS handshake", err}
	}
	return client, nil
}

// TLSConfig returns the configuration for connections to proxies: own if it is
// set, else what of the origins' configuration is not about one origin. Both may be
// nil.
func TLSConfig(own, origins *tls.Config) *tls.Config {
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
