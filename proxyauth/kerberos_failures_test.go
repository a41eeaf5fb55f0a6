//go:build realproxy

package proxyauth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// basicAs is credentials for Basic alone.
type basicAs struct{ user, password string }

func (c basicAs) ProxyCredentials(_ context.Context, req proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
	if req.Scheme != "Basic" {
		return proxyauth.Credentials{}, proxyauth.ErrNoCredentials
	}
	return proxyauth.Credentials{Username: c.user, Password: c.password}, nil
}

// R6, R26: where Kerberos cannot be done the error says why, within 5 s, and
// nothing reaches the origin. Where the proxy offers Basic too, that is taken.
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
				require.Len(t, e.Schemes, 1)
				require.Equal(t, "Negotiate", e.Schemes[0].Name)
				require.True(t, e.Schemes[0].Offered)
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
		{"wrong password", "alice@MIT.EXAMPLE", "not it", "password", 2},
		{"unknown user", "nobody@MIT.EXAMPLE", "not it", "user", 1},
		{"unknown realm", "alice@NOWHERE.EXAMPLE", "not it", "KDC|realm|NOWHERE", 0},
	} {
		for _, w := range site.s.ways() {
			// A wrong password goes to the KDC twice, for the lockout's sake.
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
				asked := 1 // the proxy, without a ticket; but not where the KDC has refused the password
				if c.name == "wrong password" {
					asked = 0
				}
				legs := w.log(t, o, asked)
				t.Log(err, statuses(legs))
				if asked == 0 {
					require.Empty(t, legs)
				}
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

// requireAuthError requires an AuthError whose text matches, whatever the case.
func requireAuthError(t *testing.T, err error, pattern string) *proxyauth.AuthError {
	t.Helper()
	var e *proxyauth.AuthError
	require.ErrorAs(t, err, &e)
	require.Regexp(t, "(?i)"+pattern, err.Error())
	return e
}

// noConf returns a krb5.conf without any realm: a machine that is in no domain.
func noConf(t testing.TB) string {
	name := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(name, []byte("[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"), 0o600))
	return name
}
