package proxyauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// Which entry is that of a proxy. Package env has all that can be in a file.
func TestNetrc(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"one line":         {"machine proxy.example login alice password x", "alice:x"},
		"host in any case": {"machine Proxy.EXAMPLE login alice password x", "alice:x"},
		"default":          {"machine other login bob password y\ndefault login alice password x", "alice:x"},
		"no password":      {"machine proxy.example login alice", "alice:"},
		"other":            {"machine other login alice password x", noneText},
		"subdomain":        {"machine example login alice password x", noneText},
		"with its port":    {"machine proxy.example:3128 login alice password x", noneText},
		"empty":            {"", noneText},
		"domain":           {`machine proxy.example login CORP\alice password x`, `CORP\alice:x`},
		"unknown word":     {"machine proxy.example\nlogin alice\npassword Zq7 Zq7", "line 3: neither machine, default, login, password, account nor macdef (values with blanks stand in quotes)"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeSecret(t, test.text)
			want := test.want
			if strings.HasPrefix(want, "line") {
				want = "proxyauth: " + path + ": " + want
			}
			require.Equal(t, want, ask(t, proxyauth.Netrc(path), proxyURL))
		})
	}
}

// Where the file is if nobody says so.
func TestNetrcPath(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("NETRC", "")
	source := proxyauth.Netrc("")
	require.Equal(t, noneText, ask(t, source, proxyURL), "there need not be one")
	require.NoError(t, os.WriteFile(filepath.Join(home, ".netrc"), []byte("default login home password x"), 0o600))
	require.Equal(t, "home:x", ask(t, source, proxyURL))

	missing := filepath.Join(home, "missing")
	require.Equal(t, "proxyauth: "+missing+": no such file or directory", ask(t, proxyauth.Netrc(missing), proxyURL))
	t.Setenv("NETRC", missing)
	require.Equal(t, "proxyauth: "+missing+": no such file or directory", ask(t, proxyauth.Netrc(""), proxyURL))
	t.Setenv("NETRC", writeSecret(t, "default login variable password x"))
	require.Equal(t, "variable:x", ask(t, proxyauth.Netrc(""), proxyURL))
	require.Equal(t, "home:x", ask(t, source, proxyURL), "NETRC is read once")

	t.Setenv("NETRC", "")
	t.Setenv("HOME", "")
	require.Equal(t, noneText, ask(t, proxyauth.Netrc(""), proxyURL))
}
