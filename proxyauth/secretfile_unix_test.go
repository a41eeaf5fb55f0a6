//go:build unix

package proxyauth_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// A mistake is told until it is mended, and nothing that was read before is
// given meanwhile.
func TestCredentialFileModes(t *testing.T) {
	for name, file := range fileSources {
		t.Run(name, func(t *testing.T) {
			path := writeSecret(t, fmt.Sprintf(file.text, "one"))
			source := file.source(path)
			require.Equal(t, "alice:one", ask(t, source, proxyURL))
			for mode, want := range map[os.FileMode]string{
				0o400: "", 0o440: "", 0o640: "", 0o711: "",
				0o604: "everyone can read it (mode 0604): chmod o-r, or in Kubernetes defaultMode: 0440",
				0o644: "everyone can read it (mode 0644): chmod o-r, or in Kubernetes defaultMode: 0440",
				0o620: "others than its owner can write it (mode 0620): chmod go-w",
				0o602: "others than its owner can write it (mode 0602): chmod go-w",
			} {
				require.NoError(t, os.Chmod(path, mode))
				if want == "" {
					require.Equal(t, "alice:one", ask(t, source, proxyURL))
				} else {
					require.Equal(t, "proxyauth: "+path+": "+want, ask(t, source, proxyURL))
				}
			}
			require.NoError(t, os.Remove(path))
			require.Equal(t, "proxyauth: "+path+": no such file or directory", ask(t, source, proxyURL))
			_, err := source.ProxyCredentials(context.Background(), proxyauth.CredentialRequest{})
			require.ErrorIs(t, err, os.ErrNotExist)

			require.NoError(t, syscall.Mkfifo(path, 0o600))
			require.Equal(t, "proxyauth: "+path+": it is not a regular file", ask(t, source, proxyURL))
		})
	}
}
