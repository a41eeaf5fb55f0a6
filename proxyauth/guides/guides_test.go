// Package guides holds the guides, in Markdown, and tests of what they say:
// links, commands, code, error messages and the tests that they name.
package guides_test

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Relative links have a target, with that heading; others are https.
func TestLinks(t *testing.T) {
	byPath := make(map[string]document)
	for _, d := range documents(t) {
		byPath[d.path] = d
	}
	linked := make(map[string]bool) // from the README
	for _, d := range byPath {
		for _, target := range d.links() {
			if strings.Contains(target, "://") {
				assert.Regexp(t, `^https://[a-z0-9.-]+(/\S*)?$`, target, d.path)
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			name := d.path
			if file != "" {
				name = path.Join(path.Dir(d.path), file)
			}
			if d.path == "README.md" {
				linked[name] = true
			}
			if !assert.False(t, strings.HasPrefix(name, ".."), "%s: %s leaves the repository", d.path, target) {
				continue
			}
			_, err := os.Stat(filepath.Join(root, name))
			assert.NoError(t, err, d.path)
			if anchor != "" {
				assert.Contains(t, byPath[name].anchors(), anchor, "%s: %s", d.path, target)
			}
		}
	}
	for name := range byPath {
		if strings.HasPrefix(name, "proxyauth/guides/") || strings.HasPrefix(name, ".github/") {
			assert.True(t, linked[name], "the README has no link to %s", name)
		}
	}
}

// otherCommands are those that the documents may name beside go, after a look at
// whether they are right.
var otherCommands = []string{
	"kinit", "klist", "kvno", "export", "cp", "update-ca-certificates", "git", "npm", "pip", "curl", "echo",
}

// Every command can be run: what is run compiles and knows the flags, what is
// tested exists.
func TestCommands(t *testing.T) {
	n := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language == "go" || b.language == "diff" {
				continue
			}
			shell := b.language == "indented" || b.language == "sh"
			n += checkCommands(t, d.path, b.text(), shell)
		}
		for _, line := range d.prose {
			for _, s := range spans(line) {
				if name, _, _ := strings.Cut(s, "./"); name != s || strings.HasPrefix(s, "cd ") {
					n += checkCommands(t, d.path, s, false)
				}
			}
		}
	}
	require.Greater(t, n, 5)
}

// checkCommands checks a text for the shell, or only what of it is for go, and
// returns how many those are.
func checkCommands(t *testing.T, where, text string, all bool) (n int) {
	t.Helper()
	dir := root
	for _, words := range commands(text) {
		switch {
		case words[0] == "cd" && words[1] == path.Base(module): // the clone
			dir = root
		case words[0] == "cd":
			dir = filepath.Join(root, words[1])
		case words[0] == "go":
			n++
			checkGo(t, where, dir, words[1:])
		case strings.HasPrefix(words[0], ".ci/"):
			n++
			assert.FileExists(t, filepath.Join(root, words[0]), where)
		case all:
			assert.Contains(t, otherCommands, words[0], "%s: %q", where, words)
		}
	}
	return n
}

var (
	comment    = regexp.MustCompile(`(^|\s)#.*`)
	separator  = regexp.MustCompile(`\n|&&|;|\|\|`)
	word       = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
	assignment = regexp.MustCompile(`^[A-Za-z_]+=`)
)

// commands returns the words of each command of a text for the shell.
func commands(text string) (all [][]string) {
	for _, line := range separator.Split(strings.ReplaceAll(text, "\\\n", " "), -1) {
		words := word.FindAllString(comment.ReplaceAllString(line, ""), -1)
		for len(words) > 0 && (assignment.MatchString(words[0]) || words[0] == "sudo") {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}

const module = "github.com/go-proxyauth/go-proxyauth"

func checkGo(t *testing.T, where, dir string, args []string) {
	t.Helper()
	switch args[0] {
	case "run", "install":
		target, version, pinned := strings.Cut(args[1], "@")
		if pinned {
			assert.Regexp(t, `^(latest|v\d+\.\d+\.\d+.*)$`, version, where)
			if !strings.HasPrefix(target, module+"/") {
				return // another's program
			}
			target = "." + strings.TrimPrefix(target, module)
		}
		if !assert.True(t, strings.HasPrefix(target, "."), "%s: go run %s", where, target) {
			return
		}
		if !assert.DirExists(t, filepath.Join(dir, target), where) {
			return
		}
		program, err := build.ImportDir(filepath.Join(dir, target), 0)
		if assert.NoError(t, err, where) {
			assert.Equal(t, "main", program.Name, "%s: go run %s", where, target)
		}
		source := sources(t, filepath.Join(dir, target), func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
		for _, arg := range args[2:] {
			if flag, ok := strings.CutPrefix(arg, "-"); ok {
				name, _, _ := strings.Cut(flag, "=")
				name = strconv.Quote(strings.TrimPrefix(name, "-"))
				assert.True(t, strings.Contains(source, name), "%s: %s has no flag %s", where, target, arg)
			}
		}
	case "test":
		checkGoTest(t, where, args[1:])
	case "get":
		assert.True(t, strings.HasPrefix(args[1], module), where)
	case "build", "vet", "mod", "doc":
	default:
		t.Errorf("%s: go %s", where, args[0])
	}
}

func checkGoTest(t *testing.T, where string, args []string) {
	t.Helper()
	tags, patterns := "", make(map[string]string)
	packages := 0
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-tags":
			i++
			tags = args[i]
		case "-run", "-bench", "-fuzz":
			patterns[args[i]] = strings.Trim(args[i+1], `'"`)
			i++
		case "-race", "-v", "-short":
		case "-benchtime", "-count", "-fuzztime", "-timeout":
			i++
		default:
			if strings.HasPrefix(args[i], "-count=") {
				continue
			}
			if !assert.True(t, strings.HasPrefix(args[i], "./"), "%s: go test %q", where, args[i]) {
				continue
			}
			packages++
			names := tests(t, args[i], tags)
			for flag, pattern := range patterns {
				if pattern == "^$" {
					continue
				}
				for _, alternative := range strings.Split(pattern, "|") {
					re, err := regexp.Compile(alternative)
					require.NoError(t, err)
					assert.True(t, slices.ContainsFunc(names, func(name string) bool {
						return re.MatchString(name) && (flag == "-bench") == strings.HasPrefix(name, "Benchmark")
					}), "%s: go test %s %q finds nothing in %s", where, flag, alternative, args[i])
				}
			}
		}
	}
	assert.Positive(t, packages, "%s: go test %q names no package", where, args)
}

// tests returns the names of the tests of packages ("./package" or "./..."), with
// build tags.
func tests(t *testing.T, packages, tags string) (names []string) {
	t.Helper()
	context := build.Default
	context.BuildTags = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' })
	of := func(dir string) {
		p, err := context.ImportDir(dir, 0)
		if none := (*build.NoGoError)(nil); errors.As(err, &none) {
			return
		}
		require.NoError(t, err)
		for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			names = append(names, testsIn(t, filepath.Join(dir, name))...)
		}
	}
	dir, below := strings.CutSuffix(packages, "/...")
	if !below {
		of(filepath.Join(root, dir))
		return names
	}
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			of(path)
		}
		return err
	})
	require.NoError(t, err)
	return names
}

// testsIn returns the names of the tests of a file.
func testsIn(t *testing.T, file string) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, decl := range parsed.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
			if strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Benchmark") ||
				strings.HasPrefix(f.Name.Name, "Fuzz") || strings.HasPrefix(f.Name.Name, "Example") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if failed, ok := err.(*exec.ExitError); ok {
		t.Fatalf("go %q: %s", args, failed.Stderr)
	}
	require.NoError(t, err)
	return string(out)
}

// sources returns the Go files below a directory, one after the other.
func sources(t *testing.T, dir string, wanted func(name string) bool) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || !wanted(path) {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	require.NoError(t, err)
	return all.String()
}

var (
	variable = regexp.MustCompile(`\b([A-Za-z]+_)?[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b|\bKRB5CCNAME\b`)
	ofOthers = []string{"CGO_ENABLED", "SSL_CERT_FILE", "SSL_CERT_DIR"} // Go's
)

// A variable of the environment that a document names is read by something.
func TestVariables(t *testing.T) {
	source := sources(t, root, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
	tests := sources(t, root, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	for _, d := range documents(t) {
		for _, name := range variable.FindAllString(d.text, -1) {
			known := slices.Contains(ofOthers, name) || strings.Contains(source, name) || strings.Contains(tests, "Getenv("+strconv.Quote(name)+")")
			assert.True(t, known, "%s: nothing reads %s", d.path, name)
		}
	}
}

// Every error message that a document quotes is one that the library produces:
// in a scenario, or else by the words of its source.
func TestErrorMessages(t *testing.T) {
	texts := produced(t)
	words := literals(t)
	for _, d := range documents(t) {
		for _, message := range quotes(d) {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(message), "…", ".*")
			if strings.HasPrefix(message, "proxyauth: ") {
				pattern = "^" + pattern
			}
			re := regexp.MustCompile(pattern)
			found := false
			for _, text := range texts {
				found = found || re.MatchString(text)
			}
			assert.True(t, found || spelt(message, words), "%s quotes %q, and nothing says that (any more): quote what is said now", d.path, message)
		}
	}
}

const troubleshooting = "proxyauth/guides/troubleshooting.md"

// quotes returns the error messages that a document quotes.
func quotes(d document) (all []string) {
	for _, b := range d.blocks {
		if text := strings.Join(strings.Fields(b.text()), " "); strings.HasPrefix(text, "proxyauth: ") || strings.HasPrefix(text, `Get "`) {
			all = append(all, text)
		}
	}
	for _, line := range d.prose {
		for i, s := range spans(line) {
			first := strings.HasPrefix(line, "| `") && i == 0
			if strings.HasPrefix(s, "proxyauth: ") || d.path == troubleshooting && (first || strings.Contains(s, "…")) {
				all = append(all, s)
			}
		}
	}
	return all
}

// spelt reports whether the pieces of a message are in the source's strings.
func spelt(message string, words []string) bool {
	for piece := range strings.SplitSeq(strings.ReplaceAll(message, "…", ": "), ": ") {
		piece = strings.TrimSpace(piece)
		if piece != "" && piece != "proxyauth" && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, piece) }) {
			return false
		}
	}
	return true
}

// literals returns the strings of the library's source, those joined by + as one.
func literals(t *testing.T) (all []string) {
	for _, dir := range libraries {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text, ok := constant(e); ok {
						all = append(all, text)
						return false
					}
				}
				return true
			})
		}
	}
	return all
}

func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		x, okX := constant(e.X)
		y, okY := constant(e.Y)
		return x + y, okX && okY
	}
	return "", false
}

// Each cell of the matrix names tests that there are. (Package proxyauth knows the
// subtests, by scheme.)
func TestSupportMatrix(t *testing.T) {
	known := tests(t, "./proxyauth", "realproxy")
	all := documents(t)
	support := slices.IndexFunc(all, func(d document) bool { return d.path == "proxyauth/guides/support.md" })
	cells := 0
	for _, line := range all[support].prose {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| |") || strings.HasPrefix(line, "| and |") {
			continue
		}
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|")[1:] {
			named := spans(cell)
			assert.NotEmpty(t, named, line)
			for _, name := range named {
				test, _, _ := strings.Cut(name, "/")
				assert.True(t, slices.Contains(known, test), "there is no %s", name)
				cells++
			}
		}
	}
	require.Greater(t, cells, 35)
}
