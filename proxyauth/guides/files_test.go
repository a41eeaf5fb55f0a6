package guides_test

import (
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var fileName = regexp.MustCompile(`(https://\S*?)?[\w./*-]*\w\.(go|md|yml|yaml|golden)\b`)

// Every file that a document names exists: in the document's directory, in the
// repository's root, or in package proxyauth.
func TestFiles(t *testing.T) {
	n := 0
	for _, d := range documents(t) {
		text := link.ReplaceAllString(d.text, "$1") // of a link, where it leads
		for _, name := range fileName.FindAllString(text, -1) {
			if strings.Contains(name, "://") || strings.Contains(name, "*") {
				continue
			}
			n++
			assert.True(t, slices.ContainsFunc([]string{path.Dir(d.path), ".", "proxyauth"}, func(dir string) bool {
				_, err := os.Stat(filepath.Join(root, dir, name))
				return err == nil
			}), "%s names %s, which does not exist", d.path, name)
		}
	}
	require.Greater(t, n, 80)
}

// The table of packages in how-it-works.md has every package of the library, and what
// of this module each imports.
func TestPackages(t *testing.T) {
	imports := make(map[string][]string)
	list := json.NewDecoder(strings.NewReader(goTool(t, root, "list", "-json=ImportPath,Imports", "./proxyauth/...", "./digest", "./ntlm", "./negotiate")))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := list.Decode(&p)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		var ours []string
		for _, name := range p.Imports {
			if strings.HasPrefix(name, module+"/") {
				ours = append(ours, path.Base(name))
			}
		}
		slices.Sort(ours)
		imports[path.Base(p.ImportPath)] = ours
	}
	for _, forTests := range []string{"guides", "proxytest", "scripted", "memconn"} {
		delete(imports, forTests)
	}
	all := documents(t)
	page := all[slices.IndexFunc(all, func(d document) bool { return d.path == "proxyauth/guides/how-it-works.md" })]
	begin := slices.Index(page.prose, "| package | imports |")
	require.Positive(t, begin)
	for _, row := range page.prose[begin+2:] {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 2 {
			break
		}
		for _, name := range spans(cells[0]) {
			assert.Contains(t, imports, name)
			assert.Equal(t, imports[name], spans(cells[1]), "imports of %s", name)
			delete(imports, name)
		}
	}
	assert.Empty(t, imports, "packages that the table does not have")
}
