// Doctor finds out why a program does not get through its proxy, and says what
// to do about it. It takes the proxy and the credentials from the environment,
// as a program with a proxyauth.Transport does, or with the flag -environment as
// one with proxyauth.FromEnvironment:
//
//	go run github.com/go-proxyauth/go-proxyauth/examples/doctor@latest https://api.example.com/
//
// or, with nothing but this directory, for a look at what it prints:
//
//	go run ./examples/doctor -demo
//
// Its output holds no secrets. It exits with status 0 if the way works, 1 if it
// does not, and 2 if it was not told where to, or the environment has mistakes.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

const usage = `Usage: doctor [flags] target

Doctor walks the way to the target through the proxy, step by step, and says
what is wrong and what to do. The target is a URL (https://api.example.com/)
or host:port. Proxy and credentials come from the environment (HTTPS_PROXY,
PROXY_USER, PROXY_PASS, KRB5CCNAME and so on), as net/http reads it, or with
-environment as proxyauth.FromEnvironment does.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, nil))
}

// run is the program; base is for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, base *http.Transport) int {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	proxy := flags.String("proxy", "", "the proxy's `URL`, in place of the environment's")
	schemes := flags.String("scheme", "", "the `schemes` to use, separated by commas: negotiate, ntlm, digest, basic")
	environment := flags.Bool("environment", false, "diagnose for a program with proxyauth.FromEnvironment: ALL_PROXY and USE_PROXY\ncount, and a mistake in a variable ends it")
	asJSON := flags.Bool("json", false, "print JSON")
	timeout := flags.Duration("timeout", 30*time.Second, "give up after this time")
	demo := flags.Bool("demo", false, "show a proxy that refuses a wrong password; it runs in this process")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if *demo == (flags.NArg() == 1) || flags.NArg() > 1 {
		flags.Usage()
		return 2
	}
	transport, target := &proxyauth.Transport{}, flags.Arg(0)
	var err error
	if *environment {
		if transport, err = proxyauth.FromEnvironment(); err != nil {
			for mistake := range strings.SplitSeq(err.Error(), "\n") {
				fmt.Fprintln(stderr, "doctor:", strings.TrimPrefix(mistake, "proxyauth: "))
			}
			return 2
		}
	}
	transport.Base = base
	if transport.Schemes, err = parseSchemes(*schemes); err == nil && *proxy != "" {
		transport.Proxy, err = parseProxy(*proxy)
	}
	if err != nil {
		fmt.Fprintln(stderr, "doctor:", err)
		return 2
	}
	if *demo {
		p := proxytest.New(proxytest.Config{
			Auth:  []proxytest.Auth{proxytest.Digest{Realm: "demo"}, proxytest.Basic{Realm: "demo"}},
			Users: map[string]string{"alice": "secret"},
		})
		defer p.Close()
		transport.Proxy, target = http.ProxyURL(p.URLFor("alice", "wrong")), "https://api.example.com/"
	}

	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	defer transport.CloseIdleConnections()
	report := transport.Diagnose(ctx, target)
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		_, err = fmt.Fprint(stdout, report)
	}
	if err != nil {
		fmt.Fprintln(stderr, "doctor:", err)
	}
	if err != nil || report.OK() == *demo { // what the demo shows is broken
		return 1
	}
	return 0
}

func parseProxy(value string) (func(*http.Request) (*url.URL, error), error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") { // err would repeat the password
		return nil, errors.New("-proxy is not a URL such as http://proxy.example.com:3128 (special characters of a password are percent-encoded)")
	}
	return http.ProxyURL(u), nil
}

func parseSchemes(names string) (schemes []proxyauth.Scheme, err error) {
	for name := range strings.SplitSeq(strings.ToLower(names), ",") {
		switch strings.TrimSpace(name) {
		case "":
		case "negotiate", "kerberos":
			schemes = append(schemes, proxyauth.Negotiate())
		case "ntlm":
			schemes = append(schemes, proxyauth.NTLM())
		case "digest":
			schemes = append(schemes, proxyauth.Digest())
		case "basic":
			schemes = append(schemes, proxyauth.Basic())
		default:
			err = cmp.Or(err, fmt.Errorf("-scheme: %q is not negotiate, ntlm, digest or basic", name))
		}
	}
	return schemes, err
}
