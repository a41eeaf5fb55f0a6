//go:build realproxy

package proxyauth_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// samba is a running Samba Active Directory domain controller of the test's own:
// domain LABNT, realm lab.example.
type samba struct {
	*server // its dir is for AD_DIR of startSquid
}

// startSamba runs a domain controller until the end of the test; users maps names
// to passwords. It needs root. It takes 6 s or more to make the domain, so
// subtests had better share one.
//
// A squid asks it with startSquid(t, "ntlm", users, "AD_DIR="+samba.dir).
func startSamba(t testing.TB, users map[string]string) *samba {
	t.Helper()

	kdc, kpasswd := freePorts(t)
	s := &samba{startServer(t, "samba", "log", users, nil, strconv.Itoa(kdc), strconv.Itoa(kpasswd))}
	s.answers(t)
	return s
}

// answers waits until it does.
func (s *samba) answers(t testing.TB) {
	t.Helper()
	s.wait(t, 2*time.Minute, func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "ready"))
		return err == nil
	})
}

// restart ends the domain controller and starts it again, the time off later. After
// the time outage it answers.
func (s *samba) restart(t testing.TB, off time.Duration) (outage time.Duration) {
	t.Helper()
	begun := time.Now()
	s.stop(t)
	require.NoError(t, os.Remove(filepath.Join(s.dir, "ready")))
	time.Sleep(off)
	s.start(t)
	s.answers(t)
	return time.Since(begun)
}

// ntlmClient is Samba's own NTLM client, another implementation to compare with.
type ntlmClient struct {
	in  io.Writer
	out *bufio.Reader
}

// client starts an NTLM client, for one handshake.
func (s *samba) client(t testing.TB, domain, user, password string) *ntlmClient {
	t.Helper()
	cmd := exec.Command("ntlm_auth", "--helper-protocol=ntlmssp-client-1",
		"--configfile="+filepath.Join(s.dir, "helper.conf"),
		"--domain="+domain, "--username="+user, "--password="+password)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &ntlmClient{in, bufio.NewReader(out)}
}

// first returns the client's first message, in base64.
func (c *ntlmClient) first(t testing.TB) string { return c.ask(t, "YR", "YR ") }

// answer returns the client's answer to the server's message, both in base64.
func (c *ntlmClient) answer(t testing.TB, challenge string) string {
	return c.ask(t, "TT "+challenge, "AF ")
}

func (c *ntlmClient) ask(t testing.TB, line, prefix string) string {
	t.Helper()
	_, err := io.WriteString(c.in, line+"\n")
	require.NoError(t, err)
	reply, err := c.out.ReadString('\n')
	require.NoError(t, err)
	message, ok := strings.CutPrefix(strings.TrimSuffix(reply, "\n"), prefix)
	require.True(t, ok, "ntlm_auth: %q", reply)
	return message
}

// TestSambaHarness shows with Samba's own NTLM client that squid, asking the
// domain controller, and squid's log are as the other tests take them to be; and
// the same of squid with ntlm_auth alone.
func TestSambaHarness(t *testing.T) {
	users := map[string]string{
		"alice":        "open sesame",
		"jäsøn":        "a b:ü ",
		"пользователь": "'пароль': \"$да\" ",
	}
	ad := startSamba(t, users)

	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	origin := httptest.NewServer(hello)
	t.Cleanup(origin.Close)

	type logon struct {
		domain, user, password string
		logged                 string // "": refused
	}
	check := func(t *testing.T, s *squid, l logon) {
		for _, proxy := range []*url.URL{s.URL(), s.TLSURL()} {
			for method, target := range map[string]string{
				"GET":     origin.URL + "/",
				"CONNECT": origin.Listener.Addr().String(),
			} {
				before := len(s.Log(t))
				status := 200
				if l.logged == "" {
					status = 407
				}
				require.Equal(t, status, ntlmHandshake(t, s, proxy, method, target, ad.client(t, l.domain, l.user, l.password)),
					"%s %s", proxy, method)
				want := []squidEntry{
					{method, target, 407, "", ""},
					{method, target, 407, "", "NTLM1"},
					{method, target, status, l.logged, "NTLM3"},
				}
				if method == "GET" && status == 200 {
					want = append(want, squidEntry{method, target, 200, l.logged, ""})
				}
				require.Equal(t, want, s.WaitLog(t, before+len(want))[before:])
			}
		}
	}

	t.Run("domain controller", func(t *testing.T) {
		s := startSquid(t, "ntlm", users, "AD_DIR="+ad.dir)
		for _, l := range []logon{
			{"LABNT", "alice", "open sesame", `LABNT\alice`},
			{"labnt", "ALICE", "open sesame", `LABNT\alice`},
			{"lab.example", "alice", "open sesame", `LABNT\alice`},
			{"", "alice@lab.example", "open sesame", `LABNT\alice`},
			{"LABNT", "jäsøn", "a b:ü ", `LABNT\jäsøn`},
			{"LABNT", "пользователь", users["пользователь"], `LABNT\пользователь`},
			{"", "пользователь@lab.example", users["пользователь"], `LABNT\пользователь`},
			{"LABNT", "alice", "wrong", ""},
			{"LABNT", "alice", "Open sesame", ""},
			{"LABNT", "nobody", "open sesame", ""},
			{"ELSEWHERE", "alice", "open sesame", ""},
			{"", "alice@elsewhere.example", "open sesame", ""},
		} {
			t.Run(l.domain+`\`+l.user, func(t *testing.T) { check(t, s, l) })
		}
	})

	t.Run("alone", func(t *testing.T) {
		name := "пользователь" // a password that needs quoting
		s := startSquid(t, "ntlm", map[string]string{name: users[name], "яков": "x"})
		check(t, s, logon{"LABNT", name, users[name], `LABNT\` + name})
		check(t, s, logon{"ANY", "one", users[name], `ANY\one`})
		check(t, s, logon{"LABNT", name, "wrong", ""})
		check(t, s, logon{"LABNT", "яков", "x", ""})
	})
}

// ntlmHandshake asks for the target on one connection of its own, first without
// credentials; if they were good and it is no tunnel, then once more without. It
// returns the last status.
func ntlmHandshake(t *testing.T, s *squid, proxy *url.URL, method, target string, client *ntlmClient) int {
	t.Helper()
	var conn net.Conn
	var err error
	if proxy.Scheme == "https" {
		conn, err = tls.Dial("tcp", proxy.Host, &tls.Config{RootCAs: s.RootCAs()})
	} else {
		conn, err = net.Dial("tcp", proxy.Host)
	}
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	r := bufio.NewReader(conn)
	ask := func(field string) (int, string) {
		_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: origin\r\n%s\r\n", method, target, field)
		require.NoError(t, err)
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err)
		defer response.Body.Close()
		if method != "CONNECT" || response.StatusCode != 200 {
			_, err = io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
		}
		return response.StatusCode, response.Header.Get("Proxy-Authenticate")
	}

	status, challenge := ask("")
	require.Equal(t, 407, status)
	require.Equal(t, "NTLM", challenge)

	status, challenge = ask("Proxy-Authorization: NTLM " + client.first(t) + "\r\n")
	require.Equal(t, 407, status)
	message, ok := strings.CutPrefix(challenge, "NTLM ")
	require.True(t, ok, challenge)

	status, challenge = ask("Proxy-Authorization: NTLM " + client.answer(t, message) + "\r\n")
	if status == 407 {
		require.Equal(t, "NTLM", challenge)
	} else if method == "GET" { // the connection stays the user's
		status, _ = ask("")
	}
	return status
}
