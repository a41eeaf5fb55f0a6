//go:build realproxy

package proxyauth_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// runExample runs an example by its command, with flags and an environment.
func runExample(t *testing.T, name string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"run", "."}, args...)...)
	cmd.Dir = filepath.Join("..", "examples", name)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// The examples with a real proxy, named by a flag, and its password in the
// environment. All of them tunnel, and squid logs a tunnel when it has ended.
func TestSquidExamples(t *testing.T) {
	noKerberos(t)
	for scheme, a := range map[string]struct {
		first, next []int // answers until the first tunnel is open, and each that follows
		last        string
	}{
		"digest": {[]int{407, 200}, []int{200}, "Digest"},
		"ntlm":   {[]int{407, 407, 200}, []int{407, 200}, "NTLM3"},
	} {
		s := startSquid(t, scheme, map[string]string{"alice": "open sesame"})
		env := []string{"PROXY_USER=alice", "PROXY_PASS=open sesame"}
		seen := 0
		for _, c := range []struct {
			example, says string
			tunnels       int
		}{
			{"websocket", "closed by both sides", 1},
			{"grpc", "health: SERVING", 1},
			{"ssh", "the server runs", 1},
			{"cibot", "95 bytes uploaded", 2}, // a download is cut off
		} {
			t.Run(scheme+" "+c.example, func(t *testing.T) {
				require.Contains(t, runExample(t, c.example, env, "-proxy", s.URL().String()), c.says)
				want := slices.Concat(a.first, slices.Repeat(a.next, c.tunnels-1))
				log := s.WaitLog(t, seen+len(want))[seen:]
				seen += len(log)
				var statuses []int
				for _, e := range log {
					require.Equal(t, "CONNECT", e.Method)
					statuses = append(statuses, e.Status)
					if e.Status == 200 {
						require.Equal(t, a.last, e.AuthScheme)
					}
				}
				require.ElementsMatch(t, want, statuses)
			})
		}
	}
}

// The keytab example with a real KDC and proxy.
func TestSquidKubernetesExample(t *testing.T) {
	noKerberos(t)
	site := mitSite(t)
	o := site.s.newOrigin(t)
	out := runExample(t, "kubernetes", []string{"KRB5_CONFIG=" + site.k.krb5Conf, "KRB5_CLIENT_KTNAME=" + site.k.keytab},
		"-proxy", site.s.URL().String(), "-url", o.HTTP.URL+"/")
	require.Contains(t, out, "200 OK: ")
	entries := site.s.WaitLog(t, 1)
	require.Equal(t, squidEntry{Method: "GET", URL: o.HTTP.URL + "/", Status: 200, User: site.logged("alice"), AuthScheme: "Negotiate"}, entries[len(entries)-1])
}
