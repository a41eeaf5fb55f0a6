//go:build realproxy

package proxyauth_test

import (
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

// R23, R25: with MIT's KDC and squid: see testKerberos.
func TestKerberosMIT(t *testing.T) {
	site := mitSite(t)
	testKerberos(t, site)
	testKerberosLoad(t, site)
	testShortTickets(t, site)
	testKinitAsAnother(t, site)
}

// R23, R24, R25: with Samba's AD and squid: see testKerberos, testSPNEGO and
// testAllSchemes.
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

// R23: keys of all these types, of users, services and sessions alike.
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
			// Two attempts of two legs each.
			require.Equal(t, map[string]int{"407 Negotiate": 4}, statuses(w.warmLog(t, o, 4)))
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
