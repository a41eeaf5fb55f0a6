package negotiate_test

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// R26: what a KDC refuses is told as what it is, with what to do; a wrong
// password only if it is one.
func TestCausesOfKDC(t *testing.T) {
	nothingElse(t)
	now := time.Now()
	for name, test := range map[string]struct {
		code          int32
		service       bool // asked with a TGT, not for one
		cause, remedy string
		means         string
	}{
		"service":          {errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, true, "the KDC does not know this service", "host name", ""},
		"user":             {errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, false, "the KDC does not know this user", "user name", "barred"},
		"password":         {errorcode.KDC_ERR_PREAUTH_FAILED, false, "wrong password or key", "check the password", "rejected"},
		"expired password": {errorcode.KDC_ERR_KEY_EXPIRED, false, "the password has expired", "change it", "barred"},
		"disabled":         {errorcode.KDC_ERR_CLIENT_REVOKED, false, "the account is disabled or locked", "administrators", "barred"},
		"clock":            {errorcode.KRB_AP_ERR_SKEW, false, "the clocks differ too much", "NTP", ""},
		"clock, service":   {errorcode.KRB_AP_ERR_SKEW, true, "the clocks differ too much", "NTP", ""},
		"expired ticket":   {errorcode.KRB_AP_ERR_TKT_EXPIRED, true, "the ticket has expired", "kinit", ""},
		"encryption type":  {errorcode.KDC_ERR_ETYPE_NOSUPP, true, "no common encryption type", "enctypes", ""},
		"something else":   {errorcode.KDC_ERR_POLICY, true, "Kerberos failed", "krb5.conf", ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKDC(t)
			k.refuse(test.code)
			o := k.alice(t)
			if test.service {
				o.CachePath = filepath.Join(t.TempDir(), "cache")
				k.cache(t, o.CachePath, "alice", credential{service: tgt, begin: now, end: now.Add(time.Hour)})
			}
			err := ask(t, o)
			var e *negotiate.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.cause, e.Cause)
			require.Contains(t, e.Remedy, test.remedy)
			require.Equal(t, test.means == "rejected", e.Rejected)
			require.Equal(t, test.means == "barred", e.Barred)
			require.Equal(t, spn, e.SPN)
			for _, part := range []string{e.SPN, e.Cause, e.Remedy, errors.Unwrap(e).Error()} {
				require.ErrorContains(t, err, part)
			}
			// R44: what the KDC says is told in one line.
			for err := error(e); err != nil; err = errors.Unwrap(err) {
				require.ErrorContains(t, err, "in two\ufffd lines\ufffd")
				require.NotRegexp(t, "[[:cntrl:]]", err.Error())
			}
		})
	}
}

// R8, R26: a wrong password is told as that, also by a KDC that does not check
// it first, and costs one attempt at the account.
func TestWrongPassword(t *testing.T) {
	nothingElse(t)
	for _, open := range []bool{false, true} {
		k := newKDC(t)
		k.open = open
		o := k.alice(t)
		o.Password = "bob's"
		client := negotiate.NewClient(o)
		for range 3 {
			_, err := client.Ticket(t.Context(), spn)
			var e *negotiate.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "wrong password or key", e.Cause)
			require.True(t, e.Rejected)
			require.NotContains(t, err.Error(), o.Password)
		}
		require.Equal(t, []string{"AS alice"}, k.since())
	}
}

// R26: a clock that differs from that of a KDC which does not mind is no wrong
// password.
func TestClockOfKDC(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	k.ahead = 10 * time.Minute
	var e *negotiate.Error
	require.ErrorAs(t, ask(t, k.alice(t)), &e)
	require.Equal(t, "the clocks differ too much", e.Cause)
	require.False(t, e.Rejected)
}

// R26: a realm without a KDC, and KDCs that cannot be reached, are told.
func TestNoKDC(t *testing.T) {
	nothingElse(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	l.Close()
	for name, test := range map[string]struct {
		conf, cause, remedy string
	}{
		"not named":      {"[libdefaults]\n dns_lookup_kdc = false\n", "no KDC is known for the realm", "krb5.conf"},
		"none":           {"[libdefaults]\n dns_lookup_kdc = off\n[realms]\n CORP.EXAMPLE = {\n }\n", "no KDC is known for the realm", "krb5.conf"},
		"closed":         {"[libdefaults]\n udp_preference_limit = 1\n[realms]\n CORP.EXAMPLE = {\n kdc = " + closed + "\n }\n", "the KDC cannot be reached", "network"},
		"closed, by UDP": {"[realms]\n CORP.EXAMPLE = {\n kdc = " + closed + "\n }\n", "the KDC cannot be reached", "network"},
	} {
		err := ask(t, negotiate.Options{ConfigPath: write(t, test.conf), Username: "alice@" + corp, Password: "x"})
		var e *negotiate.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, test.cause, e.Cause, err)
		require.Contains(t, e.Remedy, test.remedy, name)
		require.False(t, e.Rejected)
	}
}

// R26: an answer of a KDC that is none is an error.
func TestMalformedAnswers(t *testing.T) {
	nothingElse(t)
	for name, change := range map[string]func(rep *messages.TGSRep){
		"ticket without a service": func(rep *messages.TGSRep) { rep.Ticket.SName = types.PrincipalName{} },
		"of another key":           func(rep *messages.TGSRep) { rep.EncPart.Cipher[20] ^= 1 },
		"cut off":                  func(rep *messages.TGSRep) { rep.EncPart.Cipher = rep.EncPart.Cipher[:8] },
		"another user's":           func(rep *messages.TGSRep) { rep.CName.NameString = []string{"bob"} },
	} {
		k := newKDC(t)
		k.change = change
		err := ask(t, k.alice(t))
		var e *negotiate.Error
		require.ErrorAs(t, err, &e, name)
		require.False(t, e.Rejected, name)
	}
}
