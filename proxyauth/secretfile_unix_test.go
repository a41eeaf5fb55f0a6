//go:build unix

package proxyauth_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// Each source of a file heeds its mode, and reads it again when it has changed. Package
// env has all the cases.
func TestCredentialFileChanges(t *testing.T) {
	for name, file := range fileSources {
		t.Run(name, func(t *testing.T) {
			path := writeSecret(t, fmt.Sprintf(file.text, "one"))
			source := file.source(path)
			require.Equal(t, "alice:one", ask(t, source, proxyURL))
			require.NoError(t, os.Chmod(path, 0o644))
			require.Equal(t, "proxyauth: "+path+": everyone can read it (mode 0644): chmod o-r, or in Kubernetes defaultMode: 0440", ask(t, source, proxyURL))
			require.NoError(t, os.Chmod(path, 0o640))
			require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintf(file.text, "two")), 0o600))
			require.Equal(t, "alice:two", ask(t, source, proxyURL))
			require.NoError(t, os.Remove(path))
			require.Equal(t, "proxyauth: "+path+": no such file or directory", ask(t, source, proxyURL))
			_, err := source.ProxyCredentials(context.Background(), proxyauth.CredentialRequest{})
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}
