//go:build realproxy

package proxyauth_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
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

// A server is a real one of the test's own: testdata/NAME/run and all that it
// starts.
type server struct {
	name   string
	dir    string // what is there: testdata/NAME/run
	log    string // what of it tells why the server did not start
	args   []string
	env    []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startServer runs testdata/NAME/run with args behind its directory, where the
// file "users" is made of names and passwords, until the end of the test. env is
// added to the environment.
func startServer(t testing.TB, name, log string, users map[string]string, env []string, args ...string) *server {
	t.Helper()
	// Not t.TempDir: its parent is closed to the user that squid becomes when it
	// is started by root.
	dir, err := os.MkdirTemp("", name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	var lines strings.Builder
	for _, user := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&lines, "%s:%s\n", user, users[user])
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users"), []byte(lines.String()), 0o600))

	s := &server{name: name, dir: dir, log: log, args: append([]string{dir}, args...), env: append(os.Environ(), env...)}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// start runs the server, again after stop.
func (s *server) start(t testing.TB) {
	t.Helper()
	s.exited = make(chan struct{})
	s.cmd = exec.Command(filepath.Join("..", "testdata", s.name, "run"), s.args...)
	s.cmd.Env = s.env
	// A file and not a buffer: for a buffer, Wait would wait for the children, too.
	stderr, err := os.Create(filepath.Join(s.dir, "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	s.cmd.Stdout, s.cmd.Stderr = stderr, stderr
	// A group of its own, so that children that outlive it can be killed.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, s.cmd.Start())
	cmd, exited := s.cmd, s.exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
}

// wait returns when the server is ready.
func (s *server) wait(t testing.TB, patience time.Duration, ready func() bool) {
	t.Helper()
	tooLong := time.After(patience)
	for !ready() {
		select {
		case <-s.exited:
			t.Fatalf("%s did not start: %s\n%s", s.name, s.cmd.ProcessState, s.output())
		case <-tooLong:
			t.Fatalf("%s is not ready after %s\n%s", s.name, patience, s.output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server, if it runs.
func (s *server) stop(t testing.TB) {
	select {
	case <-s.exited:
		return
	default:
	}
	// Looked up before their parents are gone: Samba's winbindd is in a group of
	// its own.
	children := descendants(s.cmd.Process.Pid)
	// The parent alone: squid would start helpers again that end before it.
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(5 * time.Second):
		t.Errorf("%s did not stop within 5 s of SIGTERM", s.name)
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	for _, p := range children {
		if p.running() {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	<-s.exited
}

// output tells why the server did not start.
func (s *server) output() string {
	var b strings.Builder
	for _, name := range []string{"stderr", s.log} {
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			data = []byte(err.Error())
		}
		if tail := 4000; len(data) > tail {
			data = data[len(data)-tail:]
		}
		fmt.Fprintf(&b, "--- %s\n%s\n", name, data)
	}
	return b.String()
}

// requirePrograms fails the test, rather than skip it, without the programs: who
// asks for tests with a real server must not get a pass without one.
func requirePrograms(t testing.TB, packages string, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		if err != nil {
			// Debian has servers here, which is not in everybody's PATH.
			_, err = exec.LookPath("/usr/sbin/" + name)
		}
		if err != nil {
			t.Fatalf("no program %s: the realproxy tests need the Debian packages %s", name, packages)
		}
	}
}

// freePorts returns two ports that were free a moment ago, from below those that
// the system gives to outgoing connections.
func freePorts(t testing.TB) (int, int) {
	t.Helper()
	var ports []int
	for range 1000 {
		port := 20000 + rand.IntN(10000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		defer l.Close() // not before both are known, or they might be the same
		if ports = append(ports, port); len(ports) == 2 {
			return ports[0], ports[1]
		}
	}
	require.Fail(t, "no free ports")
	return 0, 0
}

func accepts(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// A process is one of the machine's, and not another that got its pid later.
type process struct {
	pid   int
	start string
}

// stat returns the fields of /proc/PID/stat after the name: state, parent, …
func stat(pid int) ([]string, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, false
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	return fields, len(fields) > 19
}

// running is false for a zombie too, which only has to be waited for.
func (p process) running() bool {
	fields, ok := stat(p.pid)
	return ok && fields[19] == p.start && fields[0] != "Z" && fields[0] != "X"
}

// descendants returns the children of pid, their children, and so on.
func descendants(pid int) []process {
	children := map[int][]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		child, _ := strconv.Atoi(filepath.Base(dir))
		if fields, ok := stat(child); ok {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], process{child, fields[19]})
		}
	}
	var found []process
	var add func(int)
	add = func(pid int) {
		for _, p := range children[pid] {
			found = append(found, p)
			add(p.pid)
		}
	}
	add(pid)
	return found
}
