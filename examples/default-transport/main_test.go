package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The program is run as one, since net/http reads the environment once for a
// process: the test's own executable, told by this variable to be the program.
const beTheProgram = "TEST_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns what the program prints.
func program(t *testing.T, env []string, args ...string) string {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), append(env, beTheProgram+"=1")...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestRun(t *testing.T) {
	out := program(t, []string{"HTTP_PROXY=http://proxy.invalid:3128", "NO_PROXY=*", "PROXY_USER=mallory", "PROXY_PASS=x"})
	require.Equal(t, "before: weather: 407 Proxy Authentication Required\nafter:  fair, with a proxy in the way\n", out)
}

// With a URL everything comes from the environment.
func TestEnvironment(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Write([]byte(req.Host))
	}))
	defer service.Close()
	for name, c := range map[string]struct {
		auth     proxytest.Auth
		statuses []int // the first is net/http's own
	}{
		"Digest": {proxytest.Digest{Realm: "corp"}, []int{407, 407, 200}},
		"NTLM":   {proxytest.NTLM{}, []int{407, 407, 407, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxytest.New(proxytest.Config{
				Auth: []proxytest.Auth{c.auth}, Users: map[string]string{"alice": "secret"},
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, network, service.Listener.Addr().String())
				},
			})
			defer p.Close()
			out := program(t, []string{"HTTP_PROXY=" + p.URL.String(), "NO_PROXY=", "no_proxy=", "PROXY_USER=alice", "PROXY_PASS=secret"}, "-url", "http://api.example/")
			require.Equal(t, "before: weather: 407 Proxy Authentication Required\nafter:  api.example\n", out)
			var statuses []int
			for _, leg := range p.Transcript() {
				require.Equal(t, "http://api.example/", leg.Target)
				statuses = append(statuses, leg.Status)
			}
			require.Equal(t, c.statuses, statuses)
		})
	}
}
