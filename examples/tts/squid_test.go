//go:build realproxy

package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Through a real proxy, by flags and the environment: the API is in this process.
func TestSquid(t *testing.T) {
	t.Setenv("PROXY_USER", "alice")
	t.Setenv("PROXY_PASS", "open sesame")
	for _, scheme := range []string{"basic", "digest", "ntlm"} {
		plain, secure, ca, accessLog := startSquid(t, scheme)
		for _, proxy := range []string{"http://" + plain, "https://" + secure} {
			t.Run(scheme+"/"+strings.SplitN(proxy, ":", 2)[0], func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "speech.wav")
				var stderr bytes.Buffer
				require.NoError(t, run(t.Context(), []string{"-interval", "0", "-proxy", proxy, "-ca", ca, "-v", "-o", out, "Hello", "squid"}, io.Discard, &stderr))
				wav, err := os.ReadFile(out)
				require.NoError(t, err)
				require.Equal(t, speak("Hello squid", 2*ownPitch/1.48), wav)
				require.Contains(t, strings.ToLower(stderr.String()), "scheme="+scheme)
				require.NotContains(t, stderr.String(), "sesame")
			})
		}
		t.Run(scheme+"/wrong password", func(t *testing.T) {
			t.Setenv("PROXY_PASS", "open says me")
			err := run(t.Context(), []string{"-proxy", "http://" + plain}, io.Discard, io.Discard)
			require.ErrorContains(t, err, "rejected the credentials")
			require.Equal(t, "proxy", FailedAt(err))
		})
		log, err := os.ReadFile(accessLog)
		require.NoError(t, err)
		require.Contains(t, string(log), "CONNECT 127.0.0.1:")
		require.NotContains(t, string(log), "POST")
	}
}

// startSquid runs a squid of the test's own, that knows alice, until the end of
// the test.
func startSquid(t *testing.T, scheme string) (plain, secure, ca, accessLog string) {
	dir, err := os.MkdirTemp("", "squid") // whose parent squid's user can pass
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users"), []byte("alice:open sesame\n"), 0o600))
	plain, secure = freeAddress(t, 20000), freeAddress(t, 25000)
	output, err := os.Create(filepath.Join(dir, "output"))
	require.NoError(t, err)
	defer output.Close()
	_, plainPort, _ := net.SplitHostPort(plain)
	_, securePort, _ := net.SplitHostPort(secure)
	cmd := exec.Command("../../testdata/squid/run", dir, plainPort, securePort, scheme)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // helpers may outlive squid
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	for _, addr := range []string{plain, secure} {
		require.Eventually(t, func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}, 20*time.Second, 20*time.Millisecond)
	}
	said, err := os.ReadFile(output.Name())
	require.NoError(t, err)
	require.NotContains(t, string(said), "Cannot bind")
	return plain, secure, filepath.Join(dir, "proxy.crt"), filepath.Join(dir, "access.log")
}

// freeAddress returns an address that is free, with a port from below those that
// the system gives away: nobody else gets it before squid has it.
func freeAddress(t *testing.T, from int) string {
	for range 100 {
		port := strconv.Itoa(from + rand.IntN(5000))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			require.NoError(t, listener.Close())
			return "localhost:" + port // squid's certificate is for that name
		}
	}
	require.Fail(t, "no free port")
	return ""
}
