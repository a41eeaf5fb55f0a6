package guides_test

import (
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prelude declares what the fragments take for granted.
const prelude = `package p

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

var (
	ctx       context.Context
	err       error
	transport *proxyauth.Transport
	proxy     *url.URL
	proxyURL  url.URL
	roots     *x509.CertPool
	hops      []*proxyauth.Transport
)

type secret struct{ User, Password string }

func readSecret(ctx context.Context, name string) (secret, error)
func vault(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error)
func negotiator(http.RoundTripper) http.RoundTripper
`

// imports are the packages that fragments use without saying so.
var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "log": "log", "os": "os", "net": "net", "time": "time",
	"http": "net/http", "url": "net/url", "tls": "crypto/tls", "x509": "crypto/x509", "slog": "log/slog",
	"expvar": "expvar", "proxyauth": module + "/proxyauth", "proxytest": module + "/proxyauth/proxytest",
	"digest": module + "/digest", "ntlm": module + "/ntlm", "negotiate": module + "/negotiate",
}

// Go code is formatted, and has the types right; of a diff, what is left when it
// is applied.
func TestCode(t *testing.T) {
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, path := range imports {
		args = append(args, path)
	}
	exports := make(map[string]string)
	for line := range strings.Lines(goTool(t, root, args...)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	fset := token.NewFileSet()
	gc := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })

	n := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			var code string
			switch b.language {
			case "go":
				code = b.text()
			case "diff":
				for _, line := range b.lines {
					if line == "" || line[0] != '-' {
						code += strings.TrimPrefix(strings.TrimPrefix(line, "+"), " ") + "\n"
					}
				}
			default:
				continue
			}
			n++
			formatted, err := format.Source([]byte(importLine.ReplaceAllString(code, "")))
			if !assert.NoError(t, err, "%s:\n%s", d.path, code) {
				continue
			}
			assert.Equal(t, string(formatted), importLine.ReplaceAllString(code, ""), d.path)

			before, err := parser.ParseFile(fset, "prelude.go", prelude, 0)
			require.NoError(t, err)
			config := types.Config{Importer: gc, Error: func(err error) {
				if !err.(types.Error).Soft { // soft: declared and not used
					t.Errorf("%s: %v\n%s", d.path, err, code)
				}
			}}
			config.Check("p", fset, []*ast.File{before, file(t, fset, d.path, code)}, nil)
		}
	}
	require.Greater(t, n, 15)
}

var importLine = regexp.MustCompile(`(?m)^import ("[^"]+"|\((?s:.*?)\n\))\n\n?`)

// file makes a fragment a file: statements a function's, with the imports that
// it needs.
func file(t *testing.T, fset *token.FileSet, path, code string) *ast.File {
	header := "package p\n"
	for _, own := range importLine.FindAllString(code, -1) {
		header += own
	}
	code = importLine.ReplaceAllString(code, "")
	if _, err := parser.ParseFile(fset, path, "package p\n"+code, 0); err != nil {
		code = "func _() {\n" + code + "}\n"
	}
	parsed, err := parser.ParseFile(fset, path, "package p\n"+code, 0)
	require.NoError(t, err, "%s:\n%s", path, code)
	used := make(map[string]bool)
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				used[x.Name] = true
			}
		}
		return true
	})
	for name, from := range imports {
		if used[name] && !strings.Contains(header, `"`+from+`"`) {
			header += "import " + name + " \"" + from + "\"\n"
		}
	}
	parsed, err = parser.ParseFile(fset, path, header+code, 0)
	require.NoError(t, err)
	return parsed
}
