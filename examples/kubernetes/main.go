// Kubernetes is a service in a cluster that gets through the company's proxy by
// Kerberos, as a machine user whose keytab is mounted into the pod. There is no
// password in the program or its environment, and no kinit beside it. See
// kubernetes.yaml, and here, with nothing but Go:
//
//	go run ./examples/kubernetes
//
// The proxy and the origin are then in this process. There is no KDC in it, so
// a ticket cache stands for the keytab. With a URL everything comes from the
// environment, as in the pod:
//
//	HTTPS_PROXY=http://proxy.corp:3128 KRB5_CONFIG=krb5.conf KRB5_CLIENT_KTNAME=client.keytab \
//		go run ./examples/kubernetes -url https://api.example.com/
//
// The lines to copy into your own program are those between the rulers, below.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("kubernetes", flag.ContinueOnError)
	target := flags.String("url", "", "`URL` to fetch; empty: an origin, and a proxy, in this process")
	proxy := flags.String("proxy", "", "`URL` of the proxy; empty: HTTP_PROXY and HTTPS_PROXY")
	every := flags.Duration("every", 0, "fetch again after this time, until stopped; 0: fetch once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	var kerberos proxyauth.NegotiateOptions // zero: KRB5_CONFIG and KRB5_CLIENT_KTNAME
	if *target == "" {
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
		defer origin.Close()
		p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: map[string]string{"robot": ""}})
		defer p.Close()
		dir, err := os.MkdirTemp("", "kubernetes")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		kerberos.ConfigPath, kerberos.CachePath = filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "ticket")
		if err := errors.Join(p.WriteKerberosConfig(kerberos.ConfigPath), p.WriteTicketCache(kerberos.CachePath, "robot", time.Hour)); err != nil {
			return err
		}
		*target, *proxy = origin.URL, p.URL.String()
	}

	// -------------------------------------------------------------------------
	transport := &proxyauth.Transport{Schemes: []proxyauth.Scheme{proxyauth.Negotiate(kerberos)}}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	// -------------------------------------------------------------------------
	defer client.CloseIdleConnections()
	if *proxy != "" {
		proxyURL, err := url.Parse(*proxy)
		if err != nil || proxyURL.Hostname() == "" { // err would show a password
			return errors.New("-proxy is not a URL such as http://proxy.example:3128 (special characters of a password are percent-encoded)")
		}
		transport.Proxy = http.ProxyURL(proxyURL)
	}
	for {
		err := fetch(ctx, w, client, *target)
		if *every == 0 || ctx.Err() != nil {
			return err
		}
		if err != nil { // the proxy, or the KDC, may be back the next time
			fmt.Fprintln(os.Stderr, "kubernetes:", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(*every):
		}
	}
}

func fetch(ctx context.Context, w io.Writer, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: %d bytes\n", resp.Status, n)
	return err
}
