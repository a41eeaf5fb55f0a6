package negotiate_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// A deafKDC takes questions and hangs up.
type deafKDC struct {
	addr   string
	asked  atomic.Int32
	etypes atomic.Value // []int32 that the last one named
}

func newDeafKDC(t *testing.T) *deafKDC {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k := &deafKDC{addr: l.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			k.asked.Add(1)
			b := make([]byte, 8192)
			n, _ := c.Read(b)
			if n == 4 { // the length
				m, _ := c.Read(b[4:])
				n += m
			}
			var req messages.ASReq
			if n > 4 && req.Unmarshal(b[4:n]) == nil {
				k.etypes.Store(req.ReqBody.EType)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return k
}

// nothingElse takes everything from the environment that Kerberos knows.
func nothingElse(t *testing.T) (none string) {
	none = filepath.Join(t.TempDir(), "none")
	t.Setenv("KRB5_CONFIG", none)
	t.Setenv("KRB5CCNAME", "FILE:"+none)
	t.Setenv("KRB5_CLIENT_KTNAME", "")
	return none
}

func write(t *testing.T, text string) (path string) {
	path = filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func ask(t *testing.T, o negotiate.Options) error {
	_, err := negotiate.NewClient(o).Ticket(t.Context(), "HTTP/proxy.corp.example")
	return err
}

// R23: what MIT's kinit reads leads to the KDC.
func TestConfigAsMITReadsIt(t *testing.T) {
	const tcp = "udp_preference_limit = 1\n"
	realm := "[realms]\n CORP.EXAMPLE = {\n  kdc = KDC\n }\n"
	for name, text := range map[string]string{
		"Fedora's":          "[libdefaults]\n dns_canonicalize_hostname = fallback\n default_ccache_name = KEYRING:persistent:%{uid}\n" + tcp + realm,
		"on":                "[libdefaults]\n dns_lookup_realm = on\n forwardable = off\n" + tcp + realm,
		"list":              "[libdefaults]\n preferred_preauth_types = 17, 16, 15, 14\n" + tcp + realm,
		"weeks":             "[libdefaults]\n renew_lifetime = 1w\n" + tcp + realm,
		"quotation marks":   "[libdefaults]\n forwardable = \"true\"\n" + tcp + realm,
		"large limit":       realm + "[libdefaults]\n udp_preference_limit = 1 # always TCP\n udp_preference_limit = 40000\n",
		"two sections":      "[libdefaults]\n" + tcp + realm + "[realms]\n B.EXAMPLE = {\n  kdc = b\n }\n",
		"byte order mark":   "\ufeff[libdefaults]\n" + tcp + realm,
		"of a realm":        "[libdefaults]\n CORP.EXAMPLE = {\n  clockskew = 1\n }\n" + tcp + realm,
		"of a program":      "[libdefaults]\n kinit = {\n  A.EXAMPLE = {\n   udp_preference_limit = 40000\n  }\n  udp_preference_limit = 1465\n }\n" + tcp + realm,
		"comments":          "# a\n; b\n\n[libdefaults] # c\n" + tcp + "# d\n ; e\n" + realm + "# f\n",
		"upper case":        "[LibDefaults]\n UDP_Preference_Limit = 1\n[Realms]\n CORP.EXAMPLE = {\n  kdc = KDC\n }\n",
		"other sections":    "[logging]\n default = FILE:/x\n[appdefaults]\n pam = {\n  udp_preference_limit = 40000\n }\n[libdefaults]\n" + tcp + realm + "[plugins]\n x = {\n }\n",
		"v4":                "[libdefaults]\n" + tcp + "[realms]\n CORP.EXAMPLE = {\n  kdc = KDC\n  v4_instance_convert = {\n   a = b\n  }\n }\n",
		"include":           "include DIR/realms.conf\n[libdefaults]\n" + tcp,
		"includedir":        "includedir DIR\n[libdefaults]\n" + tcp,
		"in a section":      "[libdefaults]\n includedir DIR\n" + tcp,
		"included directly": "include\t DIR/realms.conf\ninclude DIR/missing\n[libdefaults]\n" + tcp,
	} {
		t.Run(name, func(t *testing.T) {
			nothingElse(t)
			kdc, dir := newDeafKDC(t), t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "realms.conf"), []byte(strings.ReplaceAll(realm, "KDC", kdc.addr)), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "realms.conf~"), []byte("[realms"), 0o600))
			conf := write(t, strings.NewReplacer("KDC", kdc.addr, "DIR", dir).Replace(text))
			require.Error(t, ask(t, negotiate.Options{ConfigPath: conf, Username: "alice@CORP.EXAMPLE", Password: "x"}))
			require.NotZero(t, kdc.asked.Load())
		})
	}
}

// R23: a realm in lower case is one, if krb5.conf has it so.
func TestLowerCaseRealm(t *testing.T) {
	nothingElse(t)
	kdc := newDeafKDC(t)
	conf := write(t, "[libdefaults]\n udp_preference_limit = 1\n[realms]\n corp.example = {\n  kdc = "+kdc.addr+"\n }\n")
	require.Error(t, ask(t, negotiate.Options{ConfigPath: conf, Username: "alice@corp.example", Password: "x"}))
	require.NotZero(t, kdc.asked.Load())
}

// R23: the first file that exists counts, and those after it; a path may begin with the
// letter of a drive.
func TestConfigFiles(t *testing.T) {
	none := nothingElse(t)
	kdc := newDeafKDC(t)
	user := negotiate.Options{Username: "alice@CORP.EXAMPLE", Password: "x"}
	realm := write(t, "[realms]\n CORP.EXAMPLE = {\n  kdc = "+kdc.addr+"\n }\n")
	defaults := write(t, "[libdefaults]\n udp_preference_limit = 1\n")
	t.Setenv("KRB5_CONFIG", strings.Join([]string{none, realm, defaults}, string(os.PathListSeparator)))
	require.Error(t, ask(t, user))
	require.NotZero(t, kdc.asked.Swap(0))

	t.Setenv("KRB5_CONFIG", none)
	require.ErrorContains(t, ask(t, user), none)

	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("C:", 0o700))
	user.ConfigPath = "C:/krb5.ini"
	require.NoError(t, os.WriteFile(user.ConfigPath, []byte("[libdefaults]\n udp_preference_limit = 1\n[realms]\n CORP.EXAMPLE = {\n  kdc = "+kdc.addr+"\n }\n"), 0o600))
	require.Error(t, ask(t, user))
	require.NotZero(t, kdc.asked.Load())

	loop := write(t, "")
	require.NoError(t, os.WriteFile(loop, []byte("include "+loop+"\n"), 0o600))
	user.ConfigPath = loop
	require.ErrorContains(t, ask(t, user), "include each other")
}

// R23: a setting in a comment is none.
func TestConfigCommentedEnctypes(t *testing.T) {
	nothingElse(t)
	kdc := newDeafKDC(t)
	conf := write(t, "[libdefaults]\n udp_preference_limit = 1\n# default_tkt_enctypes = des3-hmac-sha1\n[realms]\n CORP.EXAMPLE = {\n  kdc = "+kdc.addr+"\n }\n")
	require.Error(t, ask(t, negotiate.Options{ConfigPath: conf, Username: "alice@CORP.EXAMPLE", Password: "x"}))
	require.Eventually(t, func() bool { return kdc.etypes.Load() != nil }, 5*time.Second, time.Millisecond)
	require.Contains(t, kdc.etypes.Load(), int32(20)) // aes256-cts-hmac-sha384-192
}

// R23: the encryption types of krb5.conf are those that are asked for, in a list
// with blanks or commas; without it those of RFC 8009 are among them.
func TestConfigEnctypes(t *testing.T) {
	nothingElse(t)
	for setting, want := range map[string][]int32{
		"default_tkt_enctypes = aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha1-96":                            {17, 18},
		"default_tkt_enctypes = aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96":                           {18, 17},
		"default_tkt_enctypes = aes256-cts-hmac-sha1-96\n default_tkt_enctypes = aes128-cts-hmac-sha1-96":   {18},
		"default_tgs_enctypes = aes256-cts-hmac-sha1-96\n permitted_enctypes = aes256-cts-hmac-sha1-96":     {18, 17, 23, 20, 19},
		"kinit = {\n }\n default_tkt_enctypes = aes256-cts-hmac-sha1-96":                                    {18},
		"kinit = {\n default_tkt_enctypes = aes128-cts-hmac-sha1-96\n }\n ticket_lifetime = not understood": {18, 17, 23, 20, 19},
	} {
		kdc := newDeafKDC(t)
		conf := write(t, "[libdefaults]\n udp_preference_limit = 1\n "+setting+"\n[realms]\n CORP.EXAMPLE = {\n  kdc = "+kdc.addr+"\n }\n")
		require.Error(t, ask(t, negotiate.Options{ConfigPath: conf, Username: "alice@CORP.EXAMPLE", Password: "x"}))
		require.Equal(t, want, kdc.etypes.Load(), setting)
	}
}

// R26: a krb5.conf that cannot be understood is told as that.
func TestConfigMalformed(t *testing.T) {
	nothingElse(t)
	for _, text := range []string{"[realms]\n }\n", "[realms]\n CORP.EXAMPLE {\n }\n", "[domain_realm]\n .corp.example\n"} {
		err := ask(t, negotiate.Options{ConfigPath: write(t, text), Username: "alice@CORP.EXAMPLE", Password: "x"})
		require.ErrorContains(t, err, "krb5.conf: ", text)
	}
}

// R23: a KDC may be named by an IPv6 address, with the usual port or another.
func TestConfigIPv6(t *testing.T) {
	nothingElse(t)
	for kdc, addr := range map[string]string{"[::1]": "[::1]:88", "[::1]:1": "[::1]:1"} {
		conf := write(t, "[libdefaults]\n udp_preference_limit = 1\n[realms]\n CORP.EXAMPLE = {\n  kdc = "+kdc+"\n }\n")
		require.ErrorContains(t, ask(t, negotiate.Options{ConfigPath: conf, Username: "alice@CORP.EXAMPLE", Password: "x"}), "to "+addr+":")
	}
}

// R23: the ticket cache may be where krb5.conf says.
func TestDefaultCacheName(t *testing.T) {
	nothingElse(t)
	t.Setenv("KRB5CCNAME", "")
	dir := t.TempDir()
	p := proxytest.New(proxytest.Config{Auth: []proxytest.Auth{proxytest.Negotiate{}}, Users: map[string]string{"alice": "x"}})
	defer p.Close()
	require.NoError(t, p.WriteTicketCache(fmt.Sprintf("%s/krb5cc_%d", dir, os.Getuid()), "alice", time.Hour, "proxy.corp.example"))
	require.NoError(t, ask(t, negotiate.Options{ConfigPath: write(t, "[libdefaults]\n default_ccache_name = FILE:"+dir+"/krb5cc_%{uid}\n")}))

	var e *negotiate.Error
	require.ErrorAs(t, ask(t, negotiate.Options{ConfigPath: write(t, "[libdefaults]\n default_ccache_name = KEYRING:persistent:%{uid}\n")}), &e)
	require.ErrorContains(t, e, "KEYRING")
	require.Contains(t, e.Remedy, "FILE")
}

// R26: a keytab that cannot be read is told as that.
func TestKeytabCause(t *testing.T) {
	none := nothingElse(t)
	t.Setenv("KRB5_CONFIG", os.DevNull)
	t.Setenv("KRB5_CLIENT_KTNAME", "FILE:"+none)
	var e *negotiate.Error
	require.ErrorAs(t, ask(t, negotiate.Options{}), &e)
	require.Equal(t, "no usable keytab", e.Cause)
}
