package proxyauth

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/secret"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/verdict"
)

// reachProxy dials the proxy: name, TCP and TLS.
func (d *diagnosis) reachProxy() (net.Conn, bool) {
	var reached atomic.Pointer[string] // for a dial that goes on to fail
	ctx := httptrace.WithClientTrace(d.ctx, &httptrace.ClientTrace{ConnectDone: func(_, addr string, err error) {
		if err == nil {
			reached.Store(&addr)
		}
	}})
	conn, err := d.r.ways.DialAnew(ctx, true)
	var dial *carrier.Fault
	if !errors.As(err, &dial) {
		d.reached(hostname.OfURL(d.r.url), conn, nil, "")
		if secure, ok := conn.(*tls.Conn); ok && d.r.url.Scheme == "https" {
			d.ok("proxy's TLS", describeTLS(secure.ConnectionState()))
		}
		return conn, true
	}
	remedy := strings.TrimPrefix(dial.Remedy(), ": ")
	if dial.Doing == "connecting" {
		switch earlier := d.earlierHop(dial.Err); { // of a chain
		case earlier != "":
			remedy = earlier
		case remedy == "":
			remedy = "check host and port of the proxy URL, and whether a firewall lets this machine reach them"
		}
		return nil, d.reached(hostname.OfURL(d.r.url), nil, dial.Err, remedy)
	}
	ip := hostname.OfURL(d.r.url)
	if addr := reached.Load(); addr != nil {
		ip = *addr
	}
	d.connected(hostname.OfURL(d.r.url), ip)
	cause := fmt.Sprintf("the TLS handshake with the proxy failed: %v", dial.Err)
	var invalid *tls.CertificateVerificationError
	switch by := issuedBy(err); {
	case by != "":
		cause += "; " + by
	case !errors.As(err, &invalid) && d.speaksHTTP():
		cause = "the proxy does not speak TLS on this port, and the proxy URL says https://"
		remedy = "write the proxy URL with http://"
	}
	if remedy == "" {
		remedy = "check scheme and port of the proxy URL, or ask the proxy's administrators what TLS it wants"
	}
	return nil, d.fail("proxy's TLS", err, cause, remedy)
}

// earlierHop returns what to do about the error of an earlier hop of a chain, or
// "" if it is none.
func (d *diagnosis) earlierHop(err error) string {
	var (
		denied  *AuthError
		refused *ConnectError
		dial    *carrier.Fault
	)
	switch {
	case errors.As(err, &denied):
		return denied.cure()
	case errors.As(err, &refused):
		_, remedy := refused.meaning()
		return cmp.Or(remedy, askAdministrators)
	case errors.As(err, &dial) && dial.Kind == carrier.Unreachable:
		return cmp.Or(strings.TrimPrefix(dial.Remedy(), ": "), "check host and port of the URL of proxy "+dial.Proxy)
	}
	return ""
}

const askAdministrators = "ask the proxy's administrators: its log tells why"

// ask finds out what the proxy demands, by a leg without credentials. The denial is nil if
// it demands nothing.
func (d *diagnosis) ask(conn net.Conn) (*denial, bool) {
	var m carrier.Carrier
	leg, what := carrier.Leg{}, "CONNECT "+d.addr
	if d.req.URL.Scheme == "http" {
		conn.Close()
		req := *d.req
		req.URL = &url.URL{Scheme: "http", Host: d.req.URL.Host, Path: "/"} // an open proxy passes it on
		m = d.r.ways.Forward(&req)
		leg.Body, what = verdict.Probe, "OPTIONS "+d.report.Target
	} else {
		tunnel := d.r.ways.TunnelOn(d.ctx, conn, d.addr)
		defer tunnel.Close()
		m = tunnel
	}
	reply, err := m.Send(leg)
	if err != nil && d.speaksTLS() {
		return nil, d.fail("answer", err, "the proxy speaks TLS on this port, and the proxy URL says http://",
			"write the proxy URL with https://")
	}
	if err != nil {
		remedy := "check host and port of the proxy URL: something else than an HTTP proxy seems to listen there (for a SOCKS proxy write socks5://)"
		var fault *carrier.Fault
		if never := d.r.neverAsks(d.ctx); never != "" && errors.As(err, &fault) && fault.Kind == carrier.Lost {
			remedy += "; " + never
		}
		return nil, d.fail("answer", err, "", remedy)
	}
	resp, sent := reply.Response, sentBefore(d.r)
	denial := readDenial(resp, m.HangUp)
	status := what + " without credentials is answered " + statusLine(resp)
	html := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html")
	m.HangUp(resp)
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		d.r.asked.Store(true)
	case resp.StatusCode == http.StatusOK && d.req.URL.Scheme == "http" && html:
		return nil, d.add("answer", StepNote, "if you do not know that page: check host and port of the proxy URL", status+
			", and with a page: the target's, or of a web server that is no proxy")
	case resp.StatusCode/100 == 2:
		return nil, d.ok("answer", status+": no authentication is demanded")
	case d.req.URL.Scheme == "http" && asksInItsWay(resp.StatusCode): // of a CONNECT the next step tells
		return nil, d.add("answer", StepNote, d.r.neverAsks(d.ctx), status)
	default:
		return nil, d.add("answer", StepNote, "", status)
	}
	details := []string{status, "offered: " + list(names(denial.challenges, &sent))}
	if realm := realmShown(denial.challenges, &sent); realm != "" {
		details[1] += fmt.Sprintf("; realm %q", realm)
	}
	for _, f := range denial.faults(&sent) {
		details = append(details, f.String())
	}
	d.ok("answer", details...)
	return &denial, true
}

// statusLine returns the status in the words of the RFCs: the proxy's own could
// repeat what was sent to it.
func statusLine(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

// sentBefore returns what the proxy of r may have seen of credentials, and could repeat.
func sentBefore(r *route) secret.Sent {
	var sent secret.Sent
	for _, c := range revealed(r.guard.Sent(r.name)) {
		sent.Add(scheme.SecretsOf(scheme.Credentials(c))...)
	}
	return sent
}

// speaksTLS tries whether the port of an http:// proxy wants TLS.
func (d *diagnosis) speaksTLS() bool {
	if d.r.url.Scheme == "https" {
		return false
	}
	conn, err := carrier.Dial(d.ctx, d.core.base, "tcp", hostname.OfURL(d.r.url))
	if err != nil {
		return false
	}
	defer conn.Close()
	// Nothing is sent but the handshake, so it does not matter whose certificate it is.
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: d.r.url.Hostname()}).HandshakeContext(d.ctx) == nil
}

// speaksHTTP tries whether the port of an https:// or SOCKS proxy wants HTTP without TLS. The
// handshake before need not have failed at once: some proxies take it for a line of HTTP
// without an end, and wait.
func (d *diagnosis) speaksHTTP() bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), 2*time.Second) // what came before may have used up the time
	defer cancel()
	conn, err := carrier.Dial(ctx, d.core.base, "tcp", hostname.OfURL(d.r.url))
	if err != nil {
		return false
	}
	ways := carrier.NewProxy(carrier.Config{
		Base: d.core.base, URL: &url.URL{Scheme: "http", Host: d.r.url.Host}, Name: d.r.name, Traffic: &d.core.counters,
	})
	t := ways.TunnelOn(ctx, conn, d.addr)
	defer t.Close()
	_, err = t.Send(carrier.Leg{})
	return err == nil
}
