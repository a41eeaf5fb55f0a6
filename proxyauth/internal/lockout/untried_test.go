package lockout

import "testing"

// R8, R38: credentials that have never passed.
func TestUntried(t *testing.T) {
	for name, text := range map[string]string{
		"a 100 (Continue) opens the way for four, for a minute": `
			0s     1 asks Basic a : goes
			0s     1 frees
			1s     2 asks Basic a : goes
			1s     2 frees
			2s     3 asks Basic a : goes
			2s     3 frees
			3s     4 asks Basic a : goes
			3s     4 frees
			4s     5 asks Basic b : waits until 34s
			34s    5 asks again   : held until 1m0s
			1m     6 asks Basic b : goes`,

		"an attempt is repeated in its place, if no other one was made": `
			0s     1 asks Digest a : goes
			0s     1 repeats       : goes
			0s     1 repeats again : not
			0s     1 refused twice
			0s     2 asks Digest b : held until 31m0s`,

		"not where another is under way": `
			0s     1 asks Digest a : goes
			4s     2 asks Digest b : goes
			20s    1 repeats       : not
			20s    1 refused
			20s    2 repeats       : not`,

		"nor after one was refused": `
			0s     1 asks Digest a : goes
			0s     1 refused
			0s     2 asks Digest a : goes
			0s     2 repeats       : not`,

		"one attempt is under way at a time, and others wait for its answer": `
			0s  1 asks Basic a  : goes
			0s  2 asks Basic b  : waits until 4s
			1s  3 asks Basic a  : waits until 4s
			2s  1 passed
			2s  2 asks again    : goes
			2s  3 asks again    : goes`,

		"a second is, after 4 s, and no third": `
			0s     1 asks Basic a : goes
			3.9s   2 asks Basic b : waits until 4s
			4s     2 asks again   : goes
			4s     3 asks Basic c : waits until 34s
			33s    3 asks again   : waits until 34s
			34s    3 asks again   : held until 1m0s (when the first attempt may have expired)
			59s    1 refused
			59s    4 asks Basic c : waits until 1m4s
			59.1s  2 refused
			59.1s  4 asks again   : held until 31m59.1s`,

		"after a refusal the next request makes the second attempt": `
			0s   1 asks Basic a : goes
			0s   2 asks Basic b : waits until 4s
			1s   1 refused
			1s   2 asks again   : goes
			1s   3 asks Basic b : waits until 31s (refusals and attempts under way are two)
			20s  3 asks again   : waits until 31s
			21s  2 refused
			21s  3 asks again   : held until 31m22s by refused`,

		"after two refusals nothing goes for 31 minutes, doubled each time up to 4 h": `
			0s         1 asks Basic a : goes
			0s         1 refused
			0s         2 asks Basic b : goes
			10s        2 refused
			31m4.9s    3 asks Basic c : held until 31m10s
			31m5s      3 asks again   : waits until 31m10s
			31m10s     3 asks again   : goes
			31m20s     4 asks Basic d : waits until 31m50s (one attempt each time)
			31m30s     3 refused
			31m30s     4 asks again   : held until 1h33m30s
			1h33m30s   5 asks Basic e : goes
			1h33m30s   5 refused
			1h33m30s   6 asks Basic f : held until 3h37m30s
			3h37m30s   6 asks again   : goes
			3h37m30s   6 503
			3h37m30s   6 asks again   : held until 7h37m30s (whatever its answer was)
			7h37m30s   7 asks Basic f challenged : goes
			7h37m30s   7 unclear
			7h37m30s   8 asks Basic g : held until 11h37m30s
			24h        8 asks Basic g challenged : goes
			24h        8 not sent
			24h        9 asks Basic g challenged : goes
			24h        9 passed
			24h        10 asks Basic a : goes
			24h        11 asks Basic b : goes`,

		"the same request goes on with the next scheme": `
			0s   1 asks NTLM,Basic a : goes by NTLM
			0s   2 asks NTLM,Basic b : waits until 4s
			1s   1 refused
			1s   1 asks again : goes by Basic
			2s   1 passed
			2s   2 asks again : goes by Basic
			2s   3 asks Basic c : goes`,

		"the second attempt is the next scheme's also if another request makes it": `
			0s   1 asks NTLM,Digest,Basic a : goes by NTLM
			0s   2 asks NTLM,Digest,Basic b : waits until 4s
			1s   1 refused
			1s   2 asks again : goes by Digest
			1s   1 asks again : waits until 31s
			2s   2 refused
			2s   1 asks again : held until 31m3s
			31m2s   3 asks NTLM,Digest,Basic c : goes by Basic
			31m2s   3 refused
			1h33m3s 3 asks again : goes by NTLM (that was tried least recently)
			1h33m3s 3 unclear
			3h37m4s 3 asks again challenged : goes by Digest`,

		"an unclear answer is no reason for a weaker scheme": `
			0s  1 asks NTLM,Basic a : goes by NTLM
			0s  1 unclear
			0s  2 asks NTLM,Basic b challenged : goes by NTLM`,

		"a pass clears what is held against this scheme, not against another": `
			0s  1 asks Digest,Basic a : goes by Digest
			0s  1 refused
			0s  1 asks again : goes by Basic
			0s  1 passed
			1s  2 asks Digest b : goes
			1s  3 asks Digest b : waits until 31s
			1s  4 asks Basic b : goes
			2s  2 refused
			2s  3 asks again : held until 31m3s
			2s  4 asks Digest,Basic b : goes by Basic
			2s  rejected : (by Basic it may be sent)`,

		"a scheme that has passed does not wait for one that has not": `
			0s  1 asks Basic a : goes
			0s  1 passed
			1s  2 asks NTLM,Basic a : goes by NTLM
			1s  3 asks NTLM,Basic a : goes by Basic
			1s  2 unclear
			1s  2 asks again challenged : goes by NTLM
			1s  2 unclear
			1s  4 asks NTLM,Basic a challenged : goes by Basic`,

		"while what passed is suspect, an attempt by another scheme is one of its own": `
			0s  1 asks Basic a : goes
			0s  1 passed
			1s  2 asks Basic a : goes
			1s  2 refused
			1s  3 asks Digest b : goes
			1s  4 asks Basic c : waits until 5s
			2s  3 refused
			2s  4 asks again : held until 22s
			2s  5 asks Digest c : held until 22s
			22s 5 asks again : goes
			22s 6 asks Digest d : waits until 52s
			23s 5 refused
			23s 6 asks again : held until 31m23s`,

		"an attempt by two legs is two": `
			0s  1 asks Digest a : goes
			0s  1 refused twice
			0s  2 asks Digest b : held until 31m0s`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R38: answers that may be a refusal in other words.
func TestUnclear(t *testing.T) {
	for name, text := range map[string]string{
		"the next may try at once, two in all, then after 5 s, 1 minute, and each 31": `
			0s      1 asks Basic a unasked : goes
			1s      1 unclear
			1s      2 asks Basic b unasked : goes
			2s      2 unclear
			2s      3 asks Basic c unasked : waits until 7s
			7s      3 asks again : goes
			7s      4 asks Basic d unasked : waits until 37s (one at a time)
			8s      3 unclear
			8s      4 asks again : held until 1m8s by unclear
			1m8s    4 asks again : goes
			1m9s    4 unclear
			1m9s    5 asks Basic e unasked : held until 32m9s
			1m9s    rejected :
			32m9s   5 asks again : goes
			32m9s   5 unclear
			32m9s   6 asks Basic f unasked : held until 1h3m9s`,

		"each 5 minutes after a 403 or a timeout": `
			0s     1 asks Basic a unasked : goes
			0s     1 403
			0s     2 asks Basic b unasked : goes
			0s     2 403
			5s     3 asks Basic c unasked : goes
			5s     3 403
			1m5s   4 asks Basic d unasked : goes
			1m5s   4 403
			1m5s   5 asks Basic e unasked : held until 6m5s by 403
			6m5s   5 asks again : goes
			6m5s   5 503
			6m5s   6 asks Basic e unasked : goes
			6m5s   6 403
			11m5s  7 asks Basic f unasked : goes
			11m5s  7 unclear (the last one counts)
			11m5s  8 asks Basic g unasked : held until 42m5s`,

		"refusals and unclear answers together 4: the long pause": `
			0s   1 asks Basic a unasked : goes
			0s   1 refused
			0s   2 asks Basic b unasked : goes
			0s   2 unclear
			0s   3 asks Basic c unasked : waits until 5s
			5s   3 asks again : goes
			5s   3 403
			5s   4 asks Basic d unasked : held until 1m5s
			1m5s 4 asks again : goes
			1m5s 4 403
			1m5s 5 asks Basic e unasked : held until 32m5s
			32m5s 5 asks again : goes
			32m5s 5 403
			32m5s 6 asks Basic f unasked : held until 1h34m5s`,

		"refusals after an unclear answer": `
			0s   1 asks Basic a unasked : goes
			4s   2 asks Basic b unasked : goes
			5s   1 unclear
			5s   3 asks Basic c unasked : waits until 35s (two in all)
			6s   2 refused
			6s   3 asks again : waits until 11s
			11s  3 asks again : goes
			11s  3 refused
			11s  4 asks Basic d unasked : held until 31m11s`,

		"the next request begins without credentials and sends them after a 407 of its own": `
			0s  1 asks Digest,Basic a : goes
			0s  1 unclear
			0s  2 asks Digest,Basic b : begins bare
			1s  2 asks again challenged : goes
			1s  3 asks Digest,Basic b : begins bare (before its turn, too)
			2s  3 asks again challenged : waits until 32s
			2s  2 passed
			2s  3 asks again : goes
			2s  4 asks Digest,Basic b : goes`,

		"but not to be held then": `
			0s  1 asks Basic a : goes
			0s  1 unclear
			0s  2 asks Basic b challenged : goes
			0s  2 unclear
			0s  3 asks Basic c challenged : waits until 5s
			5s  3 asks again : goes
			5s  3 unclear
			5s  4 asks Basic d : held until 1m5s`,

		"after a refusal alone it does not": `
			0s  1 asks Digest a : goes
			0s  1 refused
			0s  2 asks Digest b : goes`,

		"the first attempt after a pause goes to another target for 1 s": `
			0s  1 asks Basic a challenged : goes
			0s  1 403
			0s  1 asks again : goes (at once there was no pause)
			0s  1 403
			5s  2 asks Basic a challenged : waits until 6s
			5s  3 asks Basic b challenged : goes
			5s  3 passed
			5s  2 asks again : goes`,

		"or to the same, if nobody else comes": `
			0s  1 asks Basic a challenged : goes
			0s  1 refused
			0s  1 asks again : goes
			0s  1 403
			5s  2 asks Basic a challenged : waits until 6s
			6s  2 asks again : goes`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R38: answers that say nothing of the password; the 503s of a load balancer.
func TestNothing(t *testing.T) {
	for name, text := range map[string]string{
		"the next begins in the same way": `
			0s  1 asks Basic a : goes
			1s  1 503
			1s  2 asks Basic b : begins bare
			1s  3 asks Basic b unasked : goes
			2s  2 asks again challenged : waits until 5s (nothing lets no more go whose request had no 407)
			9s  3 503
			9s  2 asks again : goes`,

		"each of a request that had a 407 lets one more be under way, up to 4": `
			0s  1 asks Basic a challenged : goes
			0s  1 503
			0s  2 asks Basic a challenged : goes
			0s  3 asks Basic a challenged : goes
			0s  4 asks Basic a challenged : waits until 4s
			1s  2 503
			1s  4 asks again : goes
			1s  5 asks Basic a challenged : goes
			1s  6 asks Basic a challenged : waits until 4s
			2s  3 503
			2s  4 503
			2s  5 503
			2s  1 asks Basic a challenged : goes
			2s  2 asks Basic a challenged : goes
			2s  3 asks Basic a challenged : goes
			2s  4 asks Basic a challenged : goes
			2s  5 asks Basic a challenged : waits until 32s
			3s  1 refused
			3s  5 asks again : waits until 32s (up to 4 with the refusals)
			3s  2 refused
			3s  3 refused
			3s  4 refused
			3s  5 asks again : held until 31m4s`,

		"two refusals end it in any case": `
			0s  1 asks Basic a challenged : goes
			0s  1 503
			0s  1 asks again : goes
			0s  1 503
			0s  1 asks again : goes
			0s  2 asks Basic a challenged : goes
			1s  1 refused
			1s  2 refused
			1s  3 asks Basic b : held until 31m1s
			31m1s  3 asks Basic b challenged : goes
			31m1s  4 asks Basic a challenged : waits until 31m31s`,

		"the second after 4 s comes on top": `
			0s  1 asks Basic a challenged : goes
			0s  1 503
			0s  1 asks again : goes
			1s  2 asks Basic a challenged : goes
			1s  3 asks Basic a challenged : waits until 4s
			4s  3 asks again : goes
			4s  4 asks Basic a challenged : waits until 34s`,

		"a pass ends it": `
			0s  1 asks Basic a challenged : goes
			0s  1 503
			0s  2 asks Basic a challenged : goes
			0s  2 passed
			0s  3 asks Digest a : goes
			0s  4 asks Digest a : waits until 4s`,

		"what waits for a long upload gives its place to others, and counts when it is answered": `
			0s   1 asks Basic a : goes
			0s   2 asks Basic b : waits until 4s
			1s   1 frees
			1s   2 asks again : goes
			1s   3 asks Basic b : waits until 5s
			2s   1 frees
			2s   3 asks again : waits until 5s
			3s   2 refused
			3s   3 asks again : goes
			3s   3 frees
			10m  1 refused
			10m  4 asks Basic c : held until 41m0s
			11m  3 passed
			11m  4 asks Basic c : goes`,

		"four of these are the most, with what was refused": `
			0s   1 asks Basic a unasked : goes
			0s   1 refused
			1s   2 asks Basic b : goes
			1s   2 frees
			1s   3 asks Basic c : goes
			1s   3 frees
			1s   4 asks Basic d : goes
			2s   4 frees
			2s   5 asks Basic e : waits until 32s
			2s   2 passed
			2s   5 asks again : goes`,

		"and with what was unclear": `
			0s   1 asks Basic a unasked : goes
			0s   1 unclear
			1s   2 asks Basic b unasked : goes
			1s   2 frees
			1s   3 asks Basic c unasked : goes
			1s   3 frees
			1s   4 asks Basic d unasked : goes
			2s   4 frees
			2s   5 asks Basic e unasked : waits until 32s`,

		"what was not sent gives its place back": `
			0s  1 asks Basic a : goes
			0s  2 asks Basic b : waits until 4s
			1s  1 not sent
			1s  2 asks again : goes
			1s  1 asks again : waits until 5s`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}
