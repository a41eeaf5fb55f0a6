package negotiate_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

const tgt = "krbtgt/" + corp

// both is what a KDC is asked for a service by password or key.
func both(user string) []string { return []string{"AS " + user, "TGS " + spn} }

// alice logs in by password.
func (k *kdc) alice(t *testing.T) negotiate.Options {
	return negotiate.Options{ConfigPath: k.conf(t), Username: "alice@" + corp, Password: "alice's"}
}

// R23: credentials are the ticket cache's, else those of the keytab or the
// password, and nobody else's than the user's who is named.
func TestSources(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	now := time.Now()
	good := credential{service: spn, begin: now, end: now.Add(time.Hour)}
	goodTGT := credential{service: tgt, begin: now, end: now.Add(time.Hour)}
	over := credential{service: tgt, begin: now.Add(-time.Hour), end: now.Add(-time.Minute)}
	dir := t.TempDir()
	cache := func(user string, credentials ...credential) string {
		path := filepath.Join(dir, "cache")
		k.cache(t, path, user, credentials...)
		return path
	}
	keytab := k.keytab(t, "bob@"+corp, "alice@"+corp)

	for name, test := range map[string]struct {
		cache []credential // of alice
		o     negotiate.Options
		from  string
		asked []string
	}{
		"password":                       {nil, negotiate.Options{Username: "alice@CORP.EXAMPLE", Password: "alice's"}, "alice@CORP.EXAMPLE by the password", both("alice")},
		"realm in lower case":            {nil, negotiate.Options{Username: "alice@corp.example", Password: "alice's"}, "alice@CORP.EXAMPLE by the password", both("alice")},
		"keytab":                         {nil, negotiate.Options{KeytabPath: keytab}, "bob@CORP.EXAMPLE by the keytab", both("bob")},
		"keytab, with its type":          {nil, negotiate.Options{KeytabPath: "FILE:" + keytab}, "bob@CORP.EXAMPLE by the keytab", both("bob")},
		"keytab of several":              {nil, negotiate.Options{KeytabPath: keytab, Principal: "alice@CORP.EXAMPLE"}, "alice@CORP.EXAMPLE by the keytab", both("alice")},
		"password before keytab":         {nil, negotiate.Options{KeytabPath: keytab, Username: "alice@CORP.EXAMPLE", Password: "alice's"}, "alice@CORP.EXAMPLE by the password", both("alice")},
		"service's ticket":               {[]credential{good}, negotiate.Options{}, "alice@CORP.EXAMPLE by the ticket cache", nil},
		"service's ticket before a TGT":  {[]credential{goodTGT, good}, negotiate.Options{}, "alice@CORP.EXAMPLE by the ticket cache", nil},
		"TGT":                            {[]credential{goodTGT}, negotiate.Options{}, "alice@CORP.EXAMPLE by the ticket cache", []string{"TGS " + spn}},
		"TGT before keytab":              {[]credential{goodTGT}, negotiate.Options{KeytabPath: keytab}, "alice@CORP.EXAMPLE by the ticket cache", []string{"TGS " + spn}},
		"expired TGT, keytab":            {[]credential{over}, negotiate.Options{KeytabPath: keytab}, "bob@CORP.EXAMPLE by the keytab", both("bob")},
		"cache of the user":              {[]credential{good}, negotiate.Options{Username: "alice@CORP.EXAMPLE", Password: "alice's"}, "alice@CORP.EXAMPLE by the ticket cache", nil},
		"cache of the user in any case":  {[]credential{good}, negotiate.Options{Username: "Alice@corp.example"}, "alice@CORP.EXAMPLE by the ticket cache", nil},
		"cache of the user without more": {[]credential{good}, negotiate.Options{Username: "alice"}, "alice@CORP.EXAMPLE by the ticket cache", nil},
		"cache of the user of a domain":  {[]credential{good}, negotiate.Options{Username: `CORP\alice`}, "alice@CORP.EXAMPLE by the ticket cache", nil},
		"cache of another user":          {[]credential{good}, negotiate.Options{Username: "bob@CORP.EXAMPLE", Password: "bob's"}, "bob@CORP.EXAMPLE by the password", both("bob")},
	} {
		t.Run(name, func(t *testing.T) {
			k.since()
			test.o.ConfigPath = k.conf(t)
			if test.cache != nil {
				test.o.CachePath = cache("alice", test.cache...)
			}
			ticket, err := negotiate.NewClient(test.o).Ticket(t.Context(), spn)
			require.NoError(t, err)
			require.Contains(t, ticket.String(), "ticket of "+test.from+", valid until ")
			require.Equal(t, test.asked, k.since())
		})
	}

	// The keytab may be named by the environment.
	t.Setenv("KRB5_CLIENT_KTNAME", "FILE:"+keytab)
	ticket, err := negotiate.NewClient(negotiate.Options{ConfigPath: k.conf(t)}).Ticket(t.Context(), spn)
	require.NoError(t, err)
	require.Equal(t, "bob@CORP.EXAMPLE", ticket.Principal())

	// A user of another realm is another user.
	k.since()
	_, err = negotiate.NewClient(negotiate.Options{
		ConfigPath: k.conf(t), CachePath: cache("alice", good), Username: "alice@OTHER.EXAMPLE", Password: "x",
	}).Ticket(t.Context(), spn)
	require.ErrorContains(t, err, "OTHER.EXAMPLE")
	require.Empty(t, k.since())
}

// R23: tickets are kept, and renewed a minute before their end.
func TestTicketIsKeptAndRenewed(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	client := negotiate.NewClient(k.alice(t))
	synctest.Test(t, func(t *testing.T) {
		first, err := client.Ticket(t.Context(), spn)
		require.NoError(t, err)
		require.Equal(t, both("alice"), k.since())

		time.Sleep(k.lifetime - time.Minute - 1)
		again, err := client.Ticket(t.Context(), spn)
		require.NoError(t, err)
		require.Same(t, first, again)
		require.Empty(t, k.since())

		time.Sleep(time.Nanosecond)
		again, err = client.Ticket(t.Context(), spn)
		require.NoError(t, err)
		require.NotSame(t, first, again)
		require.Equal(t, both("alice"), k.since())
		require.Contains(t, again.String(), "valid until "+time.Now().Add(k.lifetime).Local().Format("2006-01-02 15:04 MST"))
	})
}

// R23: a burst asks the KDC once, for each service.
func TestBurst(t *testing.T) {
	nothingElse(t)
	k := newKDC(t, "HTTP/other@"+corp)
	client := negotiate.NewClient(k.alice(t))
	var burst sync.WaitGroup
	for range 50 {
		burst.Go(func() {
			_, err := client.Ticket(t.Context(), spn)
			assert.NoError(t, err)
		})
	}
	burst.Wait()
	require.Equal(t, both("alice"), k.since())
	_, err := client.Ticket(t.Context(), "HTTP/other")
	require.NoError(t, err)
	require.Equal(t, []string{"AS alice", "TGS HTTP/other"}, k.since())
}

// R8, R26: a KDC that is down is not asked by each request, and a password that it
// has refused is not tried again for half an hour, in which directories count.
func TestFailureStands(t *testing.T) {
	for name, test := range map[string]struct {
		code int32
		d    time.Duration
	}{
		"refused service":  {errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, 5 * time.Second},
		"refused password": {errorcode.KDC_ERR_PREAUTH_FAILED, 31 * time.Minute},
		"unknown user":     {errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, 31 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			nothingElse(t)
			k := newKDC(t)
			k.refuse(test.code)
			client := negotiate.NewClient(k.alice(t))
			synctest.Test(t, func(t *testing.T) {
				_, first := client.Ticket(t.Context(), spn)
				require.Error(t, first)
				require.Equal(t, []string{"AS alice"}, k.since())

				time.Sleep(test.d)
				_, err := client.Ticket(t.Context(), spn)
				require.Equal(t, first, err)
				require.Empty(t, k.since())

				k.refuse(0)
				time.Sleep(time.Nanosecond)
				_, err = client.Ticket(t.Context(), spn)
				require.NoError(t, err)
				require.Equal(t, both("alice"), k.since())
			})
		})
	}
}

// R26: what is missing on this machine may be there a moment later.
func TestLocalFailureDoesNotStand(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	o := k.alice(t)
	conf := o.ConfigPath
	o.ConfigPath = filepath.Join(t.TempDir(), "krb5.conf")
	client := negotiate.NewClient(o)
	_, err := client.Ticket(t.Context(), spn)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.Rename(conf, o.ConfigPath))
	_, err = client.Ticket(t.Context(), spn)
	require.NoError(t, err)
}

// R23: a new ticket cache is perhaps another user's: what was got by the old
// one is not used any more, nor what is still under way.
func TestCacheChanges(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	now := time.Now()
	o := negotiate.Options{ConfigPath: k.conf(t), CachePath: filepath.Join(t.TempDir(), "cache")}
	kinit := func(user string) {
		k.cache(t, o.CachePath, user, credential{service: tgt, begin: now, end: now.Add(time.Hour)})
	}
	client := negotiate.NewClient(o)
	ticket := func() string {
		ticket, err := client.Ticket(t.Context(), spn)
		require.NoError(t, err)
		require.Same(t, ticket, client.Kept(spn))
		return ticket.Principal()
	}
	require.Nil(t, client.Kept(spn))

	kinit("alice")
	require.Equal(t, "alice@CORP.EXAMPLE", ticket())
	kinit("bob")
	require.Nil(t, client.Kept(spn))
	require.Equal(t, "bob@CORP.EXAMPLE", ticket())

	held, release := k.holdNext(t, "TGS")
	kinit("alice")
	slow := make(chan string)
	go func() {
		ticket, err := client.Ticket(t.Context(), spn)
		assert.NoError(t, err)
		slow <- ticket.Principal()
	}()
	<-held
	kinit("bob")
	require.Equal(t, "bob@CORP.EXAMPLE", ticket())
	release()
	require.Equal(t, "alice@CORP.EXAMPLE", <-slow)
	require.Equal(t, "bob@CORP.EXAMPLE", ticket())
}

// R26: the last ticket is told also after its end, so that its end can be told
// from a refusal.
func TestKeptTicketMayHaveEnded(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	client := negotiate.NewClient(k.alice(t))
	synctest.Test(t, func(t *testing.T) {
		ticket, err := client.Ticket(t.Context(), spn)
		require.NoError(t, err)
		require.Nil(t, client.Kept("HTTP/other"))
		time.Sleep(2 * k.lifetime)
		require.Same(t, ticket, client.Kept(spn))
	})
}

// R34: a context ends the wait for a KDC; its answer serves the next request.
func TestContextEndsTheWait(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	held, release := k.holdNext(t, "TGS")
	client := negotiate.NewClient(k.alice(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		<-held
		cancel(enough)
	}()
	_, err := client.Ticket(ctx, spn)
	require.Equal(t, enough, err)
	release()
	_, err = client.Ticket(t.Context(), spn)
	require.NoError(t, err)
	require.Equal(t, both("alice"), k.since())
}

// R23: the realm of a service that krb5.conf names is asked for it, by way of a
// ticket for that realm.
func TestServiceOfAnotherRealm(t *testing.T) {
	const eu = "EU.EXAMPLE"
	nothingElse(t)
	for name, test := range map[string]struct {
		realm string // of the host, by krb5.conf
		asked []string
	}{
		"none named": {"", []string{"AS alice", "TGS HTTP/proxy.eu.example"}},
		"the user's": {corp, []string{"AS alice", "TGS HTTP/proxy.eu.example"}},
		"another":    {eu, []string{"AS alice", "TGS krbtgt/EU.EXAMPLE", "TGS HTTP/proxy.eu.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := corp
			if test.realm != "" {
				home = test.realm
			}
			k := newKDC(t, "krbtgt/"+eu+"@"+corp, "HTTP/proxy.eu.example@"+home)
			k.add(t, "krbtgt/"+eu+"@"+eu, "krbtgt/"+eu+"@"+corp)
			o := k.alice(t)
			if test.realm != "" {
				o.ConfigPath = k.conf(t, "[domain_realm]", ".eu.example = "+test.realm)
			}
			ticket, err := negotiate.NewClient(o).Ticket(t.Context(), "HTTP/proxy.eu.example")
			require.NoError(t, err)
			require.Equal(t, "alice@CORP.EXAMPLE", ticket.Principal())
			require.Equal(t, test.asked, k.since())
		})
	}

	// There is no way to that realm.
	k := newKDC(t)
	o := k.alice(t)
	o.ConfigPath = k.conf(t, "[domain_realm]", ".eu.example = EU.EXAMPLE")
	_, err := negotiate.NewClient(o).Ticket(t.Context(), "HTTP/proxy.eu.example")
	var e *negotiate.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "HTTP/proxy.eu.example", e.SPN)
	require.ErrorContains(t, err, "krbtgt/EU.EXAMPLE")
}
