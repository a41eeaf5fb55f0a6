package guides_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// root is the repository.
const root = "../.."

// A document is a Markdown file, as far as the tests look at it.
type document struct {
	path   string // from the root, with slashes
	text   string
	prose  []string // the lines outside blocks
	blocks []block
}

type block struct {
	language string // of a fence; "indented" for the other kind
	lines    []string
}

func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// documents reads all Markdown of the repository.
func documents(t *testing.T) []document {
	var all []document
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".git" {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, parse(filepath.ToSlash(name), strings.ReplaceAll(string(text), "\r\n", "\n")))
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(all), 10)
	return all
}

func parse(path, text string) document {
	d := document{path: path, text: text}
	fenced, indented := false, false
	last := "" // the line before
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		language, fence := strings.CutPrefix(line, "```")
		code, indent := strings.CutPrefix(line, "    ")
		switch {
		case fence && !fenced:
			fenced, indented = true, false
			d.blocks = append(d.blocks, block{language: language})
		case fence:
			fenced = false
		case fenced:
			b := &d.blocks[len(d.blocks)-1]
			b.lines = append(b.lines, line)
		case indent && (indented || last == ""):
			if !indented {
				d.blocks = append(d.blocks, block{language: "indented"})
			}
			indented = true
			b := &d.blocks[len(d.blocks)-1]
			b.lines = append(b.lines, code)
		default:
			indented = indented && line == ""
			d.prose = append(d.prose, line)
		}
		last = line
	}
	return d
}

var (
	span = regexp.MustCompile("`[^`]+`")
	link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]*)\)`)
)

// spans returns what stands in backquotes in a line.
func spans(line string) (all []string) {
	for _, s := range span.FindAllString(line, -1) {
		all = append(all, strings.Trim(s, "`"))
	}
	return all
}

// links returns the targets of all links.
func (d document) links() (all []string) {
	for _, line := range d.prose {
		for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(line, "code"), -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// anchors returns the fragments that GitHub gives the headings.
func (d document) anchors() (all []string) {
	for _, line := range d.prose {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return r
			}
			return -1
		}, title))
	}
	return all
}
