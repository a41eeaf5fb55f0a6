package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/carrier"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/printable"
)

// Diagnose walks the way to a target step by step, as a request of t would take
// it, and reports what it finds and what to do about it. The target is an http://
// or https:// URL, or "host:port" as for [Transport.DialContext].
//
// It makes a few connections of its own. The target is sent a HEAD request for an
// http:// URL, and OPTIONS for "/" where the proxy lets that pass; a TLS handshake
// for an https:// URL; and nothing else. The proxy is sent credentials as for one
// request, except those that are held back now; the report says whether they are. It
// all ends when ctx does. The report is never nil.
func (t *Transport) Diagnose(ctx context.Context, target string) *Report {
	d := &diagnosis{core: t.started(), ctx: ctx, report: &Report{}}
	if !d.parse(target) {
		return d.report
	}
	d.environment()
	if !d.route() {
		return d.report
	}
	if d.r.direct != nil {
		d.direct()
	} else {
		d.throughProxy()
	}
	return d.report
}

// A diagnosis is a Diagnose under way. Its steps return false when there is no
// further one.
type diagnosis struct {
	core   *core
	ctx    context.Context
	report *Report
	req    *http.Request // what a program would send
	addr   string        // of the target
	noHTTP bool          // the target is a host:port
	r      *route
}

func (d *diagnosis) add(name string, outcome Outcome, remedy string, details ...string) bool {
	for i, detail := range details {
		details[i] = printable.Line(detail)
	}
	d.report.Steps = append(d.report.Steps, Step{Name: name, Outcome: outcome, Details: details, Remedy: remedy})
	return outcome != StepFailed
}

func (d *diagnosis) ok(name string, details ...string) bool {
	return d.add(name, StepOK, "", details...)
}

// fail ends the report with a failed step. cause is what it says; "" is the text of err.
func (d *diagnosis) fail(name string, err error, cause, remedy string) bool {
	d.report.Err = err
	if cause == "" {
		cause = strings.TrimPrefix(err.Error(), "proxyauth: ")
	}
	switch {
	case !errors.Is(d.ctx.Err(), context.DeadlineExceeded): // nor where the user has ended it
	case d.report.Proxy == "" && remedy != "":
		remedy += "; else give it more time: something on the way seems to drop what is sent (a firewall)"
	default:
		remedy = "give it more time; if that does not help, something on the way drops what is sent (a firewall), or the proxy is overloaded"
	}
	return d.add(name, StepFailed, remedy, cause)
}

func (d *diagnosis) parse(target string) bool {
	u, err := url.Parse(target)
	switch {
	case err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https"):
	case !strings.ContainsAny(target, "/@ "):
		host, port, splitErr := net.SplitHostPort(target)
		if splitErr == nil && host != "" && port != "" {
			d.noHTTP = true
			u, err = &url.URL{Scheme: "https", Host: target}, nil
			break
		}
		fallthrough
	default:
		d.report.Target = "the target"
		return d.fail("target", errors.New("proxyauth: the target is neither an http:// or https:// URL nor host:port"), "",
			"write it like https://api.example.com/, or mail.example.com:25")
	}
	d.report.Target = u.Scheme + "://" + u.Host // a path or a query may hold keys
	if d.addr, err = hostname.Address(hostname.OfURL(u)); err != nil {
		return d.fail("target", err, "", "check the target's name")
	}
	if d.noHTTP {
		d.report.Target = d.addr
	}
	d.req = (&http.Request{
		Method: http.MethodHead, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(d.ctx)
	return true
}

func (d *diagnosis) environment() {
	details, wrong := d.core.describeEnvironment()
	switch {
	case len(details) == 0:
		d.ok("environment", "no variable is set that matters here")
	case wrong:
		d.add("environment", StepNote, "", details...)
	default:
		d.ok("environment", details...)
	}
}

// route finds out which proxy the target is reached by.
func (d *diagnosis) route() bool {
	var err error
	d.r, err = d.core.routeFor(d.req)
	v := d.core.fromEnvironment()
	set := v.For(d.req.URL.Scheme)
	_, valid := env.ShowProxy(set.Value)
	inEnvironment, refused := v.ProxyFunc()(d.req.URL)
	isIt := inEnvironment != nil && d.r != nil && d.r.url != nil && inEnvironment.Scheme == d.r.url.Scheme && inEnvironment.Host == d.r.url.Host
	if err != nil || isIt && !valid {
		d.report.Proxy = "a proxy" // a part of the password may have been taken for its name
	}
	switch {
	case (isIt || err != nil && err.Error() == errProxyURL.Error()) && set.Value != "" && !valid:
		return d.fail("proxy", errProxyURL, "the value of "+set.Name+" is not a valid URL: something of it, and not the proxy's name, is taken for the host", env.CorrectURL)
	case err != nil && refused != nil: // in a CGI program
		return d.fail("proxy", err, "", "set Transport.Proxy in the program, since "+set.Name+" does not count where a request may have set it")
	case errors.As(err, new(proxySchemeError)):
		return d.fail("proxy", err, "", "write the proxy URL with http://, https://, socks5:// or socks5h://")
	case err != nil:
		return d.fail("proxy", err, "", env.CorrectURL)
	}
	d.report.Proxy = d.r.name
	if d.r.name == "" {
		why, remedy := d.core.whyDirect(d.req.URL)
		return d.add("proxy", StepNote, "if there should be one: "+remedy, "none for this target: "+why)
	}
	from := "by Transport.Proxy or Base.Proxy"
	if isIt {
		from = "by " + set.Name
	}
	return d.ok("proxy", d.r.name+", "+from)
}

// direct goes the way without an HTTP proxy: to the target itself, or by SOCKS.
func (d *diagnosis) direct() {
	if d.r.url != nil {
		conn, err := d.core.dialSOCKS(d.ctx, d.r.url, d.addr)
		if err != nil && d.speaksHTTP() {
			d.fail("SOCKS", err, "the proxy speaks HTTP on this port, and the proxy URL says "+d.r.url.Scheme+"://", "write the proxy URL with http://")
			return
		}
		if err != nil {
			d.fail("SOCKS", err, "", "check the proxy URL with its user name and password, and the target's name and port")
			return
		}
		d.ok("SOCKS", "the proxy has connected to "+d.addr)
		d.target(conn)
		return
	}
	conn, err := carrier.Dial(d.ctx, d.core.base, "tcp", d.addr)
	why, remedy := d.core.whyDirect(d.req.URL)
	if d.reached(d.addr, conn, err, "if this network is left by a proxy only: "+remedy+" (there is none for this target: "+why+")") {
		d.target(conn)
	}
}

// reached adds the step for a dial to addr: that its name cannot be resolved, or how the
// TCP connection went.
func (d *diagnosis) reached(addr string, conn net.Conn, err error, remedy string) bool {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return d.fail("name", err, fmt.Sprintf("%s cannot be resolved: %v", dns.Name, dns), remedy)
	case err != nil:
		return d.fail("TCP", err, fmt.Sprintf("%s cannot be reached: %s", addr, strings.TrimPrefix(err.Error(), "proxyauth: ")), remedy)
	}
	return d.connected(addr, conn.RemoteAddr().String())
}

func (d *diagnosis) connected(addr, ip string) bool {
	if ip != addr {
		addr += " (" + ip + ")"
	}
	return d.ok("TCP", "connected to "+addr)
}

func (d *diagnosis) throughProxy() {
	conn, ok := d.reachProxy()
	if !ok {
		return
	}
	denial, ok := d.ask(conn)
	if !ok {
		return
	}
	if denial != nil {
		details, usable := considered(d.r, d.req, denial)
		outcome := StepOK
		if !usable {
			outcome = StepNote
		}
		d.add("schemes", outcome, "", details...)
	}
	if d.req.URL.Scheme == "http" {
		d.forward()
	} else if conn, ok := d.connect(); ok {
		d.target(conn)
	}
}

// connect opens a tunnel as a request would.
func (d *diagnosis) connect() (net.Conn, bool) {
	conn, err := dialTunnel(d.ctx, d.r, d.addr, true)
	if err != nil {
		cause, remedy := d.refusal(err)
		return nil, d.fail("CONNECT", err, cause, remedy)
	}
	return conn, d.ok("CONNECT", "the tunnel to "+d.addr+" is open, "+identity(d.r, d.addr))
}

// refusal returns cause and remedy of an error of the proxy.
func (d *diagnosis) refusal(err error) (cause, remedy string) {
	var denied *AuthError
	var refused *ConnectError
	switch {
	case errors.As(err, &denied):
		said := *denied
		said.remedy, remedy = "", denied.cure()
		var ticket *negotiate.Error
		if errors.As(denied.cause, &ticket) { // told by the step before
			short := "no ticket for " + ticket.SPN + ": " + ticket.Cause
			said.Schemes = slices.Clone(said.Schemes)
			for i, s := range said.Schemes {
				if errors.As(s.Err, new(*negotiate.Error)) {
					_, rest, _ := strings.Cut(s.Err.Error(), ticket.Error())
					short += rest
					said.Schemes[i].Err = nil
				}
			}
			said.reasons = append(slices.Clip(said.reasons), short)
			remedy = ticket.Remedy + "; or " + remedy
		}
		return strings.TrimPrefix(said.Error(), "proxyauth: "), remedy
	case errors.As(err, &refused):
		cause, remedy = refused.meaning()
		answered := fmt.Sprintf("answered %q to CONNECT %s", refused.Status, refused.Target)
		if cause == "" {
			return answered, askAdministrators
		}
		return answered + ": " + cause, remedy
	}
	var dns *net.DNSError
	switch {
	case d.r.name == "":
		return "", "check the target's name and port"
	case d.core.resolver != nil && errors.As(err, &dns):
		return "", "check the name and this machine's DNS, or leave names to the proxy (Transport.Resolver nil)"
	}
	return "", askAdministrators
}
