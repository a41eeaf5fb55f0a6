package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A visit is what one fetch costs at the proxy.
type visit struct {
	failed               string // "407" or "error"; "" when it came through
	requests, challenges int
	tunnelled            bool // a request that should have been forwarded
}

func (v visit) String() string {
	if v.failed != "" {
		return v.failed
	}
	return fmt.Sprintf("%d/%d", v.requests, v.challenges)
}

// visits are a cold fetch, a warm one, and one on a new connection.
type visits [3]visit

func (v visits) passed() bool { return v[0].failed == "" && v[1].failed == "" && v[2].failed == "" }

var visitNames = [3]string{"cold", "warm", "new connection"}

func fetch(rt http.RoundTripper, url string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// mustFetch is fetch where anything but 200 is an error.
func mustFetch(rt http.RoundTripper, url string) error {
	resp, err := fetch(rt, url)
	if err == nil && resp.StatusCode != 200 {
		err = errors.New(resp.Status)
	}
	return err
}

func failure(err error) string {
	if strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)) {
		return "407"
	}
	return "error"
}

func closeIdle(rt http.RoundTripper, base *http.Transport) {
	base.CloseIdleConnections()
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (c contender) trips(w *world, s scheme, url string) (visits, error) {
	st, p, err := w.site(s, proxytest.New)
	if err != nil {
		return visits{}, err
	}
	defer p.Close()
	base := st.base()
	rt, err := c.client(st, base)
	if err != nil {
		return visits{}, err
	}
	defer closeIdle(rt, base)
	var v visits
	for i := range v {
		if i == 2 {
			closeIdle(rt, base)
		}
		p.Reset()
		err := mustFetch(rt, url)
		v[i] = visited(p, url, err)
		if err != nil && i == 0 {
			return visits{v[0], v[0], v[0]}, nil
		}
	}
	return v, nil
}

func visited(p *proxytest.Proxy, url string, err error) visit {
	if err != nil {
		return visit{failed: failure(err)}
	}
	n := p.Counts()
	return visit{"", n.Requests, n.Challenges, n.Tunnels > 0 && strings.HasPrefix(url, "http://")}
}

// curl makes the same three fetches. Its connection from another local address
// is a new one; what a fetch costs after the first shows in the difference.
func (w *world) curl(told bool, s scheme, url string) (visits, error) {
	var v visits
	for i := range v {
		st, p, err := w.site(s, proxytest.New)
		if err != nil {
			return visits{}, err
		}
		defer p.Close()
		args := []string{url}
		if i > 0 {
			args = slices.Concat(args, []string{"--next"}, curlArgs(told, st), args)
		}
		if i == 2 {
			args = append(args, "--interface", "127.0.0.1")
		}
		cmd := w.curlCommand(told, st, args...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = errors.New(string(out))
		}
		v[i] = visited(p, url, err)
		if i > 0 {
			v[i].requests -= v[0].requests
			v[i].challenges -= v[0].challenges
		}
	}
	return v, nil
}

func curlArgs(told bool, st *site) []string {
	how := "--proxy-anyauth"
	if told {
		how = "--proxy-" + strings.ToLower(st.kind)
	}
	return []string{"-sSf", "-m", "60", "--noproxy", "", "--cacert", st.caFile, "-x", st.proxy.String(), "-U", user + ":" + password, how}
}

func (w *world) curlCommand(told bool, st *site, args ...string) *exec.Cmd {
	cmd := exec.Command("curl", append(curlArgs(told, st), args...)...)
	cmd.Env = append(os.Environ(), "KRB5CCNAME=FILE:"+st.cache, "KRB5_CONFIG="+st.krb5)
	return cmd
}

var curlNames = map[bool]string{false: "curl --proxy-anyauth", true: "curl, scheme set"}

func curlVersion() string {
	out, err := exec.Command("curl", "--version").Output()
	if err != nil {
		return "no curl"
	}
	return strings.Join(strings.Fields(string(out))[:2], " ")
}

// A lane is a contender, or curl, on its way through all proxies.
type lane struct {
	name  string
	told  bool
	visit func(s scheme, url string) (visits, error)
	got   map[string]visits // by scheme and way
}

func lanes(w *world) []*lane {
	var all []*lane
	for _, c := range contenders {
		all = append(all, &lane{name: c.name, told: c.told, visit: func(s scheme, url string) (visits, error) { return c.trips(w, s, url) }})
	}
	if _, err := exec.LookPath("curl"); err == nil {
		for _, told := range []bool{false, true} {
			all = append(all, &lane{name: curlNames[told], told: told, visit: func(s scheme, url string) (visits, error) { return w.curl(told, s, url) }})
		}
	}
	return all
}

// run fills got, all at once: what is counted is not timed.
func (l *lane) run(w *world) error {
	l.got = map[string]visits{}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, s := range schemes {
		for _, way := range w.ways() {
			wg.Go(func() {
				v, err := l.visit(s, way.url)
				mu.Lock()
				defer mu.Unlock()
				l.got[s.name+", "+way.name] = v
				if err != nil {
					errs = append(errs, fmt.Errorf("%s, %s: %w", l.name, s.name, err))
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// trips makes the table of who gets through at all, and that of what it costs.
func trips(w *world, _ scale) ([]*table, error) {
	who := &table{
		title: "Who gets through",
		intro: "A fetch of http:// (forward) and of https:// (tunnel) through a proxy that demands the scheme. \"By CONNECT\":\n" +
			"http:// goes through a tunnel too, which most proxies allow for port 443 only. The last columns: a proxy\n" +
			"that is itself reached by TLS, HTTP/2 to the origin, and a tunnel for what is not HTTP, by a scheme it can.",
		head: []string{""},
	}
	costs := &table{
		title: "Trips",
		intro: "Requests at the proxy / 407s among them: of the first fetch, then of the next one, then of one for which a new\n" +
			"connection is needed. Like is compared with like: clients that find the scheme out, and clients that are told\n" +
			"it or know one only. What goes by CONNECT is not compared with what is forwarded.",
		head: []string{"cold · warm · new connection"},
	}
	all := lanes(w)
	var through []*lane
	for _, l := range all {
		if err := l.run(w); err != nil {
			return nil, err
		}
		w.able[l.name] = map[string]bool{}
		for row, v := range l.got {
			w.able[l.name][row] = v.passed() && !v[0].tunnelled
		}
		for _, v := range l.got {
			if v.passed() {
				through = append(through, l)
				costs.head = append(costs.head, l.name)
				break
			}
		}
	}
	for _, l := range all {
		who.add(l.name)
	}
	for _, s := range schemes {
		for _, way := range w.ways() {
			row := s.name + ", " + way.name
			who.head = append(who.head, row)
			for i, l := range all {
				who.rows[i] = append(who.rows[i], l.got[row].outcome())
			}
			cells := []string{row}
			for _, l := range through {
				mine := all[0]
				if l.told {
					mine = all[1]
				}
				cells = append(cells, costs.visits(row, l, mine))
			}
			costs.add(cells...)
		}
	}
	return []*table{who, costs}, reaches(w, who)
}

// visits is the cell of a lane in the table of trips.
func (t *table) visits(row string, l, ours *lane) string {
	v := l.got[row]
	if !v.passed() {
		return "–"
	}
	var cells []string
	for i, fetch := range visitNames {
		cell := v[i].String()
		if !v[0].tunnelled {
			cell = t.fewer(cell, row+", "+fetch, l.name, float64(v[i].requests), float64(ours.got[row][i].requests), 1)
		}
		cells = append(cells, cell)
	}
	cell := strings.Join(cells, " · ")
	if v[0].tunnelled {
		cell += " by CONNECT"
	}
	return cell
}

// outcome is what the table of who gets through says.
func (v visits) outcome() string {
	switch {
	case v.passed() && v[0].tunnelled:
		return "by CONNECT"
	case v.passed():
		return "yes"
	case v[0].failed != "":
		return v[0].failed
	}
	return "once"
}

// reaches adds the columns of what else each contender can, by a scheme it can.
func reaches(w *world, who *table) error {
	who.head = append(who.head, "proxy by TLS", "HTTP/2 in the tunnel", "raw TCP")
	for i := range who.rows {
		if i >= len(contenders) { // curl
			who.rows[i] = append(who.rows[i], "not tried", "not tried", "not tried")
			continue
		}
		var byTLS, h2, raw bool
		for _, s := range []scheme{basic, ntlmV2} {
			a, err1 := contenders[i].reach(w, s, proxytest.NewTLS, w.secure.URL, 1)
			b, err2 := contenders[i].reach(w, s, proxytest.New, w.h2.URL, 2)
			c, err3 := contenders[i].reachRaw(w, s)
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			byTLS, h2, raw = byTLS || a, h2 || b, raw || c
		}
		for _, yes := range []bool{byTLS, h2, raw} {
			who.rows[i] = append(who.rows[i], map[bool]string{true: "yes", false: "no"}[yes])
		}
	}
	return nil
}

// reach reports whether a fetch succeeds, with this version of HTTP.
func (c contender) reach(w *world, s scheme, start func(proxytest.Config) *proxytest.Proxy, url string, version int) (bool, error) {
	st, p, err := w.site(s, start)
	if err != nil {
		return false, err
	}
	defer p.Close()
	base := st.base()
	rt, err := c.client(st, base)
	if err != nil {
		return false, err
	}
	defer closeIdle(rt, base)
	resp, err := fetch(rt, url)
	return err == nil && resp.StatusCode == 200 && resp.ProtoMajor == version, nil
}

func (c contender) reachRaw(w *world, s scheme) (bool, error) {
	if c.dial == nil {
		return false, nil
	}
	st, p, err := w.site(s, proxytest.New)
	if err != nil {
		return false, err
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := c.dial(st)(ctx, "tcp", w.plain.Listener.Addr().String())
	if err != nil {
		return false, nil
	}
	return true, conn.Close()
}
