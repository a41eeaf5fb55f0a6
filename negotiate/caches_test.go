package negotiate_test

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// R23: the names of ticket caches, by option and KRB5CCNAME, as MIT reads them.
func TestCacheNames(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	conf := k.conf(t)
	t.Chdir(t.TempDir())
	now := time.Now()
	file := func(path, user string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		k.cache(t, path, user, credential{service: spn, begin: now, end: now.Add(time.Hour)})
	}
	text := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	file("plain", "plain")
	file("new/tkt", "first")
	file("dir/tkt", "none")
	file("dir/tkt1", "chosen")
	file("dir/tkt2", "named")
	text("dir/primary", "tkt1\n")
	file("out/tkt1", "inside")
	text("out/primary", "../dir/tkt1\n")

	names := map[string]string{
		"plain":          "plain",
		"FILE:plain":     "plain",
		"DIR:new":        "first",
		"DIR:dir":        "chosen",
		"DIR::dir/tkt2":  "named",
		"DIR:out":        "inside",
		"FILE:dir/tkt":   "none",
		"DIR::./dir/tkt": "none",
	}
	if runtime.GOOS != "windows" { // where these are other than names of files
		file("lower:case", "lower")
		file("C:/cache", "drive")
		names["lower:case"], names["./lower:case"] = "lower", "lower"
		names["C:/cache"], names["FILE:C:/cache"] = "drive", "drive"
	}
	for name, user := range names {
		ticket, err := negotiate.NewClient(negotiate.Options{ConfigPath: conf, CachePath: name}).Ticket(t.Context(), spn)
		require.NoError(t, err, name)
		require.Equal(t, user+"@"+corp, ticket.Principal(), name)

		t.Setenv("KRB5CCNAME", name)
		ticket, err = negotiate.NewClient(negotiate.Options{ConfigPath: conf}).Ticket(t.Context(), spn)
		require.NoError(t, err, name)
		require.Equal(t, user+"@"+corp, ticket.Principal(), name)
	}
	require.Empty(t, k.since())

	for name, want := range map[string]string{
		"KEYRING:persistent:0": "type KEYRING",
		"KCM:":                 "type KCM",
		"DIR:plain":            "ticket cache: ", // not a directory
		"DIR:none":             "none",
		"FILE:none":            "none",
		"FILE:dir/primary":     "ticket cache", // malformed
	} {
		_, err := negotiate.NewClient(negotiate.Options{ConfigPath: conf, CachePath: name}).Ticket(t.Context(), spn)
		require.ErrorContains(t, err, want, name)
	}
}

// R23, R26: a ticket of a cache is used from its begin, give or take a clock that
// is off by five minutes, to a minute before its end.
func TestCachedTicketIsGood(t *testing.T) {
	nothingElse(t)
	k := newKDC(t, "HTTP/other@"+corp)
	o := negotiate.Options{ConfigPath: k.conf(t), CachePath: filepath.Join(t.TempDir(), "cache")}
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, test := range map[string]struct {
			c    []credential
			good bool
		}{
			"good":            {[]credential{{spn, now, now.Add(time.Hour), nil}}, true},
			"a minute left":   {[]credential{{spn, now, now.Add(time.Minute), nil}}, true},
			"less left":       {[]credential{{spn, now, now.Add(time.Minute - time.Second), nil}}, false},
			"ended":           {[]credential{{spn, now.Add(-time.Hour), now.Add(-time.Second), nil}}, false},
			"clock":           {[]credential{{spn, now.Add(5 * time.Minute), now.Add(time.Hour), nil}}, true},
			"not yet":         {[]credential{{spn, now.Add(5*time.Minute + time.Second), now.Add(time.Hour), nil}}, false},
			"another service": {[]credential{{"HTTP/other", now, now.Add(time.Hour), nil}}, false},
			"none":            {nil, false},
			"malformed":       {[]credential{{spn, now, now.Add(time.Hour), []byte{0x61, 0}}}, false},
			"one of several":  {[]credential{{spn, now, now, nil}, {spn, now, now.Add(time.Hour), []byte("?")}, {spn, now, now.Add(time.Hour), nil}}, true},
		} {
			k.cache(t, o.CachePath, "alice", test.c...)
			_, err := negotiate.NewClient(o).Ticket(t.Context(), spn)
			if test.good {
				require.NoError(t, err, name)
				continue
			}
			var e *negotiate.Error
			require.ErrorAs(t, err, &e, name)
			require.Equal(t, "no ticket", e.Cause, name)
			require.Contains(t, e.Remedy, "kinit", name)
		}
	})
	require.Empty(t, k.since())
}

// R23: default_ccache_name of krb5.conf names the cache where nothing else does,
// with the parts that MIT knows.
func TestDefaultCacheNames(t *testing.T) {
	nothingElse(t)
	t.Setenv("KRB5CCNAME", "")
	dir := t.TempDir()
	now := time.Now()
	k := newKDC(t)
	login, err := user.Current()
	require.NoError(t, err)
	uid := strconv.Itoa(os.Getuid())
	for value, file := range map[string]string{
		"FILE:DIR/%{uid}":              uid,
		"FILE:DIR/%{USERID}x":          uid + "x",
		"FILE:DIR/%{euid}":             uid,
		"FILE:DIR/of %{username}":      "of " + login.Username,
		"FILE:DIR/%{null}null":         "null",
		"DIR/plain # the usual one":    "plain",
		"DIR/semicolon; the usual one": "semicolon",
		`"DIR/quoted"`:                 "quoted",
		`"DIR/quoted again" # really`:  "quoted again",
		"%{TEMP}/a cache":              "a cache",
	} {
		t.Run(value, func(t *testing.T) {
			t.Setenv("TMPDIR", dir)
			t.Setenv("TMP", dir) // on Windows
			k.cache(t, filepath.Join(dir, file), "alice", credential{service: spn, begin: now, end: now.Add(time.Hour)})
			conf := k.conf(t, "[libdefaults]", "default_ccache_name = "+strings.ReplaceAll(value, "DIR", dir))
			require.NoError(t, ask(t, negotiate.Options{ConfigPath: conf}))
		})
	}

	// What is no pair of quotation marks belongs to the name.
	t.Chdir(dir)
	for value, file := range map[string]string{`"`: `"`, `"a`: `"a`, `a"`: `a"`} {
		require.ErrorContains(t, ask(t, negotiate.Options{
			ConfigPath: k.conf(t, "[libdefaults]", "default_ccache_name = "+value),
		}), "open "+file+":")
	}
	// A comment is no name.
	require.NotContains(t, ask(t, negotiate.Options{ConfigPath: k.conf(t, "[libdefaults]", "default_ccache_name =#here")}).Error(), "here")
}
