package env_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/env"
)

// What the text of a netrc file means for the host proxy.example.
func TestNetrc(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"one line":          {"machine proxy.example login alice password x", "alice:x"},
		"many lines":        {"machine\r\n\tproxy.example\r\nlogin alice\r\n  password x\r\n", "alice:x"},
		"account":           {"machine proxy.example login alice account a password x", "alice:x"},
		"second":            {"machine other login bob password y machine proxy.example password x login alice", "alice:x"},
		"first of two":      {"machine proxy.example login alice password x\nmachine proxy.example login bob password y", "alice:x"},
		"without login":     {"machine proxy.example password y\nmachine proxy.example login alice password x", "alice:x"},
		"default":           {"machine other login bob password y\ndefault login alice password x", "alice:x"},
		"default before":    {"default login bob password y\nmachine proxy.example login alice password x", "alice:x"},
		"no password":       {"machine proxy.example login alice", "alice:"},
		"other":             {"machine other login alice password x", "none"},
		"subdomain":         {"machine example login alice password x", "none"},
		"with its port":     {"machine proxy.example:3128 login alice password x", "none"},
		"empty":             {"", "none"},
		"nothing in it":     {"machine proxy.example default", "none"},
		"quotes":            {`machine "proxy.example" login "al ice" password "a\"b\\c\n\r\t\x # "`, "al ice:a\"b\\c\n\r\tx # "},
		"empty quotes":      {`machine proxy.example login alice password ""`, "alice:"},
		"quote in a word":   {`machine proxy.example login alice password a"b\c`, `alice:a"b\c`},
		"keyword as value":  {"machine proxy.example login password password login", "password:login"},
		"comments":          {"# machine proxy.example login bob\nmachine proxy.example # the proxy\nlogin alice #password y\n#\npassword #x", "alice:#x"},
		"macro":             {"machine other login bob password y\nmacdef init\n  machine proxy.example login eve\n  put x\n\nmachine proxy.example login alice password x", "alice:x"},
		"macro to the end":  {"machine proxy.example login alice password x\nmacdef init\nlogin eve \"", "alice:x"},
		"empty macro":       {"macdef init\n\nmachine proxy.example login alice password x", "alice:x"},
		"macro, CRLF":       {"macdef init\r\nlogin eve\r\n\r\nmachine proxy.example login alice password x", "alice:x"},
		"domain":            {`machine proxy.example login CORP\alice password x`, `CORP\alice:x`},
		"unknown word":      {"machine proxy.example\nlogin alice\npassword Zq7 Zq7", "line 3: neither machine, default, login, password, account nor macdef (values with blanks stand in quotes)"},
		"keyword in case":   {"Machine proxy.example", "line 1: neither machine, default, login, password, account nor macdef (values with blanks stand in quotes)"},
		"no value":          {"machine proxy.example login alice\npassword\n\n", "line 2: nothing follows on password"},
		"no machine":        {"\nlogin alice", "line 2: login before the first machine"},
		"open quote":        {"machine proxy.example\npassword \"Zq7\nlogin alice \"", "line 2: a quote that does not end"},
		"open at the end":   {"machine \"Zq7\\", "line 1: a quote that does not end"},
		"escaped line end":  {"machine \"Zq7\\\n\"", "line 1: a quote that does not end"},
		"text after quotes": {"machine proxy.example login alice password \"Zq7\"Zq7", "line 1: neither machine, default, login, password, account nor macdef (values with blanks stand in quotes)"},
		"two defaults":      {"default login alice password x\ndefault login bob password y", "alice:x"},
		"default, no login": {"default password y\ndefault login alice password x", "alice:x"},
		"nothing follows":   {"machine proxy.example login alice password x #", "alice:x"},
	} {
		t.Run(name, func(t *testing.T) {
			got := "none"
			entries, err := env.ParseNetrc(test.text)
			if err != nil {
				require.Nil(t, entries)
				got = err.Error()
			} else if e := env.FindNetrc(entries, func(machine string) bool { return machine == "proxy.example" }); e != nil {
				got = e.Login + ":" + e.Password
			}
			require.Equal(t, test.want, got)
		})
	}
}

// Where the file is if nobody says so.
func TestNetrcPath(t *testing.T) {
	set := func(home, netrc string) {
		t.Setenv("HOME", home)
		t.Setenv("USERPROFILE", home)
		t.Setenv("NETRC", netrc)
	}
	requirePath := func(wantPath string, wantOptional bool) {
		t.Helper()
		path, optional := env.NetrcPath()
		require.Equal(t, wantPath, path)
		require.Equal(t, wantOptional, optional, "there need not be one")
	}
	home := t.TempDir()
	name := map[bool]string{true: "_netrc", false: ".netrc"}[runtime.GOOS == "windows"]
	set(home, "")
	requirePath(filepath.Join(home, name), true)
	set(home, "elsewhere")
	requirePath("elsewhere", false)
	set("", "")
	requirePath("", true)
}
