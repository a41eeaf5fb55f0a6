package lockout

import "testing"

// R37, R46: credentials that have passed, without a refusal.
func TestTrusted(t *testing.T) {
	for name, text := range map[string]string{
		"any number for 60 s after a pass": `
			0s     1 asks Basic a : goes
			10s    1 passed
			10s    2 asks Basic a : goes
			10s    3 asks Basic a : goes
			69.9s  4 asks Basic a : goes
			69.9s  5 asks Basic a : goes
			70s    6 asks Basic a : goes
			70s    7 asks Basic b : waits until 1m10.3s`,

		"then, of those sent since, 1, 2 after 0.3 s, any number after 4 s": `
			0s     1 asks Basic a : goes
			0s     1 passed
			5s     2 asks Basic a : goes (and is not answered)
			60s    3 asks Basic b : goes
			60.1s  4 asks Basic b : waits until 1m0.3s
			60.1s  5 asks Basic b : waits until 1m0.3s
			60.3s  4 asks again   : goes
			60.3s  5 asks again   : waits until 1m4s
			60.4s  6 asks Basic c : waits until 1m0.6s (a third at a target where none is under way)
			60.6s  6 asks again   : goes
			60.6s  7 asks Basic d : waits until 1m4s
			64s    5 asks again   : goes
			64s    6 asks Basic c : goes
			64s    7 asks Basic c : goes`,

		"a third does not join an upload of before the pass, at its target": `
			0s     1 asks Basic u : goes
			0s     1 frees
			0s     2 asks Basic a : goes
			0s     2 passed
			60s    3 asks Basic a : goes
			60.3s  4 asks Basic b : goes
			60.6s  5 asks Basic u : waits until 1m4s
			60.6s  6 asks Basic c : goes`,

		"the time begins anew for one that is sent once more after an answer": `
			0s     1 asks Basic a : goes
			0s     1 passed
			60s    2 asks Basic a : goes
			60.3s  3 asks Basic a : goes
			60.4s  4 asks Basic a : waits until 1m4s
			63s    2 repeats      : goes
			63.1s  4 asks again   : waits until 1m4.3s
			63.3s  3 repeats      : goes
			63.4s  4 asks again   : waits until 1m7s
			66s    2 refused
			66s    4 asks again   : waits until 1m7.3s
			66.3s  3 refused
			66.3s  4 asks again   : goes`,

		"an answer that is no pass makes room for one": `
			0s     1 asks Basic a : goes
			0s     1 passed
			60s    2 asks Basic a : goes
			60s    3 asks Basic b : waits until 1m0.3s
			60.1s  2 503
			60.1s  3 asks again   : goes
			60.2s  3 unclear
			60.2s  2 asks again   : goes
			60.2s  2 not sent
			60.2s  3 asks Basic b : goes
			60.2s  3 passed
			61s    4 asks Basic b : goes
			61s    5 asks Basic b : goes`,

		"unclear answers and none change nothing": `
			0s  1 asks Basic a : goes
			0s  1 passed
			0s  1 asks Basic a : goes
			0s  1 unclear
			0s  1 asks Basic a : goes
			0s  1 403
			0s  1 asks Basic a : goes
			0s  1 503
			0s  state : trusted
			0s  2 asks Basic a : goes
			0s  3 asks Basic a : goes`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R8, R37, R38: credentials that have passed, and are refused.
func TestSuspect(t *testing.T) {
	for name, text := range map[string]string{
		"one attempt at a time until a pass, any number after 4 s": `
			0s     1 asks Basic a : goes
			0s     1 passed
			1s     1 asks Basic a : goes
			1s     state : trusted
			2s     1 refused
			2s     state : suspect
			2s     2 asks Basic b : goes
			2s     3 asks Basic c : waits until 6s
			2s     4 asks Basic a : waits until 6s
			6s     3 asks again   : goes
			6s     4 asks again   : goes
			6s     rejected :
			7s     2 passed
			7s     state : trusted
			7s     5 asks Basic d : goes
			7s     6 asks Basic d : goes`,

		"also when the 60 s are over": `
			0s     1 asks Basic a : goes
			0s     1 passed
			70s    1 asks Basic a : goes
			70s    1 refused
			90s    2 asks Basic b : goes
			90s    3 asks Basic c : waits until 1m34s
			91s    2 503
			91s    3 asks again   : goes`,

		"a second refusal at another target holds the account": `
			0s      1 asks Basic a : goes
			0s      1 passed
			1s      1 asks Basic a : goes
			1s      1 refused
			1s      2 asks Basic b : goes
			3s      2 refused
			3s      state : held off
			3s      3 asks Basic c : held until 23s by refused
			3s      rejected : secret
			18s     3 asks Basic c : waits until 23s
			23s     3 asks again   : goes
			23s     4 asks Basic d : waits until 53s (for the answer)
			53s     4 asks again   : held until 1m23s
			55s     3 refused
			55s     4 asks Basic d : held until 1m55s
			1m55s   4 asks again   : goes
			1m55s   4 refused
			3m55s   5 asks Basic e : goes
			3m55s   5 503
			7m54.9s 6 asks Basic e : waits until 7m55s
			7m55s   6 asks again   : goes
			7m55s   6 unclear
			15m54.9s 7 asks Basic f : waits until 15m55s
			15m55s  7 asks again   : goes
			15m55s  7 refused
			15m55s  8 asks Basic g : held until 46m55s
			46m55s  8 asks Basic g : goes
			46m55s  8 refused
			46m55s  9 asks Basic h : held until 1h17m55s
			46m55s  rejected : secret
			1h17m55s  9 asks Basic h : goes
			1h17m55s  9 passed
			1h17m55s  1 asks Basic x : goes
			1h17m55s  2 asks Basic y : goes
			1h17m55s  state : trusted`,

		"but not one of an attempt that was sent before the first was read": `
			0s    1 asks Basic a : goes
			0s    1 passed
			1s    1 asks Basic a : goes
			1s    2 asks Basic b : goes
			1s    3 asks Basic c : goes
			1s    1 refused
			1s    2 refused
			1s    3 refused
			1s    state : suspect
			1s    4 asks Basic d : goes
			1s    4 refused
			1s    state : held off`,

		"of attempts after a pause, which are few, also those count that were sent before": `
			0s     1 asks Basic a : goes
			0s     1 passed
			60s    1 asks Basic a : goes
			60.3s  2 asks Basic b : goes
			61s    1 refused
			61.3s  2 refused
			61.3s  state : suspect
			61.3s  3 asks Basic a : goes
			62s    3 refused
			62s    state : held off
			62s    4 asks Basic c : held until 1m22s`,

		"but not for a target that is held already": `
			0s     1 asks Basic a : goes
			0s     1 passed
			60s    1 asks Basic a : goes
			60.3s  2 asks Basic b : goes
			60.4s  1 refused
			64.3s  3 asks Basic a : goes
			64.4s  3 refused
			64.5s  2 refused
			64.5s  state : suspect
			64.5s  4 asks Basic c : goes`,

		"nor at the same target": `
			0s     1 asks Basic a : goes
			0s     1 passed
			60s    1 asks Basic a : goes
			60.3s  2 asks Basic a : goes
			61s    1 refused
			61.3s  2 refused
			61.3s  3 asks Basic a : goes
			62s    3 refused
			62s    4 asks Basic c : goes`,

		"at the same target it holds that target, and the next to another decides": `
			0s   1 asks Basic a : goes
			0s   1 passed
			1s   1 asks Basic a : goes
			1s   1 refused
			1s   2 asks Basic a : goes
			2s   2 refused
			2s   state : suspect
			2s   rejected :
			2s   3 asks Basic a : held until 22s
			2s   4 asks Basic b : goes
			3s   3 asks Basic a : waits until 22s (for that answer)
			3s   4 passed
			3s   3 asks again   : goes`,

		"which may be a refusal": `
			0s   1 asks Basic a : goes
			0s   1 passed
			1s   1 asks Basic a : goes
			1s   1 refused
			1s   2 asks Basic a : goes
			2s   2 refused
			2s   4 asks Basic b : goes
			3s   4 refused
			3s   state : held off
			3s   5 asks Basic c : held until 23s`,

		"and the target is tried by itself": `
			0s     1 asks Basic a : goes
			0s     1 passed
			1s     1 asks Basic a : goes
			1s     1 refused
			1s     2 asks Basic a : goes
			2s     2 refused
			22s    3 asks Basic a : goes
			22s    4 asks Basic a : waits until 52s
			23s    3 refused
			23s    4 asks again   : held until 1m23s
			1m23s  4 asks Basic a : goes
			1m23s  5 asks Basic b : waits until 1m27s (one at a time)
			1m24s  4 503
			1m24s  6 asks Basic a : held until 3m24s
			1m24s  5 asks again   : goes
			1m25s  5 unclear
			1m25s  7 asks Basic b : goes
			1m26s  7 refused
			1m26s  8 asks Basic c : held until 1m46s (from the beginning)`,

		"a pass counts if it was sent after the last refusal was read": `
			0s   1 asks Basic a : goes
			0s   1 passed
			1s   1 asks Basic a : goes
			1s   2 asks Basic slow : goes
			2s   1 refused
			3s   2 passed
			3s   state : suspect
			3s   2 asks Basic slow : goes
			4s   3 asks Basic c : waits until 7s
			7s   3 asks again : goes
			8s   3 refused
			8s   state : held off
			9s   2 passed
			9s   state : held off
			28s  4 asks Basic d : goes
			29s  4 passed
			29s  state : trusted`,

		"a first pass by another scheme, too": `
			0s   1 asks Basic a : goes
			0s   1 passed
			1s   1 asks Digest a : goes
			1s   2 asks Basic a : goes
			2s   2 refused
			3s   1 passed
			3s   state : suspect
			3s   3 asks Digest b : goes
			3s   3 passed
			3s   state : trusted`,

		"a try that was not sent is made by another": `
			0s    1 asks Basic a : goes
			0s    1 passed
			1s    1 asks Basic a : goes
			1s    1 refused
			1s    2 asks Basic b : goes
			1s    2 refused
			21s   3 asks Basic c : goes
			22s   4 asks Basic d : waits until 52s
			23s   3 not sent
			23s   4 asks again   : goes
			24s   4 refused
			24s   5 asks Basic e : held until 1m24s`,

		"an attempt from before that was not sent is no try": `
			0s    1 asks Basic a : goes
			0s    1 passed
			60s   1 asks Basic a : goes
			60s   2 asks Basic b : waits until 1m0.3s
			60.3s 2 asks again   : goes
			60.4s 1 refused
			64.3s 3 asks Basic c : goes
			64.4s 3 refused
			64.5s 2 not sent
			64.5s 4 asks Basic d : held until 1m24.4s`,

		"a late answer to an earlier try changes nothing": `
			0s     1 asks Basic a : goes
			0s     1 passed
			1s     1 asks Basic a : goes
			1s     1 refused
			1s     2 asks Basic b : goes
			1s     2 refused
			21s    3 asks Basic c : goes
			1m21s  4 asks Basic d : goes
			1m22s  4 refused
			2m0s   3 503
			2m0s   4 asks Basic e : held until 3m22s
			2m0s   3 asks Basic d : held until 3m32s`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}

// R37: a proxy that cannot make up its mind.
func TestRallies(t *testing.T) {
	suspectAndWell := `
			0s    1 asks Basic a : goes
			0s    1 passed
			1s    1 asks Basic a : goes
			1s    1 refused
			1s    1 asks Basic b : goes
			1s    1 passed
			2s    1 asks Basic c : goes
			2s    1 refused
			2s    1 asks Basic b : goes
			2s    1 passed
			3s    1 asks Basic d : goes
			3s    1 refused
			3s    1 asks Basic b : goes
			3s    1 passed`
	for name, text := range map[string]string{
		"suspect and well three times within 10 minutes: six refusals in a row hold it": suspectAndWell + `
			10m0.9s  1 asks Basic e : goes
			10m0.9s  1 refused
			10m0.9s  1 asks Basic f : goes
			10m0.9s  1 refused
			10m0.9s  1 asks Basic g : goes
			10m0.9s  1 refused
			10m0.9s  1 asks Basic h : goes
			10m0.9s  1 refused
			10m0.9s  1 asks Basic i : goes
			10m0.9s  1 refused
			10m0.9s  state : suspect
			10m0.9s  1 asks Basic i : goes
			10m0.9s  1 refused
			10m0.9s  state : held off
			10m0.9s  1 asks Basic j : held until 10m20.9s`,

		"or a target": suspectAndWell + `
			4s  1 asks Basic e : goes
			4s  1 refused
			4s  1 asks Basic e : goes
			4s  1 refused
			4s  1 asks Basic e : goes
			4s  1 refused
			4s  1 asks Basic e : goes
			4s  1 refused
			4s  1 asks Basic e : goes
			4s  1 refused
			4s  1 asks Basic e : goes
			4s  1 refused
			4s  1 asks Basic e : held until 24s
			4s  1 asks Basic f : goes`,

		"two, where that was longer ago": suspectAndWell + `
			10m1s  1 asks Basic e : goes
			10m1s  1 refused
			10m1s  1 asks Basic f : goes
			10m1s  1 refused
			10m1s  state : held off`,
	} {
		t.Run(name, func(t *testing.T) { play(t, 0, text) })
	}
}
