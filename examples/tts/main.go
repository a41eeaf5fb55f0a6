// Tts has a text spoken by an HTTPS API that can be reached through an
// authenticating proxy only, and saves the WAV file:
//
//	go run ./examples/tts
//	go run ./examples/tts -scheme digest -o hello.wav Hello world
//
// By default all of it is in this process: the proxy, which wants a password,
// and the API behind it, which wants a key and stands in for a real one: what it
// speaks is a tone for each character. With a real API (that has the two calls
// described at type api) and a real proxy:
//
//	PROXY_USER='CORP\alice' PROXY_PASS=… TTS_API_KEY=… go run ./examples/tts \
//		-api https://tts.corp.example -proxy http://proxy.corp.example:3128 -ca corp.pem -reference alice.wav Hello
//
// The exit status is 3 when it failed at the proxy, 4 at the API, else 1.
//
// The part to copy into your own program is client.go.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// apiHost is the name of the API in this process. Only its proxy knows it.
const apiHost = "api.example"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "tts:", err)
	switch FailedAt(err) {
	case "proxy":
		os.Exit(3)
	case "API":
		os.Exit(4)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("tts", flag.ContinueOnError)
	flags.SetOutput(stderr)
	apiURL := flags.String("api", "", "`URL` of a real API, its key in TTS_API_KEY (default: an API in this process)")
	proxyURL := flags.String("proxy", "", "`URL` of a real proxy, credentials in it or in PROXY_USER and PROXY_PASS\n(default: with -api that of HTTPS_PROXY, otherwise a proxy in this process)")
	caFile := flags.String("ca", "", "PEM `file` of authorities to trust beside the system's, for -api and an https:// -proxy")
	scheme := flags.String("scheme", "ntlm", "what the proxy in this process demands: basic, digest or ntlm")
	overTLS := flags.Bool("tls", false, "reach the proxy in this process by TLS")
	listen := flags.String("listen", "127.0.0.1:0", "`address` of the API in this process, where a real -proxy can reach it")
	reference := flags.String("reference", "", "WAV `file` with the voice to speak in, - for standard input")
	out := flags.String("o", "", "`file` to save the speech in (default: a new one in the directory for temporary files)")
	interval := flags.Duration("interval", 200*time.Millisecond, "time between two requests to the API, at least")
	timeout := flags.Duration("timeout", time.Minute, "time for all of it")
	verbose := flags.Bool("v", false, "log how the proxy is authenticated to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text := strings.Join(flags.Args(), " ")
	if text == "" {
		text = "Hello from behind the proxy."
	}
	if _, err := os.Stat(filepath.Dir(*out)); err != nil { // before the API is asked, which may cost something
		return fmt.Errorf("-o: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()

	roots, err := trusted(*caFile)
	if err != nil {
		return err
	}
	through := http.ProxyFromEnvironment
	if *proxyURL != "" {
		u, err := url.Parse(*proxyURL)
		if err != nil || u.Hostname() == "" { // err would show a password
			return errors.New("-proxy is not a URL such as http://proxy.example:3128 (special characters of a password are percent-encoded)")
		}
		through = http.ProxyURL(u)
	}
	key := os.Getenv("TTS_API_KEY")

	var apiAddr string
	if *apiURL == "" {
		key = rand.Text()
		authority, err := newAuthority()
		if err != nil {
			return err
		}
		addr, stop, err := serve(*listen, authority, newAPI(slog.New(slog.NewTextHandler(stderr, nil)), key))
		if err != nil {
			return err
		}
		defer stop()
		roots.AddCert(authority.certificate)
		apiAddr, *apiURL = addr, "https://"+addr
	}
	transport := NewTransport(through, roots)
	defer transport.CloseIdleConnections()

	var proxy *proxytest.Proxy
	if apiAddr != "" && *proxyURL == "" {
		proxy, err = startProxy(*scheme, *overTLS, apiAddr)
		if err != nil {
			return err
		}
		defer proxy.Close()
		*apiURL = "https://" + apiHost
		transport.Proxy = http.ProxyURL(proxy.URL)
		transport.ProxyTLSClientConfig = proxy.ClientTLSConfig()
		transport.Credentials = proxyauth.UserPassword("alice", "secret")
	}
	if *verbose {
		transport.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}

	client, err := NewClient(*apiURL, key, transport, *interval)
	if err != nil {
		return err
	}
	var voice io.Reader
	switch *reference {
	case "":
	case "-":
		voice = os.Stdin
	default:
		file, err := os.Open(*reference)
		if err != nil {
			return err
		}
		defer file.Close()
		voice = file
	}
	if voice == nil && apiAddr != "" { // the whole scenario, with nothing at hand
		voice = bytes.NewReader(speak("la la la", 2*ownPitch))
	}
	wav, err := client.Speak(ctx, text, voice)
	if err != nil {
		return err
	}
	path, err := save(*out, wav)
	if err != nil {
		return err
	}
	if proxy != nil {
		if err := report(stdout, proxy); err != nil {
			return err
		}
	} else {
		seen := transport.Stats() // all 0: there was no proxy
		fmt.Fprintf(stdout, "proxy: %d tunnels, %d challenges\n", seen.Tunnels, seen.Challenges)
	}
	_, err = fmt.Fprintf(stdout, "speech: %d characters, %d bytes: %s\n", len([]rune(text)), len(wav), path)
	return err
}

// trusted returns the system's authorities and those in the file.
func trusted(caFile string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a bare machine has none
	}
	if caFile == "" {
		return roots, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in PEM in it", caFile)
	}
	return roots, nil
}

// serve starts an HTTPS server that stop ends. Its certificate is for apiHost
// and the address.
func serve(address string, authority *authority, handler http.Handler) (addr string, stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	addr = listener.Addr().String()
	host, _, _ := net.SplitHostPort(addr)
	certificate, err := authority.serverCertificate(apiHost, host)
	if err != nil {
		listener.Close()
		return "", nil, err
	}
	server := &http.Server{
		Handler:           handler,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // of clients that break off
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.ServeTLS(listener, "", "") })
	return addr, func() { server.Close(); serving.Wait() }, nil
}

// startProxy starts a proxy that lets alice pass to apiHost, and nobody to
// anything else.
func startProxy(scheme string, overTLS bool, apiAddr string) (*proxytest.Proxy, error) {
	auth, ok := map[string]proxytest.Auth{
		"basic":  proxytest.Basic{Realm: "tts"},
		"digest": proxytest.Digest{Realm: "tts", Algorithms: []string{"SHA-256", "MD5"}},
		"ntlm":   proxytest.NTLM{},
	}[strings.ToLower(scheme)]
	if !ok {
		return nil, fmt.Errorf("-scheme %q: it is basic, digest or ntlm", scheme)
	}
	start := proxytest.New
	if overTLS {
		start = proxytest.NewTLS
	}
	return start(proxytest.Config{
		Auth:  []proxytest.Auth{auth},
		Users: map[string]string{"alice": "secret"},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != apiHost+":443" {
				return nil, fmt.Errorf("there is no way to %s", addr)
			}
			return new(net.Dialer).DialContext(ctx, network, apiAddr)
		},
	}), nil
}

// save writes the speech, whole, and returns the name of the file.
func save(path string, wav []byte) (string, error) {
	if path != "" {
		return path, os.WriteFile(path, wav, 0o644)
	}
	file, err := os.CreateTemp("", "speech-*.wav")
	if err != nil {
		return "", err
	}
	_, err = file.Write(wav)
	return file.Name(), errors.Join(err, file.Close())
}

// report prints what the proxy saw, and fails if that was the API's key.
func report(w io.Writer, proxy *proxytest.Proxy) error {
	for _, leg := range proxy.Transcript() {
		if leg.Header.Get("Authorization") != "" {
			return errors.New("the proxy got to see the API key")
		}
		scheme, _, _ := strings.Cut(leg.Header.Get("Proxy-Authorization"), " ")
		if scheme == "" {
			scheme = "no"
		}
		fmt.Fprintf(w, "proxy %s: %s %s, %s credentials: %d\n", proxy.URL, leg.Method, leg.Target, scheme, leg.Status)
	}
	return nil
}
