package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// environment sets Kerberos up as a pod has it, and nothing else.
func environment(t *testing.T, variables map[string]string) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "PROXY_USER", "PROXY_PASS", "KRB5_CONFIG", "KRB5_CLIENT_KTNAME"} {
		t.Setenv(name, variables[name])
	}
	t.Setenv("KRB5CCNAME", "FILE:/nonexistent")
	if cache := variables["KRB5CCNAME"]; cache != "" {
		t.Setenv("KRB5CCNAME", cache)
	}
}

// As the command does it, whatever the environment says.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	environment(t, map[string]string{"HTTP_PROXY": "http://proxy.invalid:3128", "KRB5_CONFIG": "/nonexistent", "KRB5_CLIENT_KTNAME": "/nonexistent"})
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "200 OK: 0 bytes\n", out.String())
}

// R24, R25: Kerberos from the environment, again and again until it is told to
// stop. One token, and no 407 at all, since nothing but Negotiate is allowed.
func TestEnvironment(t *testing.T) {
	defer goleak.VerifyNone(t)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer origin.Close()
	p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{RequireMutual: true, FinalToken: true}}, Users: map[string]string{"robot": ""}})
	defer p.Close()
	dir := t.TempDir()
	conf, cache := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "ticket")
	require.NoError(t, p.WriteKerberosConfig(conf))
	require.NoError(t, p.WriteTicketCache(cache, "robot", time.Hour))
	environment(t, map[string]string{"KRB5_CONFIG": conf, "KRB5CCNAME": cache})

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &stopAfter{lines: 3, stop: stop}
	require.NoError(t, run(ctx, out, []string{"-proxy", p.URL.String(), "-url", origin.URL, "-every", "1ms"}))
	require.Equal(t, strings.Repeat("200 OK: 5 bytes\n", 3), out.String())

	legs := p.Transcript()
	require.Len(t, legs, 3)
	for i, leg := range legs {
		require.Equal(t, 200, leg.Status)
		require.Equal(t, i == 0, leg.Header.Get("Proxy-Authorization") != "", "a token on leg %d", i)
	}
}

// stopAfter stops the program after some lines.
type stopAfter struct {
	bytes.Buffer
	lines int
	stop  func()
}

func (s *stopAfter) Write(p []byte) (int, error) {
	if s.lines--; s.lines == 0 {
		s.stop()
	}
	return s.Buffer.Write(p)
}

// R35: what is not a URL may hold a password, which no error repeats.
func TestProxyIsNotShown(t *testing.T) {
	for _, proxy := range []string{
		"http://alice:1234%zz@127.0.0.1:1", "alice:1234@127.0.0.1:1", "http://alice:1234#5@127.0.0.1:1", "http://",
	} {
		err := run(t.Context(), io.Discard, []string{"-proxy", proxy, "-url", "http://origin.example/"})
		require.ErrorContains(t, err, "percent-encoded")
		require.NotContains(t, err.Error(), "1234")
	}
}

// A Secret that is not mounted: the error says which file, and the proxy is not
// asked with anything else.
func TestNoKeytab(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}})
	defer p.Close()
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, p.WriteKerberosConfig(conf))
	environment(t, map[string]string{"KRB5_CONFIG": conf, "KRB5_CLIENT_KTNAME": "/etc/keytab/client.keytab"})
	err := run(t.Context(), io.Discard, []string{"-proxy", p.URL.String(), "-url", "http://origin.example/"})
	require.ErrorIs(t, err, proxyauth.ErrNoCredentials)
	require.ErrorContains(t, err, "/etc/keytab/client.keytab")
	for _, leg := range p.Transcript() {
		require.Empty(t, leg.Header.Get("Proxy-Authorization"))
	}
}

// The files that the environment in kubernetes.yaml names are those that it
// mounts, krb5.conf is one, and the program takes the arguments.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile("kubernetes.yaml")
	require.NoError(t, err)
	parts := strings.Split(string(text), "\n---\n")
	require.Len(t, parts, 2)
	var files struct {
		Kind     string
		Metadata struct{ Name string }
		Data     map[string]string
	}
	require.NoError(t, yaml.Unmarshal([]byte(parts[0]), &files))
	require.Equal(t, "ConfigMap", files.Kind)
	var deployment struct {
		Kind string
		Spec struct {
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					Containers []struct {
						Args         []string
						Env          []struct{ Name, Value string }
						VolumeMounts []struct {
							Name      string
							MountPath string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
					Volumes []struct {
						Name      string
						ConfigMap struct{ Name string } `yaml:"configMap"`
						Secret    struct {
							SecretName  string `yaml:"secretName"`
							DefaultMode int    `yaml:"defaultMode"`
						}
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(parts[1]), &deployment))
	require.Equal(t, "Deployment", deployment.Kind)
	template := deployment.Spec.Template
	require.Equal(t, template.Metadata.Labels, deployment.Spec.Selector.MatchLabels)
	require.Len(t, template.Spec.Containers, 1)
	container := template.Spec.Containers[0]

	// What is mounted, by path: the name of the object and the key in it.
	mounted := map[string]string{}
	for _, mount := range container.VolumeMounts {
		for _, volume := range template.Spec.Volumes {
			if volume.Name == mount.Name {
				mounted[mount.MountPath] = volume.ConfigMap.Name + volume.Secret.SecretName
				if volume.Secret.SecretName != "" {
					require.Equal(t, 0o440, volume.Secret.DefaultMode)
				}
			}
		}
	}
	env := map[string]string{}
	for _, e := range container.Env {
		env[e.Name] = e.Value
	}
	conf, keytab := env["KRB5_CONFIG"], env["KRB5_CLIENT_KTNAME"]
	require.Equal(t, files.Metadata.Name, mounted[path.Dir(conf)])
	parsed, err := config.NewFromString(files.Data[path.Base(conf)])
	require.NoError(t, err)
	require.Equal(t, "CORP.EXAMPLE", parsed.LibDefaults.DefaultRealm)
	require.Contains(t, string(text), "kubectl create secret generic "+mounted[path.Dir(keytab)]+" --from-file="+path.Base(keytab)+"\n")

	proxy, err := url.Parse(env["HTTPS_PROXY"])
	require.NoError(t, err)
	require.Equal(t, "CORP.EXAMPLE", parsed.ResolveRealm(proxy.Hostname()))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, container.Args), context.Canceled)
}
