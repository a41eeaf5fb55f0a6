package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http/httpproxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

type config struct {
	forHTTP, forHTTPS *url.URL                   // the upstreams for http:// and https:// URLs
	bypass            string                     // hosts that go without them, as in NO_PROXY
	schemes           []proxyauth.Scheme         // nil: the library's choice
	source            proxyauth.CredentialSource // nil: the proxy URL's userinfo, PROXY_USER and PROXY_PASS
	public            bool                       // others than this machine's users can connect
	log               *slog.Logger
}

// A relay is a proxy for whoever can connect to it: tunnels for CONNECT, and
// forwarding for all other methods.
type relay struct {
	transport *proxyauth.Transport
	forward   *httputil.ReverseProxy
	log       *slog.Logger
	addr      *net.TCPAddr // where it listens
	name      string       // in Via, where it tells a loop
	upstreams []string     // their URLs
	proxies   []string     // their host:port, to dial
	public    bool
	counts    counts

	mu       sync.Mutex
	stopping bool
	requests sync.WaitGroup // under way, tunnels and other protocols included
}

// newRelay returns the relay that will listen on addr.
func newRelay(c config, addr *net.TCPAddr) (*relay, error) {
	r := &relay{
		log:    c.log,
		addr:   addr,
		name:   fmt.Sprintf("relay-%08x", rand.Uint32()),
		public: c.public,
	}
	for _, u := range []*url.URL{c.forHTTPS, c.forHTTP} {
		name := u.Scheme + "://" + hostPort(u) // without its userinfo
		if !slices.Contains(r.upstreams, name) {
			r.upstreams, r.proxies = append(r.upstreams, name), append(r.proxies, hostPort(u))
		}
	}
	if slices.ContainsFunc(r.proxies, r.isSelf) {
		return nil, errors.New("the upstream is this relay itself: set -upstream, since HTTPS_PROXY and HTTP_PROXY name the relay here")
	}
	r.counts.start = time.Now()

	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DialContext = r.dial
	base.DisableCompression = true // what the client asked for, no more
	base.MaxIdleConnsPerHost = base.MaxIdleConns
	base.GetProxyConnectHeader = func(ctx context.Context, _ *url.URL, _ string) (http.Header, error) {
		header, _ := ctx.Value(connectHeader{}).(http.Header)
		return header, nil
	}
	proxies := httpproxy.Config{HTTPProxy: c.forHTTP.String(), HTTPSProxy: c.forHTTPS.String(), NoProxy: c.bypass}
	proxyFor := proxies.ProxyFunc()
	r.transport = &proxyauth.Transport{
		Base:        base,
		Proxy:       func(req *http.Request) (*url.URL, error) { return proxyFor(req.URL) },
		Credentials: c.source,
		Schemes:     c.schemes,
		Logger:      c.log,
	}
	r.forward = &httputil.ReverseProxy{
		Transport:      r.transport,
		Rewrite:        r.rewrite,
		ModifyResponse: r.modifyResponse,
		FlushInterval:  -1, // at once
		BufferPool:     &buffers{},
		ErrorHandler:   r.fail,
		ErrorLog:       slog.NewLogLogger(c.log.Handler(), slog.LevelDebug), // bodies cut by one side
	}
	return r, nil
}

// serve serves until ctx ends. Then it takes no more requests, gives those
// under way the time of grace, and ends them.
func (r *relay) serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	base, cut := context.WithCancel(context.Background())
	defer cut()
	server := &http.Server{
		Handler:           r,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelWarn), // no descriptors left, panics
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		grace = 0
	}

	ended := make(chan struct{})
	graced, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	go func() {
		defer close(ended)
		server.Shutdown(graced) // closes the listener; does not know tunnels
		r.mu.Lock()
		r.stopping = true
		r.mu.Unlock()
		r.requests.Wait()
	}()
	select {
	case <-ended:
	case <-graced.Done():
	}
	cut()
	server.Close()
	<-ended
	r.transport.CloseIdleConnections()
	return err
}

// begin counts a request in, unless the relay has stopped.
func (r *relay) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return false
	}
	r.requests.Add(1)
	return true
}

// connectHeader is the context key of what the relay says in its own CONNECT.
type connectHeader struct{}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !r.begin() {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusServiceUnavailable, "the relay is stopping")
		return
	}
	defer r.requests.Done()
	isConnect := req.Method == http.MethodConnect
	if !isConnect && req.URL.Host == "" {
		r.serveStatus(w, req)
		return
	}
	r.counts.requests.Add(1)
	switch {
	case isConnect && !hasPort(req.URL):
		refuse(w, http.StatusBadRequest, fmt.Sprintf("%q is not host:port: write it like CONNECT www.example.com:443", req.URL.Host))
		return
	case endsHere(req):
		serveLast(w, req)
		return
	case httpguts.HeaderValuesContainsToken(viaNames(req.Header["Via"]), r.name), r.isSelf(hostPort(req.URL)):
		refuse(w, http.StatusLoopDetected, "this request has come back to the relay: its upstream, or the target, is the relay itself")
		return
	case r.public && slices.Contains(r.proxies, hostPort(req.URL)): // on loopback it would take the relay for its own machine
		refuse(w, http.StatusForbidden, errOwnMachine.Error())
		return
	case !isConnect && req.URL.Scheme != "http" && req.URL.Scheme != "https":
		refuse(w, http.StatusBadRequest, fmt.Sprintf("URLs of scheme %q cannot be forwarded", req.URL.Scheme))
		return
	}
	// RFC 9110 §7.6.3: proxies say Via, which is how loops are found.
	req.Header.Add("Via", fmt.Sprintf("%d.%d %s", req.ProtoMajor, req.ProtoMinor, r.name))
	header := http.Header{"Via": req.Header["Via"], "User-Agent": {req.UserAgent()}}
	req = req.WithContext(context.WithValue(req.Context(), connectHeader{}, header))
	if isConnect {
		r.connect(w, req)
		return
	}
	// An answer that comes before the end of the request's body does not cut it.
	http.NewResponseController(w).EnableFullDuplex()
	r.forward.ServeHTTP(&answer{w, &r.counts}, req)
}

// viaNames returns the received-by parts of Via fields.
func viaNames(fields []string) []string {
	var names []string
	for _, field := range fields {
		for hop := range strings.SplitSeq(field, ",") {
			if parts := strings.Fields(hop); len(parts) > 1 {
				names = append(names, parts[1])
			}
		}
	}
	return names
}

// hasPort reports whether a CONNECT says what to connect to (RFC 9110 §9.3.6).
func hasPort(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Hostname() != "" && err == nil && port > 0
}

// endsHere reports whether a request goes no further (RFC 9110 §7.6.2). For one
// that does, it counts this hop.
func endsHere(req *http.Request) bool {
	if req.Method != http.MethodOptions && req.Method != http.MethodTrace {
		return false
	}
	left, err := strconv.ParseUint(req.Header.Get("Max-Forwards"), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // not there, or nonsense; out of range it is the largest
		return false
	}
	if left > 0 {
		req.Header.Set("Max-Forwards", strconv.FormatUint(left-1, 10))
	}
	return left == 0
}

// serveLast answers what goes no further: OPTIONS, and TRACE with the request
// as it came, but for what is secret (RFC 9110 §9.3.8).
func serveLast(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodTrace {
		w.Header().Set("Content-Type", "message/http")
		fmt.Fprintf(w, "%s %s %s\r\nHost: %s\r\n", req.Method, req.RequestURI, req.Proto, req.Host)
		req.Header.WriteSubset(w, map[string]bool{"Authorization": true, "Proxy-Authorization": true, "Cookie": true})
		io.WriteString(w, "\r\n")
	}
}

func hostPort(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme])
	}
	return u.Host
}

// isSelf reports whether a host:port is where the relay listens, as far as can
// be told without asking the DNS. Via tells the rest.
func (r *relay) isSelf(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != fmt.Sprint(r.addr.Port) {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsUnspecified() || ip.IsLoopback() && (r.addr.IP.IsUnspecified() || r.addr.IP.IsLoopback()) || ip.Equal(r.addr.IP))
}

// dial opens a connection to an upstream, or to a target that goes without
// one. What listens on loopback trusts this machine's users, and no others.
func (r *relay) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second}
	if r.public && !slices.Contains(r.proxies, addr) {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			host, _, _ := net.SplitHostPort(resolved)
			if ip := net.ParseIP(host); ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
				return errOwnMachine
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

var errOwnMachine = errors.New("relay: with -public, this machine's own services are not reachable through the relay")

// connect opens a tunnel and copies both ways, each until its end. What is
// copied goes from one TCP connection to the other inside the kernel where the
// system can do that (io.Copy).
func (r *relay) connect(w http.ResponseWriter, req *http.Request) {
	upstream, err := r.transport.DialContext(req.Context(), "tcp", req.URL.Host)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	defer upstream.Close()
	client, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.fail(w, req, err)
		return
	}
	defer client.Close()
	client.SetDeadline(time.Time{}) // of ReadHeaderTimeout

	r.counts.tunnels.Add(1)
	r.counts.open.Add(1)
	defer r.counts.open.Add(-1)
	defer context.AfterFunc(req.Context(), func() { // the time of grace is over
		client.Close()
		upstream.Close()
	})()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	early, _ := in.Reader.Peek(in.Reader.Buffered()) // sent without waiting for the answer
	if _, err := upstream.Write(early); err != nil {
		return
	}
	r.counts.sent.Add(int64(len(early)))
	var wg sync.WaitGroup
	wg.Go(func() { r.counts.sent.Add(copyHalf(upstream, client)) })
	r.counts.received.Add(copyHalf(client, upstream))
	wg.Wait()
}

// copyHalf copies one direction of a tunnel to its end, and passes that on. A
// direction that fails ends the other one too.
func copyHalf(dst, src net.Conn) int64 {
	n, err := io.Copy(dst, src)
	if err == nil {
		if half, ok := dst.(interface{ CloseWrite() error }); ok { // *net.TCPConn, *tls.Conn and the library's
			err = half.CloseWrite()
		} else {
			err = errors.ErrUnsupported
		}
	}
	if err != nil {
		dst.Close()
		src.Close()
	}
	return n
}

// rewrite undoes what is right for a reverse proxy and not for a forward proxy.
func (r *relay) rewrite(pr *httputil.ProxyRequest) {
	*pr.Out.URL = *pr.In.URL
	pr.Out.Trailer = pr.In.Trailer // not a copy: it is filled when the body ends
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := pr.In.Header[name]; ok {
			pr.Out.Header[name] = values
		}
	}
	if pr.Out.Body != nil {
		pr.Out.Body = &countedBody{pr.Out.Body, &r.counts}
	}
}

func (r *relay) modifyResponse(resp *http.Response) error {
	if resp.StatusCode == http.StatusProxyAuthRequired { // see fail
		return errors.New("relay: the target itself answered 407")
	}
	resp.Header.Add("Via", fmt.Sprintf("%d.%d %s", resp.ProtoMajor, resp.ProtoMinor, r.name))
	return nil
}

// fail tells the client why there is no answer of the target. It is never 401
// or 407, which a client would take for a question to itself.
func (r *relay) fail(w http.ResponseWriter, req *http.Request, err error) {
	if req.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone, or the time of grace is over: no answer
	}
	r.counts.failed(err)
	r.log.Warn("request failed", "method", req.Method, "target", req.URL.Host, "err", err)
	status := http.StatusBadGateway
	var refusal *proxyauth.ConnectError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errOwnMachine):
		status = http.StatusForbidden
	case errors.As(err, &refusal):
		if s := refusal.StatusCode; s >= 400 && s != http.StatusUnauthorized && s != http.StatusProxyAuthRequired {
			status = s
		}
	case errors.As(err, &timeout) && timeout.Timeout():
		status = http.StatusGatewayTimeout
	}
	text := err.Error()
	if r.goesDirect(req) {
		text = "relay: reached without the proxy, as loopback and the hosts of -bypass or NO_PROXY are: " + text
	}
	refuse(w, status, text)
}

// goesDirect reports whether a request goes without an upstream.
func (r *relay) goesDirect(req *http.Request) bool {
	u := *req.URL
	if req.Method == http.MethodConnect {
		u.Scheme = "https"
	}
	proxy, err := r.transport.Proxy(&http.Request{URL: &u})
	return proxy == nil && err == nil
}

func refuse(w http.ResponseWriter, status int, text string) {
	http.Error(w, text, status)
}

// An answer is the ResponseWriter of a forwarded request.
type answer struct {
	http.ResponseWriter
	counts *counts
}

func (a *answer) WriteHeader(status int) {
	if h := a.Header(); h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http shall not guess one
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.counts.received.Add(int64(n))
	return n, err
}

// Unwrap lets [http.ResponseController] flush and hijack.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// A countedBody is a request body that counts what is read from it.
type countedBody struct {
	io.ReadCloser
	counts *counts
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.counts.sent.Add(int64(n))
	return n, err
}

// buffers are what bodies are copied by.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return buf[:]
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put((*[32 << 10]byte)(buf)) }
