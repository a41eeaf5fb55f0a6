package proxyauth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// R9: names and passwords go out in UTF-8, in NFC where the challenge says so;
// those that Basic cannot carry are not sent.
func TestBasicCredentials(t *testing.T) {
	o := newOrigin(t)
	for name, test := range map[string]struct {
		user, password, charset, want, reason string
	}{
		"RFC 7617 2":        {"Aladdin", "open sesame", "", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ""},
		"RFC 7617 2.1":      {"test", "123£", "UTF-8", "Basic dGVzdDoxMjPCow==", ""},
		"UTF-8 without it":  {"test", "123£", "", "Basic dGVzdDoxMjPCow==", ""},
		"NFC":               {"test", "a\u0308", "UTF-8", "Basic dGVzdDrDpA==", ""},
		"colons and blanks": {"u", " a:b c ", "", "Basic dTogYTpiIGMg", ""},
		"colon in the name": {"a:b", "c", "", "", "colon"},
		"control character": {"a", "b\n", "", "", "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r", Charset: test.charset}}})
			tr := newTransport(t, p, o)
			tr.Credentials = proxyauth.UserPassword(test.user, test.password)
			_, _, err := fetch(tr, o.HTTP.URL)
			if test.reason != "" {
				require.ErrorIs(t, err, proxyauth.ErrNoUsableScheme)
				require.ErrorContains(t, err, test.reason)
				require.Empty(t, sent(p))
				return
			}
			legs := p.Transcript()
			require.Equal(t, test.want, legs[len(legs)-1].Header.Get("Proxy-Authorization"))
		})
	}
}

// R9: where no challenge is waited for, there is none to say that it wants NFC.
func TestBasicAloneIsNormalized(t *testing.T) {
	o := newOrigin(t)
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: map[string]string{"jos\u00e9": "a"}})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
	tr.Credentials = proxyauth.UserPassword("jose\u0301", "a")
	requireOK(t, tr, o.HTTP.URL)
	require.Equal(t, 1, p.Counts().Requests)
}

// R8, R10: known at the start to be Basic: sent at once.
func TestBasicAloneIsPreemptive(t *testing.T) {
	o := newOrigin(t)
	for _, url := range o.ways() {
		p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
		tr := newTransport(t, p, o)
		tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
		requireOK(t, tr, url)
		require.Equal(t, 1, p.Counts().Requests)
	}
	p := newProxy(t, proxytest.Config{Auth: []proxytest.Auth{proxytest.Basic{Realm: "r"}}, Users: alice})
	tr := newTransport(t, p, o)
	tr.Schemes = []proxyauth.Scheme{proxyauth.Basic()}
	tr.Credentials = proxyauth.UserPassword("alice", "open barley")
	_, _, err := fetch(tr, o.HTTP.URL)
	require.ErrorIs(t, err, proxyauth.ErrRejected)
	require.Equal(t, 1, p.Attempts("alice"), "the 407 to it is the rejection")
}
