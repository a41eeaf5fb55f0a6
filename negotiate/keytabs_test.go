package negotiate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// R23, R26: without a usable keytab the error says so, and names the file.
func TestNoUsableKeytab(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for name, test := range map[string]struct {
		o             negotiate.Options
		cause, detail string
	}{
		"missing":            {negotiate.Options{KeytabPath: filepath.Join(dir, "none")}, "no usable keytab", filepath.Join(dir, "none") + ":"},
		"missing, with type": {negotiate.Options{KeytabPath: "FILE:" + filepath.Join(dir, "none")}, "no usable keytab", "open " + filepath.Join(dir, "none")},
		"directory":          {negotiate.Options{KeytabPath: dir}, "no usable keytab", dir},
		"no keytab":          {negotiate.Options{KeytabPath: file("text", "something else")}, "no usable keytab", "text is malformed"},
		"cut off":            {negotiate.Options{KeytabPath: file("cut", "\x05\x02\x00\x00\x00\x40\x00\x01")}, "no usable keytab", "cut is malformed"},
		"cut off inside":     {negotiate.Options{KeytabPath: file("inside", "\x05\x02\x00\x00\x00\x02\x00\x01")}, "no usable keytab", "inside is malformed"},
		"without entries":    {negotiate.Options{KeytabPath: file("empty", "\x05\x02\x00\x00\x00\x00")}, "no usable keytab", "empty is empty"},
		"none named":         {negotiate.Options{}, "no ticket", "no keytab (KRB5_CLIENT_KTNAME), no user name and password"},
		"not the user's": {
			negotiate.Options{KeytabPath: k.keytab(t, "bob@"+corp), Principal: "alice@" + corp},
			"the keytab has no key of this kind for the user", `"alice" realm: CORP.EXAMPLE`,
		},
		"without a name": {
			negotiate.Options{KeytabPath: k.keytab(t, "bob@"+corp), Principal: "@" + corp},
			"Kerberos failed", "does not have a username",
		},
		"of another realm": {
			negotiate.Options{KeytabPath: k.keytab(t, "bob@"+corp), Principal: "bob@EU.EXAMPLE"},
			"the keytab has no key of this kind for the user", `"bob" realm: EU.EXAMPLE`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.ConfigPath = k.conf(t)
			var e *negotiate.Error
			err := ask(t, test.o)
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.cause, e.Cause, err)
			require.ErrorContains(t, err, test.detail)
			require.False(t, e.Rejected)
		})
	}
}

// R23: the user of a keytab may be one with an instance, as services are.
func TestKeytabOfService(t *testing.T) {
	nothingElse(t)
	k := newKDC(t, "HTTP/client.corp.example@"+corp)
	ticket, err := negotiate.NewClient(negotiate.Options{
		ConfigPath: k.conf(t), KeytabPath: k.keytab(t, "HTTP/client.corp.example@"+corp),
	}).Ticket(t.Context(), spn)
	require.NoError(t, err)
	require.Equal(t, "HTTP/client.corp.example@CORP.EXAMPLE", ticket.Principal())
	require.Equal(t, both("HTTP/client.corp.example"), k.since())
}
