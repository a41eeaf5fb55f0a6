package lockout

import "testing"

// R8, R37, R38: what goes out once more in the same place is an attempt as well.
func TestRepeats(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unclear answers to both count": `
			0s    1 asks Digest a : goes
			0s    1 repeats       : goes
			0s    1 unclear twice
			0s    2 asks Digest a challenged : waits until 6s (an odd target)
			6s    2 asks again : goes
			6s    2 repeats    : goes
			6s    2 unclear twice
			6s    3 asks Digest a challenged : held until 31m7s`,

		"both count also where there is no answer for a minute": `
			0s    1 asks Digest a unasked : goes
			0s    1 repeats : goes
			60s   2 asks Digest b unasked : waits until 1m5s`,

		"there are four at most": `
			0s    1 asks Digest a challenged : goes
			0s    1 unclear
			0s    2 asks Digest b challenged : goes
			0s    2 unclear
			5s    3 asks Digest c challenged : goes
			5s    3 unclear
			65s   4 asks Digest d challenged : goes
			65s   4 repeats : not`,

		"not beside another, also where others have its place": `
			0s    1 asks Digest a unasked : goes
			0s    1 frees
			0s    2 asks Digest b unasked : goes
			0s    2 repeats : not`,

		"not where it has counted already": `
			0s    1 asks Digest a unasked : goes
			61s   1 repeats : not`,

		"freely, once the scheme has passed": `
			0s    1 asks Digest a : goes
			5s    2 asks Digest b : goes
			6s    2 passed
			2m0s  3 asks Digest c : goes
			2m0s  1 repeats : goes`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}
