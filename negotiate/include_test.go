package negotiate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// R23: files may include others, but not without end.
func TestIncludeDepth(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	for name, directive := range map[string]func(dir string) string{
		"include":    func(dir string) string { return "include " + filepath.Join(dir, "x.conf") },
		"includedir": func(dir string) string { return "includedir " + dir },
	} {
		t.Run(name, func(t *testing.T) {
			// A chain of files, each in a directory of its own; the last one counts.
			top := t.TempDir()
			dir := func(i int) string { return filepath.Join(top, fmt.Sprint(i)) }
			file := func(i int, text string) {
				require.NoError(t, os.MkdirAll(dir(i), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(dir(i), "x.conf"), []byte(text), 0o600))
			}
			text, err := os.ReadFile(k.conf(t))
			require.NoError(t, err)
			file(9, string(text))
			for i := range 9 {
				file(i, directive(dir(i+1)))
			}
			o := k.alice(t)
			o.ConfigPath = filepath.Join(dir(1), "x.conf")
			require.NoError(t, ask(t, o), "eight deep")
			o.ConfigPath = filepath.Join(dir(0), "x.conf")
			require.ErrorContains(t, ask(t, o), "include each other")
		})
	}
}

// R23: of a directory those files count that MIT takes; one that cannot be read is
// an error, but one that is missing is none.
func TestIncludedFiles(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	text, err := os.ReadFile(k.conf(t))
	require.NoError(t, err)
	for name, taken := range map[string]bool{
		"realms":       true,
		"10-realms_A":  true,
		"realms.conf":  true,
		"a b.conf":     true,
		"realms.conf~": false,
		".hidden.conf": false,
		"realms.txt":   false,
		"a b":          false,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
			o := k.alice(t)
			o.ConfigPath = write(t, "[libdefaults]\ndns_lookup_kdc = false\nincludedir "+dir+"\nincludedir "+dir+"/none\ninclude "+dir+"/none\n")
			if taken {
				require.NoError(t, ask(t, o))
			} else {
				require.ErrorContains(t, ask(t, o), "no KDC is known")
			}
		})
	}

	o := k.alice(t)
	dir := t.TempDir()
	o.ConfigPath = write(t, "include "+dir+"\n") // no file
	require.ErrorContains(t, ask(t, o), "krb5.conf: ")
	o.ConfigPath = write(t, "includedir "+k.conf(t)+"\n") // no directory
	require.ErrorContains(t, ask(t, o), "krb5.conf: ")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "realms"), []byte("include "+dir+"\n"), 0o600))
	o.ConfigPath = write(t, "includedir "+dir+"\n")
	require.ErrorContains(t, ask(t, o), "krb5.conf: ")
}

// R23: KRB5_CONFIG names files of which one must exist; the first value of a
// setting counts.
func TestConfigVariable(t *testing.T) {
	none := nothingElse(t)
	k := newKDC(t)
	o := k.alice(t)
	conf := o.ConfigPath
	o.ConfigPath = ""
	list := func(paths ...string) string { return strings.Join(paths, string(os.PathListSeparator)) }
	other := write(t, "[libdefaults]\n default_ccache_name = KEYRING:x\n")
	o.Username, o.Password = "", ""
	t.Setenv("KRB5CCNAME", "")

	t.Setenv("KRB5_CONFIG", list(none, conf, other))
	require.ErrorContains(t, ask(t, o), "KEYRING")
	cache := write(t, "[libdefaults]\n default_ccache_name = KCM:\n")
	t.Setenv("KRB5_CONFIG", list(cache, other))
	require.ErrorContains(t, ask(t, o), "KCM")

	for _, missing := range []string{none, list(none, none+"2")} {
		t.Setenv("KRB5_CONFIG", missing)
		err := ask(t, o)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, none+":")
	}
	t.Setenv("KRB5_CONFIG", list(conf, t.TempDir()))
	require.ErrorContains(t, ask(t, o), "krb5.conf: ")
}
