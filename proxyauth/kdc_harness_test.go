//go:build realproxy

package proxyauth_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kdc is a running Kerberos KDC of the test's own: startKDC, or samba.kdc.
type kdc struct {
	dir      string // for KDC_DIR of startSquid; what is there: testdata/kdc/run
	port     int
	realm    string
	krb5Conf string // for clients
	keytab   string // keys of the user that sorts first
	users    map[string]string

	counts func() kdcCounts // so far
	stop   func()           // it refuses connections then; the end of the test does it, too
}

// kdcCounts are what a KDC has been asked. Pre-authentication takes two requests
// for an AS ticket.
type kdcCounts struct {
	Requests int // all
	AS, TGS  int // tickets given, for the realm and for a service
	Refused  int // requests refused otherwise than by asking for pre-authentication
}

func (c kdcCounts) since(before kdcCounts) kdcCounts {
	return kdcCounts{c.Requests - before.Requests, c.AS - before.AS, c.TGS - before.TGS, c.Refused - before.Refused}
}

// startKDC runs an MIT KDC for MIT.EXAMPLE until the end of the test; users maps
// names to passwords, and env has the variables of testdata/kdc/run, such as
// "ENCTYPES=aes128-cts-hmac-sha1-96". It takes 0.3 s.
//
// A squid takes its tickets with startSquid(t, "negotiate", users, "KDC_DIR="+k.dir).
func startKDC(t testing.TB, users map[string]string, env ...string) *kdc {
	t.Helper()
	requireKerberos(t, "krb5kdc", "kdb5_util", "kadmin.local", "kinit", "kvno")
	port, _ := freePorts(t)
	s := startServer(t, "kdc", "kdc.log", users, env, strconv.Itoa(port))
	s.wait(t, 20*time.Second, func() bool { return accepts(port) })
	return &kdc{
		dir: s.dir, port: port, realm: "MIT.EXAMPLE", users: users,
		krb5Conf: filepath.Join(s.dir, "krb5.conf"),
		keytab:   filepath.Join(s.dir, "client.keytab"),
		counts:   func() kdcCounts { return countKDCLog(t, filepath.Join(s.dir, "kdc.log")) },
		stop:     func() { s.stop(t) },
	}
}

// The KDC logs a request before it answers.
var kdcRequest = regexp.MustCompile(`: (AS|TGS)_REQ .*? \S+: ([A-Z_]+): `)

func countKDCLog(t testing.TB, name string) kdcCounts {
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	var c kdcCounts
	for line := range strings.Lines(string(data)) {
		m := kdcRequest.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c.Requests++
		switch {
		case m[2] == "NEEDED_PREAUTH":
		case m[2] != "ISSUE":
			c.Refused++
		case m[1] == "AS":
			c.AS++
		default:
			c.TGS++
		}
	}
	return c
}

// kdc is the domain's KDC, behind a relay that counts. users are those of
// startSamba.
func (s *samba) kdc(t testing.TB, users map[string]string) *kdc {
	t.Helper()
	requireKerberos(t, "kinit", "kvno")
	dir := t.TempDir()
	k := &kdc{
		dir: dir, realm: "LAB.EXAMPLE", users: users,
		krb5Conf: filepath.Join(dir, "krb5.conf"),
		keytab:   filepath.Join(dir, "client.keytab"),
	}
	conf, err := os.ReadFile(filepath.Join(s.dir, "krb5.conf"))
	require.NoError(t, err)
	m := kdcAddress.FindSubmatch(conf)
	require.NotNil(t, m, "%s", conf)
	relay := startKDCRelay(t, string(m[1]))
	k.port, k.counts, k.stop = relay.l.Addr().(*net.TCPAddr).Port, relay.count, relay.stop
	require.NoError(t, os.WriteFile(k.krb5Conf, confWithKDC(conf, k.port), 0o600))

	first := slices.Min(slices.Collect(maps.Keys(users)))
	out, err := exec.Command("samba-tool", "domain", "exportkeytab", "--configfile="+filepath.Join(s.dir, "smb.conf"),
		"--principal="+first, k.keytab).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return k
}

var kdcAddress = regexp.MustCompile(`(?m)^\s*kdc = (.*)$`)

func confWithKDC(conf []byte, port int) []byte {
	return kdcAddress.ReplaceAll(conf, fmt.Appendf(nil, "  kdc = 127.0.0.1:%d", port))
}

// conf returns a krb5.conf that differs in the KDC's port.
func (k *kdc) conf(t testing.TB, port int) string {
	t.Helper()
	conf, err := os.ReadFile(k.krb5Conf)
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(name, confWithKDC(conf, port), 0o600))
	return name
}

// silentPort is a KDC's that takes requests and never answers.
func silentPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // the kernel accepts for it
	return l.Addr().(*net.TCPAddr).Port
}

// ccache asks the KDC for the user's ticket by password, as kinit does, and
// returns the path of a new cache that holds it. args are kinit's, such as "-l",
// "1s" for how long it is good.
func (k *kdc) ccache(t testing.TB, user string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ccache")
	k.kinit(t, path, user, args...)
	return path
}

// kinit is ccache for a cache by its name, such as "DIR:…", that is made or
// overwritten.
func (k *kdc) kinit(t testing.TB, cache, user string, args ...string) {
	t.Helper()
	password, ok := k.users[user]
	require.True(t, ok, "no user %s", user)
	out, err := k.tool(cache, password+"\n", "kinit", append(args, user+"@"+k.realm)...)
	require.NoError(t, err, "%s", out)
}

// serviceTicket adds the ticket for a service to a cache.
func (k *kdc) serviceTicket(t testing.TB, cache, spn string) {
	t.Helper()
	out, err := k.tool(cache, "", "kvno", spn)
	require.NoError(t, err, "%s", out)
}

func (k *kdc) tool(cache, in, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "KRB5_CONFIG="+k.krb5Conf, "KRB5CCNAME="+cache)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// staleKeytab returns a keytab with a key of the user that is not the one in the
// KDC, as after a change of the password.
func (k *kdc) staleKeytab(t testing.TB, user string) string {
	t.Helper()
	requireKerberos(t, "ktutil")
	path := filepath.Join(t.TempDir(), "keytab")
	out, err := k.tool("", fmt.Sprintf("addent -password -p %s@%s -k 1 -e aes256-cts-hmac-sha1-96\nold password\nwkt %s\n", user, k.realm, path), "ktutil")
	require.NoError(t, err, "%s", out)
	require.FileExists(t, path, "%s", out)
	return path
}

// requireKerberos is requirePrograms for those of Kerberos.
func requireKerberos(t testing.TB, names ...string) {
	t.Helper()
	requirePrograms(t, "krb5-kdc, krb5-admin-server and krb5-user", names...)
}

// A kdcRelay passes on to a KDC and counts. It is stopped at the end of the test.
type kdcRelay struct {
	kdc string
	l   net.Listener
	wg  sync.WaitGroup

	mu     sync.Mutex
	counts kdcCounts
	conns  map[net.Conn]bool // nil: stopped
}

func startKDCRelay(t testing.TB, kdc string) *kdcRelay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &kdcRelay{kdc: kdc, l: l, conns: map[net.Conn]bool{}}
	r.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *kdcRelay) stop() {
	_ = r.l.Close()
	r.mu.Lock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *kdcRelay) count() kdcCounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// track says whether the relay is still to use conn.
func (r *kdcRelay) track(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	r.conns[conn] = true
	return true
}

func (r *kdcRelay) close(conn net.Conn) {
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

func (r *kdcRelay) serve(client net.Conn) {
	defer r.close(client)
	kdc, err := net.Dial("tcp", r.kdc)
	if err != nil {
		return
	}
	defer r.close(kdc)
	if !r.track(client) || !r.track(kdc) {
		return
	}
	for {
		request, err := kdcMessage(client)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.counts.Requests++
		r.mu.Unlock()
		if _, err := kdc.Write(request); err != nil {
			return
		}
		reply, err := kdcMessage(kdc)
		if err != nil {
			return
		}
		// RFC 4120 §5.10: the tag tells the message, AS-REP, TGS-REP or KRB-ERROR.
		// The latter's error code stands in [6]; 25 asks for pre-authentication.
		r.mu.Lock()
		switch reply[4] {
		case 0x6b:
			r.counts.AS++
		case 0x6d:
			r.counts.TGS++
		case 0x7e:
			if !bytes.Contains(reply, []byte{0xa6, 3, 2, 1, 25}) {
				r.counts.Refused++
			}
		}
		r.mu.Unlock()
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// kdcMessage reads a message with its length before it (RFC 4120 §7.2.2).
func kdcMessage(r io.Reader) ([]byte, error) {
	message := make([]byte, 4)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(message)
	if n == 0 || n > 1<<20 {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	message = append(message, make([]byte, n)...)
	_, err := io.ReadFull(r, message[4:])
	return message, err
}

// TestKDCHarness shows with curl that squid, by its own Kerberos and by Samba's,
// the KDCs and their counts are as the other tests take them to be.
func TestKDCHarness(t *testing.T) {
	requirePrograms(t, "curl", "curl")
	users := map[string]string{
		"alice":        `pa "ss":wörd 1`,
		"пользователь": `'пароль': "$да" `,
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(plain.Close)

	check := func(t *testing.T, k *kdc, s *squid, logged func(user string) string) {
		curl := func(proxy *url.URL, cache string, args ...string) string {
			args = append([]string{
				"--silent", "--show-error", "--noproxy", "", "--max-time", "10",
				"--proxy", proxy.String(), "--proxy-cacert", filepath.Join(s.dir, "proxy.crt"),
				"--proxy-negotiate", "--proxy-user", ":",
				"--write-out", " %{http_code} %{http_connect}\n", plain.URL + "/",
			}, args...)
			out, err := k.tool(cache, "", "curl", args...)
			require.NoError(t, err, out)
			return out
		}
		for user := range users {
			before := k.counts()
			cache := k.ccache(t, user)
			require.Equal(t, kdcCounts{Requests: 2, AS: 1}, k.counts().since(before))

			for _, proxy := range []*url.URL{s.URL(), s.TLSURL()} {
				for method, reply := range map[string]string{"GET": "hello 200 000\n", "CONNECT": "hello 200 200\n"} {
					w := squidWay{s, proxy, method}
					want := squidEntry{Method: method, URL: plain.URL + "/", Status: 200, User: logged(user), AuthScheme: "Negotiate"}
					var args []string
					if method == "CONNECT" {
						args, want.URL = []string{"--proxytunnel"}, plain.Listener.Addr().String()
					}
					logs := len(s.Log(t))
					require.Equal(t, reply, curl(proxy, cache, args...), "%s", w)
					require.Equal(t, []squidEntry{want}, s.WaitLog(t, logs+1)[logs:])
				}
			}
			require.Equal(t, kdcCounts{Requests: 3, AS: 1, TGS: 1}, k.counts().since(before))
		}

		// Not without a ticket, nor with one for another service.
		require.Equal(t, " 407 000\n", curl(s.URL(), filepath.Join(t.TempDir(), "none"), "--output", os.DevNull))
		before := k.counts()
		out, err := k.tool(k.ccache(t, "alice"), "", "kvno", "HTTP/nowhere")
		require.Error(t, err, out)
		require.Positive(t, k.counts().since(before).Refused)

		// The keytab is the first user's, and as good as the password.
		before = k.counts()
		cache := filepath.Join(t.TempDir(), "ccache")
		out, err = k.tool(cache, "", "kinit", "-k", "-t", k.keytab, "alice@"+k.realm)
		require.NoError(t, err, out)
		k.serviceTicket(t, cache, "HTTP/127.0.0.1")
		require.Equal(t, kdcCounts{Requests: 3, AS: 1, TGS: 1}, k.counts().since(before))
		require.Equal(t, "hello 200 000\n", curl(&url.URL{Scheme: "http", Host: fmt.Sprint("127.0.0.1:", s.port)}, cache))
		require.Equal(t, kdcCounts{Requests: 3, AS: 1, TGS: 1}, k.counts().since(before))

		before = k.counts()
		out, err = k.tool("FILE:"+filepath.Join(t.TempDir(), "none"), "", "kinit", "-k", "-t", k.staleKeytab(t, "alice"), "alice@"+k.realm)
		require.Error(t, err, out)
		require.Equal(t, kdcCounts{Requests: 2, Refused: 1}, k.counts().since(before))

		// A ticket of 1 s.
		cache = k.ccache(t, "alice", "-l", "1s")
		time.Sleep(1100 * time.Millisecond) // longer than it lasts
		_, err = k.tool(cache, "", "klist", "-s")
		require.Error(t, err, "the ticket is still good")

		k.stop()
		require.False(t, accepts(k.port))
	}

	t.Run("MIT", func(t *testing.T) {
		k := startKDC(t, users)
		s := startSquid(t, "negotiate", users, "KDC_DIR="+k.dir)
		check(t, k, s, func(user string) string { return user + "@MIT.EXAMPLE" })
	})
	t.Run("AD", func(t *testing.T) {
		ad := startSamba(t, users)
		s := startSquid(t, "negotiate", users, "AD_DIR="+ad.dir)
		check(t, ad.kdc(t, users), s, func(user string) string { return `LABNT\` + user })
	})
	for _, enctype := range enctypes {
		t.Run(enctype, func(t *testing.T) {
			k := startKDC(t, users, "ENCTYPES="+enctype)
			cache := k.ccache(t, "alice")
			k.serviceTicket(t, cache, "HTTP/localhost")
			out, err := k.tool(cache, "", "klist", "-e")
			require.NoError(t, err, out)
			require.Equal(t, 2, strings.Count(out, "(skey, tkt): "+enctype+", "+enctype), out)
		})
	}
}

var enctypes = []string{"aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha384-192"}
