// Cibot is a bot of a build system behind a proxy: it polls an API until a
// build is done, downloads the artifact with its progress shown, goes on where
// a download was cut off, and uploads a report. It needs nothing but Go:
//
//	go run ./examples/cibot
//
// The proxy (it demands NTLM) and the API are in this process; the API cuts the
// first download off. Real ones are named by flags (the proxy by HTTPS_PROXY,
// too), and the password for the proxy by the environment. What the API looks
// like is at the top of api.go.
//
//	PROXY_USER='CORP\alice' PROXY_PASS=secret \
//		go run ./examples/cibot -proxy http://proxy.corp:3128 -api https://ci.example -job 42
//
// The lines to copy into your own program are those between the rulers, below.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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
	"strconv"
	"syscall"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func main() {
	proxy := flag.String("proxy", "", "`URL` of the proxy; empty: with -api that of the environment, otherwise one in this process")
	api := flag.String("api", "", "`URL` of the API; empty: one in this process")
	job := flag.String("job", "1", "`number` of the job")
	timeout := flag.Duration("timeout", time.Hour, "how long to try")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "cibot: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	err := run(ctx, os.Stdout, *proxy, *api, *job)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cibot:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, proxy, api, job string) error {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.ResponseHeaderTimeout = time.Minute      // a time limit for the whole would end long downloads
	transport := &proxyauth.Transport{Base: base} // from the environment: HTTPS_PROXY, PROXY_USER, PROXY_PASS
	bot := &bot{out: w, api: api, every: time.Second}
	switch {
	case proxy != "":
		u, err := url.Parse(proxy)
		if err != nil || u.Hostname() == "" { // err would show a password
			return errors.New("-proxy is not a URL such as http://proxy.example:3128 (special characters of a password are percent-encoded)")
		}
		base.Proxy = http.ProxyURL(u)
	case api == "":
		p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"alice": "secret"}})
		defer p.Close()
		base.Proxy, transport.Credentials = http.ProxyURL(p.URL), proxyauth.UserPassword("alice", "secret")
	}
	if api == "" {
		server := httptest.NewTLSServer(newBuild())
		defer server.Close()
		base.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		base.TLSClientConfig.RootCAs.AddCert(server.Certificate())
		bot.api, bot.every = server.URL, 50*time.Millisecond
	}

	// -------------------------------------------------------------------------
	transport.Retry = &proxyauth.RetryPolicy{} // a proxy that is down for a moment
	bot.client = &http.Client{Transport: transport}
	// -------------------------------------------------------------------------
	defer bot.client.CloseIdleConnections()
	return bot.work(ctx, job)
}

// A bot works on jobs, one after the other.
type bot struct {
	client *http.Client
	api    string
	every  time.Duration // between the first two polls; it doubles, up to a minute
	out    io.Writer
}

type job struct {
	State    string // "running", "done", or how it failed
	Artifact string // URL, as a reference to that of the API
	SHA256   string // of the artifact, in hex
}

func (b *bot) work(ctx context.Context, number string) error {
	jobURL, err := url.JoinPath(b.api, "jobs", number)
	if err != nil {
		return err
	}
	j, err := b.poll(ctx, jobURL)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cibot")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	size, err := b.download(ctx, j, filepath.Join(dir, "artifact"))
	if err != nil {
		return err
	}
	report := filepath.Join(dir, "report")
	text := fmt.Sprintf("job %s: %d bytes, SHA-256 %s\n", number, size, j.SHA256)
	if err := os.WriteFile(report, []byte(text), 0o600); err != nil {
		return err
	}
	return b.upload(ctx, report, jobURL+"/report")
}

// poll waits for the end of the job. What has not changed since is not sent
// again (ETag).
func (b *bot) poll(ctx context.Context, jobURL string) (*job, error) {
	etag, status := "", ""
	for wait := b.every; ; wait = min(2*wait, time.Minute) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, jobURL, nil)
		if err != nil {
			return nil, err
		}
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := b.send(req)
		if err != nil {
			return nil, err
		}
		j := &job{}
		if resp.StatusCode == http.StatusOK {
			etag = resp.Header.Get("ETag")
			err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(j)
		}
		resp.Body.Close()
		if resp.StatusCode >= 400 && resp.Status != status {
			fmt.Fprintf(b.out, "job: the API answers %s\n", resp.Status)
		}
		status = resp.Status
		switch {
		case err != nil:
			return nil, err
		case j.State == "done":
			fmt.Fprintln(b.out, "job: done")
			return j, nil
		case j.State == "running":
			fmt.Fprintln(b.out, "job: running")
		case resp.StatusCode == http.StatusNotModified, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		case resp.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("%s: %s", jobURL, resp.Status)
		default:
			return nil, fmt.Errorf("%s: the job ended in state %q", jobURL, j.State)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, fmt.Errorf("%s: last answer %s: %w", jobURL, status, err)
		}
	}
}

// upload sends a file. The body has a known length and can be had again, for a
// connection that turns out to be dead, a proxy that asks in between, or an API
// that is busy.
func (b *bot) upload(ctx context.Context, path, url string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, file)
	if err != nil {
		return err
	}
	req.ContentLength = info.Size()
	req.GetBody = func() (io.ReadCloser, error) { return os.Open(path) }
	resp, err := b.send(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	_, err = fmt.Fprintf(b.out, "report: %d bytes uploaded\n", info.Size())
	return err
}

// send sends a request, and again when the API has asked to come back later.
func (b *bot) send(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	for {
		resp, err := b.client.Do(req)
		if err != nil {
			return nil, err
		}
		wait, asked := retryAfter(resp)
		if !asked {
			return resp, nil
		}
		resp.Body.Close()
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return nil, fmt.Errorf("%s: %s: to come back in %v, which is too late", req.URL.Redacted(), resp.Status, wait)
		}
		if err := sleep(ctx, max(wait, b.every)); err != nil {
			return nil, err
		}
		req = req.Clone(ctx)
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// retryAfter returns how long the API wants to be left alone, and whether it
// says so (RFC 9110, section 10.2.3).
func retryAfter(resp *http.Response) (wait time.Duration, asked bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(resp.Header.Get("Date")) // by the API's clock, if it tells it
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now)), true
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
