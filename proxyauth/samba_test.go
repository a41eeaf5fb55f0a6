//go:build realproxy

package proxyauth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth"
)

// sambaUsers are users of the domain LABNT (LAB.EXAMPLE), one for each case
// with a wrong password.
var sambaUsers = map[string]string{
	"alice":        "pa ss:wörd 1",
	"пользователь": "pa ss:wörd 2",
	"jäsøn":        "pa ss:wörd 3",
	"wrong1":       "x1", "wrong2": "x2", "wrong3": "x3", "wrong4": "x4",
}

// R8, R17, R18: NTLM against squid and a Samba AD domain controller.
func TestSambaNTLM(t *testing.T) {
	ad := startSamba(t, sambaUsers)
	s := startSquid(t, "ntlm", sambaUsers, "AD_DIR="+ad.dir)
	alice := proxyauth.UserPassword(`LABNT\alice`, sambaUsers["alice"])

	for i, w := range s.ways() {
		t.Run(w.String()+" right", func(t *testing.T) {
			o := s.newOrigin(t)
			tr := w.transport(t, o, alice)
			for range 3 {
				requireOK(t, tr, w.target(o))
			}
			tr.CloseIdleConnections()
			requireOK(t, tr, w.target(o))
			tr.CloseIdleConnections()
			require.Empty(t, o.proxyFields())

			const user = `LABNT\alice`
			first, second := w.entry(o, 407, "", ""), w.entry(o, 407, "", "NTLM1")
			third, later := w.entry(o, 200, user, "NTLM3"), w.entry(o, 200, user, "")
			want := []squidEntry{first, second, third, later, later, second, third}
			if w.method == "CONNECT" {
				want = []squidEntry{first, second, third, second, third}
			}
			require.ElementsMatch(t, want, w.log(t, o, len(want)))
		})

		// Alone, and for 50 goroutines at once.
		t.Run(w.String()+" wrong", func(t *testing.T) {
			o := s.newOrigin(t)
			name := []string{"wrong1", "wrong2", "wrong3", "wrong4"}[i]
			tr := w.transport(t, o, proxyauth.UserPassword(`LABNT\`+name, "not it"))
			together(t, 50, func() error { return fetchRejected(tr, w.target(o)) })
			require.NoError(t, fetchRejected(tr, w.target(o)))
			// Two attempts, since the first refusal might be one of that moment.
			require.Equal(t, map[string]int{"407": 1, "407 NTLM1": 2, "407 NTLM3": 2}, statuses(w.log(t, o, 5)))
		})

		t.Run(w.String()+" users", func(t *testing.T) {
			for user, password := range map[string]string{
				`lab.example\alice`:        sambaUsers["alice"],
				"alice@lab.example":        sambaUsers["alice"],
				"alice":                    sambaUsers["alice"],
				`LABNT\пользователь`:       sambaUsers["пользователь"],
				"пользователь@LAB.EXAMPLE": sambaUsers["пользователь"],
				`LABNT\jäsøn`:              sambaUsers["jäsøn"],
			} {
				o := s.newOrigin(t)
				tr := w.transport(t, o, proxyauth.UserPassword(user, password))
				require.NoError(t, fetchOK(tr, w.target(o)), user)
			}
			for _, user := range []string{`NOWHERE\alice`, "alice@nowhere.example", `LABNT\nobody`} {
				o := s.newOrigin(t)
				tr := w.transport(t, o, proxyauth.UserPassword(user, sambaUsers["alice"]))
				require.NoError(t, fetchRejected(tr, w.target(o)), user)
			}
		})
	}
	testNTLMLoad(t, s, alice)
}

// R17: the same load on squid's own NTLM, without a domain.
func TestSquidNTLM(t *testing.T) {
	users := map[string]string{"alice": "open sesame"}
	s := startSquid(t, "ntlm", users)
	testNTLMLoad(t, s, proxyauth.UserPassword(`ANY\alice`, "open sesame"))
	for _, w := range s.ways() {
		t.Run(w.String()+" wrong", func(t *testing.T) {
			o := s.newOrigin(t)
			tr := w.transport(t, o, proxyauth.UserPassword("alice", "not it"))
			require.NoError(t, fetchRejected(tr, w.target(o)))
			require.Equal(t, map[string]int{"407": 1, "407 NTLM1": 1, "407 NTLM3": 1}, statuses(w.log(t, o, 3)))
		})
	}
}

// testNTLMLoad sends 500 requests by 50 goroutines of a fresh client, and
// bodies.
func testNTLMLoad(t *testing.T, s *squid, source proxyauth.CredentialSource) {
	for _, w := range s.ways() {
		t.Run(w.String()+" load", func(t *testing.T) {
			o := s.newOrigin(t)
			tr := w.transport(t, o, source)
			tr.Base.MaxConnsPerHost = 50
			concurrently(t, 50, 500, tr, w.target(o))
			tr.CloseIdleConnections()
			counts := statuses(w.log(t, o, 3))
			t.Logf("%v", counts)
			handshakes := counts["407 NTLM1"]
			require.LessOrEqual(t, handshakes, 50)
			if w.method == "CONNECT" {
				// CloseIdleConnections ends what net/http dials and nobody waits for.
				require.LessOrEqual(t, counts["200 NTLM3"], handshakes)
				require.Zero(t, counts["407 NTLM3"])
				require.Equal(t, 1, counts["407"])
				return
			}
			require.Equal(t, map[string]int{"407": 1, "407 NTLM1": handshakes, "200 NTLM3": handshakes, "200": 500 - handshakes}, counts)
		})
		if w.method == "CONNECT" {
			continue
		}
		for name, stream := range map[string]bool{"GetBody": false, "stream": true} {
			t.Run(w.String()+" POST "+name, func(t *testing.T) {
				o := s.newOrigin(t)
				tr := w.transport(t, o, source)
				require.NoError(t, postBig(tr, o, stream)) // cold
				together(t, 20, func() error { return postBig(tr, o, stream) })
				requireBig(t, o, 21)
				t.Logf("%v", statuses(w.log(t, o, 3)))
			})
		}
	}
}
