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
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
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
		upstream = flags.String("upstream", "", "`URL` of the proxy (default $HTTPS_PROXY, $HTTP_PROXY and $ALL_PROXY)")
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
	if *grace < 0 {
		return fmt.Errorf("-grace %v is negative", *grace)
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
	forHTTP, forHTTPS, err := upstreams(*upstream)
	if err != nil {
		return err
	}
	l, err := listenOn(*listen, *public)
	if err != nil {
		return err
	}
	r, err := newRelay(config{
		forHTTP:  forHTTP,
		forHTTPS: forHTTPS,
		bypass:   cmp.Or(*bypass, httpproxy.FromEnvironment().NoProxy),
		schemes:  schemes,
		public:   *public,
		log:      slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}, l.Addr().(*net.TCPAddr))
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

// upstreams returns the proxies for http:// and https:// URLs: the flag's, or
// else the environment's.
func upstreams(flag string) (forHTTP, forHTTPS *url.URL, err error) {
	if flag != "" {
		u, err := parseUpstream(flag)
		if err != nil {
			return nil, nil, err
		}
		_, err = proxyauth.EnvironmentCredentials().ProxyCredentials(context.Background(), proxyauth.CredentialRequest{})
		if err != nil && !errors.Is(err, proxyauth.ErrNoCredentials) {
			return nil, nil, err
		}
		return u, u, nil
	}
	environment, err := proxyauth.FromEnvironment()
	if err != nil {
		return nil, nil, err
	}
	const host = "host.invalid" // that NO_PROXY does not name
	forHTTP, err = environment.Proxy(&http.Request{URL: &url.URL{Scheme: "http", Host: host}})
	if err != nil {
		return nil, nil, err
	}
	forHTTPS, err = environment.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
	if err != nil {
		return nil, nil, err
	}
	if forHTTP == nil && forHTTPS == nil {
		return nil, nil, errors.New("there is no upstream proxy: set -upstream or HTTPS_PROXY (USE_PROXY=false and NO_PROXY=* switch that off)")
	}
	// Unlike other programs a relay has an upstream for all URLs, if it has one.
	return cmp.Or(forHTTP, forHTTPS), cmp.Or(forHTTPS, forHTTP), nil
}

// parseUpstream reads the flag. It may be host:port, as curl has it.
func parseUpstream(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" { // err would show a password
		return nil, errors.New("-upstream is not the URL of a proxy (not shown, it may hold a password): " +
			"write http://proxy.corp:8080, special characters of a user name or password percent-encoded")
	}
	if !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, fmt.Errorf("-upstream: its scheme is %q, and not http, https, socks5 or socks5h", u.Scheme)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return nil, errors.New("-upstream: its port is not a number from 1 to 65535")
	}
	return u, nil
}
