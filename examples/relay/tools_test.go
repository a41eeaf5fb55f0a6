//go:build realproxy

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A shell runs real programs for which the relay is the proxy, and which know
// nothing of this machine's user.
type shell struct {
	*world
	dir string
	ca  string // file with the certificate of https://www.example.com
	env []string
}

func newShell(t *testing.T, origin http.Handler) *shell {
	sh := &shell{world: newWorld(t, settings{}, origin.ServeHTTP), dir: t.TempDir()}
	sh.ca = filepath.Join(sh.dir, "ca.pem")
	sh.write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sh.secure.Certificate().Raw})))
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			sh.env = append(sh.env, v)
		}
	}
	relay := sh.url.String()
	sh.env = append(sh.env, "HOME="+sh.dir, "HTTP_PROXY="+relay, "HTTPS_PROXY="+relay, "http_proxy="+relay, "https_proxy="+relay)
	return sh
}

func (sh *shell) write(t *testing.T, name, text string) {
	path := filepath.Join(sh.dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
}

// run runs a command line in the folder dir and returns its output.
func (sh *shell) run(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	require.NoError(t, err, "%s is needed for this test", name)
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = filepath.Join(sh.dir, dir), append(sh.env, env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", name, args, out)
	return string(out)
}

// passed requires that the proxy let pass each of these, and nothing at all
// without alice's credentials.
func (sh *shell) passed(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, leg := range sh.proxy.Transcript() {
		if leg.Status == http.StatusProxyAuthRequired {
			continue
		}
		require.Equal(t, "alice", leg.User, "%s %s", leg.Method, leg.Target)
		got = append(got, fmt.Sprint(leg.Method, " ", leg.Target, " ", leg.Status))
	}
	for _, w := range want {
		require.Contains(t, got, w)
	}
	sh.proxy.Reset()
}

const tunneled = "CONNECT www.example.com:443 200"

func TestRelayCurl(t *testing.T) {
	sh := newShell(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprint(w, req.Method, n)
	}))
	sh.write(t, "body", strings.Repeat("x", 5<<20))
	for url, want := range map[string]string{plainURL: "PUT " + plainURL + "/body 200", secureURL: tunneled} {
		require.Equal(t, "GET0", sh.run(t, nil, "", "curl", "-sS", "--fail", "--cacert", sh.ca, url))
		// curl asks first (Expect: 100-continue), and sends a length or chunks.
		require.Equal(t, "PUT5242880", sh.run(t, nil, "", "curl", "-sS", "--fail", "--cacert", sh.ca, "-T", "body", url+"/"))
		require.Equal(t, "PUT5242880", sh.run(t, nil, "", "curl", "-sS", "--fail", "--cacert", sh.ca, "-T", "body", "-H", "Transfer-Encoding: chunked", url+"/"))
		sh.passed(t, want)
	}
}

// Clone and push. Packs beyond 1 MiB are sent in chunks, asked for or not.
func TestRelayGit(t *testing.T) {
	root := t.TempDir()
	git, err := exec.LookPath("git")
	require.NoError(t, err)
	libexec, err := exec.Command(git, "--exec-path").Output()
	require.NoError(t, err)
	backend := &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(libexec)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
		Stderr: io.Discard,
	}
	sh := newShell(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if len(req.TransferEncoding) > 0 { // CGI wants to know the length
			body, err := io.ReadAll(req.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			req.Body, req.ContentLength, req.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		backend.ServeHTTP(w, req)
	}))
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(sh.dir, ".gitconfig"), "GIT_TERMINAL_PROMPT=0", "GIT_SSL_CAINFO=" + sh.ca,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	do := func(dir string, args ...string) string { t.Helper(); return sh.run(t, env, dir, "git", args...) }
	do("", "init", "-q", "--bare", "-b", "main", filepath.Join(root, "repo.git"))
	do("", "-C", filepath.Join(root, "repo.git"), "config", "http.receivepack", "true")

	random := make([]byte, 3<<20)
	rand.Read(random)
	for i, url := range []string{plainURL, secureURL} {
		clone, file := fmt.Sprint("clone", i), fmt.Sprint("file", i)
		do("", "clone", "-q", url+"/repo.git", clone)
		sh.write(t, clone+"/"+file, fmt.Sprint(i)+string(random))
		do(clone, "add", ".")
		do(clone, "commit", "-qm", file)
		do(clone, "push", "-q", "origin", "HEAD:main")
		do(clone, "fetch", "-q")
		if i == 0 {
			sh.passed(t, "GET "+url+"/repo.git/info/refs?service=git-upload-pack 200", "POST "+url+"/repo.git/git-receive-pack 200")
		} else {
			sh.passed(t, tunneled)
		}
	}
	do("", "clone", "-q", plainURL+"/repo.git", "again")
	for i := range 2 {
		got, err := os.ReadFile(filepath.Join(sh.dir, "again", fmt.Sprint("file", i)))
		require.NoError(t, err)
		require.True(t, string(got) == fmt.Sprint(i)+string(random))
	}
}

// A registry of one package.
func TestRelayNpm(t *testing.T) {
	var tarball bytes.Buffer
	zipped := gzip.NewWriter(&tarball)
	archive := tar.NewWriter(zipped)
	for name, text := range map[string]string{
		"package/package.json": `{"name": "hello", "version": "1.0.0", "main": "index.js"}`,
		"package/index.js":     `module.exports = "hello"`,
	} {
		require.NoError(t, archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644}))
		io.WriteString(archive, text)
	}
	archive.Close()
	zipped.Close()
	sum := sha512.Sum512(tarball.Bytes())

	sh := newShell(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		url := plainURL
		if req.TLS != nil {
			url = secureURL
		}
		switch req.URL.Path {
		case "/hello":
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{
				"name":      "hello",
				"dist-tags": map[string]string{"latest": "1.0.0"},
				"versions": map[string]any{"1.0.0": map[string]any{
					"name": "hello", "version": "1.0.0",
					"dist": map[string]string{
						"tarball":   url + "/hello/-/hello-1.0.0.tgz",
						"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
					},
				}},
			})
		case "/hello/-/hello-1.0.0.tgz":
			w.Write(tarball.Bytes())
		default:
			http.NotFound(w, req)
		}
	}))
	for i, url := range []string{plainURL, secureURL} {
		dir := fmt.Sprint("project", i)
		sh.write(t, dir+"/package.json", `{"name": "project", "version": "1.0.0"}`)
		sh.run(t, []string{
			"npm_config_registry=" + url + "/", "npm_config_cafile=" + sh.ca, "npm_config_cache=" + filepath.Join(sh.dir, dir, "cache"),
			"npm_config_audit=false", "npm_config_fund=false", "npm_config_update_notifier=false",
		}, dir, "npm", "install", "hello")
		require.FileExists(t, filepath.Join(sh.dir, dir, "node_modules", "hello", "index.js"))
		if i == 0 {
			sh.passed(t, "GET "+url+"/hello 200", "GET "+url+"/hello/-/hello-1.0.0.tgz 200")
		} else {
			sh.passed(t, tunneled)
		}
	}
}

// A module proxy of one module. (Go takes no proxy for localhost: hence the name.)
func TestRelayGoModDownload(t *testing.T) {
	const mod = "module example.com/hello\n"
	files := map[string]string{
		"/example.com/hello/@v/list":        "v1.0.0\n",
		"/example.com/hello/@v/v1.0.0.info": `{"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}`,
		"/example.com/hello/@v/v1.0.0.mod":  mod,
		"/example.com/hello/@v/v1.0.0.zip":  zipOf(t, "example.com/hello@v1.0.0/go.mod", mod, "example.com/hello@v1.0.0/hello.go", "package hello\n"),
	}
	sh := newShell(t, serveFiles(files))
	for i, url := range []string{plainURL, secureURL} {
		dir := fmt.Sprint("project", i)
		sh.write(t, dir+"/go.mod", "module project\n\ngo 1.26\n")
		env := []string{
			"GOPROXY=" + url, "GOSUMDB=off", "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod -modcacherw", "GOENV=off", "GOWORK=off", "GONOPROXY=none", "GOPRIVATE=",
			"GOMODCACHE=" + filepath.Join(sh.dir, dir, "cache"), "SSL_CERT_FILE=" + sh.ca,
		}
		sh.run(t, env, dir, "go", "mod", "download", "-x", "example.com/hello@latest")
		require.FileExists(t, filepath.Join(sh.dir, dir, "cache", "example.com", "hello@v1.0.0", "hello.go"))
		if i == 0 {
			sh.passed(t, "GET "+url+"/example.com/hello/@v/list 200", "GET "+url+"/example.com/hello/@v/v1.0.0.zip 200")
		} else {
			sh.passed(t, tunneled)
		}
	}
}

// A package index of one wheel.
func TestRelayPip(t *testing.T) {
	files := map[string]string{
		"/simple/hello/": `<a href="/hello-1.0-py3-none-any.whl">hello-1.0-py3-none-any.whl</a>`,
		"/hello-1.0-py3-none-any.whl": zipOf(t,
			"hello.py", "",
			"hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
			"hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
			"hello-1.0.dist-info/RECORD", ""),
	}
	sh := newShell(t, serveFiles(files))
	for i, url := range []string{plainURL, secureURL} {
		dir := fmt.Sprint("wheels", i)
		sh.run(t, []string{"PIP_CONFIG_FILE=" + os.DevNull, "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_CACHE_DIR=1"}, "",
			"python3", "-m", "pip", "download", "--no-deps", "--cert", sh.ca, "--trusted-host", "www.example.com",
			"--index-url", url+"/simple", "-d", dir, "hello")
		require.FileExists(t, filepath.Join(sh.dir, dir, "hello-1.0-py3-none-any.whl"))
		if i == 0 {
			sh.passed(t, "GET "+url+"/simple/hello/ 200", "GET "+url+"/hello-1.0-py3-none-any.whl 200")
		} else {
			sh.passed(t, tunneled)
		}
	}
}

// serveFiles serves texts by their paths.
func serveFiles(files map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, ok := files[req.URL.Path]
		if !ok {
			http.NotFound(w, req)
			return
		}
		if strings.HasSuffix(req.URL.Path, "/") {
			w.Header().Set("Content-Type", "text/html")
		}
		io.WriteString(w, text)
	})
}

// zipOf returns a zip file of names and texts.
func zipOf(t *testing.T, namesAndTexts ...string) string {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for i := 0; i < len(namesAndTexts); i += 2 {
		w, err := archive.Create(namesAndTexts[i])
		require.NoError(t, err)
		_, err = io.WriteString(w, namesAndTexts[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	return b.String()
}
