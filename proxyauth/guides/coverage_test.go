package guides_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// libraries are the packages whose messages a user of the library can meet.
var libraries = []string{
	"proxyauth", "proxyauth/internal/carrier", "proxyauth/internal/challenge", "proxyauth/internal/env", "proxyauth/internal/hostname",
	"proxyauth/internal/lockout", "proxyauth/internal/scheme", "proxyauth/internal/secret", "proxyauth/internal/verdict", "negotiate", "ntlm", "digest",
}

// details are the sources whose messages follow on those of another, which the
// guide quotes with "…" in their place, and why. Only what begins with
// "proxyauth: " counts in them.
var details = map[string]string{
	"proxyauth/diagnose.go":                 "a report has cause and remedy side by side, and examples/doctor/testdata shows them",
	"proxyauth/diagnose_schemes.go":         "as diagnose.go",
	"proxyauth/diagnose_target.go":          "as diagnose.go",
	"proxyauth/diagnose_environment.go":     "as diagnose.go",
	"proxyauth/diagnose_proxy.go":           "as diagnose.go",
	"proxyauth/report.go":                   "as diagnose.go",
	"proxyauth/internal/env/describe.go":    "as diagnose.go",
	"proxyauth/internal/challenge/parse.go": `after "malformed … challenge: "`,
	"digest/params.go":                      `after "malformed … challenge: "`,
	"digest/challenge.go":                   `"digest: …", of a proxy that is broken`,
	"digest/algorithm.go":                   `"digest: …", of a proxy that is broken`,
	"ntlm/challenge.go":                     `"ntlm: …", of a proxy that is broken`,
	"ntlm/mic.go":                           `"ntlm: …", of a proxy that is broken`,
}

// unquoted are literals, by their beginning, that look like messages and need
// not be in the guide, and why.
var unquoted = map[string]string{
	"proxyauth: the leg has ended":   "net/http gets it, whose request has ended",
	"once more, by another plan":     "the request goes on otherwise, and nobody is told",
	"proxy credentials are":          "log events, through a function",
	"[libdefaults]":                  "a part of krb5.conf",
	"the proxy does not know Expect": "the request is sent again, and nobody told",
	"the connection had ended":       "the connection is replaced, and nobody told",
	"the body cannot be sent once":   "the error that is told names the cure",
	"proxy asks for weaker":          "a log event, through a function",
	"the connection ends with":       "the handshake goes on otherwise, or the error says more",
	"the answer is longer than":      "the handshake goes on otherwise, or the error says more",
	"the pool is out of use":         "the request waits in another one, and nobody is told",
	"proxy rejected credentials":     "a log event, through a function",
	"with a ticket for %s":           "a report of Diagnose",
	"the environment (ticket cache":  "names a source in other messages",
	"ticket of %s by the %s":         "a ticket, printed",
	"proxyauth: response body":       "a response's body, printed",
	"net/http: ":                     "what net/http says, to know it by",
	"2006-01-02":                     "a layout of time",
	"error decrypting AS_REP":        "what gokrb5 says, to know it by",
	"clock skew with KDC":            "what gokrb5 says, to know it by",
	"negotiate: nobody waits":        "told to the function of BeforeLogin, since nobody waits",
	"matching key not found":         "what gokrb5 says, to know it by",
	"no KDC SRV records":             "what gokrb5 says, to know it by",
	"does not have any defined KDCs": "what gokrb5 says, to know it by",
	"error sending to":               "what gokrb5 says, to know it by",
}

// The reverse of TestErrorMessages: the guide to troubleshooting quotes every
// message of the library. A message is a literal of three words or more, or one
// that begins with "proxyauth: ", except where nobody reads it as an error.
func TestEveryErrorIsInTheGuide(t *testing.T) {
	guide := ""
	for _, d := range documents(t) {
		if d.path == troubleshooting {
			guide = strings.Join(quotes(d), "\n")
		}
	}
	needed := make(map[string]bool)
	all := messages(t)
	require.Greater(t, len(all), 100)
	for _, m := range all {
		begin := beginning(m.text)
		excepted := begin == "" || strings.Contains(guide, begin)
		for e := range unquoted {
			if strings.HasPrefix(m.text, e) {
				excepted, needed[e] = true, true
			}
		}
		assert.True(t, excepted, "%s quotes nothing of the message at %s:\n\n\t%s\n\n"+
			"Add a row to it, or change the row of what was said before; in its first cell and in backquotes put\n\n\t… %s…\n\n"+
			"or more of the message, with … for what stands between and after. (No message? See unquoted in coverage_test.go.)",
			troubleshooting, m.where, m.text, begin)
	}
	for e := range unquoted {
		assert.True(t, needed[e], "unquoted has %q, and no message begins so: remove it", e)
	}
}

type message struct {
	where token.Position
	text  string
}

// messages returns what the library can say to its user.
func messages(t *testing.T) (all []message) {
	for _, dir := range libraries {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			where := path.Join(dir, filepath.Base(name))
			for _, e := range spoken(file) {
				text, _ := constant(e)
				whole := strings.HasPrefix(text, "proxyauth: ")
				tail := strings.HasPrefix(text, ",") || strings.HasPrefix(text, ";") // of another
				long := len(strings.Fields(verb.ReplaceAllString(text, ""))) >= 3
				if whole || long && !tail && details[where] == "" {
					pos := fset.Position(e.Pos())
					pos.Filename = where
					all = append(all, message{pos, text})
				}
			}
		}
	}
	return all
}

// spoken returns the strings of a file, those joined by + as one, but for those in
// log events, in panics, in tags, and in calls of package strings, which only look
// for them.
func spoken(file *ast.File) (all []ast.Expr) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			n.Tag = nil
		case *ast.CallExpr:
			switch f := n.Fun.(type) {
			case *ast.Ident:
				return f.Name != "panic"
			case *ast.SelectorExpr:
				x, _ := f.X.(*ast.Ident)
				return (x == nil || x.Name != "strings") && !slices.Contains([]string{"Debug", "Info", "Warn", "LogAttrs"}, f.Sel.Name)
			}
		case ast.Expr:
			if _, ok := constant(n); ok {
				all = append(all, n)
				return false
			}
		}
		return true
	})
	return all
}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// beginning returns the words by which a message is looked for: the first five of
// its first part between verbs that has three, else the longest part, and ""
// where that is one word.
func beginning(text string) string {
	longest := ""
	for _, part := range verb.Split(strings.TrimPrefix(text, "proxyauth: "), -1) {
		words := strings.Fields(strings.Trim(part, " :;,.("))
		part = strings.TrimRight(strings.Join(words[:min(len(words), 5)], " "), ":;,.()")
		if len(words) >= 3 {
			return part
		}
		if len(words) == 2 && len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}
