package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// upload sends a stream that cannot be sent twice as the first request through
// a proxy that nobody knows yet.
func upload(w *world, s scale) ([]*table, error) {
	t := &table{
		title: fmt.Sprintf("Upload of %d MiB to a cold proxy", s.upload),
		intro: "The body is a stream of unknown length without GetBody, the first request of the client. First the bytes from the\n" +
			"client to the proxy, in units of the body, then how far the heap rose, in MiB, with the proxy and the origin in it;\n" +
			"a client that keeps the body in memory shows there. curl is another process.",
		head: []string{""},
	}
	for _, c := range contenders {
		if able := w.able[c.name]; slices.Contains(slices.Collect(maps.Values(able)), true) {
			t.head = append(t.head, c.name)
		}
	}
	_, err := exec.LookPath("curl")
	curl := err == nil
	if curl {
		t.head = append(t.head, curlNames[false], curlNames[true])
	}
	for _, row := range w.cells() {
		cells := slices.Repeat([]string{"–"}, len(t.head))
		cells[0] = row[0].row()
		var mine [2]sent
		for i, c := range row {
			got, err := c.upload(w, int64(s.upload)<<20)
			if err != nil {
				return nil, err
			}
			if i < 2 {
				mine[i] = got
			}
			cells[slices.Index(t.head, c.name)] = t.sent(c.row(), c.name, got, mine[c.reference()], s)
		}
		if curl {
			for i, told := range []bool{false, true} {
				got, err := w.curlUpload(told, row[0], int64(s.upload)<<20)
				if err != nil {
					return nil, err
				}
				cells[slices.Index(t.head, curlNames[told])] = t.sent(row[0].row(), curlNames[told], got, mine[i], s)
			}
		}
		t.add(cells...)
	}
	return []*table{t}, nil
}

// sent is what an upload came to.
type sent struct {
	err   error
	bytes int64 // to the proxy
	heap  int64 // peak; -1: another process's
}

func (t *table) sent(row, name string, got, ours sent, s scale) string {
	if got.err != nil {
		return failure(got.err)
	}
	size := float64(int64(s.upload) << 20)
	theirs, mine := float64(got.bytes)/size, float64(ours.bytes)/size
	cell := t.fewer(fmt.Sprintf("%.2f", theirs), row+", bytes", name, theirs, mine, 0.02)
	if got.heap >= 0 {
		theirs, mine := got.heap>>20, ours.heap>>20
		// What a collection more or less leaves is no lead.
		cell += " · " + t.less(fmt.Sprint(theirs), row+", heap", name, []float64{float64(theirs) + 8}, []float64{float64(mine)}, 0)
	}
	return cell
}

// stream is a body that can be read once.
func stream(n int64) io.Reader { return struct{ io.Reader }{io.LimitReader(zeros{}, n)} }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func (c cell) upload(w *world, n int64) (sent, error) {
	st, p, err := w.site(c.scheme, proxytest.New)
	if err != nil {
		return sent{}, err
	}
	defer p.Close()
	r, err := startRelay(st.proxy)
	if err != nil {
		return sent{}, err
	}
	defer r.close()
	st.proxy = r.url
	base := st.base()
	base.ExpectContinueTimeout = time.Second // as in http.DefaultTransport
	rt, err := c.client(st, base)
	if err != nil {
		return sent{}, err
	}
	defer closeIdle(rt, base)

	heap := watchHeap()
	err = put(rt, c.way.url, n)
	return sent{err, r.bytes.Load(), heap()}, nil
}

func put(rt http.RoundTripper, url string, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "PUT", url, stream(n))
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Received") != strconv.FormatInt(n, 10) {
		return errors.New(resp.Status + ", received: " + resp.Header.Get("Received"))
	}
	return nil
}

func (w *world) curlUpload(told bool, c cell, n int64) (sent, error) {
	st, p, err := w.site(c.scheme, proxytest.New)
	if err != nil {
		return sent{}, err
	}
	defer p.Close()
	r, err := startRelay(st.proxy)
	if err != nil {
		return sent{}, err
	}
	defer r.close()
	st.proxy = r.url
	cmd := w.curlCommand(told, st, "-T", "-", "-o", "/dev/null", "-w", "%header{received}", c.way.url)
	cmd.Stdin = stream(n)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != strconv.FormatInt(n, 10) {
		return sent{errors.New("curl: " + strings.TrimSpace(string(out))), r.bytes.Load(), -1}, nil
	}
	return sent{nil, r.bytes.Load(), -1}, nil
}

// watchHeap returns a function that returns by how much the heap has been above
// what it is now.
func watchHeap() func() int64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() int64 {
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	before := read()
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		highest := before
		for {
			select {
			case <-stop:
				peak <- highest
				return
			case <-time.After(time.Millisecond): // a sample, often enough for a body that is kept
				highest = max(highest, read())
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-peak - before
	}
}

// A relay stands before a proxy and counts what goes to it.
type relay struct {
	url   *url.URL
	bytes atomic.Int64
	l     net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func startRelay(proxy *url.URL) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{url: &url.URL{Scheme: "http", Host: l.Addr().String()}, l: l}
	r.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", proxy.Host)
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			pass := func(to, from net.Conn) {
				io.Copy(to, from)
				to.(*net.TCPConn).CloseWrite()
			}
			r.wg.Go(func() { pass(out, &counted{in, &r.bytes}) })
			r.wg.Go(func() { pass(in, out) })
		}
	})
	return r, nil
}

func (r *relay) close() {
	r.l.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// counted is a connection that counts what is read from it.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}
