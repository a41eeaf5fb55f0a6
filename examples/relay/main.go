// Relay is a local proxy without authentication that authenticates to the
// company's proxy by package proxyauth, so that git, npm, pip, curl and docker
// work behind NTLM, Kerberos or Digest:
//
//	PROXY_USER='CORP\alice' PROXY_PASS=… go run ./examples/relay -upstream http://proxy.corp:8080
//	export HTTPS_PROXY=http://127.0.0.1:3128 HTTP_PROXY=http://127.0.0.1:3128
//
// To see it work on any machine, with a proxy and an origin in the process:
//
//	go run ./examples/relay -demo
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

func main() {
	// The first signal begins the graceful stop; after it the second one ends
	// the process at once, as it does by default.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

// run is the program, which ends gracefully with ctx.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		listen   = flags.String("listen", "127.0.0.1:3128", "`address` to listen on")
		public   = flags.Bool("public", false, "allow -listen addresses that others can reach: they use the proxy as you do")
		upstream = flags.String("upstream", "", "`URL` of the proxy (default $HTTPS_PROXY and $HTTP_PROXY)")
		bypass   = flags.String("bypass", "", "`hosts` to reach without the proxy, written as in NO_PROXY (default $NO_PROXY)")
		scheme   = flags.String("scheme", "", "only `scheme` to authenticate with: negotiate, ntlm, digest or basic (default the strongest offered)")
		grace    = flags.Duration("grace", 10*time.Second, "how long open tunnels may go on after the signal to stop")
		verbose  = flags.Bool("v", false, "log how the proxy is authenticated to")
		demo     = flags.Bool("demo", false, "show what the relay does, with a proxy and an origin in this process, and end")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *demo {
		return runDemo(os.Stdout)
	}
	schemes, err := schemesOf(*scheme)
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	c := config{
		proxies: *httpproxy.FromEnvironment(),
		schemes: schemes,
		public:  *public,
		log:     slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
	c.proxies.CGI = false
	if *upstream != "" {
		c.proxies.HTTPProxy, c.proxies.HTTPSProxy = *upstream, *upstream
	}
	// Unlike other programs a relay has an upstream for all URLs, if it has one.
	c.proxies.HTTPProxy = cmp.Or(c.proxies.HTTPProxy, c.proxies.HTTPSProxy)
	c.proxies.HTTPSProxy = cmp.Or(c.proxies.HTTPSProxy, c.proxies.HTTPProxy)
	if *bypass != "" {
		c.proxies.NoProxy = *bypass
	}
	l, err := listenOn(*listen, *public)
	if err != nil {
		return err
	}
	r, err := newRelay(c, l.Addr().(*net.TCPAddr))
	if err != nil {
		l.Close()
		return err
	}
	fmt.Fprintf(stderr, "relay: listening on http://%s (status page there), upstream %s\n", l.Addr(), strings.Join(r.upstreams, " and "))
	if *public {
		fmt.Fprintln(stderr, "relay: -public: whoever can reach this address uses the proxy in your name")
	}
	return r.serve(ctx, l, *grace)
}

// schemesOf returns the schemes to use: nil, the library's choice, for "".
func schemesOf(name string) ([]proxyauth.Scheme, error) {
	if name == "" {
		return nil, nil
	}
	for _, s := range proxyauth.DefaultSchemes() {
		if strings.EqualFold(s.Name(), name) {
			return []proxyauth.Scheme{s}, nil
		}
	}
	return nil, fmt.Errorf("-scheme %q is none of negotiate, ntlm, digest, basic", name)
}

// listenOn listens on an address that nobody else can reach, unless public.
func listenOn(address string, public bool) (*net.TCPListener, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	if !addr.IP.IsLoopback() && !public {
		return nil, fmt.Errorf("-listen %s can be reached by others, who would use the proxy in your name: take 127.0.0.1, or add -public", address)
	}
	return net.ListenTCP("tcp", addr)
}

// upstreamURLs returns the proxies in use, without their userinfo, and the
// addresses to dial for them.
func upstreamURLs(c httpproxy.Config) (names, addrs []string, err error) {
	for _, text := range []string{c.HTTPSProxy, c.HTTPProxy} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" { // as curl has it: proxy.corp:8080
			u, err = url.Parse("http://" + text)
		}
		if err != nil || u.Hostname() == "" {
			return nil, nil, errors.New("the upstream proxy is not a URL (not shown, it may hold a password): " +
				"write http://proxy.corp:8080, and special characters of a user name or password percent-encoded")
		}
		u = &url.URL{Scheme: u.Scheme, Host: u.Host}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		addr := net.JoinHostPort(u.Hostname(), port)
		if len(names) == 1 && names[0] == u.String() {
			continue
		}
		names, addrs = append(names, u.String()), append(addrs, addr)
	}
	if len(names) == 0 {
		return nil, nil, errors.New("there is no upstream proxy: set -upstream or HTTPS_PROXY")
	}
	return names, addrs, nil
}
