package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program itself: its arguments, and its end.
func TestRun(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://alice:hush@proxy.example:8080")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	require.NoError(t, run(ctx, []string{"-listen", "127.0.0.1:0", "-scheme", "NTLM"}, &out))
	require.Regexp(t, `^relay: listening on http://127\.0\.0\.1:\d+ \(status page there\), upstream http://proxy\.example:8080\n$`, out.String())

	for want, args := range map[string][]string{
		"-public":                       {"-listen", ":0"},
		"-scheme":                       {"-scheme", "kerberos"},
		"unexpected":                    {"http://proxy"},
		"negative":                      {"-grace", "-5s"},
		"-upstream: its scheme is":      {"-upstream", "ftp://alice:hush@proxy"},
		"-upstream: its port is not":    {"-upstream", "http://alice:hush@proxy:99999"},
		"from 1 to 65535":               {"-upstream", "proxy:0"},
		"not the URL of a proxy":        {"-upstream", "http://:3128"},
		"percent-encoded":               {"-upstream", "http://alice:hush%zz@proxy"},
		"special characters":            {"-upstream", "http://hush:1#2@proxy"},
		"-upstream is not":              {"-upstream", "alice:hush:// @proxy"},
		"write http://proxy.corp:8080,": {"-upstream", "http://proxy/hush.pac"},
	} {
		out.Reset()
		err := run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), &out)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hush")
		require.NotContains(t, err.Error(), "\n")
		require.Empty(t, out.String())
	}
}

// The environment counts as proxyauth.FromEnvironment reads it, and its mistakes
// are told before there is a request.
func TestRunEnvironment(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	type env = map[string]string
	for name, c := range map[string]struct {
		env       env
		upstream  string // -upstream
		want, err string
	}{
		"one for all":    {env: env{"HTTP_PROXY": "a.example:8080"}, want: "upstream http://a.example:8080\n"}, // as curl takes it
		"ALL_PROXY":      {env: env{"ALL_PROXY": "http://a.example"}, want: "upstream http://a.example:80\n"},
		"two":            {env: env{"ALL_PROXY": "socks5://a.example", "HTTP_PROXY": "http://b.example"}, want: "upstream socks5://a.example:1080 and http://b.example:80\n"},
		"flag":           {env: env{"HTTPS_PROXY": "http://alice:hush%zz@a.example", "USE_PROXY": "no"}, upstream: "b.example:8080", want: "upstream http://b.example:8080\n"},
		"none":           {err: "there is no upstream proxy: set -upstream or HTTPS_PROXY"},
		"switched off":   {env: env{"HTTPS_PROXY": "http://a.example", "USE_PROXY": "no"}, err: "USE_PROXY=false"},
		"no user":        {env: env{"HTTPS_PROXY": "http://a.example", "PROXY_PASS": "hush"}, err: "PROXY_USER is not set, but PROXY_PASS is"},
		"no user, flag":  {env: env{"PROXY_PASS": "hush"}, upstream: "http://a.example", err: "PROXY_USER is not set, but PROXY_PASS is"},
		"no password":    {env: env{"PROXY_USER": "alice"}, upstream: "http://a.example", err: "PROXY_USER is set, but neither"},
		"two mistakes":   {env: env{"HTTPS_PROXY": "http://alice:hush@a.example:99999", "NO_PROXY": "*.*"}, err: "HTTPS_PROXY: its port is not a number from 1 to 65535\nproxyauth: NO_PROXY"},
		"ticket is fine": {env: env{"HTTPS_PROXY": "http://a.example", "PROXY_USER": "alice", "PROXY_PASS": ""}, want: "upstream http://a.example:80\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			var out bytes.Buffer
			err := run(ctx, []string{"-listen", "127.0.0.1:0", "-upstream", c.upstream}, &out)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.NotContains(t, err.Error(), "hush")
				require.Empty(t, out.String())
				return
			}
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(out.String(), c.want), out.String())
		})
	}
}

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, runDemo(&out))
	straight, through, ok := strings.Cut(out.String(), "Through the relay")
	require.True(t, ok)
	require.Equal(t, 0, strings.Count(straight, "hello"))
	require.Equal(t, 3, strings.Count(through, "200 OK: hello"))
	require.NotContains(t, out.String(), "open sesame")
}
