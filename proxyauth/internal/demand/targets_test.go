package demand_test

import "testing"

// R39: that one target passes without credentials says nothing of others, and takes
// away nothing that is known, however late it is learned.
func TestBareTargets(t *testing.T) {
	for name, text := range map[string]string{
		"nothing follows for others": `
			free passes bare
			asked : yes
			bare free a : free
			for a : none
			offers :`,

		"what others have learned meanwhile stays": `
			(A slow request to free is under way.)
			a is challenged by Digest NTLM
			alice@r:SHA-256 is adopted
			alice@r:SHA-256 passes at a
			b passes bare
			probes tell
			(It ends.)
			free passes bare
			offers : Digest NTLM
			plans : alice@r:SHA-256
			for a : alice@r:SHA-256
			for c : alice@r:SHA-256
			bare free a b c : free b
			strength : Digest
			protection : SHA-256
			probes : tell`,

		"so it does where the answer says nothing": `
			a is challenged by Digest
			alice@r:SHA-256 passes at a
			b passes bare
			probes tell
			an answer without credentials
			offers : Digest
			for a : alice@r:SHA-256
			bare a b : b
			strength : Digest
			protection : SHA-256
			probes : tell`,

		"and where one learns by it that the target needs credentials by now": `
			free passes bare
			alice@r:SHA-256 passes at a
			free is challenged by Basic
			for free : alice@r:SHA-256
			bare free :
			plans : alice@r:SHA-256
			strength : Digest
			protection : SHA-256`,

		"realms stay known": `
			alice@world passes at a
			bob@intranet passes at b
			b passes bare
			for b : bob@intranet
			of bob@intranet a b : b
			b is challenged by Digest
			for b : bob@intranet`,
	} {
		t.Run(name, func(t *testing.T) { play(t, text) })
	}
}

// R40: two realms, with a pair for each: both are in force, and each is used where it
// has passed.
func TestRealms(t *testing.T) {
	for name, text := range map[string]string{
		"where there is one realm all targets are of it": `
			of alice@r a : a
			alice@r passes at a
			of alice@r a b : a b
			of bob@r a b : a b
			of carol/NTLM a b : a b
			of bob@s a b :`,

		"a realm is known of each target at which a pair of it has passed": `
			a is challenged by Digest
			alice@world is adopted
			alice@world passes at a
			b is challenged by Digest
			for b : alice@world (whose 407 tells of the other realm)
			bob@intranet is adopted
			of bob@intranet a b :
			bob@intranet passes at b
			plans : bob@intranet alice@world
			for b : bob@intranet
			of bob@intranet a b : b
			for a : bob@intranet (once)
			of alice@world a b :
			alice@world passes at a
			for a : alice@world
			for b : bob@intranet
			of alice@world a b : a
			bob@intranet passes at b
			for a : alice@world
			for b : bob@intranet
			for c : bob@intranet (as whoever passed last)`,

		"by one user name": `
			alice@world passes at a
			alice@intranet passes at b
			plans : alice@intranet alice@world
			alice@world passes at a
			for a : alice@world
			for b : alice@intranet`,

		"by one user name for both, another one goes in its realm alone": `
			alice@world passes at a
			alice@intranet passes at b
			alice@world passes at a
			bob@intranet passes at b : alice@intranet
			for a : alice@world
			for b : bob@intranet`,

		"a target that comes to another realm": `
			alice@world passes at a
			bob@intranet passes at b
			alice@world passes at a
			bob@intranet passes at a
			for a : bob@intranet
			for b : bob@intranet
			of alice@world a b :
			of bob@intranet a b : a b`,

		"the realm of a target without a plan for it": `
			alice@world passes at a
			bob@intranet passes at b
			bob@intranet is dropped : bob@intranet
			for b : none
			of alice@world b :
			carol@intranet is adopted
			for b : carol@intranet
			for a : carol@intranet`,

		"of several plans in a realm the one that passed last": `
			alice@world passes at a
			bob@intranet passes at b
			bob@intranet/NTLM passes at b
			alice@world passes at a
			plans : alice@world bob@intranet/NTLM bob@intranet
			for b : bob@intranet/NTLM`,

		"another session in a realm": `
			alice@world passes at a
			bob@intranet passes at b
			alice@world passes at a
			bob@intranet becomes bob@intranet:n1
			for b : bob@intranet:n1
			for a : alice@world`,
	} {
		t.Run(name, func(t *testing.T) { play(t, text) })
	}
}
