package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

func TestMain(m *testing.M) {
	// Nothing of the environment of whoever runs the tests.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PROXY_USER", "PROXY_PASS", "TTS_API_KEY"} {
		os.Unsetenv(name)
		os.Unsetenv(strings.ToLower(name))
	}
	goleak.VerifyTestMain(m)
}

// By one command, with all in the process.
func TestRun(t *testing.T) {
	for _, scheme := range []string{"basic", "digest", "ntlm"} {
		for _, proxy := range []string{"http", "https"} {
			t.Run(scheme+"/"+proxy, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "speech.wav")
				args := []string{"-interval", "0", "-scheme", scheme, "-o", path, "-v", "Hello", "wörld"}
				if proxy == "https" {
					args = append([]string{"-tls"}, args...)
				}
				var stdout, stderr bytes.Buffer
				require.NoError(t, run(t.Context(), args, &stdout, &stderr))

				wav, err := os.ReadFile(path)
				require.NoError(t, err)
				// The reference that is taken plays 8 times 60 ms.
				require.Equal(t, speak("Hello wörld", 2*ownPitch/1.48), wav)

				legs := 2
				if scheme == "ntlm" {
					legs = 3
				}
				require.Equal(t, legs, strings.Count(stdout.String(), "proxy "+proxy+"://127.0.0.1:"), stdout.String())
				require.Equal(t, legs-1, strings.Count(stdout.String(), ": 407\n"))
				require.Contains(t, stdout.String(), "speech: 11 characters, 21164 bytes: "+path+"\n")
				require.Equal(t, 2, strings.Count(stderr.String(), "msg=audit"), stderr.String())
				require.NotContains(t, stdout.String()+stderr.String(), "secret")
			})
		}
	}
}

// The file is in the directory for temporary files if nobody says otherwise.
func TestRunWithoutOutputFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // Windows
	var stdout bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &stdout, io.Discard))
	files, err := filepath.Glob(filepath.Join(dir, "speech-*.wav"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Contains(t, stdout.String(), files[0])
}

// As with a real API and a real proxy: by flags and the environment.
func TestRunOutside(t *testing.T) {
	authority, err := newAuthority()
	require.NoError(t, err)
	addr, stop, err := serve("127.0.0.1:0", authority, newAPI(slog.New(slog.DiscardHandler), "the API's key"))
	require.NoError(t, err)
	defer stop()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.certificate.Raw}), 0o600))
	reference := filepath.Join(dir, "reference.wav")
	require.NoError(t, os.WriteFile(reference, speak("ten letter", ownPitch), 0o600))

	proxy := proxytest.New(proxytest.Config{
		Auth:  []proxytest.Auth{proxytest.Digest{Realm: "corp"}},
		Users: map[string]string{"bob": "builder"},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
	defer proxy.Close()
	t.Setenv("PROXY_USER", "bob")
	t.Setenv("PROXY_PASS", "builder")
	t.Setenv("TTS_API_KEY", "the API's key")

	out := filepath.Join(dir, "speech.wav")
	args := []string{"-interval", "0", "-api", "https://api.example", "-proxy", proxy.URL.String(), "-ca", ca, "-o", out}
	require.NoError(t, run(t.Context(), append(args, "-reference", reference, "Hi"), io.Discard, io.Discard))
	wav, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, speak("Hi", 2*ownPitch/1.6), wav)

	// An API of this process behind a proxy that is not.
	outer := proxytest.NewTLS(proxytest.Config{Auth: []proxytest.Auth{proxytest.NTLM{}}, Users: map[string]string{"bob": "builder"}})
	defer outer.Close()
	outerCA := filepath.Join(dir, "proxy.pem")
	require.NoError(t, os.WriteFile(outerCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: outer.Certificate().Raw}), 0o600))
	require.NoError(t, run(t.Context(), []string{"-interval", "0", "-proxy", outer.URL.String(), "-ca", outerCA, "-o", out, "Ho"}, io.Discard, io.Discard))
	wav, err = os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, speak("Ho", 2*ownPitch/1.48), wav)
	require.Equal(t, 1, outer.Counts().Tunnels)

	for name, c := range map[string]struct {
		set      [2]string
		args     []string
		want, at string
	}{
		"proxy's password": {[2]string{"PROXY_PASS", "wrong"}, args, "rejected the credentials", "proxy"},
		"API's key":        {[2]string{"TTS_API_KEY", "wrong"}, args, "401 Unauthorized: a valid API key is needed", "API"},
		"no key":           {[2]string{"TTS_API_KEY", ""}, args, "there is no API key", ""},
		"unknown CA":       {[2]string{}, []string{"-api", "https://api.example", "-proxy", proxy.URL.String()}, "certificate", ""},
		"http":             {[2]string{}, []string{"-api", "http://api.example"}, "must be https://", ""},
		"proxy's URL":      {[2]string{}, []string{"-proxy", "bob:builder@proxy:3128"}, "-proxy is not a URL", ""},
		"password in URL":  {[2]string{}, []string{"-proxy", "http://wrong:1#builder@proxy:3128"}, "percent-encoded", ""},
		"scheme":           {[2]string{}, []string{"-scheme", "kerberos5"}, "it is basic, digest or ntlm", ""},
		"CA's file":        {[2]string{}, []string{"-ca", reference}, "no certificate", ""},
		"directory":        {[2]string{}, []string{"-o", filepath.Join(t.TempDir(), "none", "x.wav")}, "-o: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.set[0] != "" {
				t.Setenv(c.set[0], c.set[1])
			}
			err := run(t.Context(), c.args, io.Discard, io.Discard)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.at, FailedAt(err))
			require.NotContains(t, err.Error(), "wrong")
			require.NotContains(t, err.Error(), "builder")
		})
	}
	t.Run("proxy's password", func(t *testing.T) {
		t.Setenv("PROXY_PASS", "wrong")
		require.ErrorIs(t, run(t.Context(), args, io.Discard, io.Discard), proxyauth.ErrRejected)
	})
}
