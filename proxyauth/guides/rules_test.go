package guides_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	ruleRow  = regexp.MustCompile(`(?m)^\| (R[0-9]+) \|`)
	ruleName = regexp.MustCompile(`\bR[0-9]+\b`)
)

// Each rule of rules.md is named in the comment of a test, a fuzz target or a
// benchmark that holds it, and no other rule is named.
func TestRules(t *testing.T) {
	text, err := os.ReadFile("rules.md")
	require.NoError(t, err)
	var rules []string
	for _, row := range ruleRow.FindAllStringSubmatch(string(text), -1) {
		assert.False(t, slices.Contains(rules, row[1]), "%s stands there twice", row[1])
		rules = append(rules, row[1])
	}
	require.NotEmpty(t, rules)

	held := make(map[string]bool)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			for _, name := range ruleName.FindAllString(f.Doc.Text(), -1) {
				held[name] = true
				assert.True(t, slices.Contains(rules, name), "%s: %s names %s, which rules.md does not have", path, f.Name.Name, name)
			}
		}
		return nil
	})
	require.NoError(t, err)
	for _, rule := range rules {
		assert.True(t, held[rule], "no test says that it holds %s", rule)
	}
}
