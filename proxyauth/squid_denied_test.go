//go:build realproxy

package proxyauth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// The two rules by which squid denies a target to users that it knows, and answers
// 407: since the last ACL of the rule is about users, others might pass.
var squidDenials = map[string]string{
	"authed.example": "deny blocked authed",
	"group.example":  "deny target !group",
}

// squidDenies is the variable for both.
func squidDenies(t *testing.T) string {
	nobody := squidScript(t, "#!/bin/sh\nwhile read -r user; do echo ERR; done\n")
	return "ACCESS=" + strings.Join([]string{
		"acl blocked dstdomain authed.example",
		"http_access deny blocked authed",
		"external_acl_type groups ttl=1 children-startup=1 %LOGIN " + nobody,
		"acl group external groups",
		"acl target dstdomain group.example",
		"http_access deny target !group",
	}, "\n")
}

// R37: (a) what squid denies to a user costs the requests for it and no other, by each
// scheme.
func TestSquidDenied(t *testing.T) {
	table := newDeniedTable(t)
	for _, l := range squidLogons(t) {
		testSquidDenied(t, l, l.start(t, squidDenies(t)), table)
	}
}

func newDeniedTable(t *testing.T) *squidTable {
	return newSquidTable(t, "scheme", "way", "rule", "denied", "its legs", "good", "failed", "further legs", "next passed after", "in a crowd")
}

func testSquidDenied(t *testing.T, l squidLogon, s *squid, table *squidTable) {
	for _, w := range s.plainWays() {
		for host, rule := range squidDenials {
			t.Run(strings.Join([]string{l.name, w.kind(), rule}, " "), func(t *testing.T) {
				d := newSquidDenied(t, l, w, host)
				d.oneByOne(t)
				legs := len(to(s.Log(t), d.logged)) - d.before
				d.inCrowd(t)
				further := d.further(t)
				table.row(l.name, w.kind(), rule, d.denied, fmt.Sprintf("%.1f", float64(legs)/float64(onesDenied)), d.passed, d.failed, further, d.next, d.slowest)
				require.Zero(t, d.failed)
			})
		}
	}
}

// A squidDenied is a client that has passed a moment ago, of two good targets and one
// that is denied to it.
type squidDenied struct {
	l           squidLogon
	w           squidWay
	tr          *watchedTransport
	good        [2]*origin
	url, logged string
	before      int // lines of the log about it

	denied, passed, failed int
	next, slowest          time.Duration
}

func newSquidDenied(t *testing.T, l squidLogon, w squidWay, host string) *squidDenied {
	d := &squidDenied{l: l, w: w, good: [2]*origin{w.s.newOrigin(t), w.s.newOrigin(t)}}
	d.url = "http://" + host + "/"
	d.logged = d.url
	if w.method == "CONNECT" {
		d.url, d.logged = "https://"+host+"/", host+":443"
	}
	d.before = len(to(w.s.Log(t), d.logged))
	d.tr = l.transport(t, w, d.good[0])
	requireOK(t, d.tr, w.target(d.good[0]))
	d.passed++
	return d
}

// ask asks for the denied target.
func (d *squidDenied) ask(enough time.Duration) error {
	begun := time.Now()
	status, _, err := fetch(d.tr, d.url)
	took := time.Since(begun)
	var e *proxyauth.AuthError
	switch {
	case !errors.As(err, &e):
		return fmt.Errorf("no refusal: status %d, error %v", status, err)
	case took > enough:
		return fmt.Errorf("refused after %s: %w", took, err)
	case !errors.Is(err, proxyauth.ErrRejected) && !strings.Contains(err.Error(), "refuses the Kerberos ticket"):
		return err
	}
	return nil
}

const onesDenied = 5

// oneByOne asks for the denied target and then, each time, for good ones.
func (d *squidDenied) oneByOne(t *testing.T) {
	for i := range onesDenied {
		require.NoError(t, d.ask(promptEnough))
		d.denied++
		if i == onesDenied-2 {
			continue // twice in a row
		}
		for _, o := range []*origin{d.good[1], d.good[0]} {
			d.next = max(d.next, requirePrompt(t, d.tr, d.w.target(o)))
			d.passed++
		}
	}
	require.Zero(t, d.tr.Stats().NotSent)
}

// inCrowd asks for six parts at once that are denied, three times beside good traffic.
func (d *squidDenied) inCrowd(t *testing.T) {
	c := startCrowd(4, 5*time.Millisecond, func(i int) error {
		return promptly(d.tr, d.w.target(d.good[i%2]), inCrowd)
	})
	defer func() {
		c.end()
		d.passed += c.requests - c.failed
		d.failed, d.slowest = c.failed, c.slowest
		require.Empty(t, c.causes)
	}()
	for range 3 {
		together(t, 6, func() error { return d.ask(inCrowd) })
		d.denied += 6
	}
}

// further returns what squid has answered about the good targets but passes, which
// must be as many as were counted here.
func (d *squidDenied) further(t *testing.T) string {
	d.tr.CloseIdleConnections()
	passes, further := 0, make(map[string]int)
	for _, o := range d.good {
		require.Empty(t, o.proxyFields())
		for what, n := range statuses(d.w.log(t, o, 1)) {
			if strings.HasPrefix(what, "200") {
				passes += n
			} else {
				further[what] += n
			}
		}
	}
	require.Equal(t, d.passed, passes)
	return strings.TrimPrefix(fmt.Sprint(further), "map")
}
