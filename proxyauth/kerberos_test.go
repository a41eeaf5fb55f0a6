//go:build realproxy

package proxyauth_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// kerberosUsers are users of both realms; the keytab is alice's.
var kerberosUsers = map[string]string{
	"alice":        "pa ss:wörd 1",
	"пользователь": "pa ss:wörd 2",
}

// A kerberosSite is a squid that takes tickets of a KDC.
type kerberosSite struct {
	k      *kdc
	s      *squid                   // offers Negotiate
	logged func(user string) string // a user as squid logs it
}

func mitSite(t *testing.T, env ...string) kerberosSite {
	k := startKDC(t, kerberosUsers, env...)
	return kerberosSite{k, startSquid(t, "negotiate", nil, "KDC_DIR="+k.dir), func(user string) string { return user + "@" + k.realm }}
}

func adSite(t *testing.T) (kerberosSite, *samba) {
	ad := startSamba(t, kerberosUsers)
	s := startSquid(t, "negotiate", kerberosUsers, "AD_DIR="+ad.dir)
	return kerberosSite{ad.kdc(t, kerberosUsers), s, func(user string) string { return `LABNT\` + user }}, ad
}

// noKerberos makes the environment that of a machine without Kerberos. (Without
// KRB5_CONFIG /etc/krb5.conf would count, and without KRB5CCNAME a cache in
// /tmp.)
func noKerberos(t *testing.T) {
	none := t.TempDir()
	t.Setenv("KRB5_CONFIG", filepath.Join(none, "krb5.conf"))
	t.Setenv("KRB5CCNAME", "FILE:"+filepath.Join(none, "ccache"))
	t.Setenv("KRB5_CLIENT_KTNAME", filepath.Join(none, "keytab"))
	t.Setenv("PROXY_USER", "")
	t.Setenv("PROXY_PASS", "")
}

// newOrigin returns an origin whose ports are not yet in squid's log, as those of
// an earlier one may be when there have been hundreds.
func (s *squid) newOrigin(t *testing.T) *origin {
	t.Helper()
	for {
		o := newOrigin(t)
		if !slices.ContainsFunc(s.Log(t), func(e squidEntry) bool {
			return e.URL == o.HTTP.URL+"/" || strings.HasPrefix(e.URL, o.HTTP.URL+"/fence") || e.URL == o.HTTPS.Listener.Addr().String()
		}) {
			return o
		}
	}
}

// A kerberosLogon is one way to be a user.
type kerberosLogon struct {
	name    string
	user    string
	options proxyauth.NegotiateOptions
	source  proxyauth.CredentialSource
	asks    kdcCounts // how many tickets a fresh Transport needs; Requests: at most
}

func (k *kdc) logons(t *testing.T) []kerberosLogon {
	var (
		fromCache    = kdcCounts{Requests: 1, TGS: 1}
		fromPassword = kdcCounts{Requests: 3, AS: 1, TGS: 1} // with a request that learns the salt
	)
	collection := "DIR:" + t.TempDir()
	k.kinit(t, collection, "alice")
	k.kinit(t, collection, "пользователь") // this one is the primary now
	full := k.ccache(t, "alice")
	k.serviceTicket(t, full, "HTTP/localhost")

	logons := []kerberosLogon{
		{name: "cache", user: "alice", options: proxyauth.NegotiateOptions{CachePath: k.ccache(t, "alice")}, asks: fromCache},
		{name: "FILE cache", user: "пользователь", options: proxyauth.NegotiateOptions{CachePath: "FILE:" + k.ccache(t, "пользователь")}, asks: fromCache},
		{name: "DIR cache", user: "пользователь", options: proxyauth.NegotiateOptions{CachePath: collection}, asks: fromCache},
		{name: "cache with ticket", user: "alice", options: proxyauth.NegotiateOptions{CachePath: full}},
		{name: "keytab", user: "alice", options: proxyauth.NegotiateOptions{KeytabPath: k.keytab}, asks: fromPassword},
		{name: "keytab by name", user: "alice", options: proxyauth.NegotiateOptions{KeytabPath: k.keytab, Principal: "alice@" + k.realm}, asks: fromPassword},
	}
	for user, password := range kerberosUsers {
		logons = append(logons, kerberosLogon{
			name: "password", user: user,
			source: proxyauth.UserPassword(user+"@"+k.realm, password), asks: fromPassword,
		})
	}
	for i := range logons {
		logons[i].options.ConfigPath = k.krb5Conf
	}
	return logons
}

// transport is squidWay.transport for a logon by Negotiate alone.
func (l kerberosLogon) transport(t testing.TB, w squidWay, o *origin) *watchedTransport {
	tr := w.transport(t, o, l.source)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(l.options)}
	return tr
}

// warmLog returns what squid has logged about o, at least n lines, without the 407
// of a cold route. The only scheme of a Transport may do without that one.
func (w squidWay) warmLog(t *testing.T, o *origin, n int) []squidEntry {
	t.Helper()
	entries := w.log(t, o, n)
	if len(entries) > 0 && entries[0] == w.entry(o, 407, "", "") {
		entries = entries[1:]
	}
	return entries
}

// requireAsked requires that the KDC has given the tickets, with no more than
// so many requests.
func requireAsked(t *testing.T, k *kdc, before, want kdcCounts) {
	t.Helper()
	got := k.counts().since(before)
	require.LessOrEqual(t, got.Requests, want.Requests, "%+v", got)
	got.Requests = want.Requests
	require.Equal(t, want, got)
}

func TestKerberosMIT(t *testing.T) {
	site := mitSite(t)
	testKerberos(t, site)
	testKerberosLoad(t, site)
	testShortTickets(t, site)
	testKinitAsAnother(t, site)
}

func TestKerberosAD(t *testing.T) {
	site, ad := adSite(t)
	testKerberos(t, site)
	testKerberosLoad(t, site)
	testSPNEGO(t, site)
	testAllSchemes(t, site, ad)
}

// One 407 on a cold route, none afterwards, and a ticket for all connections.
func testKerberos(t *testing.T, site kerberosSite) {
	noKerberos(t)
	check := func(t *testing.T, w squidWay, l kerberosLogon, tr *watchedTransport, o *origin) {
		before := site.k.counts()
		for range 3 {
			requireOK(t, tr, w.target(o))
		}
		tr.CloseIdleConnections()
		requireOK(t, tr, w.target(o))
		tr.CloseIdleConnections()
		require.Empty(t, o.proxyFields())
		requireAsked(t, site.k, before, l.asks)

		user := site.logged(l.user)
		first, later := w.entry(o, 200, user, "Negotiate"), w.entry(o, 200, user, "")
		want := []squidEntry{first, later, later, first}
		if w.method == "CONNECT" {
			want = []squidEntry{first, first}
		}
		require.ElementsMatch(t, want, w.warmLog(t, o, len(want)))
	}
	for _, l := range site.k.logons(t) {
		for _, w := range site.s.ways() {
			t.Run(strings.Join([]string{l.name, l.user, w.String()}, " "), func(t *testing.T) {
				o := site.s.newOrigin(t)
				check(t, w, l, l.transport(t, w, o), o)
			})
		}
	}

	logon := site.k.logons(t)[0]
	for _, w := range site.s.ways() {
		// The service is named as in the URL.
		t.Run("address "+w.String(), func(t *testing.T) {
			o, w := site.s.newOrigin(t), w
			u := *w.proxy
			u.Host = strings.Replace(u.Host, "localhost", "127.0.0.1", 1)
			w.proxy = &u
			check(t, w, logon, logon.transport(t, w, o), o)
		})
		t.Run("environment "+w.String(), func(t *testing.T) {
			t.Setenv("KRB5_CONFIG", site.k.krb5Conf)
			t.Setenv("KRB5CCNAME", "FILE:"+logon.options.CachePath)
			o := site.s.newOrigin(t)
			check(t, w, logon, w.transport(t, o, nil), o) // the default schemes
		})
		t.Run("environment keytab "+w.String(), func(t *testing.T) {
			t.Setenv("KRB5_CONFIG", site.k.krb5Conf)
			t.Setenv("KRB5_CLIENT_KTNAME", site.k.keytab)
			o := site.s.newOrigin(t)
			l := kerberosLogon{user: "alice", asks: kdcCounts{Requests: 3, AS: 1, TGS: 1}}
			check(t, w, l, l.transport(t, w, o), o)
		})
	}

	// Without the KDC a ticket that is there is good enough.
	t.Run("KDC down", func(t *testing.T) {
		closed, _ := freePorts(t)
		for _, l := range site.k.logons(t) {
			if l.name != "cache with ticket" {
				continue
			}
			l.options.ConfigPath = site.k.conf(t, closed)
			for _, w := range site.s.ways() {
				o := site.s.newOrigin(t)
				requireOK(t, l.transport(t, w, o), w.target(o))
			}
		}
	})
}

// A new connection needs a ticket that is still good: of the keytab, and of a
// cache that others renew. (Samba takes TGTs of less than two minutes for none.)
func testShortTickets(t *testing.T, site kerberosSite) {
	noKerberos(t)
	w := site.s.ways()[0]
	o := site.s.newOrigin(t)
	conf, err := os.ReadFile(site.k.krb5Conf)
	require.NoError(t, err)
	short := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(short, []byte(strings.Replace(string(conf), "[libdefaults]\n", "[libdefaults]\nticket_lifetime = 2s\n", 1)), 0o600))
	cache := site.k.ccache(t, "alice", "-l", "2s")
	keytab := kerberosLogon{options: proxyauth.NegotiateOptions{ConfigPath: short, KeytabPath: site.k.keytab}}.transport(t, w, o)
	cached := kerberosLogon{options: proxyauth.NegotiateOptions{ConfigPath: site.k.krb5Conf, CachePath: cache}}.transport(t, w, o)

	requireOK(t, keytab, w.target(o))
	time.Sleep(2100 * time.Millisecond) // longer than the tickets last
	keytab.CloseIdleConnections()
	requireOK(t, keytab, w.target(o))

	_, _, err = fetch(cached, w.target(o))
	requireAuthError(t, err, "expired|no valid ticket")
	site.k.kinit(t, cache, "alice")
	requireOK(t, cached, w.target(o))
}

// After kinit as somebody else in the same cache squid sees nobody of before.
func testKinitAsAnother(t *testing.T, site kerberosSite) {
	noKerberos(t)
	for _, w := range site.s.ways() {
		t.Run("kinit as another "+w.String(), func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "cache")
			l := kerberosLogon{options: proxyauth.NegotiateOptions{ConfigPath: site.k.krb5Conf, CachePath: cache}}
			o := site.s.newOrigin(t)
			tr := l.transport(t, w, o)
			var want []string
			for _, user := range slices.Sorted(maps.Keys(site.k.users)) {
				site.k.kinit(t, cache, user)
				requireOK(t, tr, w.target(o))
				requireOK(t, tr, w.target(o))
				want = append(want, site.logged(user))
				if w.method == "GET" {
					want = append(want, site.logged(user))
				}
			}
			tr.CloseIdleConnections() // ends tunnels, for the log
			var users []string
			for _, entry := range w.warmLog(t, o, len(want)) {
				users = append(users, entry.User)
			}
			require.ElementsMatch(t, want, users)
		})
	}
}

// 500 requests by 50 goroutines of a fresh client, and bodies.
func testKerberosLoad(t *testing.T, site kerberosSite) {
	noKerberos(t)
	for _, l := range site.k.logons(t) {
		if l.user != "alice" || l.name != "cache" && l.name != "keytab" && l.name != "password" {
			continue
		}
		for _, w := range site.s.ways() {
			t.Run(strings.Join([]string{l.name, w.String(), "load"}, " "), func(t *testing.T) {
				o, before := site.s.newOrigin(t), site.k.counts()
				tr := l.transport(t, w, o)
				tr.Base.MaxConnsPerHost = 50
				concurrently(t, 50, 500, tr, w.target(o))
				tr.CloseIdleConnections()
				requireAsked(t, site.k, before, l.asks)
				require.Len(t, o.received(), 500)
				require.Empty(t, o.proxyFields())

				counts := statuses(w.warmLog(t, o, 1))
				t.Logf("%v", counts)
				handshakes := counts["200 Negotiate"]
				require.LessOrEqual(t, handshakes, 50)
				want := map[string]int{"200 Negotiate": handshakes}
				if w.method == "GET" {
					want["200"] = 500 - handshakes
				}
				require.Equal(t, want, counts)
			})
		}
	}
	l := site.k.logons(t)[0]
	for _, w := range site.s.ways() {
		if w.method == "CONNECT" {
			continue // no body goes to the proxy
		}
		w.method = "POST"
		for name, stream := range map[string]bool{"GetBody": false, "stream": true} {
			t.Run(strings.Join([]string{w.String(), name}, " "), func(t *testing.T) {
				o := site.s.newOrigin(t)
				tr := l.transport(t, w, o)
				require.NoError(t, postBig(tr, o, stream)) // cold
				together(t, 20, func() error { return postBig(tr, o, stream) })
				requireBig(t, o, 21)
				counts := statuses(w.warmLog(t, o, 21))
				t.Logf("%v", counts)
				require.Zero(t, counts["407"])
				require.Zero(t, counts["407 Negotiate"])
			})
		}
	}
}

// Keys of all these types, of users, services and sessions alike.
func TestKerberosEnctypes(t *testing.T) {
	noKerberos(t)
	for _, enctype := range enctypes {
		t.Run(enctype, func(t *testing.T) {
			site := mitSite(t, "ENCTYPES="+enctype)
			for _, l := range site.k.logons(t) {
				for _, w := range site.s.ways() {
					t.Run(strings.Join([]string{l.name, l.user, w.String()}, " "), func(t *testing.T) {
						o := site.s.newOrigin(t)
						tr := l.transport(t, w, o)
						requireOK(t, tr, w.target(o))
						tr.CloseIdleConnections()
						want := []squidEntry{w.entry(o, 200, site.logged(l.user), "Negotiate")}
						require.Equal(t, want, w.warmLog(t, o, len(want)))
					})
				}
			}
		})
	}
}

// requireAuthError requires an AuthError whose text matches, whatever the case.
func requireAuthError(t *testing.T, err error, pattern string) *proxyauth.AuthError {
	t.Helper()
	var e *proxyauth.AuthError
	require.ErrorAs(t, err, &e)
	require.Regexp(t, "(?i)"+pattern, err.Error())
	return e
}

// basicAs is credentials for Basic alone.
type basicAs struct{ user, password string }

func (c basicAs) ProxyCredentials(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	if req.Scheme != "Basic" {
		return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
	}
	return proxyauth.Credentials{Username: c.user, Password: c.password}, nil
}

// Where Kerberos cannot be done the error says why, within 5 s, and nothing
// reaches the origin. Where the proxy offers Basic too, that is taken.
func TestKerberosFailures(t *testing.T) {
	noKerberos(t)
	site := mitSite(t)
	k := site.k
	both := startSquid(t, "negotiate basic", map[string]string{"bob": "open sesame"}, "KDC_DIR="+k.dir)

	expired := k.ccache(t, "alice", "-l", "1s")
	k.serviceTicket(t, expired, "HTTP/localhost")
	stale := k.staleKeytab(t, "alice")
	closed, _ := freePorts(t)
	none := filepath.Join(t.TempDir(), "none")
	malformed := filepath.Join(t.TempDir(), "malformed")
	require.NoError(t, os.WriteFile(malformed, []byte("\x05\x04no cache"), 0o600))
	cache := k.ccache(t, "alice")
	time.Sleep(1100 * time.Millisecond) // for expired

	type options = proxyauth.NegotiateOptions
	for _, c := range []struct {
		name    string
		options options
		cause   string // in the error's text
		refused int    // by the KDC, at most
		sent    bool   // to the proxy
	}{
		{"nothing", options{}, "ticket", 0, false},
		{"no cache", options{CachePath: none}, "ticket.*" + none, 0, false},
		{"malformed cache", options{CachePath: malformed}, malformed, 0, false},
		{"cache of another type", options{CachePath: "KEYRING:persistent:0"}, "KEYRING", 0, false},
		{"expired", options{CachePath: expired}, "expired|no valid ticket", 1, false},
		{"no keytab", options{KeytabPath: none}, "keytab.*" + none, 0, false},
		{"malformed keytab", options{KeytabPath: malformed}, "keytab", 0, false},
		{"keytab of others", options{KeytabPath: k.keytab, Principal: "пользователь@MIT.EXAMPLE"}, "keytab", 0, false},
		{"unknown principal", options{KeytabPath: filepath.Join(k.dir, "http.keytab"), Principal: "HTTP/nowhere@MIT.EXAMPLE"}, "keytab|user|principal", 1, false},
		{"stale keytab", options{KeytabPath: stale}, "key", 1, false},
		{"no configuration", options{ConfigPath: none, CachePath: cache}, none, 0, false},
		{"KDC down", options{ConfigPath: k.conf(t, closed), CachePath: cache}, "KDC.*(reach|refused)", 0, false},
		{"KDC down, keytab", options{ConfigPath: k.conf(t, closed), KeytabPath: k.keytab}, "KDC.*(reach|refused)", 0, false},
		{"KDC silent", options{ConfigPath: k.conf(t, silentPort(t)), CachePath: cache}, "KDC.*(reach|timeout|answer)", 0, false},
		{"unknown service", options{CachePath: cache, SPN: "HTTP/nowhere.example"}, "HTTP/nowhere.example.*(unknown|not know)", 2, false},
		// A ticket that the KDC gives and squid cannot read. It refuses all else on
		// that connection then, right credentials too.
		{"another's service", options{CachePath: cache, SPN: "пользователь"}, "reject|refuse|service", 0, true},
	} {
		if c.options.ConfigPath == "" {
			c.options.ConfigPath = k.krb5Conf
		}
		for _, w := range site.s.ways() {
			t.Run(c.name+" "+w.String(), func(t *testing.T) {
				o, before := site.s.newOrigin(t), k.counts()
				tr := kerberosLogon{options: c.options}.transport(t, w, o)
				begun := time.Now()
				_, _, err := fetch(tr, w.target(o))
				assert.Less(t, time.Since(begun), 5*time.Second)
				t.Log(err)
				e := requireAuthError(t, err, c.cause)
				require.Equal(t, []string{"Negotiate"}, e.Offered)
				require.Empty(t, o.received())
				require.LessOrEqual(t, k.counts().since(before).Refused, c.refused)

				counts := statuses(w.warmLog(t, o, 1))
				if !c.sent {
					require.Empty(t, counts)
					return
				}
				require.Equal(t, 1, counts["407 Negotiate"])
				require.LessOrEqual(t, counts["407"], 1) // asked what else there is
			})
		}
		for _, w := range both.ways() {
			t.Run(c.name+" Basic "+w.String(), func(t *testing.T) {
				o, before := both.newOrigin(t), k.counts()
				tr := kerberosLogon{options: c.options, source: basicAs{"bob", "open sesame"}}.transport(t, w, o)
				tr.Schemes = append(tr.Schemes, proxyauth.Basic())
				begun := time.Now()
				requireOK(t, tr, w.target(o))
				assert.Less(t, time.Since(begun), 5*time.Second)
				requireOK(t, tr, w.target(o)) // by what is known now
				tr.CloseIdleConnections()

				counts := statuses(w.log(t, o, 2))
				t.Logf("%v", counts)
				require.LessOrEqual(t, k.counts().since(before).Refused, c.refused)
				require.Positive(t, counts["200 Basic"])
				require.Zero(t, counts["407 Basic"])
				require.LessOrEqual(t, counts["407"], 2)
				sent := 0
				if c.sent {
					sent = 1
				}
				require.Equal(t, sent, counts["407 Negotiate"])
			})
		}
	}

	for _, c := range []struct {
		name, user, password string
		cause                string
		refused              int
	}{
		{"wrong password", "alice@MIT.EXAMPLE", "not it", "password", 1},
		{"unknown user", "nobody@MIT.EXAMPLE", "not it", "user", 1},
		{"unknown realm", "alice@NOWHERE.EXAMPLE", "not it", "KDC|realm|NOWHERE", 0},
	} {
		for _, w := range site.s.ways() {
			// A wrong password goes to the KDC once, for the lockout's sake.
			t.Run(c.name+" "+w.String(), func(t *testing.T) {
				o, before := site.s.newOrigin(t), k.counts()
				l := kerberosLogon{
					options: proxyauth.NegotiateOptions{ConfigPath: k.krb5Conf},
					source:  proxyauth.UserPassword(c.user, c.password),
				}
				tr := l.transport(t, w, o)
				begun := time.Now()
				together(t, 50, func() error {
					if status, _, err := fetch(tr, w.target(o)); err == nil {
						return fmt.Errorf("status %d", status)
					}
					return nil
				})
				_, _, err := fetch(tr, w.target(o)) // later
				assert.Less(t, time.Since(begun), 5*time.Second)
				t.Log(err, statuses(w.log(t, o, 1)))
				requireAuthError(t, err, c.cause)
				require.Empty(t, o.received())
				require.Equal(t, c.refused, k.counts().since(before).Refused)
			})
		}
	}

	// Last, since there is no KDC afterwards.
	t.Run("KDC stopped", func(t *testing.T) {
		for _, w := range site.s.ways() {
			o := site.s.newOrigin(t)
			tr := kerberosLogon{options: options{ConfigPath: k.krb5Conf, CachePath: cache}}.transport(t, w, o)
			requireOK(t, tr, w.target(o))
			defer func() {
				// The ticket for the proxy is still good.
				tr.CloseIdleConnections()
				requireOK(t, tr, w.target(o))
			}()
		}
		k.stop()
	})
}

// noConf returns a krb5.conf without any realm: a machine that is in no domain.
func noConf(t testing.TB) string {
	name := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(name, []byte("[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"), 0o600))
	return name
}

// NTLM inside SPNEGO, where there is neither a ticket nor a realm.
func testSPNEGO(t *testing.T, site kerberosSite) {
	noKerberos(t)
	l := kerberosLogon{
		options: proxyauth.NegotiateOptions{ConfigPath: noConf(t)},
		source:  proxyauth.UserPassword(`LABNT\alice`, kerberosUsers["alice"]),
	}
	for _, w := range site.s.ways() {
		t.Run("SPNEGO "+w.String(), func(t *testing.T) {
			o, before := site.s.newOrigin(t), site.k.counts()
			tr := l.transport(t, w, o)
			for range 3 {
				requireOK(t, tr, w.target(o))
			}
			tr.CloseIdleConnections()
			requireOK(t, tr, w.target(o))
			tr.CloseIdleConnections()
			require.Empty(t, o.proxyFields())
			require.Equal(t, before, site.k.counts())

			const user = `LABNT\alice`
			first, second := w.entry(o, 407, "", "Negotiate"), w.entry(o, 200, user, "Negotiate")
			later := w.entry(o, 200, user, "")
			want := []squidEntry{first, second, later, later, first, second}
			if w.method == "CONNECT" {
				want = []squidEntry{first, second, first, second}
			}
			require.ElementsMatch(t, want, w.warmLog(t, o, len(want)))
		})

		t.Run("SPNEGO load "+w.String(), func(t *testing.T) {
			o := site.s.newOrigin(t)
			tr := l.transport(t, w, o)
			tr.Base.MaxConnsPerHost = 50
			concurrently(t, 50, 500, tr, w.target(o))
			tr.CloseIdleConnections()
			require.Len(t, o.received(), 500)
			counts := statuses(w.warmLog(t, o, 2))
			t.Logf("%v", counts)
			handshakes := counts["407 Negotiate"]
			require.LessOrEqual(t, handshakes, 50)
			require.Zero(t, counts["407"])
			if w.method == "CONNECT" {
				// CloseIdleConnections ends what net/http dials and nobody waits for.
				require.LessOrEqual(t, counts["200 Negotiate"], handshakes)
				return
			}
			require.Equal(t, map[string]int{"407 Negotiate": handshakes, "200 Negotiate": handshakes, "200": 500 - handshakes}, counts)
		})

		t.Run("SPNEGO wrong "+w.String(), func(t *testing.T) {
			o := site.s.newOrigin(t)
			wrong := l
			wrong.source = proxyauth.UserPassword(`LABNT\alice`, "not it")
			tr := wrong.transport(t, w, o)
			together(t, 50, func() error { return fetchRejected(tr, w.target(o)) })
			require.NoError(t, fetchRejected(tr, w.target(o)))
			require.Equal(t, map[string]int{"407 Negotiate": 2}, statuses(w.warmLog(t, o, 2)))
			require.Empty(t, o.received())
		})
	}
}

// A proxy that offers all: Kerberos with a ticket, or with a password where the
// realm is known; else NTLM, which is Negotiate's or NTLM's own. Digest and
// Basic would do too, and are not used.
func testAllSchemes(t *testing.T, site kerberosSite, ad *samba) {
	noKerberos(t)
	s := startSquid(t, "basic digest ntlm negotiate", kerberosUsers, "AD_DIR="+ad.dir)
	closed, _ := freePorts(t)
	const user = `LABNT\alice`
	password := kerberosUsers["alice"]
	type options = proxyauth.NegotiateOptions
	for _, c := range []struct {
		name     string
		options  options
		source   proxyauth.CredentialSource
		kerberos kdcCounts // all zero: NTLM
	}{
		{"ticket", options{ConfigPath: site.k.krb5Conf, CachePath: site.k.ccache(t, "alice")}, nil, kdcCounts{Requests: 1, TGS: 1}},
		{"ticket and password", options{ConfigPath: site.k.krb5Conf, CachePath: site.k.ccache(t, "alice")}, proxyauth.UserPassword("alice@LAB.EXAMPLE", password), kdcCounts{Requests: 1, TGS: 1}},
		{"realm and password", options{ConfigPath: site.k.krb5Conf}, proxyauth.UserPassword("alice@LAB.EXAMPLE", password), kdcCounts{Requests: 3, AS: 1, TGS: 1}},
		{"password", options{ConfigPath: noConf(t)}, proxyauth.UserPassword(user, password), kdcCounts{}},
		{"password, KDC down", options{ConfigPath: site.k.conf(t, closed)}, proxyauth.UserPassword("alice@LAB.EXAMPLE", password), kdcCounts{}},
	} {
		for _, w := range s.ways() {
			t.Run(strings.Join([]string{"all schemes", c.name, w.String()}, " "), func(t *testing.T) {
				o, before := s.newOrigin(t), site.k.counts()
				tr := w.transport(t, o, c.source)
				tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(c.options), proxyauth.NTLM(), proxyauth.Digest(), proxyauth.Basic()}
				begun := time.Now()
				requireOK(t, tr, w.target(o))
				assert.Less(t, time.Since(begun), 5*time.Second)
				tr.CloseIdleConnections()
				requireOK(t, tr, w.target(o))
				tr.CloseIdleConnections()
				require.Empty(t, o.proxyFields())
				requireAsked(t, site.k, before, c.kerberos)

				entries := w.log(t, o, 3)
				counts := statuses(entries)
				t.Logf("%v", counts)
				for _, e := range entries {
					if e.Status == 200 {
						require.Equal(t, user, e.User)
					}
				}
				switch {
				case c.kerberos.TGS > 0:
					require.Equal(t, map[string]int{"407": 1, "200 Negotiate": 2}, counts)
				case counts["200 NTLM3"] > 0:
					require.LessOrEqual(t, counts["407"], 2)
					delete(counts, "407")
					require.Equal(t, map[string]int{"407 NTLM1": 2, "200 NTLM3": 2}, counts)
				default:
					require.Equal(t, map[string]int{"407": 1, "407 Negotiate": 2, "200 Negotiate": 2}, counts)
				}
			})
		}
	}
}
