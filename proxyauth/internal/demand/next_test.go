package demand_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
)

// What is known after facts, whatever they are about.
func TestNext(t *testing.T) {
	for name, text := range map[string]string{
		"at first nothing is known": `
			asked : no
			offers :
			plans :
			for a : none
			bare a :
			strength :
			protection :
			probes : not`,

		"a 407 to a request without credentials says what the proxy demands": `
			a is challenged by Digest Basic
			asked : yes
			offers : Digest Basic
			for a : none
			b is challenged by NTLM
			offers : NTLM`,

		"another answer to one says that it has been asked": `
			an answer without credentials
			asked : yes
			offers :
			bare a :`,

		"what an OPTIONS tells is as it was found last": `
			probes tell
			probes : tell
			probes do not tell
			probes : not
			asked : no`,

		"a proxy that has changed offers something, and it is not known what": `
			a is challenged by Digest
			alice@r passes at a
			b passes bare
			the proxy changes
			asked : yes
			offers :
			(What was learned by credentials stays.)
			plans : alice@r
			strength : Digest
			bare a b : b`,

		"so does one of which nothing was known": `
			the proxy changes
			asked : yes
			offers :`,

		"a target that passes without credentials, until it is challenged": `
			a passes bare
			b passes bare
			bare a b c : a b
			a is challenged by Basic
			bare a b c : b
			c is challenged by Basic
			bare a b c : b
			a passes bare
			bare a b c : a b`,

		"strength is the greatest of all that have passed, whoever is in force": `
			alice@r/NTLM is adopted
			strength : (it has not passed)
			alice@r passes at a
			strength : Digest
			alice@r/NTLM passes at a
			strength : NTLM
			alice@r/Basic passes at a
			strength : NTLM
			alice@r/NTLM is dropped : alice@r/NTLM
			strength : NTLM`,

		"protection is the best of what has passed": `
			alice@r:MD5 is adopted
			protection :
			alice@r:MD5 passes at a
			protection : MD5
			bob@s:SHA-512 passes at a
			protection : SHA-512
			alice@r:SHA-256 passes at a
			protection : SHA-512
			carol@t passes at a
			protection : SHA-512`,

		"of those that protect alike it is the first": `
			alice@r:MD5 passes at a
			bob@s:MD5-sess passes at b
			protection : MD5`,

		"protection counts what a plan that has passed becomes": `
			alice@r:MD5 is adopted
			alice@r:MD5 becomes alice@r:SHA-256
			protection : (it has not passed)
			alice@r:SHA-256 passes at a
			protection : SHA-256
			alice@r:SHA-256 becomes alice@r:SHA-512
			protection : SHA-512
			alice@r:SHA-512 becomes alice@r:MD5
			protection : SHA-512
			plans : alice@r:MD5
			bob@r becomes bob@r:SHA-512
			protection : SHA-512`,
	} {
		t.Run(name, func(t *testing.T) { play(t, text) })
	}
}

// A fact of no kind says nothing.
func TestNoFact(t *testing.T) {
	next, gone := Demand{}.Next(Fact{Target: "a", Plan: plan("Digest", "r", "alice")})
	require.Equal(t, Demand{}, next)
	require.Empty(t, gone)
}

// Which plans are in force, in which order, and which have gone.
func TestPlans(t *testing.T) {
	for name, text := range map[string]string{
		"the plan that was adopted last is the first": `
			alice@r is adopted
			for a : alice@r
			alice@r/NTLM is adopted
			plans : alice@r/NTLM alice@r
			for a : alice@r/NTLM`,

		"so is the one that has passed last": `
			alice@r is adopted
			bob@s is adopted
			carol@t is adopted
			plans : carol@t bob@s alice@r
			alice@r passes at a
			plans : alice@r carol@t bob@s
			carol@t passes at a
			plans : carol@t alice@r bob@s
			carol@t passes at a
			plans : carol@t alice@r bob@s`,

		"what is in force is not adopted again": `
			alice@r is adopted
			alice@r:n1 is adopted
			plans : alice@r
			bob@s is adopted
			alice@r is adopted
			plans : bob@s alice@r`,

		"nor is what answers any realm": `
			alice? is adopted
			alice@r is adopted
			plans : alice?`,

		"a plan that is not among them passes": `
			alice@r passes at a
			plans : alice@r`,

		"another session takes the place of the former": `
			alice@r is adopted
			bob@s is adopted
			alice@r becomes alice@r:n1
			plans : bob@s alice@r:n1
			(Who comes late with the former does not matter.)
			alice@r becomes alice@r:n2
			plans : bob@s alice@r:n1
			alice@r:n1 becomes alice@r:n2
			plans : bob@s alice@r:n2
			bob@s becomes bob@s:n1
			plans : bob@s:n1 alice@r:n2`,

		"a plan that has gone does not come back by another session": `
			alice@r is adopted
			alice@r is dropped : alice@r
			alice@r becomes alice@r:n1
			plans :
			for a : none`,

		"a former session that passes puts the plan first, and not itself": `
			alice@r is adopted
			alice@r becomes alice@r:n1
			bob@s is adopted
			alice@r passes at a
			plans : alice@r:n1 bob@s`,

		"a plan is dropped, whatever it has become": `
			alice@r is adopted
			bob@s is adopted
			alice@r becomes alice@r:n1
			alice@r is dropped : alice@r:n1
			plans : bob@s
			alice@r is dropped
			bob@s is dropped : bob@s
			plans :`,

		"the first of several is dropped, and one in the middle": `
			alice@r is adopted
			bob@s is adopted
			carol@t is adopted
			dave@u is adopted
			carol@t is dropped : carol@t
			plans : dave@u bob@s alice@r
			dave@u is dropped : dave@u
			plans : bob@s alice@r`,

		"another user takes the place of one in the same realm": `
			alice@r is adopted
			carol@s is adopted
			bob@r passes at a : alice@r
			plans : bob@r carol@s
			alice@r is adopted : bob@r
			plans : alice@r carol@s`,

		"by whatever scheme": `
			alice@r is adopted
			alice@r/Basic is adopted
			bob@r is adopted : alice@r/Basic alice@r
			plans : bob@r`,

		"no realm is any realm": `
			alice@r is adopted
			bob@s is adopted
			carol/NTLM is adopted : bob@s alice@r
			plans : carol/NTLM
			alice@r is adopted : carol/NTLM`,

		"there are eight plans, and those go that were needed longest ago": `
			1@1 is adopted
			2@2 is adopted
			3@3 is adopted
			4@4 is adopted
			5@5 is adopted
			6@6 is adopted
			7@7 is adopted
			8@8 is adopted
			plans : 8@8 7@7 6@6 5@5 4@4 3@3 2@2 1@1
			1@1 passes at a
			plans : 1@1 8@8 7@7 6@6 5@5 4@4 3@3 2@2
			9@9 is adopted : 2@2
			plans : 9@9 1@1 8@8 7@7 6@6 5@5 4@4 3@3
			(Where one of a realm goes, nobody else has to.)
			0@8 passes at a : 8@8
			plans : 0@8 9@9 1@1 7@7 6@6 5@5 4@4 3@3`,

		"a plan is found by its scheme and credentials": `
			alice@r is adopted
			alice/NTLM is adopted
			find alice Digest r : alice@r
			find alice Digest s : none
			find alice Digest : alice@r (in any realm)
			find alice NTLM : alice/NTLM
			find alice NTLM r : none
			find alice Basic r : none
			find bob Digest r : none`,

		"a plan that was made without a challenge is for any realm": `
			alice?/Basic is adopted
			find alice Basic : alice?/Basic
			find alice Basic r : alice?/Basic
			find alice Digest r : none
			find bob Basic r : none`,
	} {
		t.Run(name, func(t *testing.T) { play(t, text) })
	}
}
