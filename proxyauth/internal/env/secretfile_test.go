package env_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

func TestPasswordFile(t *testing.T) {
	for name, test := range map[string]struct{ text, want, err string }{
		"plain":      {"open sesame", "open sesame", ""},
		"line end":   {"open sesame\n", "open sesame", ""},
		"Notepad":    {"\ufeffx\r\n", "x", ""},
		"blanks":     {" x \n", " x ", ""},
		"colons":     {"a:b:", "a:b:", ""},
		"1 MiB":      {strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20), ""},
		"too large":  {strings.Repeat("x", 1<<20+1), "", "it is larger than 1 MiB"},
		"empty":      {"", "", "it is empty"},
		"a line end": {"\r\n", "", "it is empty"},
		"two lines":  {"Zq7\nZq7\n", "", "it has more than one line"},
		"an old Mac": {"Zq7\rZq7", "", "it has more than one line"},
		"control":    {"Zq7\x07", "", "it has a control character"},
		"zero":       {"\x00Zq7", "", "it is not a text in UTF-8"},
		"UTF-16":     {"Z\x00q\x007\x00", "", "it is not a text in UTF-8"},
		"Latin-1":    {"Zq7\xe4", "", "it is not a text in UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeSecret(t, test.text)
			file := env.PasswordFile(path)
			for range 2 {
				got, err := file.Get()
				require.Equal(t, test.want, got)
				if test.err == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, path+": "+test.err)
				}
			}
		})
	}
}

// A file is read again when its size, its time or its identity has changed, and when
// it is as young as the clock of a file system is coarse. It is parsed no more often.
func TestFileChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that the age of a file is known
		path := writeSecret(t, "one")
		parsed := 0
		file := &env.File[string]{Path: path, Parse: func(text string) (string, error) {
			parsed++
			return text, nil
		}}
		requireGet := func(want string) {
			t.Helper()
			got, err := file.Get()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		write := func(path, text string, at time.Time) {
			t.Helper()
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			require.NoError(t, os.Chtimes(path, at, at))
		}
		young, long := time.Now().Add(-2*time.Second), time.Now().Add(-2*time.Second-time.Millisecond)
		write(path, "one", young)
		requireGet("one")
		write(path, "uno", young)
		requireGet("uno")

		write(path, "one", long)
		requireGet("one")
		write(path, "uno", long) // looks the same
		requireGet("one")
		require.Equal(t, 3, parsed)

		write(path, "uno", long.Add(-time.Hour))
		requireGet("uno")
		write(path, "three", long.Add(-time.Hour))
		requireGet("three")
		other := filepath.Join(filepath.Dir(path), "other")
		write(other, "other", long.Add(-time.Hour))
		require.NoError(t, os.Rename(other, path))
		requireGet("other")

		// Without a file there is nothing that was read before.
		require.NoError(t, os.Rename(path, other))
		got, err := file.Get()
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.True(t, strings.HasPrefix(err.Error(), path+": "), err)
		require.Equal(t, 1, strings.Count(err.Error(), path))
		require.Empty(t, got)
		require.NoError(t, os.Rename(other, path))
		parsed = 0
		requireGet("other")
		require.Equal(t, 1, parsed)

		// What is wrong with a text is told until another one is there.
		file.Parse = func(text string) (string, error) { return "", errors.New("a mistake") }
		write(path, "wrong", long)
		for range 2 {
			_, err = file.Get()
			require.EqualError(t, err, path+": a mistake")
		}
	})
}

// Kubernetes puts a secret's new version into place by the swap of a symbolic
// link to its folder.
func TestFileOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	at := time.Now().Add(-time.Hour)
	version := func(name, password string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "password"), []byte(password), 0o440))
		require.NoError(t, os.Chtimes(filepath.Join(dir, name, "password"), at, at))
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	require.NoError(t, os.Symlink("..data/password", filepath.Join(dir, "password")))
	file := env.PasswordFile(filepath.Join(dir, "password"))
	for _, password := range []string{"one", "two"} {
		version(".."+password, password)
		got, err := file.Get()
		require.NoError(t, err)
		require.Equal(t, password, got)
	}
}
