//go:build unix

package env_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// Only a file that others cannot read or write counts, and only a regular one. What was
// read before is not given meanwhile.
func TestFileModes(t *testing.T) {
	path := writeSecret(t, "one")
	file := env.PasswordFile(path)
	for mode, want := range map[os.FileMode]string{
		0o400: "", 0o440: "", 0o600: "", 0o640: "", 0o711: "", 0o750: "",
		0o604: "everyone can read it (mode 0604): chmod o-r, or in Kubernetes defaultMode: 0440",
		0o444: "everyone can read it (mode 0444): chmod o-r, or in Kubernetes defaultMode: 0440",
		0o620: "others than its owner can write it (mode 0620): chmod go-w",
		0o602: "others than its owner can write it (mode 0602): chmod go-w",
	} {
		require.NoError(t, os.Chmod(path, mode))
		got, err := file.Get()
		if want != "" {
			require.EqualError(t, err, path+": "+want)
			require.Empty(t, got)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "one", got)
	}
	require.NoError(t, os.Remove(path))
	_, err := file.Get()
	require.EqualError(t, err, path+": no such file or directory")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	_, err = file.Get()
	require.EqualError(t, err, path+": it is not a regular file", "and it does not wait for who writes")
}
