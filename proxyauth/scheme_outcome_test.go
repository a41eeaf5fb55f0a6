package proxyauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
	"github.com/go-proxyauth/go-proxyauth/proxyauth"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scripted"
)

// noTickets has the Negotiate scheme look where there is neither a configuration nor a
// ticket.
var noTickets = proxyauth.NegotiateOptions{ConfigPath: "no such krb5.conf", CachePath: "no such cache"}

// outcomeTests are requests that do not get through. A tunnel is asked for; the script
// says what the proxy does.
var outcomeTests = map[string]struct {
	script  func() scripted.Script
	change  func(*proxyauth.Transport)
	schemes string // each as name, "+" if offered, "!" if tried, and the error
	text    string // what Error has in its brackets after the target
}{
	"not allowed, not known": {
		script: challenging("X-Other", "Basic realm=r", "Bearer"),
		change: func(tr *proxyauth.Transport) { tr.Schemes = []proxyauth.Scheme{proxyauth.Digest()} },
		schemes: "X-Other+ not among Transport.Schemes, Basic+ not among Transport.Schemes, " +
			"Bearer+ not among Transport.Schemes",
		text: `offered: X-Other, Basic, Bearer, realm "r"; X-Other: not among Transport.Schemes; ` +
			`Basic: not among Transport.Schemes; Bearer: not among Transport.Schemes`,
	},
	"forbidden": {
		script:  challenging("Basic realm=r"),
		change:  func(tr *proxyauth.Transport) { tr.ForbidCleartextBasic = true },
		schemes: "Basic+ forbidden by Transport.ForbidCleartextBasic",
		text:    `offered: Basic, realm "r"; Basic: forbidden by Transport.ForbidCleartextBasic`,
	},
	"no credentials": {
		script:  challenging("Digest realm=r, nonce=n", "Basic realm=r"),
		change:  func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.UserPassword("", "") },
		schemes: "Digest+, Basic+",
		text:    `offered: Digest, Basic, realm "r"`,
	},
	"the source fails": {
		script: challenging("Digest realm=r, nonce=n", "Basic realm=r"),
		change: func(tr *proxyauth.Transport) {
			tr.Credentials = proxyauth.CredentialFunc(func(context.Context, proxyauth.CredentialRequest) (proxyauth.Credentials, error) {
				return proxyauth.Credentials{}, errVault
			})
		},
		schemes: "Digest+, Basic+",
		text:    `offered: Digest, Basic, realm "r"; Transport.Credentials failed: ` + errVault.Error(),
	},
	"tried in another order than offered": {
		script:  challenging("Basic realm=r", "Digest realm=r, nonce=n"),
		schemes: "Basic+!, Digest+!",
		text:    `offered: Basic, Digest, realm "r"; tried: Digest, Basic`,
	},
	"tried twice": {
		script: func() scripted.Script {
			return scripted.InTurn(scripted.Challenges("Digest realm=r, nonce=a"), scripted.Challenges("Digest realm=r, nonce=b, stale=true"),
				scripted.Challenges("Digest realm=r, nonce=c"))
		},
		schemes: "Digest+!",
		text:    `offered: Digest, realm "r"; tried: Digest`,
	},
	"tried, and then not offered": {
		script: func() scripted.Script {
			return scripted.InTurn(scripted.Challenges("Digest realm=r, nonce=a", "Basic realm=r"), scripted.Challenges("Basic realm=r"))
		},
		change:  func(tr *proxyauth.Transport) { tr.Schemes = []proxyauth.Scheme{proxyauth.Digest()} },
		schemes: "Basic+ not among Transport.Schemes, Digest!",
		text:    `offered: Basic, realm "r"; tried: Digest; Basic: not among Transport.Schemes`,
	},
	"in other case": {
		script: challenging("basic realm=r", "NEGOTIATE", "x-Other"),
		change: func(tr *proxyauth.Transport) {
			tr.ForbidCleartextBasic, tr.Schemes = true, []proxyauth.Scheme{proxyauth.Basic()}
		},
		schemes: "Basic+ forbidden by Transport.ForbidCleartextBasic, Negotiate+ not among Transport.Schemes, x-Other+ not among Transport.Schemes",
		text: `offered: Basic, Negotiate, x-Other, realm "r"; Basic: forbidden by Transport.ForbidCleartextBasic; ` +
			`Negotiate: not among Transport.Schemes; x-Other: not among Transport.Schemes`,
	},
	"malformed": {
		script:  challenging(`a="b"`, "Digest realm=r", "Basic realm", "Digest realm=r", "Bearer"),
		schemes: `Bearer+ not among Transport.Schemes, Digest malformed "Digest" challenge: no nonce, Basic malformed "Basic" challenge: no realm`,
		text: `offered: Bearer; Bearer: not among Transport.Schemes; malformed "Digest" challenge: no nonce; ` +
			`malformed "Basic" challenge: no realm; malformed challenge: a parameter without a scheme`,
	},
	"malformed, and another of the scheme": {
		script:  challenging("Basic realm", "Basic realm=r"),
		change:  func(tr *proxyauth.Transport) { tr.ForbidCleartextBasic = true },
		schemes: `Basic+ malformed "Basic" challenge: no realm; forbidden by Transport.ForbidCleartextBasic`,
		text:    `offered: Basic, realm "r"; malformed "Basic" challenge: no realm; Basic: forbidden by Transport.ForbidCleartextBasic`,
	},
	"schemes that fail": {
		script: challenging("Basic realm=r", `Digest realm=r, nonce=n, algorithm=FOO`),
		change: func(tr *proxyauth.Transport) { tr.Credentials = proxyauth.UserPassword("a:b", "open sesame") },
		schemes: "Basic+ the user name has a colon, which Basic cannot send, " +
			`Digest+ digest: algorithm "FOO": not supported`,
		text: `offered: Basic, Digest, realm "r"; Basic: the user name has a colon, which Basic cannot send; ` +
			`Digest: digest: algorithm "FOO": not supported`,
	},
	"a handshake that fails": {
		script: func() scripted.Script {
			return scripted.Demand(scripted.Challenges("NTLM"), scripted.Status(407, "Proxy-Authenticate: NTLM "+stubType2, "Connection: close").Then(scripted.HangUp()))
		},
		schemes: "NTLM+! the proxy closes the connection between the legs of the handshake",
		text:    "offered: NTLM; tried: NTLM; NTLM: the proxy closes the connection between the legs of the handshake",
	},
	"no proof": {
		script: func() scripted.Script {
			return scripted.Demand(scripted.Challenges("Digest realm=r, nonce=n, qop=auth"), scripted.Status(200, `Proxy-Authentication-Info: rspauth="x"`))
		},
		schemes: "Digest! digest: the peer's rspauth is wrong: it does not know the password",
		text:    "status 200; offered: nothing; tried: Digest; Digest: digest: the peer's rspauth is wrong: it does not know the password",
	},
}

// challenging returns a script that answers each request with these challenges.
func challenging(challenges ...string) func() scripted.Script {
	return func() scripted.Script { return scripted.Always(scripted.Challenges(challenges...)) }
}

// R4, R6: the error tells of each scheme what became of it, for programs and for
// people.
func TestSchemeOutcomes(t *testing.T) {
	for name, test := range outcomeTests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tr := w.through(w.scripted(test.script()))
			if test.change != nil {
				test.change(tr.Transport)
			}
			_, _, err := fetch(tr, "https://origin.example:8443/")
			var e *proxyauth.AuthError
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.schemes, outcomeTexts(e.Schemes))
			_, text, _ := strings.Cut(err.Error(), "(target origin.example:8443; ")
			require.True(t, strings.HasPrefix(text, test.text+"): "), err.Error())
		})
	}
}

func outcomeTexts(schemes []proxyauth.SchemeOutcome) string {
	var all []string
	for _, s := range schemes {
		text := s.Name
		if s.Offered {
			text += "+"
		}
		if s.Tried {
			text += "!"
		}
		if s.Err != nil {
			text += " " + s.Err.Error()
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// What a scheme wraps is found in its outcome. In the AuthError only that of one scheme
// is, which is the reason for all.
func TestSchemeOutcomeErrors(t *testing.T) {
	w := newWorld(t)
	tr := w.through(w.scripted(challenging("Negotiate", "Basic realm=r")()))
	tr.Schemes = []proxyauth.Scheme{proxyauth.Negotiate(noTickets), proxyauth.Basic()}
	tr.Credentials = proxyauth.CredentialFunc(func(_ context.Context, req proxyauth.CredentialRequest) (c proxyauth.Credentials, err error) {
		if req.Scheme == "Basic" {
			c = proxyauth.Credentials{Username: "a:b", Password: "open sesame"}
		}
		return c, nil
	})
	_, _, err := fetch(tr, w.HTTPS.URL)
	var e *proxyauth.AuthError
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Schemes, 2)
	var ticket *negotiate.Error
	require.ErrorAs(t, e.Schemes[0].Err, &ticket)
	require.False(t, errors.As(err, &ticket), "Basic was considered last")

	shown, jsonErr := json.Marshal(e)
	require.NoError(t, jsonErr)
	require.Contains(t, string(shown), `{"Name":"Basic","Offered":true,"Tried":false,"Err":"the user name has a colon, which Basic cannot send"}`)
}

// An error that a program makes itself, as its tests do, reads as one of a Transport.
func TestAuthErrorOfOnesOwn(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", &proxyauth.AuthError{
		Proxy: "http://proxy.example:3128", Target: "origin.example:443", Realm: "corp", StatusCode: 407, Err: proxyauth.ErrRejected,
		Schemes: []proxyauth.SchemeOutcome{
			{Name: "Negotiate", Offered: true, Err: errVault}, {Name: "Basic", Offered: true, Tried: true}, {Name: "Digest", Tried: true},
		},
	})
	require.EqualError(t, err, "wrapped: proxyauth: proxy http://proxy.example:3128 rejected the credentials (target origin.example:443; "+
		`offered: Negotiate, Basic, realm "corp"; tried: Basic, Digest; Negotiate: `+errVault.Error()+")")
	require.NotErrorIs(t, err, errVault)
}
