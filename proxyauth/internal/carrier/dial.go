// Package carrier is how bytes get to a proxy: connections, what is counted and
// translated on them, messages that are asked for a tunnel or forwarded in several
// legs, and the faults of all this. It knows no scheme and decides nothing about
// credentials.
package carrier

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
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

// tlsConfigFor returns a copy of the configuration for a proxy with this host name.
func tlsConfigFor(config *tls.Config, host string) *tls.Config {
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	return config
}

// handshake runs the TLS handshake within limit, zero for none.
func handshake(ctx context.Context, client *tls.Conn, limit time.Duration) error {
	trace := httptrace.ContextClientTrace(ctx)
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := client.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		var state tls.ConnectionState // as by net/http: empty after a failure
		if err == nil {
			state = client.ConnectionState()
		}
		trace.TLSHandshakeDone(state, err)
	}
	return err
}
