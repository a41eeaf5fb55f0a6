//go:build realproxy

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A contender is a program that authenticates to squid by NTLM, which a plain
// client goes through.
type contender struct {
	name   string
	addr   string
	pid    int
	client *http.Client
	took   []time.Duration
	cpu    time.Duration
}

// BenchmarkRelay measures the relay beside cntlm: both as processes of their
// own, before the same squid, by turns. The metrics are medians, and how many
// times as long the relay takes.
func BenchmarkRelay(b *testing.B) {
	const download = 256 << 20
	chunk := make([]byte, 64<<10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/small" {
			io.WriteString(w, "small")
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(download))
		for range download / len(chunk) {
			w.Write(chunk)
		}
	}))
	defer origin.Close()
	host := "www.example.com:" + origin.URL[strings.LastIndex(origin.URL, ":")+1:]
	squid := startSquid(b)
	contenders := []*contender{startRelay(b, squid), startCntlm(b, squid)}

	get := func(client *http.Client, path string, size int64) error {
		resp, err := client.Get("http://" + host + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			return fmt.Errorf("%s, %d bytes: %v", resp.Status, n, err)
		}
		return nil
	}
	tunnels := make(map[*contender]*tunnel)
	for _, c := range contenders {
		t, err := openTunnel(c, host)
		require.NoError(b, err)
		defer t.Close()
		tunnels[c] = t
	}
	for _, m := range []struct {
		name string
		once func(c *contender) error
		size int64
	}{
		{"forward/small/kept", func(c *contender) error { return get(c.client, "/small", 5) }, 0},
		{"forward/small/new", func(c *contender) error {
			// Not by Connection: close, which cntlm passes on: its handshake with
			// squid then never ends.
			defer c.client.CloseIdleConnections()
			return get(c.client, "/small", 5)
		}, 0},
		{"forward/256MiB", func(c *contender) error { return get(c.client, "/", download) }, download},
		{"tunnel/small/kept", func(c *contender) error { return tunnels[c].get(host, "/small", 5) }, 0},
		{"tunnel/small/new", func(c *contender) error {
			t, err := openTunnel(c, host)
			if err != nil {
				return err
			}
			defer t.Close()
			return t.get(host, "/small", 5)
		}, 0},
		{"tunnel/256MiB", func(c *contender) error { return tunnels[c].get(host, "/", download) }, download},
	} {
		b.Run(m.name, func(b *testing.B) {
			for _, c := range contenders {
				require.NoError(b, m.once(c), c.name) // warm
				c.took, c.cpu = nil, -c.usedCPU(b)
			}
			for b.Loop() {
				for _, c := range contenders {
					start := time.Now()
					if err := m.once(c); err != nil {
						b.Fatal(c.name, ": ", err)
					}
					c.took = append(c.took, time.Since(start))
				}
				slices.Reverse(contenders)
			}
			slices.SortFunc(contenders, func(a, b *contender) int { return strings.Compare(b.name, a.name) }) // relay first
			var median, cpu [2]float64
			for i, c := range contenders {
				slices.Sort(c.took)
				median[i] = float64(c.took[len(c.took)/2].Microseconds())
				cpu[i] = float64((c.cpu + c.usedCPU(b)).Microseconds()) / float64(len(c.took))
				if m.size > 0 {
					b.ReportMetric(float64(m.size)/median[i], c.name+"-MB/s")
				} else {
					b.ReportMetric(median[i], c.name+"-µs")
				}
				b.ReportMetric(cpu[i], c.name+"-cpu-µs")
			}
			b.ReportMetric(0, "ns/op") // of both together: no use
			b.ReportMetric(median[0]/median[1], "time-ratio")
			b.ReportMetric(cpu[0]/cpu[1], "cpu-ratio")
		})
	}
}

func newContender(b *testing.B, name, addr string, pid int) *contender {
	t := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr})}
	b.Cleanup(t.CloseIdleConnections)
	return &contender{name: name, addr: addr, pid: pid, client: &http.Client{Transport: t}}
}

// usedCPU is the time of the processor that the program has had, by user and
// system, in ticks of 10 ms (proc_pid_stat(5)).
func (c *contender) usedCPU(b *testing.B) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
	require.NoError(b, err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// A tunnel is a CONNECT through a contender, with HTTP in it.
type tunnel struct {
	net.Conn
	in *bufio.Reader
}

func openTunnel(c *contender, host string) (*tunnel, error) {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	t := &tunnel{conn, bufio.NewReaderSize(conn, 64<<10)}
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
	resp, err := http.ReadResponse(t.in, &http.Request{Method: http.MethodConnect})
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s: CONNECT %s: %s", c.name, host, resp.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

func (t *tunnel) get(host, path string, size int64) error {
	fmt.Fprintf(t, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
	resp, err := http.ReadResponse(t.in, nil)
	if err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		return fmt.Errorf("%s, %d bytes: %v", resp.Status, n, err)
	}
	return nil
}

// startSquid runs a squid that demands NTLM and knows www.example.com. It
// returns its host:port.
func startSquid(b *testing.B) string {
	// Not b.TempDir: its parent is closed to the user that squid becomes when it
	// is started by root.
	dir, err := os.MkdirTemp("", "squid")
	require.NoError(b, err)
	b.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(b, os.WriteFile(filepath.Join(dir, "users"), []byte("alice:open sesame\n"), 0o600))
	hosts := filepath.Join(dir, "names")
	require.NoError(b, os.WriteFile(hosts, []byte("127.0.0.1 www.example.com localhost\n"), 0o644))
	port, tlsPort := freePort(b), freePort(b)
	cmd := exec.Command("../../testdata/squid/run", dir, port, tlsPort, "ntlm")
	cmd.Env = append(os.Environ(), "SQUID_EXTRA=hosts_file "+hosts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // helpers can outlive squid
	start(b, cmd, dir, port)
	return "127.0.0.1:" + port
}

func startRelay(b *testing.B, squid string) *contender {
	dir := b.TempDir()
	program := filepath.Join(dir, "relay")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(b, err, "%s", out)
	port := freePort(b)
	cmd := exec.Command(program, "-listen", "127.0.0.1:"+port, "-upstream", "http://"+squid)
	cmd.Env = append(os.Environ(), `PROXY_USER=LABNT\alice`, "PROXY_PASS=open sesame")
	start(b, cmd, dir, port)
	return newContender(b, "relay", "127.0.0.1:"+port, cmd.Process.Pid)
}

func startCntlm(b *testing.B, squid string) *contender {
	dir, port := b.TempDir(), freePort(b)
	conf := filepath.Join(dir, "cntlm.conf")
	require.NoError(b, os.WriteFile(conf, []byte("Username alice\nDomain LABNT\nPassword open sesame\nAuth NTLMv2\n"+
		"Proxy "+squid+"\nListen 127.0.0.1:"+port+"\n"), 0o600))
	cmd := exec.Command("cntlm", "-f", "-c", conf)
	start(b, cmd, dir, port)
	return newContender(b, "cntlm", "127.0.0.1:"+port, cmd.Process.Pid)
}

// start runs a program that listens on port, until the end of the benchmark.
func start(b *testing.B, cmd *exec.Cmd, dir, port string) {
	output, err := os.Create(filepath.Join(dir, "output"))
	require.NoError(b, err)
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(b, cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			b.Errorf("%s did not stop", cmd.Path)
		}
		if cmd.SysProcAttr != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		cmd.Process.Kill()
		<-ended
	})
	require.Eventually(b, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond, "%s does not listen", cmd.Path)
}

func freePort(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
