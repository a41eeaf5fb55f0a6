package carrier

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a fault says, and what it is to others.
func TestFault(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}
	const remedy = ": it wants a client certificate: set Transport.ProxyTLSClientConfig.Certificates"
	for _, test := range []struct {
		fault Fault
		text  string
	}{
		{Fault{Kind: Own, Err: io.EOF}, "EOF"},
		{Fault{Kind: Own, Proxy: "p", Err: io.EOF}, "EOF"},
		{Fault{Kind: Lost, Err: io.EOF}, "EOF"},
		{Fault{Kind: Lost, Proxy: "p", Err: io.EOF}, "proxyauth: proxy p: EOF"},
		{Fault{Kind: Broken, Proxy: "p", Doing: "CONNECT a:1", Err: io.EOF}, "proxyauth: proxy p: CONNECT a:1: EOF"},
		{Fault{Kind: Lost, Proxy: "p", Err: alert}, "proxyauth: proxy p: remote error: tls: certificate required" + remedy},
		{Fault{Kind: Broken, Proxy: "p", Err: &net.DNSError{IsNotFound: true}}, "proxyauth: proxy p: lookup : "},
		{Fault{Kind: Lost, Proxy: "p", Err: errors.New("proxyauth: x")}, "proxyauth: proxy p: proxyauth: x"},
		{Fault{Kind: Unreachable, Proxy: "p", Doing: "connecting", Err: errors.New("proxyauth: x")}, "proxyauth: x (on the way to proxy p)"},
		{Fault{Kind: Unreachable, Proxy: "p", Doing: "TLS handshake", Err: alert}, "proxyauth: proxy p: TLS handshake: remote error: tls: certificate required" + remedy},
	} {
		e := &test.fault
		require.EqualError(t, e, test.text)
		require.ErrorIs(t, e, e.Err)
		require.False(t, e.Timeout() || e.Temporary())
		e.Err = context.DeadlineExceeded
		var timeout net.Error
		require.True(t, errors.As(e, &timeout) && timeout.Timeout())
		if e.Kind == Unreachable {
			require.Equal(t, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: e.Err}, e.Unwrap())
		} else {
			require.Equal(t, e.Err, e.Unwrap())
		}
	}
	require.False(t, TimedOut(errors.New("no")))
	require.False(t, TimedOut(&net.OpError{Err: errors.New("no")}))
}

// The fault about a proxy that was not reached is found behind others.
func TestUnreachable(t *testing.T) {
	far := &Fault{Kind: Unreachable, Proxy: "p", Err: io.EOF}
	require.Same(t, far, unreachable(far))
	require.Same(t, far, unreachable(&net.OpError{Err: far}))
	require.Same(t, far, unreachable(&Fault{Kind: Own, Err: wrapped{"x", far}}))
	require.Nil(t, unreachable(&Fault{Kind: Own, Err: wrapped{"x", io.EOF}}))
	require.Nil(t, unreachable(nil))
}
