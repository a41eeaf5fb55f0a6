//go:build realproxy

package proxyauth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// How long a request may take that nothing holds back: by itself, and in a crowd on
// a machine that has other things to do. Who has to wait for others waits for 4 s.
const (
	promptEnough = time.Second
	inCrowd      = 3 * time.Second
)

// A squidLogon is one way for alice to be known to a squid.
type squidLogon struct {
	name    string
	squid   string // the scheme it offers
	env     []string
	source  proxyauth.CredentialSource
	schemes []proxyauth.Scheme // nil: all of them
}

// squidLogons are those that need no domain controller.
func squidLogons(t *testing.T) []squidLogon {
	noKerberos(t)
	k := startKDC(t, kerberosUsers)
	options := proxyauth.NegotiateOptions{ConfigPath: k.krb5Conf}
	byTicket := options
	byTicket.CachePath = k.ccache(t, "alice")
	password := kerberosUsers["alice"]
	alice := proxyauth.UserPassword("alice", password)
	return []squidLogon{
		{name: "Basic", squid: "basic", source: alice},
		{name: "Digest", squid: "digest", source: alice},
		{name: "NTLM", squid: "ntlm", source: proxyauth.UserPassword(`ANY\alice`, password)},
		{name: "Negotiate, ticket", squid: "negotiate", env: []string{"KDC_DIR=" + k.dir}, schemes: []proxyauth.Scheme{proxyauth.Negotiate(byTicket)}},
		{name: "Negotiate, password", squid: "negotiate", env: []string{"KDC_DIR=" + k.dir},
			source: proxyauth.UserPassword("alice@"+k.realm, password), schemes: []proxyauth.Scheme{proxyauth.Negotiate(options)}},
	}
}

// start runs a squid for the logon.
func (l squidLogon) start(t *testing.T, env ...string) *squid {
	return startSquid(t, l.squid, kerberosUsers, append(env, l.env...)...)
}

// transport is squidWay.transport, but that each tunnel carries one request.
func (l squidLogon) transport(t *testing.T, w squidWay, o *origin) *watchedTransport {
	tr := w.transport(t, o, l.source)
	tr.Schemes = l.schemes
	tr.Base.DisableKeepAlives = w.method == "CONNECT"
	tr.Base.MaxIdleConnsPerHost = 64
	return tr
}

// plainWays are the ways without TLS to the proxy: what a refusal means does not
// depend on that.
func (s *squid) plainWays() []squidWay { return s.ways()[:2] }

func (w squidWay) kind() string {
	if w.method == "CONNECT" {
		return "tunnelled"
	}
	return "forwarded"
}

// promptly is fetchOK for a request that must not wait.
func promptly(tr *watchedTransport, url string, enough time.Duration) error {
	begun := time.Now()
	err := fetchOK(tr, url)
	if took := time.Since(begun); err == nil && took > enough {
		err = fmt.Errorf("passed after %s", took)
	}
	return err
}

// requirePrompt requires that a request passes at once, and returns after how long.
func requirePrompt(t *testing.T, tr *watchedTransport, url string) time.Duration {
	t.Helper()
	begun := time.Now()
	require.NoError(t, promptly(tr, url, promptEnough))
	return time.Since(begun)
}

// to returns what squid has logged about a target.
func to(entries []squidEntry, target string) (about []squidEntry) {
	for _, e := range entries {
		if e.URL == target {
			about = append(about, e)
		}
	}
	return about
}

// A crowd is goroutines that send requests, until end.
type crowd struct {
	over chan struct{}
	done sync.WaitGroup

	mu               sync.Mutex
	requests, failed int
	slowest          time.Duration
	back             time.Time // when one passed, after the last that failed
	causes           map[string]int
}

// startCrowd sends n requests at a time, each the pause after the last. They are
// numbered.
func startCrowd(n int, pause time.Duration, request func(i int) error) *crowd {
	c := &crowd{over: make(chan struct{}), causes: map[string]int{}}
	for i := range n {
		c.done.Go(func() {
			for ; ; i++ {
				begun := time.Now()
				err := request(i)
				c.took(time.Since(begun), err)
				select {
				case <-c.over:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	return c
}

func (c *crowd) took(d time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.slowest = max(c.slowest, d)
	switch {
	case err != nil:
		c.failed++
		c.back = time.Time{}
		c.causes[fmt.Sprintf("%.90s", err)]++
	case c.back.IsZero():
		c.back = time.Now()
	}
}

// backAt returns when a request passed after the last one that failed.
func (c *crowd) backAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.back
}

// end waits for the requests under way.
func (c *crowd) end() {
	close(c.over)
	c.done.Wait()
}

// A squidTable is what a test has counted, for the reader of its log.
type squidTable struct {
	b strings.Builder
	w *tabwriter.Writer
}

func newSquidTable(t *testing.T, columns ...any) *squidTable {
	table := &squidTable{}
	table.w = tabwriter.NewWriter(&table.b, 0, 0, 2, ' ', 0)
	table.row(columns...)
	t.Cleanup(func() {
		_ = table.w.Flush()
		t.Logf("\n%s", table.b.String())
	})
	return table
}

func (t *squidTable) row(cells ...any) {
	for _, cell := range cells {
		if d, ok := cell.(time.Duration); ok {
			cell = d.Round(time.Millisecond)
		}
		fmt.Fprintf(t.w, "%v\t", cell)
	}
	fmt.Fprintln(t.w)
}

// squidScript writes a helper that squid can run.
func squidScript(t *testing.T, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "helper") // not t.TempDir: see startServer
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "helper")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}
