package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// warmURLs are those that a stub answers.
var warmURLs = map[string]string{"forward": "http://example.com/", "tunnel": "https://example.com/"}

// stubs are one stub for each kind of authentication; "" is open.
type stubs map[string]*stubSite

type stubSite struct {
	site
	process *stubProcess
}

func (w *world) startStubs() (stubs, error) {
	minter, p, err := w.site(kerberos, proxytest.New) // its tickets will do: a stub takes any
	if err != nil {
		return nil, err
	}
	defer p.Close()
	all := stubs{}
	for _, s := range []scheme{{}, basic, digestMD5, ntlmV2, kerberos} {
		process, err := startStub(s.kind)
		if err != nil {
			all.stop()
			return nil, err
		}
		st := &stubSite{*minter, process}
		st.scheme, st.proxy = s, process.url
		all[s.kind] = st
	}
	return all, nil
}

func (all stubs) stop() {
	for _, st := range all {
		st.process.stop()
	}
}

var openProxy = contender{name: "net/http, open proxy", client: bare, dial: bareDial}

// warmCells is w.cells for what is measured when all is known: with an open
// proxy first, then ours once.
func (w *world) warmCells() [][]cell {
	rows := w.cells()
	for i, row := range rows {
		row = slices.DeleteFunc(row, func(c cell) bool { return c.name == oursTold.name })
		rows[i] = slices.Insert(row, 0, cell{openProxy, scheme{}, row[0].way})
	}
	return rows
}

// warm measures requests one after the other on a connection that is kept.
func warm(w *world, s scale) ([]*table, error) {
	t := &table{
		title: "A warm request",
		intro: "One request after the other on one connection, through a proxy that costs next to nothing. \"Of bare\" is against\n" +
			"net/http through an open proxy, which is what authentication adds to.",
		head: []string{"", "contender", "time", "time, of bare", "allocations", "more than bare"},
	}
	all, err := w.startStubs()
	if err != nil {
		return nil, err
	}
	defer all.stop()
	for _, row := range w.warmCells() {
		var runs []func() (time.Duration, error)
		var allocs []float64
		for _, c := range row {
			st := all[c.scheme.kind]
			base := st.base()
			rt, err := c.client(&st.site, base)
			if err != nil {
				return nil, err
			}
			defer closeIdle(rt, base)
			req, err := http.NewRequest("GET", warmURLs[c.way.name], nil)
			if err != nil {
				return nil, err
			}
			run := func(n int) error {
				for range n {
					resp, err := rt.RoundTrip(req)
					if err != nil {
						return err
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						return errors.New(resp.Status)
					}
				}
				return nil
			}
			if err := run(s.requests); err != nil { // to warm up
				return nil, fmt.Errorf("%s, %s: %w", c.name, c.row(), err)
			}
			const steps = 200
			n, err := allocations(func() error { return run(steps) }, steps)
			if err != nil {
				return nil, err
			}
			allocs = append(allocs, n)
			runs = append(runs, timed(func() error { return run(s.requests) }))
		}
		times, err := takeTurns(s.rounds, to(1), runs)
		if err != nil {
			return nil, err
		}
		for i, c := range row {
			timeCell, allocCell := times.ratio(i, 1).String(), fmt.Sprintf("%.0f", allocs[i])
			if i > 0 {
				timeCell = t.faster(times.ratio(i, 1), row[1].row(), c.name)
				allocCell = t.fewer(allocCell, row[1].row()+", allocations", c.name, allocs[i], allocs[1], 1)
			}
			t.add(row[1].row(), c.name, timeCell, times.ratio(i, 0).String(), allocCell, fmt.Sprintf("%+d", int(math.Round(allocs[i]-allocs[0]))))
		}
	}
	return []*table{t}, nil
}

// bareDial opens a tunnel through an open proxy by hand.
func bareDial(s *site) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, s.proxy.Host)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", addr, addr)
		_, err = io.ReadFull(c, make([]byte, len(established)))
		return c, err
	}
}

// throughput measures large tunnels.
func throughput(w *world, s scale) ([]*table, error) {
	t := &table{
		title: fmt.Sprintf("A tunnel of %d MiB", s.tunnel),
		intro: "A new connection for each transfer, its opening and authentication in the time, by a client that has made one before;\n" +
			"the proxy is in another process, and is the other end. Once a tunnel is open its scheme makes no difference, so only\n" +
			"those with a peer are here.",
		head: []string{"", "contender", "time", "time, of bare", "MiB/s"},
	}
	all, err := w.startStubs()
	if err != nil {
		return nil, err
	}
	defer all.stop()
	transfers := []struct {
		name string
		run  func(contender, *site) func() error // nil: it cannot
	}{
		{"raw TCP, download", func(c contender, st *site) func() error { return rawTransfer(c, st, "source.test", s.tunnel) }},
		{"raw TCP, upload", func(c contender, st *site) func() error { return rawTransfer(c, st, "sink.test", s.tunnel) }},
		{"https, download", func(c contender, st *site) func() error { return download(c, st, s.tunnel) }},
	}
	for _, transfer := range transfers {
		for _, row := range w.warmCells() {
			if row[1].way.name != "tunnel" || len(row) < 3 {
				continue // without a peer
			}
			var names []string
			var runs []func() (time.Duration, error)
			name := row[1].scheme.name + ", " + transfer.name
			for _, c := range row {
				run := transfer.run(c.contender, &all[c.scheme.kind].site)
				if run == nil {
					continue
				}
				if err := run(); err != nil { // to warm up
					return nil, fmt.Errorf("%s, %s: %w", c.name, name, err)
				}
				names = append(names, c.name)
				runs = append(runs, timed(run))
			}
			times, err := takeTurns(min(s.rounds, 5), to(1), runs)
			if err != nil {
				return nil, err
			}
			for i := range runs {
				cell := times.ratio(i, 1).String()
				if i > 0 {
					cell = t.faster(times.ratio(i, 1), name, names[i])
				}
				t.add(name, names[i], cell, times.ratio(i, 0).String(), fmt.Sprintf("%.0f", float64(s.tunnel)/times.median(i).Seconds()))
			}
		}
	}
	return []*table{t}, nil
}

func rawTransfer(c contender, st *site, host string, mib int) func() error {
	if c.dial == nil {
		return nil
	}
	dial := c.dial(st)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		conn, err := dial(ctx, "tcp", fmt.Sprintf("%s:%d", host, mib))
		if err != nil {
			return err
		}
		defer conn.Close()
		if host == "sink.test" {
			return errors.Join(sendMiB(conn, mib), second(io.ReadFull(conn, make([]byte, 1))))
		}
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		return second(io.CopyN(io.Discard, conn, int64(mib)<<20))
	}
}

func second[T any](_ T, err error) error { return err }

func download(c contender, st *site, mib int) func() error {
	base := st.base()
	base.TLSClientConfig = &tls.Config{RootCAs: st.roots}
	rt, err := c.client(st, base)
	return func() error {
		if err != nil {
			return err
		}
		defer closeIdle(rt, base)
		return mustFetch(rt, (&url.URL{Scheme: "https", Host: "example.com", Path: fmt.Sprint(mib)}).String())
	}
}
