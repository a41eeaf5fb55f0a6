package env_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// writeSecret writes a file that only its owner can read.
func writeSecret(t testing.TB, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		env  vars
		want [2]string
	}{
		"PROXY_PASS":          {vars{"PROXY_USER": "alice", "PROXY_PASS": "open sesame"}, [2]string{"alice", "open sesame"}},
		"not percent-encoded": {vars{"PROXY_USER": `CORP\bob`, "PROXY_PASS": "p@ss:w/rd#%41"}, [2]string{`CORP\bob`, "p@ss:w/rd#%41"}},
		"no password":         {vars{"PROXY_USER": "alice", "PROXY_PASS": ""}, [2]string{"alice", ""}},
		"PROXY_PASS_FILE":     {vars{"PROXY_USER": "alice", "PROXY_PASS_FILE": writeSecret(t, "open sesame\n")}, [2]string{"alice", "open sesame"}},
		"PROXY_PASS empty":    {vars{"PROXY_USER": "alice", "PROXY_PASS": "", "PROXY_PASS_FILE": writeSecret(t, "x\r\n")}, [2]string{"alice", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.env.set(t)
			get, err := env.ReadCredentials().Get()
			require.NoError(t, err)
			vars{}.set(t) // it was read
			username, password, err := get()
			require.NoError(t, err)
			require.Equal(t, test.want, [2]string{username, password})
		})
	}
	for _, none := range []vars{{}, {"PROXY_USER": "", "PROXY_PASS": "", "PROXY_PASS_FILE": ""}} {
		none.set(t)
		get, err := env.ReadCredentials().Get()
		require.NoError(t, err)
		require.Nil(t, get)
	}
}

// R35: what is wrong is told in one line, without what is secret in it.
func TestCredentialMistakes(t *testing.T) {
	const secret = "Zq7"
	missing := filepath.Join(t.TempDir(), "missing")
	for want, v := range map[string]vars{
		"PROXY_USER is not set, but PROXY_PASS is":                 {"PROXY_PASS": secret},
		"PROXY_USER is not set, but PROXY_PASS_FILE is":            {"PROXY_PASS_FILE": missing},
		"PROXY_PASS and PROXY_PASS_FILE are both set: keep one":    {"PROXY_USER": "alice", "PROXY_PASS": secret, "PROXY_PASS_FILE": missing},
		"PROXY_USER has a line break or another control character": {"PROXY_USER": "alice\n", "PROXY_PASS": secret},
		"PROXY_PASS has a line break or another control character": {"PROXY_USER": "alice", "PROXY_PASS": secret + "\n"},
		"PROXY_USER is set, but neither PROXY_PASS nor PROXY_PASS_FILE " +
			"(if the password is empty, or a ticket of this user is meant: set PROXY_PASS to the empty string)": {"PROXY_USER": "alice"},
	} {
		v.set(t)
		get, err := env.ReadCredentials().Get()
		require.EqualError(t, err, "proxyauth: "+want)
		require.Nil(t, get)
	}
	lines := writeSecret(t, secret+"\n"+secret)
	vars{"PROXY_USER": "alice", "PROXY_PASS_FILE": lines}.set(t)
	get, err := env.ReadCredentials().Get()
	require.NoError(t, err)
	_, _, err = get()
	require.EqualError(t, err, "proxyauth: PROXY_PASS_FILE: "+lines+": it has more than one line")
	require.NoError(t, os.Remove(lines))
	_, _, err = get()
	require.ErrorIs(t, err, os.ErrNotExist)
}
