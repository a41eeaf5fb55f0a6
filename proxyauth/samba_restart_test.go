//go:build realproxy

package proxyauth_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// R37: (b) a domain controller that is started again in the middle of NTLM traffic.
// Nobody can tell its refusals from those of a wrong password, and yet requests pass
// again by themselves, when it has been away for so long and 20 s more at the latest,
// also where each target was refused meanwhile. (a) is here too, with users of a domain.
func TestSambaRestart(t *testing.T) {
	noKerberos(t)
	ad := startSamba(t, kerberosUsers)
	source := proxyauth.UserPassword(`LABNT\alice`, kerberosUsers["alice"])
	logons := []squidLogon{
		{name: "NTLM, domain", squid: "ntlm", env: []string{"AD_DIR=" + ad.dir}, source: source},
		{name: "NTLM inside Negotiate", squid: "negotiate", env: []string{"AD_DIR=" + ad.dir}, source: source,
			schemes: []proxyauth.Scheme{proxyauth.Negotiate(proxyauth.NegotiateOptions{ConfigPath: noConf(t)})}},
	}
	var squids []*squid
	denied := newDeniedTable(t)
	for _, l := range logons {
		s := l.start(t, squidDenies(t))
		squids = append(squids, s)
		testSquidDenied(t, l, s, denied)
	}

	table := newSquidTable(t, "scheme", "way", "quiet target", "outage", "requests", "failed", "of these not sent", "refusals", "all pass again", "after its return")
	var clients []*sambaClient
	for i, l := range logons {
		for _, w := range squids[i].plainWays() {
			clients = append(clients, newSambaClient(t, l, w, true), newSambaClient(t, l, w, false))
		}
	}
	time.Sleep(time.Second) // of good traffic
	stopped := time.Now()
	outage := ad.restart(t, 5*time.Second)
	latest := outage + 20*time.Second
	troubled := func(c *sambaClient) bool { return c.backAt().IsZero() }
	for time.Since(stopped) < latest && slices.ContainsFunc(clients, troubled) {
		time.Sleep(100 * time.Millisecond)
	}
	for _, c := range clients {
		c.end()
		if c.quiet != nil {
			c.quiet.end()
		}
		back, stats := c.back.Sub(stopped), c.tr.Stats()
		table.row(c.l.name, c.w.kind(), c.quiet != nil, outage, c.requests, c.failed, stats.NotSent, stats.Rejections, back, back-outage)
		require.Positive(t, c.failed)
		require.Positive(t, back)
		require.Less(t, back, latest)
		requirePrompt(t, c.tr, c.urls[0])
	}
}

// A sambaClient sends five requests at a time to three targets, nearly all of them on
// connections that are to be authenticated, and may send one to another now and then,
// but not at the moment of the outage.
type sambaClient struct {
	*crowd
	l     squidLogon
	w     squidWay
	tr    *watchedTransport
	urls  []string
	quiet *crowd
}

func newSambaClient(t *testing.T, l squidLogon, w squidWay, quiet bool) *sambaClient {
	c := &sambaClient{l: l, w: w}
	for range 4 {
		o := w.s.newOrigin(t)
		c.urls = append(c.urls, w.target(o))
		if c.tr == nil {
			c.tr = l.transport(t, w, o)
		}
	}
	requireOK(t, c.tr, c.urls[0])
	ask := func(url string) error {
		defer c.tr.CloseIdleConnections()
		return fetchOK(c.tr, url)
	}
	c.crowd = startCrowd(5, 100*time.Millisecond, func(i int) error { return ask(c.urls[i%3]) })
	if quiet {
		c.quiet = startCrowd(1, 3*time.Second, func(int) error { return ask(c.urls[3]) })
	}
	return c
}
